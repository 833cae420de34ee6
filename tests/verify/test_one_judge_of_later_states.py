"""What a delta or a pull brings is judged by what differs, and comes to the verdict of an import of the whole."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import commit as commits
from mstbucket.core import dagcbor
from mstbucket.core import delta as deltas
from mstbucket.core.car import header, section
from mstbucket.core.cid import CID, dag_cbor_cid, raw_cid
from mstbucket.core.delta_statement import DeltaStatement, encode
from mstbucket.core.keys import version_key
from mstbucket.errors import CorruptionError, FormatError, MstBucketError, Unsupported
from mstbucket.limits import CHUNK_SIZE, SEQ_MAX
from mstbucket.services.remotes.pull import pull
from mstbucket.spill.seen import Seen

REFUSED = (FormatError, CorruptionError, Unsupported)

State = tuple[dict[bytes, bytes], dict[bytes, bytes]]  # keys and manifests: of the objects, and of the versions


class ForgedPeer:
    """The other side of a pull: blocks in memory, and the commit that is the newest."""

    where = "the forge"

    def __init__(self, forge: Any, commit: CID) -> None:
        self.requests = 0
        self.asked = 0
        self._forge = forge
        self._commit = commit

    def newest(self) -> CID:
        return self._commit

    def hold(self) -> CID:
        return self._commit

    def has_commits(self, commits: Collection[CID]) -> set[CID]:
        return set()

    def has_merged(self, _commit: CID) -> bool:
        return False

    def get_many(self, cids: Collection[CID]) -> Mapping[CID, bytes]:
        self.asked += len(cids)
        return {cid: self._forge.get(cid) for cid in cids}

    def tell(self, alive: Callable[[], object]) -> None:
        pass

    def close(self) -> None:
        pass


def follow(forge: Any, base: CID, commit: CID, **fields: Any) -> CID:
    """The commit again, as the one after *base*."""
    block = commits.encode(replace(commits.decode(forge.get(commit)), seq=2, prev=base, **fields))
    forge.put(dag_cbor_cid(block), block)
    return dag_cbor_cid(block)


def delta_of(forge: Any, base: CID, commit: CID) -> bytes:
    statement = DeltaStatement(base, commit)
    first = encode(statement)
    with Seen() as seen:
        rest = b"".join(section(cid, block) for cid, block in deltas.delta(forge, statement, seen))
    return header(dag_cbor_cid(first)) + section(dag_cbor_cid(first), first) + rest


class Judge:
    """A store in which every state comes in three ways: whole, as a delta from the base, and by a pull onto the base."""

    def __init__(self, store: mstbucket.Store) -> None:
        self.store = store
        self._numbers = itertools.count()

    def ask(self, forge: Any, base: CID, later: CID, file: bool = True) -> type[MstBucketError] | None:
        """The verdict on all ways; what was refused has changed nothing, and what was taken is the same on all of them."""
        number = next(self._numbers)
        before, after = forge.car(base), forge.car(later)
        names = [f"{way}-{number}" for way in (("delta", "pull") if file else ("pull",))]
        whole = self._one(lambda: self.store.import_car(io.BytesIO(after), f"whole-{number}"))
        for name in names:
            copy = self.store.import_car(io.BytesIO(before), name)
            verdict = self._one(partial(self._bring, forge, base, later, name))
            assert (verdict is None) == (whole is None), (name, verdict, whole)
            assert self._exported(copy) == (before if verdict else after)
            if verdict is None:
                same = self.store.bucket(f"whole-{number}")
                assert copy.list_object_versions() == same.list_object_versions()
                assert list(copy.objects()) == list(same.objects())
        if whole is None:
            copy.put_object("goes on", b"1")
            copy.flush()
            copy.verify()
        return whole

    def _bring(self, forge: Any, base: CID, later: CID, name: str) -> None:
        if name.startswith("delta"):
            self.store.import_car(io.BytesIO(delta_of(forge, base, later)), name)
        else:
            pull(self.store._context, name, ForgedPeer(forge, later), None, lambda _cid, _commit: None)

    @staticmethod
    def _exported(bucket: mstbucket.Bucket) -> bytes:
        out = io.BytesIO()
        bucket.export_car(out)
        return out.getvalue()

    @staticmethod
    def _one(judge: Callable[[], object]) -> type[MstBucketError] | None:
        try:
            judge()
        except REFUSED as error:
            return type(error)
        return None


@pytest.fixture
def judge(store: mstbucket.Store) -> Judge:
    return Judge(store)


# --- histories of versions --------------------------------------------------------------------------------------------

# A version: its key, its sequence, its id (0 is the null version), and whether it is a delete marker.
PLACES = st.tuples(st.integers(0, 12), st.integers(1, 20))
LIVE = st.dictionaries(st.integers(0, 12), st.integers(0, 9), max_size=12)
OLD = st.dictionaries(PLACES, st.tuples(st.integers(0, 9), st.booleans()), max_size=25)


def mended(live: dict[int, int], old: dict[tuple[int, int], tuple[int, bool]]) -> dict[tuple[int, int], tuple[int, bool]]:
    """The versions without what makes them no history."""
    kept = {}
    ids = set(live.items())
    for (key, seq), (name, marker) in old.items():
        if (key, name) not in ids:
            kept[key, seq] = (name, marker)
            ids.add((key, name))
    for key in {key for key, _ in kept} - live.keys():
        newest = max(seq for other, seq in kept if other == key)
        kept[key, newest] = (kept[key, newest][0], True)
    return kept


def state_of(forge: Any, live: dict[int, int], old: dict[tuple[int, int], tuple[int, bool]]) -> State:
    def name_of(name: int) -> str | None:
        return f"id {name}" if name else None

    objects = {b"%02d" % key: forge.manifest(b"x%d" % name, version_id=name_of(name)) for key, name in live.items()}
    versions = {
        version_key(b"%02d" % key, seq): forge.marker(version_id=name_of(name))
        if marker
        else forge.manifest(b"x%d" % name, version_id=name_of(name))
        for (key, seq), (name, marker) in old.items()
    }
    return objects, versions


@settings(
    deadline=None, max_examples=10, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(LIVE, OLD, st.data())
def test_a_later_history_is_taken_by_a_delta_and_a_pull_if_it_is_one(
    judge: Judge, forge_type: Any, live: dict[int, int], old: dict[tuple[int, int], tuple[int, bool]], data: Any
) -> None:
    """[DELTA-7] [RMT-5] [VER-21] [VSN-9] The base is a history; of the later state, chance decides."""
    forge = forge_type()
    old = mended(live, old)
    base = forge.bucket(*state_of(forge, live, old))
    live, old = dict(live), dict(old)
    for key in data.draw(st.lists(st.integers(0, 12), max_size=4)):
        live[key] = data.draw(st.integers(0, 9))
    for key in data.draw(st.lists(st.sampled_from(sorted(live)), max_size=3)) if live else ():
        live.pop(key, None)
    for place in data.draw(st.lists(st.sampled_from(sorted(old)), max_size=3)) if old else ():
        old.pop(place, None)
    old |= data.draw(st.dictionaries(st.tuples(st.integers(0, 12), st.integers(1, 30)),
                                     st.tuples(st.integers(0, 9), st.booleans()), max_size=4))  # fmt: skip
    if data.draw(st.booleans()):
        old = mended(live, old)
    judge.ask(forge, base, follow(forge, base, forge.bucket(*state_of(forge, live, old))))


BASE: tuple[dict[int, int], dict[tuple[int, int], tuple[int, bool]]] = (
    {1: 1, 2: 2, 3: 0, 4: 4},
    {(1, 5): (5, False), (1, 9): (9, False), (2, 1): (0, False), (5, 3): (3, True), (5, 2): (2, False)},
)  # fmt: skip
HISTORIES: dict[str, tuple[dict[int, int], dict[tuple[int, int], tuple[int, bool]], bool]] = {
    "a version moves to another place": ({}, {(1, 5): (9, False), (1, 9): (5, False)}, True),
    "an object becomes a version, and a new one stands above": ({1: 7}, {(1, 10): (1, False)}, True),
    "a version comes back to the top, as after the newest was deleted": ({1: 9}, {(1, 9): (-1, False)}, True),
    "a version is new, and its id that of one which stays": ({}, {(1, 11): (5, False)}, False),
    "a version is new, and its id that of the object, which stays": ({}, {(1, 11): (1, False)}, False),
    "an object is new, and its id that of a version which stays": ({1: 5}, {}, False),
    "two new versions have one id": ({}, {(4, 11): (8, False), (4, 12): (8, True)}, False),
    "a null version is new, and the object is one": ({}, {(3, 1): (0, False)}, False),
    "an object is a null version, and there is one": ({2: 0}, {}, False),
    "the object goes, and versions are left": ({1: -1}, {}, False),
    "the object goes, and a marker is above": ({1: -1}, {(1, 10): (4, True)}, True),
    "the marker on top goes, and a version is left": ({}, {(5, 3): (-1, False)}, False),
    "the marker on top goes, and an object comes": ({5: 8}, {(5, 3): (-1, False)}, True),
    "all of a key goes": ({1: -1}, {(1, 5): (-1, False), (1, 9): (-1, False)}, True),
    "a version has the last sequence there is": ({}, {(1, SEQ_MAX): (8, False)}, False),
    "a version has the last but one": ({}, {(1, SEQ_MAX - 1): (8, False)}, True),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_histories_that_are_one_and_that_are_none(judge: Judge, forge_type: Any, name: str) -> None:
    """[VER-21] [VSN-2] [VSN-4] [VSN-9] What a key has on either side of the changes counts; -1 takes something away."""
    forge = forge_type()
    base = forge.bucket(*state_of(forge, *BASE))
    live, old, good = HISTORIES[name]
    after = (
        {key: value for key, value in (BASE[0] | live).items() if value >= 0},
        {place: value for place, value in (BASE[1] | old).items() if value[0] >= 0},
    )
    later = follow(forge, base, forge.bucket(*state_of(forge, *after)))
    assert (judge.ask(forge, base, later) is None) == good


# --- everything else that an import demands ---------------------------------------------------------------------------


def large(forge: Any, wrong: bool) -> bytes:
    """The manifest of a body of two chunks; a wrong one has the first of them twice."""
    body = b"a" * CHUNK_SIZE + b"b" * 10
    made: bytes = forge.manifest(body)
    if not wrong:
        return made
    root = forge.get(forge.body(body)).replace(raw_cid(b"b" * 10), raw_cid(b"a" * CHUNK_SIZE))
    cid = bytes([1, 0x70, *dag_cbor_cid(root)[2:]])
    forge.put(cid, root)
    return bytes(forge.manifest(body, content=cid))


def badly_placed(forge: Any, objects: dict[bytes, bytes]) -> bytes:
    """The tree with one key more, in a node at the end where it does not belong."""
    root = forge.tree(objects)
    left, entries = forge.read(forge.get(root))
    key = next(key for key in (b"a%d" % n for n in range(1000)) if forge.height(key) == 0)
    triples = [(one, objects[one], after) for one, after in entries]
    hidden = forge.tree({key: next(iter(objects.values()))}, forge.height(triples[-1][0]) - 1)
    return bytes(forge.keyed(left, [*triples[:-1], (*triples[-1][:2], hidden)]))


LIES: dict[str, Callable[[Any, dict[bytes, bytes]], dict[str, Any] | None]] = {
    "the number of objects": lambda _f, _o: {"objects": 99},
    "the sum of sizes": lambda _f, _o: {"bytes": 99},
    "a delete marker for an object": lambda f, o: o.update({b"k3": f.marker(version_id="m")}),
    "a size above that of the body": lambda f, o: o.update({b"k3": f.manifest(b"four", size=5)}),
    "a size below that of the body": lambda f, o: o.update({b"k3": f.manifest(b"four", size=3)}),
    "another size for a body that stays": lambda f, o: o.update({b"k3": f.manifest(b"3", size=2)}),
    "another digest": lambda f, o: o.update({b"k3": f.manifest(b"four", sha256=bytes(32))}),
    "a chunk in the place of another": lambda f, o: o.update({b"k3": large(f, True)}),
    "a value that is no manifest": lambda f, o: o.update({b"k3": f.value({"not": "one"})}),
    "a key that is no text": lambda f, o: o.update({b"k\xff": f.manifest(b"x")}),
    "a key with NUL": lambda f, o: o.update({b"k\0": f.manifest(b"x")}),
    "a key where no search finds it": lambda f, o: {"tree": badly_placed(f, o), "objects": len(o) + 1},
    "nothing": lambda f, o: o.update({b"k3": large(f, False)}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_later_state_that_lies_is_refused_on_every_way(judge: Judge, forge_type: Any, lie: str) -> None:
    """[DELTA-7] [RMT-5] [IMP-8]"""
    forge = forge_type()
    objects = {b"k%d" % n: forge.manifest(b"%d" % n) for n in range(60)}
    base = forge.bucket(objects)
    objects = dict(objects)
    objects[b"k7"] = forge.manifest(b"true")
    fields = LIES[lie](forge, objects) or {}
    size = sum(dagcbor.decode(forge.get(cid)).get("size", 0) for cid in objects.values())
    plain = forge.commit(forge.tree(objects), len(objects), size)
    later = follow(forge, base, plain, **({"bytes": size + 1} if "tree" in fields else {}) | fields)
    verdict = judge.ask(forge, base, later, file="tree" not in fields)
    assert (verdict is None) == (lie == "nothing")


def test_versions_in_a_tree_of_objects_and_the_other_way_are_refused(judge: Judge, forge_type: Any) -> None:
    """[VER-12] A key of the wrong kind in the versions' tree."""
    forge = forge_type()
    objects, versions = state_of(forge, *BASE)
    base = forge.bucket(objects, versions)
    for key in (b"01", b"01\0" + b"x" * 16, b"01\0%016X" % (2**64 - 20)):
        later = follow(forge, base, forge.bucket(objects, versions | {key: forge.manifest(b"v", version_id="v")}))
        assert judge.ask(forge, base, later) is not None
