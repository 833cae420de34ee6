"""Multipart uploads: completing 10,000 parts, aligned and not, and the way of the bytes in.

Wall time, since the database works in another process. The floor of a completion is the bare insertion of 10,000 rows.
"""

from __future__ import annotations

import random
import tempfile

from rows import Row, wall_seconds

import mstbucket
from mstbucket.limits import MIB, PART_SIZE_MIN, PARTS_MAX

PART = 5 * MIB


def run() -> list[Row]:
    """All figures of multipart uploads."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(folder, background=False) as store:
        bucket = store.create_bucket("parts")
        return [_completion(bucket), _cut_anew(bucket), _bytes_in(bucket)]


def _completion(bucket: mstbucket.Bucket) -> Row:
    """One part of 5 MiB is sent; the rows of 9,999 more with the same chunks are made in the database."""
    upload = bucket.create_multipart_upload("k").id
    part = bucket.upload_part("k", upload, 1, random.Random(1).randbytes(PART))
    db = bucket._context.db
    with db.connection() as connection:
        connection.execute(
            "INSERT INTO parts SELECT upload, n, size, md5, sha256, modified, nextval('generation'), chunks"
            f" FROM parts, generate_series(2, {PARTS_MAX}) AS n WHERE upload = %s",
            (upload,),
        )
        connection.execute("CREATE TABLE bench_parts (LIKE parts INCLUDING ALL)")
        insert = "INSERT INTO bench_parts SELECT * FROM parts WHERE upload = %s"
        floor = wall_seconds(lambda: connection.execute(insert, (upload,)))
        connection.execute("DROP TABLE bench_parts")
    named = [(number, part.etag) for number in range(1, PARTS_MAX + 1)]
    took = wall_seconds(lambda: bucket.complete_multipart_upload("k", upload, named))
    assert bucket.head_object("k").size == PARTS_MAX * PART
    return Row("complete 10,000 parts of 5 MiB", took, "s", "INSERT of 10,000 such rows", took / floor, "< 2 s", took < 2)


def _cut_anew(bucket: mstbucket.Bucket) -> Row:
    """Parts that are no multiple of 1 MiB: all but the first chunks are read, hashed and written again."""
    least = PART_SIZE_MIN
    upload = bucket.create_multipart_upload("cut").id
    bodies = [random.Random(n).randbytes(least + 1) for n in range(24)]
    parts = [bucket.upload_part("cut", upload, n, body) for n, body in enumerate(bodies, 1)]
    named = [(part.number, part.etag) for part in parts]
    took = wall_seconds(lambda: bucket.complete_multipart_upload("cut", upload, named))
    read = wall_seconds(lambda: bucket.get_object("cut").read())
    rate = sum(map(len, bodies)) / MIB / took
    return Row("complete misaligned parts", rate, "MiB/s", "reading the object", read / took, ">= 0.3", read / took >= 0.3)


def _bytes_in(bucket: mstbucket.Bucket) -> Row:
    body = random.Random(3).randbytes(64 * MIB)
    upload = bucket.create_multipart_upload("in").id
    put = min(wall_seconds(lambda: bucket.put_object("whole", body)) for _ in range(3))
    part = min(wall_seconds(lambda n=n: bucket.upload_part("in", upload, n, body)) for n in range(1, 4))  # type: ignore[misc]
    return Row("parts of 64 MiB", 64 / part, "MiB/s", "put_object of the same", put / part, ">= 0.8", put / part >= 0.8)
