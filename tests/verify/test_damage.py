"""What of a damaged export is hurt: every block damaged in turn, against a search through the links of each object."""

from __future__ import annotations

import io
from typing import Any

import pytest

from mstbucket.core import commit as commits
from mstbucket.core.keys import version_key
from mstbucket.errors import InvalidCar
from mstbucket.limits import MIB
from mstbucket.verify.damage import Survey


@pytest.fixture
def example(forge: Any) -> tuple[Any, bytes, dict[bytes, bytes]]:
    """A bucket of forty keys: shared bodies, one of three chunks, an older version. With the manifest of every key."""
    objects = {b"%03d" % n: forge.manifest(b"body %d" % (n // 2)) for n in range(38)}
    objects |= {b"large": forge.manifest(bytes(2 * MIB) + b"end"), b"zero": forge.manifest(b"")}
    versions = {version_key(b"000", 3): forge.manifest(b"older", version_id="v" * 32)}
    return forge, forge.bucket(objects, versions), objects | versions


def survey(data: bytes) -> tuple[Survey, set[bytes]]:
    with Survey(io.BytesIO(data)) as found:
        found.find()
        return found, {one.key for one in found.hurt()}


def needed(forge: Any, cid: bytes) -> set[bytes]:
    return set(forge.order(cid))


def test_a_sound_export_has_nothing_hurt(example: Any) -> None:
    forge, root, _ = example
    found, hurt = survey(forge.car(root))
    assert (found.damaged, found.first, found.ends, found.objects, hurt) == (0, None, None, 40, set())


def test_each_block_damaged_in_turn_hurts_what_needs_it_and_nothing_else(example: Any) -> None:
    """[CLI-150] the slow way: an object is hurt where the closure of its manifest holds the block."""
    forge, root, keys = example
    data, commit = forge.car(root), commits.decode(forge.get(root))
    closures = {key: needed(forge, cid) for key, cid in keys.items()}
    nodes = {commit.tree, commit.versions}
    for cid in forge.order(root):
        at = data.index(cid + forge.get(cid)) + len(cid)
        block = forge.get(cid)
        if not block:
            continue  # an empty body has no byte to damage
        hurt_data = data[: at + len(block) - 1] + bytes([block[-1] ^ 1]) + data[at + len(block) :]
        found, hurt = survey(hurt_data)
        assert found.damaged == 1
        assert found.first is not None
        assert 0 < at - 36 - found.first <= 9
        assert found.ends is None
        expected = {key for key, closure in closures.items() if cid in closure}
        if cid == root:
            assert (found.commit, hurt) == (None, set())
        elif expected:
            assert hurt == expected
            assert found.objects == 40
        else:  # a node: its keys cannot be listed, and no other key is hurt
            assert hurt == set()
            assert found.objects < 40 or cid in nodes


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_hurts_what_lies_behind(example: Any, share: float) -> None:
    forge, root, _ = example
    data = forge.car(root)
    found, hurt = survey(data[: int(len(data) * share)])
    assert found.ends is not None
    assert found.ends <= int(len(data) * share)
    assert hurt or found.objects < 40


def test_what_is_no_car_is_refused() -> None:
    with pytest.raises(InvalidCar):
        survey(b"no car at all")
