"""A bucket with everything in it leaves for another store: what S3 shows before is what it shows after each step."""

from __future__ import annotations

import hashlib
import io
import random
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from s3model import Pages, shown
from seen import exported

import mstbucket
from mstbucket.core.s3rules import parts as part_rules
from mstbucket.limits import CHUNK_SIZE, INLINE_MAX, MIB

SAID: dict[str, Any] = {
    "content_type": "text/plain; charset=utf-8",
    "metadata": {"Author": "Ωμέγα 写真 \U0001f600", "empty": "", "spaces": "  x "},
    "headers": {
        "Cache-Control": "no-store", "content-disposition": 'attachment; filename="é"', "content-encoding": "identity",
        "content-language": "de, en", "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    },
    "tags": {"größe": "12", "empty": "", "k" * 128: "v" * 256},
}  # fmt: skip
SIZES = [0, 1, INLINE_MAX, INLINE_MAX + 1, 2 * CHUNK_SIZE + 7]
ALGORITHMS = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"]


def uploaded(bucket: mstbucket.Bucket, key: str, bodies: list[bytes], **said: Any) -> None:
    """Put in parts, with gaps in their numbers; `said` is of the initiation."""
    upload = bucket.create_multipart_upload(key, **said).id
    sent = [bucket.upload_part(key, upload, 3 * n + 2, body) for n, body in enumerate(bodies)]
    bucket.complete_multipart_upload(key, upload, [(part.number, part.etag) for part in sent])


def past(bucket: mstbucket.Bucket, key: str, steps: str, between: Callable[[], object] = lambda: None) -> None:
    """A history of one key: 0 is the null version, v a version, m a marker, n the null marker, x the newest removed."""
    for at, step in enumerate(steps):
        bucket.put_bucket_versioning("Suspended" if step in "0n" else "Enabled")
        if step in "0v":
            bucket.put_object(key, f"{key} {at}".encode(), metadata={"at": str(at)}, tags={"step": step})
        elif step in "mn":
            bucket.delete_object(key)
        else:
            newest = next(version for version in bucket.list_object_versions(key).versions if version.key == key)
            bucket.delete_object(key, version_id=newest.version_id)
        between()


#: The null version in all positions among others, as object and as marker; markers on top, below, alone, twice; and
#: what is left where the newest was removed.
PASTS = ["0", "v", "m", "n", "0v", "v0", "0vv", "v0v", "vv0", "nv", "vn", "vnv", "0m", "v0m", "mm", "vmv", "vmm", "mv0",
         "vx", "vmx", "vvx", "v0x", "vnx", "vvmxx", "0vx", "vv0vxm"]  # fmt: skip


def fill(bucket: mstbucket.Bucket, between: Callable[[], object]) -> None:
    """Everything that S3 knows of; `between` is called now and then."""
    rng = random.Random(7)
    bucket.put_object("from before versioning", b"null", **SAID)
    bucket.put_object("from before versioning/deleted", b"gone")
    bucket.delete_object("from before versioning/deleted")
    for steps in PASTS:
        past(bucket, f"past/{steps}", steps, between)
    bucket.put_bucket_versioning("Enabled")
    bucket.put_object("from before versioning", b"newer")
    for size in SIZES:
        body = rng.randbytes(size)
        bucket.put_object(f"size/{size}", body, **SAID, content_md5=None)
        for algorithm in ALGORITHMS:
            bucket.put_object(f"sum/{algorithm}/{size}", body, checksum_algorithm=algorithm)
    bucket.put_object("sums", b"several", checksums={"sha256": sha256(b"several")}, checksum_algorithm="crc32c")
    uploaded(bucket, "parts/aligned", [rng.randbytes(2 * MIB), rng.randbytes(MIB), b"end"], **SAID)
    uploaded(bucket, "parts/not aligned", [rng.randbytes(MIB + 5), b"", rng.randbytes(MIB - 1), rng.randbytes(77)])
    uploaded(bucket, "parts/one", [rng.randbytes(100)])
    for algorithm in ALGORITHMS:
        uploaded(bucket, f"parts/{algorithm}", [rng.randbytes(100), b"end"], checksum_algorithm=algorithm)
    uploaded(bucket, "parts/full", [rng.randbytes(MIB), b"end"], checksum_algorithm="crc32c", checksum_type="FULL_OBJECT")
    uploaded(bucket, "parts/aligned", [b"a second version"], metadata={"second": "1"})
    between()
    first = bucket.list_object_versions("parts/aligned").versions[-1].version_id
    bucket.copy_object("parts/aligned", "copy/of a version", source_version_id=first)
    bucket.copy_object("parts/aligned", "parts/aligned", source_version_id=first)
    bucket.copy_object("sums", "copy/replaced", metadata_directive="REPLACE", tagging_directive="REPLACE", tags={"new": "1"})
    between()
    bucket.put_object_tagging("copy/of a version", {"changed": "später"})
    bucket.put_object_tagging("parts/aligned", {"of": "a noncurrent one"}, version_id=first)
    for key in ("/", "//", "a/../b", "line\nbreak", "\ue000", "\U0001f600", "\U0010ffff\U0010ffff", "k" * 1024, "é" * 512):
        bucket.put_object(f"{key}"[:1024], key.encode())
    bucket.put_bucket_tagging({"team": "Ω", "empty": ""})


def sha256(body: bytes) -> str:
    return b64encode(hashlib.sha256(body).digest()).decode()


def everything(bucket: mstbucket.Bucket) -> dict[str, Any]:
    """All that S3 shows, in listings of several kinds too; and what IPFS shows: the CIDs of bodies and of manifests."""
    asked = [("", None, 1000), ("", "/", 3), ("past/", None, 7), ("past/v", "m", 1), ("", "é", 40)]
    pages = {(prefix, delimiter, size): Pages(bucket, prefix, delimiter, size) for prefix, delimiter, size in asked}
    listings = {name: [list(page.v2()), list(page.v1()), list(page.versions())] for name, page in pages.items()}
    cids = {}
    for version in bucket.list_object_versions().versions:
        if not version.delete_marker:
            info = bucket.head_object(version.key, version_id=version.version_id)
            cids[version.key, version.version_id] = (info.content, info.manifest, info.sha256)
    return shown(bucket) | {"listings": listings, "cids": cids}


@pytest.mark.parametrize(
    ("status", "often"), [("Enabled", False), ("Suspended", True)], ids=["folded at the end", "folded between the steps"]
)
def test_nothing_is_lost_on_the_way_out_and_in(
    bucket: mstbucket.Bucket,
    second_store: mstbucket.Store,
    open_store: Callable[[], mstbucket.Store],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    often: bool,
) -> None:
    """[FLUSH-1], [EXP-1], [IMP-2], [SUM-3], [MPU-20], [TAG-8]: objects, versions, markers, and the state of the bucket."""
    monkeypatch.setattr(part_rules, "PART_SIZE_MIN", 0)
    fill(bucket, bucket.flush if often else lambda: None)
    bucket.put_bucket_versioning(status)
    bucket.create_multipart_upload("open, which stays behind")
    before = everything(bucket)
    assert {"MethodNotAllowed", "NoSuchKey"} <= {answer for answer in before["heads"].values() if isinstance(answer, str)}
    commit = bucket.flush()
    assert bucket.verify().dirty == 0
    assert everything(bucket) == before
    data = exported(bucket)
    assert everything(bucket) == before
    assert everything(open_store().bucket("things")) == before

    assert mstbucket.verify_car(io.BytesIO(data)).objects == commit.objects
    back = second_store.import_car(io.BytesIO(data))
    assert everything(back) == before
    assert back.head_commit() == commit
    assert back.flush() == commit
    assert exported(back) == data
    assert back.verify().dirty == 0

    # It goes on: the same writes to the two are seen alike, and fold into the same trees.
    for one in (bucket, back):
        for version in one.list_object_versions("past/").versions:
            if version.is_latest:
                one.delete_object(version.key, version_id=version.version_id)
    after = everything(bucket)
    assert everything(back) == after
    ours, theirs = bucket.flush(), back.flush()
    assert (ours.tree, ours.versions, ours.objects) == (theirs.tree, theirs.versions, theirs.objects)
    assert everything(bucket) == everything(back) == after
    assert back.verify().dirty == bucket.verify().dirty == 0


def test_a_bucket_of_markers_only_travels(bucket: mstbucket.Bucket, second_store: mstbucket.Store) -> None:
    """No object is left, and the past is still there."""
    bucket.put_bucket_versioning("Enabled")
    for key in ("a", "b"):
        bucket.put_object(key, b"")
        bucket.delete_object(key)
    bucket.delete_object("never")
    before = everything(bucket)
    commit = bucket.flush()
    assert (commit.objects, commit.bytes) == (0, 0)
    back = second_store.import_car(io.BytesIO(exported(bucket)))
    assert everything(back) == everything(bucket) == before
    with pytest.raises(mstbucket.errors.BucketNotEmpty):
        second_store.delete_bucket(back.name)


def test_removing_every_version_leaves_the_commit_of_an_empty_bucket(
    bucket: mstbucket.Bucket, store: mstbucket.Store
) -> None:
    """The tree of versions goes when the last of them does, and equal contents give equal trees."""
    empty = bucket.flush()
    bucket.put_bucket_versioning("Enabled")
    for steps in PASTS:
        past(bucket, steps, steps)
    assert bucket.flush().versions is not None
    versions = bucket.list_object_versions().versions
    bucket.delete_objects((version.key, version.version_id) for version in versions)
    commit = bucket.flush()
    assert (commit.tree, commit.versions, commit.objects) == (empty.tree, None, 0)
    bucket.verify()
    store.delete_bucket("things")
