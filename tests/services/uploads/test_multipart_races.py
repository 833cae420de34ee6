"""Multipart uploads in several real processes at once, and in processes that are killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import mstbucket
from mstbucket import errors
from mstbucket.core.s3rules import parts as part_rules
from mstbucket.limits import MIB
from mstbucket.services.uploads import complete as completing

DATA = random.Random(18).randbytes(10 * MIB)

WORKER = """
import random, sys, time, mstbucket
from mstbucket import errors
from mstbucket.limits import MIB
data = random.Random(18).randbytes(10 * MIB)
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    bucket = store.bucket("things")
    print("ready", flush=True)
    for line in sys.stdin:
        delay, verb, upload, *rest = line.split()
        time.sleep(int(delay) / 1000)
        try:
            if verb == "complete":
                done = bucket.complete_multipart_upload("k", upload, [(int(n), e) for n, e in zip(rest[::2], rest[1::2])])
                print("completed", done.etag, done.manifest, flush=True)
            elif verb == "abort":
                bucket.abort_multipart_upload("k", upload)
                print("aborted", flush=True)
            elif verb == "part":
                for number in map(int, rest):
                    start = (number - 1) * 5 * MIB // 8
                    bucket.upload_part("k", upload, number, data[start : start + 5 * MIB // 8])
                print("sent", flush=True)
        except errors.MstBucketError as error:
            print("refused", error.code, flush=True)
"""

SLOW = """
import sys, time, mstbucket
with mstbucket.open(database=sys.argv[1], blobs=sys.argv[2], background=False) as store:
    class Slow:
        def read(self, size):
            print("reading", flush=True)
            time.sleep(0.01)
            return b"n" * size
    store.bucket("things").upload_part("k", sys.argv[3], 1, Slow())
"""


class Crew:
    """Processes that have the store open and do what they are told, one line each."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self.processes = processes
        for process in processes:
            assert self.answer(process) == "ready"

    def tell(self, lines: list[str]) -> list[str]:
        """Tell all of them at once; the answers in the same order."""
        for process, line in zip(self.processes, lines, strict=True):
            assert process.stdin is not None
            process.stdin.write(line + "\n")
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.flush()
        return [self.answer(process) for process in self.processes]

    @staticmethod
    def answer(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()


@pytest.fixture
def crew(bucket: mstbucket.Bucket, database_url: str, tmp_path: Path) -> Iterator[Crew]:
    """Four processes on the test's store."""
    command = [sys.executable, "-c", WORKER, database_url, str(tmp_path / "blobs")]
    with ExitStack() as stack:
        processes = []
        for _ in range(4):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(stack.enter_context(process))
        yield Crew(processes)


def unsettled(bucket: mstbucket.Bucket) -> int:
    """Packs in the store that are not packs in the database."""
    with bucket._context.db.reading() as connection:
        ready = {row[0] for row in connection.execute("SELECT name FROM packs WHERE state = 'ready'").fetchall()}
    return len([info for info in bucket._context.blobs.list("packs/") if info.name not in ready])


def test_parts_from_four_processes_at_once(bucket: mstbucket.Bucket, crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """[MPU-3], [MPU-7]: in any order, some sent by two of them at once, none a multiple of the chunk."""
    monkeypatch.setattr(part_rules, "PART_SIZE_MIN", 0)
    upload = bucket.create_multipart_upload("k").id
    shares = ["16 1 9 4", "2 10 5 16", "15 3 7 12 1", "14 13 6 8 11"]
    assert crew.tell([f"0 part {upload} {share}" for share in shares]) == ["sent"] * 4
    sent = bucket.list_parts("k", upload).parts
    assert [part.number for part in sent] == list(range(1, 17))
    done = bucket.complete_multipart_upload("k", upload, [(part.number, part.etag) for part in sent])
    assert bucket.get_object("k").read() == DATA
    assert done.content == bucket.put_object("p", DATA).content
    bucket.flush()
    assert bucket.verify().objects == 2
    assert unsettled(bucket) == 0


def test_completions_and_aborts_at_once_have_one_winner(bucket: mstbucket.Bucket, crew: Crew) -> None:
    """[MPU-10], [MPU-9]: two complete with the same parts, one with others, one aborts."""
    winners = set()
    rng = random.Random(5)
    for delay in (0, 0, 0, 4, 8, 12, 16, 20, 25, 30, 40, 60, 500):  # an abort is quicker: it has to be held back
        bucket.delete_object("k")
        upload = bucket.create_multipart_upload("k").id
        first, second = (bucket.upload_part("k", upload, n, DATA[: 5 * MIB if n == 1 else 9 * n]).etag for n in (1, 2))
        lines = [f"0 complete {upload} 1 {first} 2 {second}"] * 2
        lines += [f"0 complete {upload} 1 {first}", f"{delay} abort {upload}"]
        order = rng.sample(range(4), 4)
        told = crew.tell([lines[at] for at in order])
        same_1, same_2, other, abort = (told[order.index(at)] for at in range(4))
        assert same_1 == same_2
        won = [answer for answer in (same_1, other, abort) if not answer.startswith("refused")]
        assert len(won) == 1, told
        assert {answer for answer in (same_1, other, abort) if answer not in won} == {"refused NoSuchUpload"}
        assert len(bucket.list_objects().contents) == (0 if won == ["aborted"] else 1)
        if won != ["aborted"]:
            info = bucket.head_object("k")
            assert won == [f"completed {info.etag} {info.manifest}"]
        assert bucket.list_multipart_uploads().uploads == ()
        winners.add(won[0].split()[0])
    assert winners == {"completed", "aborted"}
    assert unsettled(bucket) == 0
    bucket.flush()
    bucket.verify()


def test_a_part_replaced_during_the_completion(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[MPU-10]: with equal bytes it starts over and succeeds; with others it is InvalidPart; no pack is left."""
    upload = bucket.create_multipart_upload("k").id
    parts = [bucket.upload_part("k", upload, n, DATA[: 5 * MIB + 3]) for n in (1, 2)]
    named = [(part.number, part.etag) for part in parts]
    compose = completing._Completion._compose
    bodies = [DATA[: 5 * MIB + 3], b"other"]

    def meddle(self: completing._Completion) -> object:
        body = compose(self)
        if bodies:
            bucket.upload_part("k", upload, 2, bodies.pop())
        return body

    monkeypatch.setattr(completing._Completion, "_compose", meddle)
    with pytest.raises(errors.InvalidPart):
        bucket.complete_multipart_upload("k", upload, named)
    assert unsettled(bucket) == 0
    bucket.upload_part("k", upload, 2, DATA[: 5 * MIB + 3])
    bucket.complete_multipart_upload("k", upload, named)
    assert bodies == []
    assert bucket.get_object("k").read() == DATA[: 5 * MIB + 3] * 2
    assert unsettled(bucket) == 0


def test_a_completion_that_never_finds_rest_gives_up(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[MPU-10]: a declared conflict, and the upload stays open."""
    upload = bucket.create_multipart_upload("k").id
    part = bucket.upload_part("k", upload, 1, b"x")
    compose = completing._Completion._compose

    def meddle(self: completing._Completion) -> object:
        body = compose(self)
        bucket.upload_part("k", upload, 1, b"x")
        return body

    monkeypatch.setattr(completing._Completion, "_compose", meddle)
    with pytest.raises(errors.Conflict) as caught:
        bucket.complete_multipart_upload("k", upload, [(1, part.etag)])
    assert caught.value.code == "OperationAborted"
    monkeypatch.setattr(completing._Completion, "_compose", compose)
    bucket.complete_multipart_upload("k", upload, [(1, part.etag)])


def test_an_abort_during_a_part(bucket: mstbucket.Bucket) -> None:
    """[MPU-3]: the part is NoSuchUpload, and what it wrote is removed."""

    class Aborting:
        left = 3

        def read(self, size: int) -> bytes:
            self.left -= 1
            if self.left == 0:
                bucket.abort_multipart_upload("k", upload)
            return DATA[:size] if self.left >= 0 else b""

    upload = bucket.create_multipart_upload("k").id
    with pytest.raises(errors.NoSuchUpload):
        bucket.upload_part("k", upload, 1, Aborting())  # type: ignore[arg-type]
    assert list(bucket._context.blobs.list("packs/")) == []


def test_a_part_waits_for_the_completion_under_way(bucket: mstbucket.Bucket) -> None:
    """[MPU-3]: it takes the upload's row before it says that the upload is open, and adds nothing to an ended one."""
    upload = bucket.create_multipart_upload("k").id
    db = bucket._context.db
    caught: list[str] = []

    def send() -> None:
        try:
            bucket.upload_part("k", upload, 1, b"late")
        except errors.NoSuchUpload as error:
            caught.append(error.code)

    thread = threading.Thread(target=send)
    with db.transaction() as connection:
        connection.execute("SELECT 1 FROM uploads WHERE id = %s FOR UPDATE", (upload,))
        connection.execute("UPDATE uploads SET completed = 1 WHERE id = %s", (upload,))
        thread.start()
        waiting = (0,)
        while waiting == (0,):
            with db.reading() as other:
                waiting = other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() or (0,)
    thread.join()
    assert caught == ["NoSuchUpload"]
    with db.reading() as connection:
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (0,)


def test_parts_from_eight_threads_at_once(bucket: mstbucket.Bucket) -> None:
    """[MPU-3]: one handle, many threads; every number sent twice, the same bytes each time."""
    upload = bucket.create_multipart_upload("k").id

    def send(number: int) -> tuple[int, str]:
        part = bucket.upload_part("k", upload, number, DATA[number : number + 5 * MIB])
        return part.number, part.etag

    with ThreadPoolExecutor(8) as threads:
        sent = sorted(set(threads.map(send, [4, 1, 3, 2, 2, 4, 1, 3])))
    bucket.complete_multipart_upload("k", upload, sent)
    assert bucket.get_object("k").read() == b"".join(DATA[n : n + 5 * MIB] for n in (1, 2, 3, 4))


def test_chunks_have_a_root_at_every_moment(bucket: mstbucket.Bucket) -> None:
    """[MPU-12]: whenever one looks, there are either the parts or the object."""
    looks = """
        SELECT (SELECT count(*) FROM parts WHERE upload = %(id)s), (SELECT count(*) FROM objects WHERE key = %(id)s)
    """
    seen: set[tuple[int, int]] = set()
    for _ in range(5):
        uploads = bucket.create_multipart_upload("x")
        with bucket._context.db.connection() as connection:  # the key is to be found by the id
            connection.execute("UPDATE uploads SET key = id WHERE id = %s", (uploads.id,))
        sent = [bucket.upload_part(uploads.id, uploads.id, n, DATA[: 5 * MIB]) for n in (1, 2)]
        done = threading.Event()

        def look(upload: str = uploads.id, done: threading.Event = done) -> None:
            while True:
                last = done.is_set()
                with bucket._context.db.reading() as connection:
                    row = connection.execute(looks, {"id": upload}).fetchone()
                assert row is not None
                seen.add((row[0], row[1]))
                if last:
                    return

        thread = threading.Thread(target=look)
        thread.start()
        bucket.complete_multipart_upload(uploads.id, uploads.id, [(part.number, part.etag) for part in sent])
        done.set()
        thread.join()
    assert seen == {(2, 0), (0, 1)}


def test_a_process_killed_in_the_middle_of_a_part(
    bucket: mstbucket.Bucket, database_url: str, tmp_path: Path
) -> None:
    """[MPU-3], [PUT-2]: the part before is what there is, the rest is known to the database, and the upload goes on."""
    upload = bucket.create_multipart_upload("k").id
    before = bucket.upload_part("k", upload, 1, DATA[: 5 * MIB])
    command = [sys.executable, "-c", SLOW, database_url, str(tmp_path / "blobs"), upload]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert bucket.list_parts("k", upload).parts == (before,)
    with bucket._context.db.reading() as connection:
        states = dict(connection.execute("SELECT name, state FROM packs").fetchall())
    assert sorted(states.values()) == ["pending", "ready"]
    assert {info.name for info in bucket._context.blobs.list("packs/")} <= set(states)
    end = bucket.upload_part("k", upload, 2, b"end")
    bucket.complete_multipart_upload("k", upload, [(1, before.etag), (2, end.etag)])
    assert bucket.get_object("k").read() == DATA[: 5 * MIB] + b"end"
