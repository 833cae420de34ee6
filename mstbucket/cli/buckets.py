"""`mb`, `rb` and `status`: buckets as such, and the store they are in."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from mstbucket.blobs.media.places import shown
from mstbucket.cli.address import SCHEME, parse_bucket
from mstbucket.cli.collecting import space_lines
from mstbucket.cli.config import redact
from mstbucket.cli.output import Output, count, human_size, local_time
from mstbucket.cli.stores import is_store, open_or_make_store, open_store, place_of
from mstbucket.core.batches import in_batches
from mstbucket.errors import BucketNotEmpty
from mstbucket.limits import DELETE_KEYS_MAX

if TYPE_CHECKING:
    from mstbucket import Bucket, BucketInfo, ScrubCoverage, SpaceInfo, Usage


def make(arguments: argparse.Namespace, out: Output) -> None:
    """Make a bucket."""
    name = parse_bucket(arguments.bucket)
    with open_or_make_store(arguments) as store:
        store.create_bucket(name, object_lock=arguments.object_lock)
    out.emit({"action": "mb", "bucket": name}, f"make_bucket: {name}")


def remove(arguments: argparse.Namespace, out: Output) -> None:
    """Remove a bucket. With --force, remove all versions of its objects first."""
    name = parse_bucket(arguments.bucket)
    with open_store(arguments) as store:
        bucket = store.bucket(name)
        if arguments.force:
            if bucket.snapshots():  # refused before anything is removed: they may be there to undo just this
                raise BucketNotEmpty(f"bucket {name!r} has snapshots, which --force does not remove: 'snapshot rm' does")
            _empty(bucket)
        try:
            store.delete_bucket(name)
        except BucketNotEmpty as error:
            raise BucketNotEmpty(str(error) if bucket.snapshots() else f"{error} (--force does)") from error
    out.emit({"action": "rb", "bucket": name}, f"remove_bucket: {name}")


def status(arguments: argparse.Namespace, out: Output) -> None:
    """Say which store is used, who named it, and what is in it."""
    place = place_of(arguments)
    record: dict[str, object] = {"store": place.shown, "kind": place.kind, "named_by": place.source}
    lines = [f"store     {place.shown} ({place.kind}; named by {place.source})"]
    if place.path is not None and not is_store(place.path):
        out.emit(record | {"exists": False, "buckets": []}, "\n".join([*lines, "          there is none yet"]))
        return
    with open_store(arguments) as store:
        infos = store.list_buckets()
        record["identity"] = store.identity
        scrub, space = store.scrub_coverage(), store.space()
        record["unflushed"] = asdict(ahead := store.unflushed())
        usage = store.usage() if arguments.usage else None
    where = place.blobs if place.path is None or place.blobs is not None else place.path / "blobs"
    record["blobs"] = None if where is None else redact(shown(where))
    lines += [f"blobs     {record['blobs']}", f"identity  {record['identity']}", *space_lines(space)]
    record["space"] = asdict(space)
    oldest = "" if ahead.oldest is None else f", the oldest {ahead.oldest:,} s old"
    wal = "" if ahead.wal is None else f"; write-ahead log {human_size(ahead.wal)}"
    changes = f"{count(ahead.changes, 'change')}{oldest}; bodies of {human_size(ahead.bodies)}"
    lines.append(f"unflushed {changes} in the database{wal}")
    record["scrub"] = asdict(scrub)
    lines.append(f"scrub     {_share(scrub)}")
    lines.append(f"buckets   {len(infos)}")
    lines += [_line(info) for info in infos]
    if usage is not None:
        record["usage"] = asdict(usage)
        lines += _usage_lines(usage, space)
    out.emit(record | {"exists": True, "buckets": [bucket_record(info) for info in infos]}, "\n".join(lines))


def _usage_lines(usage: Usage, space: SpaceInfo) -> Iterator[str]:
    """[CLI-155]"""
    live, dead = ("not known before the first 'collect'" if size is None else f"{human_size(size):>12}"
                  for size in (space.live, space.dead))  # fmt: skip
    late = "" if space.dead is None else ", or new since the last collection"
    yield "usage"
    yield f"  blobs     {human_size(space.stored + space.waiting):>12}"
    yield f"    live    {live}"
    yield f"    dead    {dead}{late}"
    yield f"    waiting {human_size(space.waiting):>12} for the end of the undo window"
    yield f"  database  {human_size(usage.database):>12}"
    yield f"  log (WAL) {'not known' if usage.wal is None else human_size(usage.wal):>12}"
    for one in usage.buckets:
        more = f", older versions {one.older:,} ({human_size(one.older_bytes)})" if one.older else ""
        more += f", open uploads {one.uploads:,} ({human_size(one.upload_bytes)})" if one.uploads else ""
        yield f"  {SCHEME}{one.bucket}  {count(one.objects, 'object')} ({human_size(one.bytes)}){more}"


def _share(scrub: ScrubCoverage) -> str:
    if scrub.oldest is None:
        return "there are no packs yet"
    share = 100 * scrub.covered // max(scrub.bytes, 1)
    damaged = f"; {count(scrub.damaged, 'pack')} damaged" if scrub.damaged else ""
    return (f"{share} % of {human_size(scrub.bytes)} read or written within 30 days, the oldest "
            f"{local_time(scrub.oldest)}{damaged}")  # fmt: skip


def bucket_record(info: BucketInfo) -> dict[str, object]:
    """A bucket for programs."""
    return {
        "bucket": info.name, "identity": info.identity, "created": info.created, "commit": info.commit,
        "seq": info.seq, "dirty": info.dirty,
    }  # fmt: skip


def _line(info: BucketInfo) -> str:
    state = f"commit {info.seq} {info.commit}" if info.commit is not None else "never flushed"
    ahead = f", {count(info.dirty, 'key')} changed since" if info.dirty else ""
    return f"  {SCHEME}{info.name}  made {local_time(info.created)}, {state}{ahead}"


def _empty(bucket: Bucket) -> None:
    if bucket.get_bucket_versioning() is None:
        for page in in_batches(bucket.objects(), DELETE_KEYS_MAX):
            bucket.delete_objects(summary.key for summary in page)
    while versions := bucket.list_object_versions().versions:
        for failure in bucket.delete_objects((version.key, version.version_id) for version in versions).errors:
            raise failure.error  # a locked version, which no force removes
