"""Golden exports: files for whoever writes a reader or a writer of the format, with the figures they have to find."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import to_text
from mstbucket.core.mst.node import key_height
from mstbucket.verify.car import verify_car
from mstbucket.verify.event import Kind
from mstbucket.verify.replay import Replay

FILES = Path(__file__).parents[2] / "fixtures" / "exports"
INDEX: dict[str, dict[str, Any]] = json.loads((FILES / "index.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made(generators: Any) -> Any:
    return generators("generate_exports")


@pytest.mark.parametrize("name", sorted(INDEX))
def test_a_golden_export_is_made_again_byte_for_byte(name: str, made: Any) -> None:
    """[EXP-1] [CAR-11] The index, too."""
    data, described = made.made(name)
    assert (FILES / f"{name}.car").read_bytes() == data
    assert INDEX[name] == described


@pytest.mark.parametrize("name", sorted(INDEX))
def test_a_golden_export_passes_and_is_what_the_index_says(name: str) -> None:
    data = (FILES / f"{name}.car").read_bytes()
    report = verify_car(io.BytesIO(data))
    said = INDEX[name]
    assert (to_text(report.root), to_text(report.commit.tree)) == (said["root"], said["tree"])
    assert (report.objects, report.bytes) == (said["objects"], said["bytes"])
    assert (len(data), sha256(data).hexdigest()) == (said["file_bytes"], said["file_sha256"])


def test_the_names_of_the_golden_exports_are_true() -> None:
    assert {path.stem for path in FILES.glob("*.car")} == set(INDEX)
    reports = {name: verify_car(io.BytesIO((FILES / f"{name}.car").read_bytes())) for name in INDEX}
    assert reports["empty"].objects == 0
    assert reports["one-object"].objects == 1
    assert [key_height(key) for key in keys("two-levels")] == [0, 1, 0]
    assert reports["two-levels"].nodes == 3
    assert sorted(key_height(key) for key in keys("empty-intermediate-node")) == [0, 0, 2]
    assert reports["empty-intermediate-node"].nodes == 5
    assert reports["versions-and-a-marker"].versions == 4
    assert reports["versions-and-a-marker"].commit.signature == "present, not checked"
    shared = reports["shared-blocks"]
    assert shared.blocks - shared.nodes - 1 < 2 * shared.objects
    assert reports["body-of-height-2"].bytes > 2**30


def keys(name: str) -> list[bytes]:
    """The keys of objects, in the order in which the file gives them."""
    with Replay(CarReader(io.BytesIO((FILES / f"{name}.car").read_bytes()))) as events:
        return [event.key for event in events if event.kind is Kind.OBJECT and event.key is not None]
