"""The largest object that there is, 48.8 TiB, stored: of ten blocks, since equal subtrees of a body are one block.

It comes by an import, as from anybody else. Then the library, the gateway with boto3 before it, fsspec, the command line, an
export and the checks have it. `tests/core/test_largest.py` has the arithmetic.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mstbucket
from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, dagcbor, manifest
from mstbucket.core.car import header, section
from mstbucket.core.cid import dag_cbor_cid, dag_pb_cid, raw_cid
from mstbucket.core.commit import Commit
from mstbucket.core.dagcbor import Link
from mstbucket.core.manifest import Manifest
from mstbucket.core.unixfs_shape import child_sizes, encode_node, span
from mstbucket.errors import InvalidRange, InvalidRequest
from mstbucket.fsspec import MstBucketFileSystem
from mstbucket.limits import CHUNK_SIZE, LINKS_PER_NODE, MIB, OBJECT_SIZE_MAX, PART_SIZE_MAX, PARTS_MAX

SIZE = OBJECT_SIZE_MAX
KEY = "whole sky.raw"
END = b"the last bytes of all"
ETAG = f"{'7' * 32}-{PARTS_MAX}"
BLOCKS = 10  # of the export: commit, tree, manifest, root, two levels of two kinds of nodes, two chunks


def export() -> bytes:
    """The CAR of a bucket with that one object: all zeros but its end."""
    blocks: dict[bytes, bytes] = {}

    def put(cid: bytes, block: bytes) -> bytes:
        blocks[cid] = block
        return cid

    zeros = bytes(CHUNK_SIZE)
    full, last = put(raw_cid(zeros), zeros), raw_cid(zeros[len(END) :] + END)
    levels: list[list[bytes]] = [[full, put(last, zeros[len(END) :] + END)]]
    for height in (1, 2, 3):
        size = SIZE - (-(-SIZE // span(height)) - 1) * span(height)
        node = encode_node([full] * (child_sizes(size, height)[0] - 1) + [last], size, height)
        whole = encode_node([full] * LINKS_PER_NODE, span(height), height)
        full, last = put(dag_pb_cid(whole), whole), put(dag_pb_cid(node), node)
        levels.append([full, last])
    made = Manifest(
        content=last, size=SIZE, etag=ETAG, content_type="image/x-raw", created=1, modified=1,
        parts=(PART_SIZE_MAX,) * PARTS_MAX,
    )  # fmt: skip
    block = manifest.encode(made)
    entry = {"k": KEY.encode(), "p": 0, "t": None, "v": Link(put(dag_cbor_cid(block), block))}
    tree = dagcbor.encode({"e": [entry], "l": None})
    commit = commits.encode(
        Commit(commit_fields.bucket_id(bytes(16)), "sky", 1, put(dag_cbor_cid(tree), tree), 1, 1, SIZE)
    )
    root = put(dag_cbor_cid(commit), commit)
    order = [root, dag_cbor_cid(tree), dag_cbor_cid(block), last]  # then depth first, each block once
    order += [levels[2][0], levels[1][0], levels[0][0], levels[2][1], levels[1][1], levels[0][1]]
    return header(root) + b"".join(section(cid, blocks[cid]) for cid in order)


@pytest.fixture(scope="module")
def sky(gateway: Any) -> Iterator[mstbucket.Bucket]:
    """The bucket that holds it, in the store that the gateway serves."""
    place = gateway.store
    with mstbucket.open(
        database=place["MSTBUCKET_DATABASE"], blobs=place["MSTBUCKET_BLOBS"], background=False
    ) as store:
        yield store.import_car(io.BytesIO(export()), name="sky")


def body(bucket: mstbucket.Bucket, **wanted: Any) -> bytes:
    with bucket.get_object(KEY, **wanted) as reader:
        return reader.read()


def test_its_export_is_judged_whole_and_small() -> None:
    """[BODY-13] Every block is hashed and judged at its place, once. No sum over all its bytes is taken ([VER-16])."""
    data = export()
    assert len(data) < 3 * MIB
    report = mstbucket.verify_car(io.BytesIO(data))
    assert (report.blocks, report.objects, report.bytes) == (BLOCKS, 1, SIZE)


def test_the_library_reads_it_at_its_end(sky: mstbucket.Bucket) -> None:
    head = sky.head_object(KEY)
    assert (head.size, head.etag, len(head.parts), sum(head.parts)) == (SIZE, ETAG, PARTS_MAX, SIZE)
    assert body(sky, range=f"bytes={SIZE - len(END)}-") == body(sky, range=f"bytes=-{len(END)}") == END
    assert body(sky, range=f"bytes={SIZE - CHUNK_SIZE - 1}-{SIZE - CHUNK_SIZE}") == bytes(2)
    with pytest.raises(InvalidRange):
        body(sky, range=f"bytes={SIZE}-")
    last = sky.head_object(KEY, part_number=PARTS_MAX)
    assert last.part_range == (SIZE - PART_SIZE_MAX, SIZE)
    with sky.get_object(KEY) as reader:
        assert reader.seek(-3, os.SEEK_END) == SIZE - 3
        assert (reader.read(), reader.tell()) == (END[-3:], SIZE)
    with pytest.raises(InvalidRequest, match=str(SIZE)):
        sky.copy_object(KEY, "copy")


def test_its_end_becomes_a_part_of_another(sky: mstbucket.Bucket) -> None:
    """[MPU-13] and the chunk is the one that is there."""
    upload = sky.create_multipart_upload("ends")
    part = sky.upload_part_copy("ends", upload.id, 1, KEY, range=f"bytes={SIZE - 2 * MIB}-{SIZE - 1}")
    assert part.size == 2 * MIB
    sky.complete_multipart_upload("ends", upload.id, [part])
    with sky.get_object("ends", range=f"bytes=-{len(END)}") as reader:
        assert reader.read() == END
    sky.delete_object("ends")


def test_boto3_sees_it_through_the_gateway(sky: mstbucket.Bucket, s3: Any) -> None:
    where = {"Bucket": "sky", "Key": KEY}
    assert s3.head_object(**where)["ContentLength"] == SIZE
    [listed] = s3.list_objects_v2(Bucket="sky")["Contents"]
    assert (listed["Key"], listed["Size"]) == (KEY, SIZE)
    [version] = s3.list_object_versions(Bucket="sky")["Versions"]
    assert version["Size"] == SIZE
    told = s3.get_object_attributes(**where, ObjectAttributes=["ObjectSize", "ObjectParts"], PartNumberMarker=PARTS_MAX - 1)
    assert (told["ObjectSize"], told["ObjectParts"]["TotalPartsCount"]) == (SIZE, PARTS_MAX)
    for wanted in (f"bytes={SIZE - len(END)}-", f"bytes=-{len(END)}", f"bytes={SIZE - len(END)}-{SIZE + 5}"):
        answer = s3.get_object(**where, Range=wanted)
        assert answer["ContentRange"] == f"bytes {SIZE - len(END)}-{SIZE - 1}/{SIZE}"
        assert (answer["ContentLength"], answer["Body"].read()) == (len(END), END)
    part = s3.head_object(**where, PartNumber=PARTS_MAX)
    assert (part["ContentLength"], part["PartsCount"]) == (PART_SIZE_MAX, PARTS_MAX)
    assert part["ContentRange"] == f"bytes {SIZE - PART_SIZE_MAX}-{SIZE - 1}/{SIZE}"
    with pytest.raises(s3.exceptions.ClientError, match="InvalidRange"):
        s3.get_object(**where, Range=f"bytes={SIZE}-")


def test_boto3_copies_a_range_at_its_end(sky: mstbucket.Bucket, s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="sky", Key="ends")["UploadId"]
    part = {"Bucket": "sky", "Key": "ends", "UploadId": upload}
    source = {"Bucket": "sky", "Key": KEY}
    copied = s3.upload_part_copy(
        **part, PartNumber=1, CopySource=source, CopySourceRange=f"bytes={SIZE - MIB}-{SIZE - 1}"
    )["CopyPartResult"]
    assert s3.list_parts(**part)["Parts"][0]["Size"] == MIB
    done = {"Parts": [{"PartNumber": 1, "ETag": copied["ETag"]}]}
    s3.complete_multipart_upload(**part, MultipartUpload=done)
    assert s3.get_object(Bucket="sky", Key="ends", Range="bytes=-5")["Body"].read() == END[-5:]
    s3.delete_object(Bucket="sky", Key="ends")


def test_fsspec_sees_it(sky: mstbucket.Bucket, gateway: Any) -> None:
    place = gateway.store
    with mstbucket.open(
        database=place["MSTBUCKET_DATABASE"], blobs=place["MSTBUCKET_BLOBS"], background=False
    ) as store:
        fs = MstBucketFileSystem(store, skip_instance_cache=True)
        path = f"sky/{KEY}"
        assert fs.info(path)["size"] == fs.size(path) == fs.du("sky") == SIZE
        assert [found["size"] for found in fs.ls("sky", detail=True)] == [SIZE]
        assert fs.find("sky", detail=True)[path]["size"] == SIZE
        ends = fs.cat_ranges([path, path], [SIZE - len(END), SIZE - 3 * MIB], [SIZE, SIZE - 3 * MIB + 4])
        assert ends == [END, bytes(4)]
        assert fs.cat_file(path, start=-len(END)) == fs.tail(path, len(END)) == END
        with fs.open(path, "rb") as file:
            assert file.seek(-len(END), os.SEEK_END) == SIZE - len(END)
            assert file.read() == END


@pytest.fixture
def run(gateway: Any) -> Callable[..., Any]:
    def command(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "mstbucket", *words], env=os.environ | gateway.store, capture_output=True, check=True
        )
        return done.stdout

    return command


def test_the_command_line_sees_it(sky: mstbucket.Bucket, run: Callable[..., Any]) -> None:
    assert b"48.8 TiB" in run("status", "--usage")
    listed = json.loads(run("--json", "ls", "mst://sky").splitlines()[0])
    assert listed["size"] == SIZE
    assert KEY.encode() in run("ls", "mst://sky")


def test_checks_flushes_and_exports_cost_its_blocks_and_not_its_bytes(sky: mstbucket.Bucket, gateway: Any) -> None:
    """A new key beside it: the commit's total, the export, the collection and the checks have ten blocks to look at."""
    sky.put_object("beside", b"a")
    assert sky.flush() is not None
    out = io.BytesIO()
    sky.export_car(out)
    assert mstbucket.verify_car(io.BytesIO(out.getvalue())).bytes == SIZE + 1
    assert sky.verify().bytes == SIZE + 1
    place = gateway.store
    with mstbucket.open(
        database=place["MSTBUCKET_DATABASE"], blobs=place["MSTBUCKET_BLOBS"], background=False
    ) as store:
        assert store.check(level="data").findings == ()
        assert store.collect().dead.bytes < MIB
    files = io.BytesIO()
    assert sky.export_files(files).files == 2
    sky.delete_object("beside")
