"""Manifests and bodies against the hashing they cannot do without. CPU time; floors measured in the same run.

The floor of encoding a manifest is the sha256 of its bytes and the making of a dict of its fields; the floor of
decoding is the same. The floor of a body is the sha256 of its chunks.
"""

from __future__ import annotations

from hashlib import sha256

from rows import Row, cpu_seconds

from mstbucket.core.body_builder import BodyBuilder
from mstbucket.core.cid import dag_cbor_cid, raw_cid
from mstbucket.core.manifest import Manifest, decode, encode

MIB = 2**20
COUNT = 20_000
BODY_MIB = 256
ROUNDS = 3


def small(i: int) -> Manifest:
    body = b"%d" % i
    now = 1_766_000_000_000 + i
    return Manifest(raw_cid(body), len(body), f"{i:032x}", "image/jpeg", now, now, sha256=sha256(body).digest())


def manifests() -> list[Row]:
    objects = [small(i) for i in range(COUNT)]
    blocks = [encode(one) for one in objects]

    def floor() -> list[object]:
        made: list[object] = []
        for one, block in zip(objects, blocks, strict=True):
            made.append(sha256(block).digest())
            made[-1] = {
                "content": one.content,
                "size": one.size,
                "etag": one.etag,
                "content_type": one.content_type,
                "created": one.created,
                "modified": one.modified,
                "sha256": one.sha256,
            }
        return made

    least = cpu_seconds(floor, ROUNDS)
    encoding = cpu_seconds(lambda: [dag_cbor_cid(encode(one)) for one in objects], ROUNDS)
    decoding = cpu_seconds(lambda: [(sha256(block).digest(), decode(block)) for block in blocks], ROUNDS)
    name = "sha256 and a dict of the fields"
    return [
        Row(
            name="encode small manifests, with their CIDs",
            value=COUNT / encoding,
            unit="manifests/s",
            floor_name=name,
            ratio=least / encoding,
            target=">= 150,000/s",
            met=COUNT / encoding >= 150_000,
        ),
        Row(
            name="decode small manifests strictly, with their hashes",
            value=COUNT / decoding,
            unit="manifests/s",
            floor_name=name,
            ratio=least / decoding,
            target=">= 75,000/s",
            met=COUNT / decoding >= 75_000,
        ),
    ]


def bodies() -> list[Row]:
    chunk = bytes(range(256)) * 4096
    rows = []

    def floor() -> None:
        for _ in range(BODY_MIB):
            sha256(chunk).digest()

    def build(piece: bytes) -> None:
        builder = BodyBuilder()
        for _ in range(BODY_MIB * MIB // len(piece)):
            for _block in builder.feed(piece):
                pass
        builder.finish()

    least = cpu_seconds(floor, ROUNDS)
    for name, piece in (("whole chunks", chunk), ("pieces of 64 KiB", chunk[: 64 * 1024])):
        spent = cpu_seconds(lambda piece=piece: build(piece), ROUNDS)  # type: ignore[misc]
        rows.append(
            Row(
                name=f"build a body of {BODY_MIB} MiB from {name}",
                value=BODY_MIB / spent,
                unit="MiB/s",
                floor_name="sha256 of the chunks",
                ratio=least / spent,
                target=">= 0.9 of the floor",
                met=least / spent >= 0.9,
            )
        )
    return rows


def run() -> list[Row]:
    return manifests() + bodies()
