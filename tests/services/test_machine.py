"""Any sequence of calls against a plain dict: what a bucket shows, what it folds, and what leaves and comes back."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import mstbucket
from mstbucket import errors
from mstbucket.core import cid as cids
from mstbucket.core.mst.build import build
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX
from mstbucket.model import ObjectInfo

# Few keys, on each other's edges, so that they are overwritten, deleted and made again; and any others.
KEYS: Final = st.sampled_from(["a", "a/", "a/b", "a/b/c", "a0", "é", "\ue000", "\U0010ffff/x"]) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=6
)
# Many of them shared by several keys; of every way of storing: in the database, in a pack, in several blocks.
BODIES: Final = st.builds(
    lambda seed, size: (bytes((seed,)) + size.to_bytes(3, "big")) * (size // 4) + bytes(size % 4),
    st.integers(0, 3),
    st.sampled_from([0, 1, 40, 3000, INLINE_MAX, INLINE_MAX + 1, 2 * CHUNK_SIZE + 7]),
)
TEXTS: Final = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@dataclass(frozen=True)
class Said:
    """What is said about an object, and its body."""

    body: bytes
    content_type: str = "binary/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


SAID: Final = st.builds(
    Said,
    BODIES,
    st.sampled_from(["binary/octet-stream", "text/plain"]),
    st.dictionaries(st.sampled_from(["one", "two"]), TEXTS, max_size=2),
    st.dictionaries(st.sampled_from(["cache-control", "expires"]), TEXTS, max_size=2),
    st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=2),
)


def request(key: str, said: Said) -> mstbucket.PutRequest:
    return mstbucket.PutRequest(key, said.body, said.content_type, said.metadata, said.headers, said.tags)


def obvious_page(keys: list[str], prefix: str, delimiter: str | None) -> list[str]:
    """Keys and common prefixes of a whole listing, by looking at every key."""
    items = []
    for key in sorted(keys, key=str.encode):
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            items.append(key if at < 0 else key[: at + len(delimiter or "")])
    return list(dict.fromkeys(items))


class BucketMachine(RuleBasedStateMachine):
    """One bucket and the dict that it has to be. `folded` is the dict as of the last flush."""

    names: Iterator[str]
    open_store: Callable[[], mstbucket.Store]
    elsewhere: mstbucket.Store

    @initialize()
    def begin(self) -> None:
        self.model: dict[str, Said] = {}
        self.folded: dict[str, ObjectInfo] | None = None
        self.flushes = 0
        self.store = self.open_store()
        self.bucket = self.store.create_bucket(next(self.names))

    @rule(key=KEYS, said=SAID)
    def put(self, key: str, said: Said) -> None:
        asked = request(key, said)
        result = self.bucket.put_object(
            key, said.body, content_type=asked.content_type, metadata=asked.metadata, headers=asked.headers,
            tags=asked.tags,
        )  # fmt: skip
        assert (result.key, result.size) == (key, len(said.body))
        self.model[key] = said

    @rule(pairs=st.lists(st.tuples(KEYS, SAID), max_size=8))
    def put_many(self, pairs: list[tuple[str, Said]]) -> None:
        assert self.bucket.put_objects(request(key, said) for key, said in pairs) == len(pairs)
        self.model.update(pairs)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.bucket.delete_object(key)
        self.model.pop(key, None)

    @rule(keys=st.lists(KEYS, max_size=6))
    def delete_many(self, keys: list[str]) -> None:
        there = sorted({key for key in keys if key in self.model}, key=str.encode)
        assert {one.key for one in self.bucket.delete_objects(keys).deleted if one.existed} == set(there)
        for key in there:
            del self.model[key]

    @rule(source=KEYS, key=KEYS, new=SAID, metadata=st.booleans(), tags=st.booleans())
    def copy(self, source: str, key: str, new: Said, metadata: bool, tags: bool) -> None:
        said: dict[str, Any] = {}
        if metadata:
            said |= {"metadata_directive": "REPLACE", "content_type": new.content_type}
            said |= {"metadata": new.metadata, "headers": new.headers}
        if tags:
            said |= {"tagging_directive": "REPLACE", "tags": new.tags}
        try:
            self.bucket.copy_object(source, key, **said)
        except errors.NoSuchKey:
            assert source not in self.model
        except errors.InvalidRequest:
            assert (source, metadata) == (key, False)
        else:
            old = self.model[source]
            kept = new if metadata else old
            self.model[key] = Said(
                old.body, kept.content_type, kept.metadata, kept.headers, new.tags if tags else old.tags
            )

    @rule(key=KEYS, new=SAID)
    def tag(self, key: str, new: Said) -> None:
        try:
            self.bucket.put_object_tagging(key, new.tags)
        except errors.NoSuchKey:
            assert key not in self.model
        else:
            self.model[key] = replace(self.model[key], tags=new.tags)

    @rule(key=KEYS, start=st.integers(0, 2 * CHUNK_SIZE + 9), length=st.integers(1, 70_000))
    def read(self, key: str, start: int, length: int) -> None:
        try:
            info = self.bucket.head_object(key)
        except errors.NoSuchKey:
            assert key not in self.model
            return
        said = self.model[key]
        assert (info.content_type, info.metadata, info.headers, info.tags) == (
            said.content_type, said.metadata, said.headers, said.tags,
        )  # fmt: skip
        assert self.bucket.get_object(key).read() == said.body
        start %= len(said.body) + 1
        try:
            part = self.bucket.get_object(key, range=f"bytes={start}-{start + length - 1}").read()
        except errors.InvalidRange:
            assert start == len(said.body)
        else:
            assert part == said.body[start : start + length]

    @rule(
        prefix=st.sampled_from(["", "a", "a/", "é", "\U0010ffff"]),
        delimiter=st.sampled_from([None, "/", "b"]),
        size=st.integers(1, 5),
    )
    def list_pages(self, prefix: str, delimiter: str | None, size: int) -> None:
        listed: list[str] = []
        token = None
        while True:
            page = self.bucket.list_objects(prefix, delimiter=delimiter, continuation_token=token, max_keys=size)
            listed += sorted([*(item.key for item in page.contents), *page.common_prefixes], key=str.encode)
            token = page.next_continuation_token
            if token is None:
                break
        assert listed == obvious_page(list(self.model), prefix, delimiter)
        assert [(item.key, item.size) for item in self.bucket.objects(prefix)] == [
            (key, len(self.model[key].body)) for key in obvious_page(list(self.model), prefix, None)
        ]

    @rule()
    def flush(self) -> None:
        self.folded = self._shown(self.bucket)
        assert list(self.folded) == obvious_page(list(self.model), "", None)
        commit = self.bucket.flush()
        assert (commit.objects, commit.bytes) == (len(self.model), sum(len(said.body) for said in self.model.values()))
        pairs = [(key.encode(), cids.from_text(info.manifest)) for key, info in self.folded.items()]
        assert commit.tree == cids.to_text(build(pairs, lambda cid, block: None))
        report = self.bucket.verify()
        assert (report.commit, report.objects, report.dirty) == (commit.cid, len(self.model), 0)

    @precondition(lambda self: self.folded is not None)
    @rule()
    def leave_and_come_back(self) -> None:
        """What comes back is the state of the last flush, whatever was written since."""
        assert self.folded is not None
        out, again = io.BytesIO(), io.BytesIO()
        self.bucket.export_car(out)
        back = self.elsewhere.import_car(io.BytesIO(out.getvalue()), next(self.names))
        assert back.commit == self.bucket.commit
        assert self._shown(back) == self.folded
        back.export_car(again)
        assert again.getvalue() == out.getvalue()
        assert back.verify().objects == len(self.folded)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open_store()
        self.bucket = self.store.bucket(self.bucket.name)

    def teardown(self) -> None:
        if hasattr(self, "bucket"):
            self.flush()
            for key, said in self.model.items():
                assert self.bucket.get_object(key).read() == said.body
            self.store.close()

    @staticmethod
    def _shown(bucket: mstbucket.Bucket) -> dict[str, ObjectInfo]:
        return {item.key: bucket.head_object(item.key) for item in bucket.objects()}


def test_any_sequence_of_calls_is_that_of_a_dict(
    open_store: Callable[[], mstbucket.Store], second_store: mstbucket.Store
) -> None:
    """[PUT-7], [PUT-9], [GET-1], [GET-4], [LIST-1], [LIST-4], [FLUSH-1], [EXP-1], [IMP-2]."""
    numbers = itertools.count()
    opener, other = open_store, second_store

    class Machine(BucketMachine):
        names = (f"bucket-{number}" for number in numbers)
        open_store = staticmethod(opener)
        elsewhere = other

    run_state_machine_as_test(Machine, settings=settings(max_examples=30, stateful_step_count=30))
