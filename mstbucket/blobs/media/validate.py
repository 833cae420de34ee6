"""Whether a store can be kept on a service: tried there for real, with requests that it has to answer in one way."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from mstbucket.blobs.media.s3 import S3Blobs
from mstbucket.errors import BlobExists, InvalidInput, MstBucketError, NoSuchBlob, NoSuchKey, StorageError, Unsupported
from mstbucket.limits import MIB
from mstbucket.remote import S3Bucket, S3Place, parse_place

THREADS: Final = 8
ROUNDS: Final = 3  # of a race: a service that checks and then writes lets two win in most of them
SKEW_SECONDS: Final = 300  # S3 refuses requests from 15 minutes on
LARGE: Final = 17 * MIB  # two parts


@dataclass(frozen=True, slots=True)
class BlobCheck:
    """One check of a service.

    Attributes:
        name: what was tried.
        passed: whether a store can rely on it.
        detail: what was seen, for people.
    """

    name: str
    passed: bool
    detail: str


def validate_blobs(url: str) -> Generator[BlobCheck, None, None]:
    """Try whether the S3-compatible service at `url` can hold a store, and give each check when it is done ([S3B-16]).

    Writes some 20 MiB below a new prefix beside the one of `url`, and removes it at the end, whatever happened; close the
    iterator to end early. Takes seconds. A store that is there is not touched. After a service that cannot be reached there
    are no further checks.

    Raises:
        InvalidInput: the URL is not `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`.
        Unsupported: boto3 is not installed.
        StorageError: what was written could not be removed.
    """
    if not isinstance(url, str):
        raise InvalidInput(f"url is of type {type(url).__name__}; it has to be a text: s3://BUCKET/PREFIX")
    place = parse_place(url)
    folder = place.prefix.strip("/") + "/" if place.prefix.strip("/") else ""
    corner = replace(place, prefix=f"{folder}.validate-{secrets.token_hex(8)}/")
    bucket = S3Bucket(corner)
    with ExitStack() as stack:
        reached = _check("the bucket can be listed", lambda: _reach(bucket))
        yield reached
        if not reached.passed:
            return
        stack.callback(_remove_all, bucket)
        yield _check("clock", lambda: _clock(bucket))
        yield _check("listing: pages, order, and going on after a key", lambda: _pages(bucket))
        made = _check("conditional put: the second is refused", lambda: _refuse_second(corner))
        yield made
        if made.passed:
            yield from _on_store(S3Blobs(str(corner)), bucket)
        yield _check("multipart upload", lambda: _parts(bucket))
        yield _check("multipart upload: condition at its completion", lambda: _completion(bucket))


def quick_checks(url: str) -> Iterator[BlobCheck]:
    """Those two checks of a service that a configuration may break from one day to the next; quick, and nothing is left."""
    place = parse_place(url)
    folder = place.prefix.strip("/") + "/" if place.prefix.strip("/") else ""
    corner = replace(place, prefix=f"{folder}.doctor-{secrets.token_hex(8)}/")
    bucket = S3Bucket(corner)
    with ExitStack() as stack:
        reached = _check("the bucket can be listed", lambda: _reach(bucket))
        yield reached
        if reached.passed:
            stack.callback(_remove_all, bucket)
            yield _check("clock", lambda: _clock(bucket))
            yield _check("conditional put: the second is refused", lambda: _refuse_second(corner))


def _on_store(blobs: S3Blobs, bucket: S3Bucket) -> Iterator[BlobCheck]:
    yield _check("ranges", lambda: _ranges(blobs))
    yield _check("read after write, and after delete", lambda: _read_after_write(blobs, bucket))
    yield _check(f"conditional put: of {THREADS} at once one wins", lambda: _race(blobs))
    yield _check("delete: again, and of many", lambda: _delete(blobs))
    yield _check(f"{THREADS} threads at once", lambda: _together(blobs))


def _check(name: str, work: Callable[[], str]) -> BlobCheck:
    try:
        return BlobCheck(name, True, work())
    except MstBucketError as error:
        return BlobCheck(name, False, str(error))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Unsupported(otherwise)


def _reach(bucket: S3Bucket) -> str:
    bucket.check()
    return str(bucket.place)


def _refuse_second(corner: S3Place) -> str:
    S3Blobs(str(corner))  # [S3B-3]
    return "412, as it should be"


def _read_after_write(blobs: S3Blobs, bucket: S3Bucket) -> str:
    key = f"{bucket.place.prefix}fresh"
    for number in range(20):
        data = b"%d" % number * 100
        bucket.put(key, data)
        _require(bucket.get_range(key, 0, len(data)) == data, f"after write {number} the bytes before it were read")
        listed = [item.size for item in bucket.list(key)]
        _require(listed == [len(data)], f"after write {number} the listing shows {listed}")
        bucket.delete(key)
        try:
            bucket.head(key)
        except NoSuchKey:
            continue
        raise Unsupported(f"after delete {number} the object is still there")
    blobs.put("data/a", b"bytes")
    _require(blobs.head("data/a").size == 5, "the size of what was written is another one")
    return "20 times"


def _race(blobs: S3Blobs) -> str:
    for number in range(ROUNDS):
        won: list[int] = []
        barrier = threading.Barrier(THREADS)

        def contend(me: int, name: str = f"race/{number}", won: list[int] = won, start: threading.Barrier = barrier) -> None:
            start.wait()
            try:
                blobs.put_if_absent(name, bytes([me]) * 100_000)
            except BlobExists:
                return
            won.append(me)

        _in_threads(contend)
        _require(len(won) == 1, f"{len(won)} of {THREADS} were told that they had won: two writers could both succeed")
        there = blobs.get_range(f"race/{number}", 0, 100_000)
        _require(there == bytes(won) * 100_000, "the bytes are those of a writer that was refused")
    return f"{ROUNDS} rounds"


def _ranges(blobs: S3Blobs) -> str:
    data = random.Random(1).randbytes(100_000)
    blobs.put("data/ranges", data)
    for start, length in ((0, 1), (0, 100_000), (99_999, 1), (1, 65_536), (31_337, 4_096)):
        _require(blobs.get_range("data/ranges", start, length) == data[start : start + length], f"wrong bytes from {start}")
    for start, length in ((0, 100_001), (99_999, 2), (100_000, 1), (2**62, 1)):
        try:
            blobs.get_range("data/ranges", start, length)
        except StorageError:
            continue
        raise Unsupported(f"{length} bytes from {start} of 100,000 were given")
    return "9 ranges"


def _pages(bucket: S3Bucket) -> str:
    start = f"{bucket.place.prefix}list/"
    keys = sorted(f"{start}{name}" for name in (*(f"{n:02}" for n in range(20)), "a/b", "a-b", "a.b", "A", "a", "é", "~"))
    keys.sort(key=str.encode)
    for key in keys:
        bucket.put(key, b"x")
    for after in ("", keys[0], keys[11], f"{start}1", keys[-1]):
        found = [item.key for item in bucket.list(start, after, page=5)]
        expected = [key for key in keys if key.encode() > after.encode()]
        _require(found == expected, f"a listing after {after or 'nothing'!r} gave {len(found)} keys instead of "
                                    f"{len(expected)}, or another order")  # fmt: skip
    return f"{len(keys)} keys, 5 a page"


def _parts(bucket: S3Bucket) -> str:
    key, data = f"{bucket.place.prefix}parts", random.Random(2).randbytes(LARGE)
    with bucket.open_write(key) as writer:
        writer.write(data)
        try:
            bucket.head(key)
        except NoSuchKey:
            pass
        else:
            raise Unsupported("an upload that is not complete can be seen")
        writer.commit()
    with bucket.open_read(key) as stream:
        _require(stream.read() == data, "other bytes came back")
    return f"{LARGE >> 20} MiB in 2 parts"


def _completion(bucket: S3Bucket) -> str:
    if bucket.checks_completion(f"{bucket.place.prefix}parts"):
        return "checked"
    return "ignored: blobs above 16 MiB go in one PUT, up to 5 GiB, and need that much room for temporary files"


def _delete(blobs: S3Blobs) -> str:
    names = [f"gone/{number}" for number in range(10)]
    for name in names:
        blobs.put(name, b"x")
    blobs.delete(names[0])
    blobs.delete(names[0])
    blobs.delete_many([*names, "gone/never"])
    _require(list(blobs.list("gone/")) == [], "what was deleted is listed")
    return "10 blobs"


def _together(blobs: S3Blobs) -> str:
    def work(me: int) -> None:
        for number in range(10):
            name, data = f"threads/{me}/{number}", bytes([me]) * (1 + 3_000 * number)
            blobs.put(name, data)
            _require(blobs.get_range(name, 0, len(data)) == data, f"blob {name} came back with other bytes")
            blobs.delete(name)
            try:
                blobs.head(name)
            except NoSuchBlob:
                continue
            raise Unsupported(f"blob {name} is still there after its deletion")

    _in_threads(work)
    return f"{THREADS * 10} blobs"


def _clock(bucket: S3Bucket) -> str:
    theirs = bucket.server_time()
    if theirs is None:
        return "the service does not tell the time"
    skew = (datetime.now(UTC) - theirs).total_seconds()
    _require(abs(skew) <= SKEW_SECONDS, f"this machine's clock is {skew:+.0f} s off the service's: set it")
    return f"{skew:+.0f} s off the service's"


def _in_threads(work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _remove_all(bucket: S3Bucket) -> None:
    prefix = bucket.place.prefix
    failed = bucket.delete_many(item.key for item in bucket.list(prefix))
    if failed:
        raise StorageError(f"{len(failed)} objects below {bucket.place} could not be removed: {next(iter(failed.values()))}")
    bucket.abort_old_uploads(prefix, timedelta(hours=-1))  # all of them: by whole seconds, now is not yet over
