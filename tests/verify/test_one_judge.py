"""One judge, one verdict: what an import refuses for its content, a verifier refuses, and the other way round [IMP-8]."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mstbucket
from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, dagcbor
from mstbucket.core.cid import to_text
from mstbucket.core.dagcbor import Link
from mstbucket.core.keys import version_key
from mstbucket.errors import CorruptionError, FormatError, MstBucketError, Unsupported
from mstbucket.limits import BUCKET_TAGS_SIZE_MAX, COMMIT_SEQ_MAX, SEQ_MAX

NEGATIVE = Path(__file__).parents[2] / "fixtures" / "negative-exports"
GOLDEN = NEGATIVE.with_name("exports")
BUCKET = commit_fields.bucket_id(bytes(range(16)))
PREV = to_text(commits.EMPTY_TREE)

Verdict = tuple[type[MstBucketError], str] | None


class Judges:
    """Both of them: a store that takes one export after the other, and the verifier."""

    def __init__(self, store: mstbucket.Store) -> None:
        self.store = store
        self._names = (f"bucket-{n}" for n in itertools.count())

    def ask(self, data: bytes) -> Verdict:
        """The verdict that both come to; None is no objection. What was taken can go on, and leaves as it came."""
        name = next(self._names)
        verified = self._one(lambda: mstbucket.verify_car(io.BytesIO(data)))
        imported = self._one(lambda: self.store.import_car(io.BytesIO(data), name))
        assert imported == verified
        if verified is not None:  # [VER-31] whatever the breach
            byte = re.findall(r"at byte (\d+)", verified[1])
            assert byte, verified
            assert int(byte[-1]) <= len(data)
        there = name in {info.name for info in self.store.list_buckets()}
        assert there == (verified is None)
        if there:
            self._goes_on(name, data)
        return verified

    def _goes_on(self, name: str, data: bytes) -> None:
        bucket = self.store.bucket(name)
        out = io.BytesIO()
        bucket.export_car(out)
        assert out.getvalue() == data
        commit = bucket.head_commit()
        assert commit is not None
        bucket.put_object("one more", b"1")
        if commit.seq == COMMIT_SEQ_MAX:
            with pytest.raises(Unsupported, match="the last there can be"):
                bucket.flush()
            assert bucket.head_commit() == commit
            return
        made = bucket.flush()
        assert (made.seq, bucket.head_commit(), next(bucket.log())) == (commit.seq + 1, made, made)
        assert bucket.verify().commit == made.cid
        out = io.BytesIO()
        assert bucket.export_car(out).root == made.cid
        assert mstbucket.verify_car(io.BytesIO(out.getvalue())).commit.seq == made.seq

    @staticmethod
    def _one(judge: Any) -> Verdict:
        try:
            judge()
        except (FormatError, CorruptionError, Unsupported) as error:
            return type(error), str(error)
        return None


@pytest.fixture(scope="module")
def judges(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judges]:
    url, blobs = databases.url(databases.create(template)), tmp_path_factory.mktemp("blobs")
    with mstbucket.open(database=url, blobs=blobs, background=False) as store:
        yield Judges(store)


@pytest.mark.parametrize("name", sorted(json.loads((NEGATIVE / "index.json").read_text())))
def test_exports_with_one_defect_are_refused_by_both(judges: Judges, name: str) -> None:
    """[IMP-8] Files made by a second implementation; a number of them has the defect in the versions."""
    verdict = judges.ask((NEGATIVE / f"{name}.car").read_bytes())
    assert verdict is not None
    said = json.loads((NEGATIVE / "index.json").read_text())[name]["class"]
    assert issubclass(verdict[0], Unsupported) == (said == "unsupported")


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.car")))
def test_golden_exports_are_taken_by_both_and_leave_as_they_came(judges: Judges, name: str) -> None:
    """[IMP-8] [IMP-2] [EXP-1]"""
    assert judges.ask((GOLDEN / f"{name}.car").read_bytes()) is None


# --- near-valid exports ------------------------------------------------------------------------------------------------


IDS = st.sampled_from([None, "a", "b", "c"])
STRANGE = st.sampled_from(
    [None, True, -1, 0, 1, 1.5, 2**63 - 1, "", "x", "null", b"", b"x" * 32, [], [1], {}, {"": "x"}, {"a": ""}]
)
SEQS = [1, 2, COMMIT_SEQ_MAX - 1, COMMIT_SEQ_MAX, COMMIT_SEQ_MAX + 1, 2**63 - 2, 2**63 - 1]
VERSION_SEQS = [0, 1, 2, 3, SEQ_MAX - 1, SEQ_MAX]


def tags_of(size: int, count: int = 1) -> dict[str, str]:
    """So many tags of so many bytes together."""
    names = [f"{n:04}" for n in range(count)]
    return dict.fromkeys(names[1:], "") | {names[0]: "v" * (size - 4 * count)}


TAGS = st.one_of(
    *[st.just(tags) for tags in ({}, {}, {}, {"a": "b"})],
    st.builds(tags_of, st.integers(BUCKET_TAGS_SIZE_MAX - 2, BUCKET_TAGS_SIZE_MAX + 2), st.sampled_from([1, 50, 600])),
    st.builds(tags_of, st.integers(46_800, 47_300), st.just(9_000)),  # heads count, too
)


@st.composite
def exports(draw: Any, forge_type: Any) -> bytes:
    """An export that is nearly one of a bucket: keys, ids and sequences collide often, and one field may be strange."""
    forge = forge_type()
    strange = draw(st.sampled_from(["nothing", "nothing", "commit", "manifest"]))

    def manifest(marker: bool, name: str | None) -> bytes:
        body = draw(st.sampled_from([b"", b"x", b"yy"]))
        fields: dict[str, Any] = {"created": draw(st.sampled_from([1, 2**63 - 1])), "modified": 2**32}
        if marker:
            fields["delete_marker"] = True
        else:
            fields |= {"content": Link(forge.body(body)), "size": len(body), "etag": "e", "content_type": "t"}
        if name is not None:
            fields["version_id"] = name
        if strange == "manifest" and draw(st.integers(0, 3)) == 0:
            change(draw, fields, ["tags", "metadata", "parts", "sha256", "checksums", "headers", "version_id"])
        return bytes(forge.value(fields))

    keys = st.sampled_from([b"a", b"b", b"\xc3\xa9", b"k" * 1024])
    objects = {key: manifest(False, draw(IDS)) for key in draw(st.sets(keys))}
    numbers = st.sampled_from(VERSION_SEQS[: draw(st.sampled_from([4, 4, 4, 6]))])
    places = draw(st.sets(st.tuples(keys, numbers), max_size=5))
    versions = {version_key(*place): manifest(draw(st.booleans()), draw(IDS)) for place in places}
    seq = draw(st.sampled_from(SEQS))
    values = [dagcbor.decode(forge.get(cid)) for cid in objects.values()]
    sizes = [value.get("size") for value in values]
    state = draw(st.sampled_from(["Enabled", "Suspended", None]))
    fields: dict[str, Any] = {
        "bucket": BUCKET, "name": draw(st.sampled_from(["photos", "N", "n" * 255])), "seq": seq, "time": 5, "version": 1,
        "tree": Link(forge.tree(objects)), "objects": len(objects), "bytes": sum(n for n in sizes if type(n) is int),
        "config": commit_fields.config(state),
    }  # fmt: skip
    if seq != 1:
        fields["prev"] = PREV
    if versions:
        fields["versions"] = Link(forge.tree(versions))
    tags = draw(TAGS)
    if tags:
        fields["tags"] = tags
    if strange == "commit":
        change(draw, fields, ["tags", "prev", "versions", "key", "sig", "config"])
    root = forge.value(fields)
    return bytes(forge.car(root))


def change(draw: Any, fields: dict[str, Any], more: list[str]) -> None:
    """Take a field out, or give one a value that it mostly may not have."""
    name = draw(st.sampled_from(sorted({*fields, *more})))
    fields.pop(name, None)
    if draw(st.booleans()):
        fields[name] = draw(STRANGE)


def test_whatever_one_refuses_the_other_refuses(judges: Judges, forge_type: Any) -> None:
    """[IMP-8] And what both take can be flushed and exported again."""
    verdicts: list[Verdict] = []

    @settings(deadline=None, max_examples=80)
    @given(exports(forge_type))
    def check(data: bytes) -> None:
        verdicts.append(judges.ask(data))

    check()
    assert None in verdicts
    assert len({verdict[0] for verdict in verdicts if verdict is not None}) >= 2


def small(forge: Any, seq: int, tags: dict[str, str] | None = None) -> bytes:
    objects = {b"k": forge.manifest(b"x")}
    fields = {
        "bucket": BUCKET, "name": "photos", "seq": seq, "time": 5, "version": 1, "tree": Link(forge.tree(objects)),
        "objects": 1, "bytes": 1, "config": commit_fields.config(None), "prev": PREV, "tags": tags or None,
    }  # fmt: skip
    return bytes(forge.car(forge.value({name: value for name, value in fields.items() if value is not None})))


@pytest.mark.parametrize("seq", [COMMIT_SEQ_MAX - 2, COMMIT_SEQ_MAX - 1, COMMIT_SEQ_MAX])
def test_the_last_numbers_of_commits_are_taken_and_nothing_follows_the_last(judges: Judges, forge: Any, seq: int) -> None:
    """[COM-13] `Judges.ask` tries what follows, and that every commit made is the one that is seen."""
    assert judges.ask(small(forge, seq)) is None


@pytest.mark.parametrize("seq", [COMMIT_SEQ_MAX + 1, 2**63 - 2, 2**63 - 1])
def test_numbers_of_commits_above_the_last_are_refused(judges: Judges, forge: Any, seq: int) -> None:
    """[COM-6]"""
    verdict = judges.ask(small(forge, seq))
    assert verdict is not None
    assert f"seq is {seq}" in verdict[1]
    assert "noticed at byte 97" in verdict[1]


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        (tags_of(BUCKET_TAGS_SIZE_MAX), True), (tags_of(BUCKET_TAGS_SIZE_MAX + 1), False),
        (tags_of(46_900, 9_000), True), (tags_of(47_150, 9_000), False),
    ],
    ids=["as many bytes as fit", "one more", "many that fit", "many whose next commit would not fit"],
)  # fmt: skip
def test_tags_that_the_next_commit_cannot_hold_are_refused(
    judges: Judges, forge: Any, tags: dict[str, str], taken: bool
) -> None:
    """[TAG-7] [COM-14]"""
    verdict = judges.ask(small(forge, 2, tags))
    assert (verdict is None) == taken
    assert verdict is None or verdict[0] is Unsupported
