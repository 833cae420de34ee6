"""Two gateways on one store, asked in any order, against a dict: what one has answered the other knows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.early

KEYS = ["a", "a/b", "a/c/d", "b", "b//", "é", "z+ %"]


class World:
    """The bucket as it has to be, now and at each commit."""

    def __init__(self, clients: list[Any], bucket: str, chance: random.Random, commit_of: Callable[[], str]) -> None:
        self.clients = clients
        self.bucket = bucket
        self.chance = chance
        self.now: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.commits: list[tuple[str, dict[str, tuple[bytes, dict[str, str]]]]] = []
        self._commit_of = commit_of
        self._at: str | None = None
        for client in clients:
            client.meta.events.register("before-sign.s3", self._name)

    def _name(self, request: Any, **_: Any) -> None:
        if self._at is not None:
            request.headers["x-mst-commit"] = self._at

    def call(self, verb: str, **arguments: Any) -> Any:
        """The answer of either gateway, or the code of its error."""
        try:
            return getattr(self.chance.choice(self.clients), verb)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            return error.response["Error"]["Code"]

    def step(self) -> None:
        act = self.chance.choice([self.put, self.put, self.put_if, self.copy, self.delete, self.delete_many, self.tag,
                                  self.read, self.read, self.list, self.list, self.flush, self.read_past])  # fmt: skip
        act()

    def key(self) -> str:
        return self.chance.choice(KEYS)

    def body(self) -> bytes:
        return self.chance.randbytes(self.chance.choice([0, 1, 100, 70_000, 1_100_000]))

    def put(self) -> None:
        key, body = self.key(), self.body()
        assert "ETag" in self.call("put_object", Key=key, Body=body)
        self.now[key] = (body, {})

    def put_if(self) -> None:
        key, body = self.key(), self.body()
        answer = self.call("put_object", Key=key, Body=body, IfNoneMatch="*")
        if key in self.now:
            assert answer == "PreconditionFailed"
        else:
            assert "ETag" in answer
            self.now[key] = (body, {})

    def copy(self) -> None:
        source, target = self.key(), self.key()
        answer = self.call("copy_object", Key=target, CopySource={"Bucket": self.bucket, "Key": source})
        if source == target:
            assert answer in ("InvalidRequest", "NoSuchKey")
        elif source in self.now:
            assert "CopyObjectResult" in answer
            self.now[target] = self.now[source]
        else:
            assert answer == "NoSuchKey"

    def delete(self) -> None:
        key = self.key()
        assert isinstance(self.call("delete_object", Key=key), dict)
        self.now.pop(key, None)

    def delete_many(self) -> None:
        keys = self.chance.sample(KEYS, 2)
        answer = self.call("delete_objects", Delete={"Objects": [{"Key": key} for key in keys]})
        assert sorted(one["Key"] for one in answer["Deleted"]) == sorted(keys)
        for key in keys:
            self.now.pop(key, None)

    def tag(self) -> None:
        key, tags = self.key(), {"t": str(self.chance.randrange(3))}
        said = {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}
        answer = self.call("put_object_tagging", Key=key, Tagging=said)
        if key in self.now:
            assert isinstance(answer, dict)
            self.now[key] = (self.now[key][0], tags)
        else:
            assert answer == "NoSuchKey"

    def read(self) -> None:
        self.compare(self.now)

    def list(self) -> None:
        prefix, after = self.chance.choice(["", "a", "a/", "b"]), self.chance.choice(["", "a", "a/b"])
        got: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = self.call("list_objects_v2", Prefix=prefix, StartAfter=after, MaxKeys=2, **token)
            got += [one["Key"] for one in page.get("Contents", [])]
            if not page["IsTruncated"]:
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        want = [key for key in self.now if key.startswith(prefix) and key > after]
        assert got == sorted(want, key=str.encode)

    def flush(self) -> None:
        self.commits.append((self._commit_of(), dict(self.now)))

    def read_past(self) -> None:
        if self.commits:
            self._at, then = self.chance.choice(self.commits)
            try:
                self.compare(then)
            finally:
                self._at = None

    def compare(self, state: dict[str, tuple[bytes, dict[str, str]]]) -> None:
        key = self.key()
        answer, tags = self.call("get_object", Key=key), self.call("get_object_tagging", Key=key)
        if key in state:
            body, wanted = state[key]
            assert answer["Body"].read() == body
            assert {one["Key"]: one["Value"] for one in tags["TagSet"]} == wanted
        else:
            assert (answer, tags) == ("NoSuchKey", "NoSuchKey")
        listed = [one["Key"] for one in self.call("list_objects").get("Contents", [])]
        assert listed == sorted(state, key=str.encode)


@pytest.mark.parametrize("steps", [80, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.timeout(4 * 3600)])])
def test_any_sequence_of_calls_through_two_gateways_is_that_of_one_dict(
    serve: Callable[..., Any], wire: Any, steps: int
) -> None:
    """[GW-34] And what S3 promises: a read sees every write that was answered before, whoever answered it."""
    first = serve()
    second = serve(store=first.store, MSTBUCKET_ROOT_ACCESS_KEY="second", MSTBUCKET_ROOT_SECRET_KEY="of the second")
    second.access_key = "second"
    clients = [first.client(), second.client()]
    clients[0].create_bucket(Bucket="both")

    def commit_of() -> str:
        path = "/both?mst-flush="
        with wire.Wire(first.port) as connection:
            connection.send(wire.head("POST", path, {**wire.sign(first, "POST", path), "content-length": "0"}))
            status, headers, _ = connection.answer("POST")
        assert status == 200
        cid: str = headers["x-mst-cid"]
        return cid

    world = World(clients, "both", random.Random(steps), commit_of)
    for _ in range(steps):
        world.step()
    assert world.commits
    for client in clients:
        client.close()
