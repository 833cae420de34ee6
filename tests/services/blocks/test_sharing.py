"""Content is stored once: whatever brings bytes that the store has, writes none of them; and what it counts on stays."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import mstbucket
from mstbucket.core.cid import RAW_PREFIX, from_text, raw_cid
from mstbucket.core.unixfs import decode_file
from mstbucket.errors import BlocksMoved, NoSuchKey, StorageError
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX, KIB, MIB, PART_SIZE_MIN
from mstbucket.services.blocks.incoming import ASK_BYTES, Incoming
from mstbucket.services.blocks.registered import remove_doomed
from mstbucket.services.upkeep.compact import DOOMED_AGE_MS, PENDING_AGE_MS, remove_leftovers

BODY: Final = random.Random(1).randbytes(5 * MIB + 12_345)


def held(bucket: mstbucket.Bucket) -> int:
    """Bytes of packs in the blob store."""
    return sum(info.size for info in bucket._context.blobs.list("packs/"))


def ask(bucket: mstbucket.Bucket, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    with bucket._context.db.connection() as connection:
        return list(connection.execute(query, arguments).fetchall())


def settled(bucket: mstbucket.Bucket) -> bool:
    """Whether every blob is a pack that a row leads to, and every such row leads to a blob that is there."""
    names = {name for (name,) in ask(bucket, "SELECT name FROM packs")}
    assert names == {info.name for info in bucket._context.blobs.list("packs/")}
    led = """
        SELECT DISTINCT p.name FROM blocks b LEFT JOIN packs p ON p.id = b.pack AND p.state = 'ready'
        WHERE b.pack IS NOT NULL
    """
    assert {name for (name,) in ask(bucket, led)} == names
    return True


class Stream(io.BytesIO):
    """A body that can be read once."""

    def seekable(self) -> bool:
        return False


# --- nothing is written twice --------------------------------------------------------------------------------------------


def put(bucket: mstbucket.Bucket, key: str, body: bytes) -> None:
    bucket.put_object(key, body)


def put_stream(bucket: mstbucket.Bucket, key: str, body: bytes) -> None:
    bucket.put_object(key, Stream(body))


def put_in_bulk(bucket: mstbucket.Bucket, key: str, body: bytes) -> None:
    bucket.put_objects([mstbucket.PutRequest(key, body), mstbucket.PutRequest(f"{key}/again", body)])


def put_in_parts(bucket: mstbucket.Bucket, key: str, body: bytes) -> None:
    upload = bucket.create_multipart_upload(key)
    pieces = [body[at : at + PART_SIZE_MIN] for at in range(0, len(body), PART_SIZE_MIN)]
    parts = [(n, bucket.upload_part(key, upload.id, n, piece).etag) for n, piece in enumerate(pieces, 1)]
    bucket.complete_multipart_upload(key, upload.id, parts)


def copied(bucket: mstbucket.Bucket, key: str, body: bytes) -> None:
    bucket.put_object("copy of", body)
    bucket.copy_object("copy of", key)


WAYS: Final[dict[str, Callable[[mstbucket.Bucket, str, bytes], None]]] = {
    "put": put, "put of a stream": put_stream, "bulk put": put_in_bulk, "parts": put_in_parts, "copy": copied,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", ["put", "parts"])
def test_what_is_there_is_not_written_again_whichever_way_it_comes(
    bucket: mstbucket.Bucket, first: str, way: str, store: mstbucket.Store
) -> None:
    """[PUT-10] [PUT-12]: under another key, and in another bucket."""
    body = BODY[: 5 * MIB + 12_345]
    WAYS[first](bucket, "first", body)
    before = held(bucket)
    assert len(body) <= before + INLINE_MAX  # the last part is a small one
    WAYS[way](bucket, "second", body)
    WAYS[way](store.create_bucket("elsewhere"), "third", body)
    assert held(bucket) - before <= (0 if first == "put" else INLINE_MAX + KIB)  # the small chunk moves to the first pack
    assert bucket.get_object("second").read() == store.bucket("elsewhere").get_object("third").read() == body
    assert settled(bucket)


def test_a_copy_from_another_store_writes_what_is_not_there_yet(
    bucket: mstbucket.Bucket, second_store: mstbucket.Store
) -> None:
    """[PUT-10] [ATTR-10]"""
    there = second_store.create_bucket("there")
    put_in_parts(there, "parts", BODY)
    there.put_object("whole", BODY)
    bucket.put_object("here", BODY)
    before = held(bucket)
    for key in ("parts", "whole"):
        bucket.copy_object(key, f"copied/{key}", source_bucket=there)
        assert bucket.get_object(f"copied/{key}").read() == BODY
    assert held(bucket) == before
    assert settled(bucket)


def test_two_variants_that_differ_in_one_byte_share_all_chunks_but_one(bucket: mstbucket.Bucket) -> None:
    """[PUT-10]: chunks of 1 MiB, 20 of them."""
    body = bytearray(random.Random(2).randbytes(20 * MIB))
    bucket.put_object("one", bytes(body))
    before = held(bucket)
    body[10 * MIB + 7] ^= 1
    bucket.put_object("other", bytes(body))
    assert CHUNK_SIZE < held(bucket) - before < CHUNK_SIZE + 4 * KIB
    assert bucket.get_object("other").read() == body


def test_what_comes_twice_in_one_body_or_batch_is_written_once(bucket: mstbucket.Bucket) -> None:
    """[PUT-10]"""
    bucket.put_object("zeros", bytes(32 * MIB))
    assert held(bucket) < CHUNK_SIZE + 4 * KIB
    bucket.put_objects(mstbucket.PutRequest(f"{n}", BODY[:MIB]) for n in range(20))
    assert held(bucket) < 2 * CHUNK_SIZE + 8 * KIB
    assert settled(bucket)


def test_a_small_body_is_held_once(bucket: mstbucket.Bucket) -> None:
    """In the database until the flush, in one pack afterwards."""
    for key in ("a", "b"):
        bucket.put_object(key, BODY[:1000])
    assert ask(bucket, "SELECT count(*) FROM blocks WHERE length = 1000") == [(1,)]
    bucket.flush()
    before = held(bucket)
    bucket.put_object("c", BODY[:1000])
    assert ask(bucket, "SELECT count(*), count(body) FROM blocks WHERE length = 1000") == [(1, 0)]
    assert held(bucket) == before


def test_a_pack_that_nobody_needs_in_the_end_goes_at_once(bucket: mstbucket.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PUT-12]: two puts of one body at a time each find nothing; the second to end writes in vain."""
    with monkeypatch.context() as patch:
        patch.setattr(Incoming, "_find", _finding_nothing(Incoming._find))
        bucket.put_object("first", BODY)
        before = held(bucket)
        bucket.put_object("second", BODY)
    assert held(bucket) == before
    assert settled(bucket)
    assert bucket.get_object("second").read() == BODY


def _finding_nothing(find: Callable[..., Any]) -> Callable[..., list[tuple[Any, ...]]]:
    def nothing(self: Incoming, cids: list[bytes]) -> list[tuple[Any, ...]]:
        find(self, cids)
        return []

    return nothing


def test_a_put_that_fails_leaves_nothing_whether_it_had_something_to_write_or_not(bucket: mstbucket.Bucket) -> None:
    """[PUT-4]"""

    class Broken(Stream):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 4 * MIB:
                raise ValueError("the source broke")
            return super().read(size)

    with pytest.raises(ValueError, match="broke"):
        bucket.put_object("new", Broken(BODY))
    assert ask(bucket, "SELECT count(*) FROM packs") == [(0,)]
    bucket.put_object("there", BODY)
    with pytest.raises(ValueError, match="broke"):
        bucket.put_object("old", Broken(BODY))
    assert ask(bucket, "SELECT count(*) FROM packs") == [(1,)]
    assert settled(bucket)


# --- what is counted on stays --------------------------------------------------------------------------------------------


def collect(bucket: mstbucket.Bucket) -> int:
    """A collection as [PUT-11] wants it: barrier, epoch, roots, then the rows that nobody needs; how many went."""
    context = bucket._context
    with context.db.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(7172980, 0)")
        connection.execute("UPDATE collector SET epoch = epoch + 1")
    with context.db.snapshot() as connection:
        roots = {bytes(row[0]) for row in connection.execute("SELECT content FROM objects", binary=True)}
        parts = [bytes(row[0]) for row in connection.execute("SELECT chunks FROM parts", binary=True)]
        [(before,)] = connection.execute("SELECT collected_before()").fetchall()
    marked: set[bytes] = set()
    while roots:
        marked.add(cid := roots.pop())
        if not cid.startswith(RAW_PREFIX):
            roots |= {child for child, _ in decode_file(context.blocks.get(cid)).links} - marked
    marked |= {RAW_PREFIX + chunks[at : at + 32] for chunks in parts for at in range(0, len(chunks), 32)}
    with context.db.transaction() as connection:
        sweep = "DELETE FROM blocks WHERE NOT cid = ANY (%s) AND epoch < %s"
        gone = connection.execute(sweep, (list(marked), before)).rowcount
        doom = """
            UPDATE packs p SET state = 'doomed', alive = now_ms()
            WHERE state = 'ready' AND NOT EXISTS (SELECT FROM blocks b WHERE b.pack = p.id) RETURNING name
        """
        names = [str(row[0]) for row in connection.execute(doom)]
    remove_doomed(context, names)
    return gone


class Stopping(Stream):
    """A body that does something when it has been read to its end, before the put goes on."""

    def __init__(self, body: bytes, then: Callable[[], object]) -> None:
        super().__init__(body)
        self._then = then

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            self._then()
        return data


def test_a_block_that_a_put_counts_on_outlives_every_collection_until_the_put_has_ended(bucket: mstbucket.Bucket) -> None:
    """[PUT-11]: found, deleted by everybody else, and collected twice, before the put's own transaction."""
    body = BODY[: 2 * ASK_BYTES - 2 * MIB]  # asked about but for the last chunk and the node, which come with the end
    bucket.put_object("first", body)
    collect(bucket)  # the rows are stale from now on
    gone: list[int] = []

    def meanwhile() -> None:
        bucket.delete_object("first")
        gone.append(collect(bucket))
        gone.append(collect(bucket))

    bucket.put_object("second", Stopping(body, meanwhile))
    assert gone == [2, 0]
    assert bucket.get_object("second").read() == body
    bucket.delete_object("second")
    collect(bucket)
    assert ask(bucket, "SELECT count(*) FROM blocks") == [(0,)]
    assert held(bucket) == 0


def test_a_put_that_was_given_up_after_a_day_of_silence_is_told_so(bucket: mstbucket.Bucket) -> None:
    """[STO-9] [PUT-11]: it had counted on blocks, and written nothing."""
    bucket.put_object("first", BODY)

    def meanwhile() -> None:
        age = "UPDATE packs SET created = created - %s, alive = NULL WHERE state = 'pending' RETURNING 1"
        ask(bucket, age, PENDING_AGE_MS + 1)
        remove_leftovers(bucket._context)
        bucket.delete_object("first")
        ask(bucket, "UPDATE packs SET alive = alive - %s WHERE state = 'doomed' RETURNING 1", DOOMED_AGE_MS)
        remove_leftovers(bucket._context)

    with pytest.raises(StorageError, match="took so long"):
        bucket.put_object("second", Stopping(BODY, meanwhile))
    with pytest.raises(NoSuchKey):
        bucket.head_object("second")


@pytest.mark.parametrize("is_removed", [False, True], ids=["doomed", "removed"])
def test_a_put_whose_pack_was_given_up_while_it_wrote_is_told_so(bucket: mstbucket.Bucket, is_removed: bool) -> None:
    """[STO-9]: else it would be acknowledged, and its blob go."""

    def meanwhile() -> None:
        age = "UPDATE packs SET created = created - %s, alive = NULL WHERE state = 'pending' RETURNING 1"
        ask(bucket, age, PENDING_AGE_MS + 1)
        remove_leftovers(bucket._context)
        if is_removed:
            ask(bucket, "UPDATE packs SET alive = alive - %s WHERE state = 'doomed' RETURNING 1", DOOMED_AGE_MS)
            remove_leftovers(bucket._context)

    with pytest.raises(StorageError, match="took so long"):
        bucket.put_object("new", Stopping(BODY, meanwhile))
    with pytest.raises(NoSuchKey):
        bucket.head_object("new")
    assert ask(bucket, "SELECT count(*) FROM blocks") == [(0,)]
    bucket.put_object("new", BODY)
    assert bucket.get_object("new").read() == BODY


@pytest.mark.parametrize("kind", ["bytes", "a path", "a part", "a stream"])
def test_rows_that_go_against_the_rules_are_noticed_and_the_body_is_written_after_all_where_it_can_be_read_again(
    bucket: mstbucket.Bucket, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """[PUT-6]: an operator deletes them by hand between the question and the transaction."""
    bucket.put_object("first", BODY)
    (tmp_path / "body").write_bytes(BODY)
    seal = Incoming.seal

    def meanwhile(self: Incoming) -> None:
        monkeypatch.setattr(Incoming, "seal", seal)
        seal(self)
        ask(bucket, "DELETE FROM blocks RETURNING 1")

    monkeypatch.setattr(Incoming, "seal", meanwhile)
    if kind == "a part":
        upload = bucket.create_multipart_upload("second")
        part = bucket.upload_part("second", upload.id, 1, BODY)
        bucket.complete_multipart_upload("second", upload.id, [(1, part.etag)])
    elif kind == "a stream":
        with pytest.raises(BlocksMoved, match="repeat it"):
            bucket.put_object("second", Stream(BODY))
        bucket.put_object("second", Stream(BODY))
    else:
        bucket.put_object("second", BODY if kind == "bytes" else tmp_path / "body")
    assert bucket.get_object("second").read() == BODY


def test_writers_of_the_same_few_bodies_deleters_compactors_and_a_collector_lose_nothing(
    open_store: Callable[[], mstbucket.Store],
) -> None:
    """[PUT-6] [PUT-11] [STO-6]: what was acknowledged last of each key is there at the end."""
    store = open_store()
    bucket = store.create_bucket("things")
    bodies = [random.Random(n).randbytes(n * 70_000 + 66_000) for n in range(6)]
    bodies += [bodies[5] + bodies[4], bytes(3 * MIB) + bodies[1]]
    stop = threading.Event()
    failed: list[BaseException] = []
    expected: dict[str, bytes | None] = {}

    def until_stopped(work: Callable[[mstbucket.Bucket], object]) -> threading.Thread:
        mine = open_store().bucket("things")

        def run() -> None:
            try:
                while not stop.is_set():
                    work(mine)
            except BaseException as error:
                failed.append(error)
                stop.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def write(number: int) -> threading.Thread:
        dice = random.Random(number)
        rounds = iter(range(25))

        def one(mine: mstbucket.Bucket) -> None:
            if next(rounds, None) is None:
                raise StopIteration
            key, body = f"{number}/{dice.randrange(3)}", dice.choice(bodies)
            if dice.random() < 0.3:
                mine.delete_object(key)
                expected[key] = None
            else:
                way = dice.choice(list(WAYS.values())[:3] if len(body) < PART_SIZE_MIN else list(WAYS.values())[:4])
                way(mine, key, body)
                expected[key] = body
                assert mine.get_object(key).read() == body

        mine = open_store().bucket("things")

        def run() -> None:
            try:
                while True:
                    one(mine)
            except StopIteration:
                return
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    others = [until_stopped(collect), until_stopped(lambda mine: mine._context and open_compact(mine))]
    writers = [write(number) for number in range(3)]
    for thread in writers:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    assert failed == []
    for key, body in expected.items():
        if body is None:
            assert not bucket.list_objects(key, max_keys=1).contents or key + "/again" in [o.key for o in bucket.objects()]
        else:
            assert bucket.get_object(key).read() == body
    for item in bucket.objects():
        bucket.delete_object(item.key)
    collect(bucket)
    collect(bucket)
    assert ask(bucket, "SELECT count(*) FROM blocks") == [(0,)]
    assert held(bucket) == 0


def open_compact(bucket: mstbucket.Bucket) -> None:
    from mstbucket.services.upkeep.compact import Compactor

    Compactor(bucket._context).run(least=2)


def test_the_root_that_packs_name_is_stored_only_where_it_is_a_body(bucket: mstbucket.Bucket) -> None:
    """[PACK-2]: otherwise the first pack would stay for it."""
    empty = raw_cid(b"")
    bucket.put_object("large", BODY)
    assert ask(bucket, "SELECT count(*) FROM blocks WHERE cid = %s", empty) == [(0,)]
    assert from_text(bucket.put_object("empty", b"").content) == empty
    bucket.flush()
    assert ask(bucket, "SELECT count(pack) FROM blocks WHERE cid = %s", empty) == [(1,)]
    assert bucket.get_object("empty").read() == b""
    assert bucket.verify().objects == 2
