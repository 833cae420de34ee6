"""The plan against an oracle that has both sides in dictionaries; the rules as tables; filters against their definition."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.errors import Unsupported
from mstbucket.sync.entry import Compare, Copy, Delete, Entry, Same, Step
from mstbucket.sync.filters import Filters
from mstbucket.sync.plan import SLACK, How, Kind, plan, rule_for

KEYS = st.text(st.sampled_from("a/.0é\U0001f600￿"), min_size=1, max_size=4)
SIDES = st.dictionaries(KEYS, st.integers(0, 2), max_size=12)
RULES = st.lists(st.tuples(st.booleans(), st.text(st.sampled_from("a/.0*?[]!"), max_size=4)), max_size=4)
EMPTY_MD5, OTHER_MD5 = "d41d8cd98f00b204e9800998ecf8427e", "0" * 32


def entries(side: dict[str, int], wanted: Filters) -> list[Entry]:
    return [Entry(key, side[key], 0) for key in sorted(side, key=str.encode) if wanted(key)]


def oracle(source: dict[str, int], target: dict[str, int], wanted: Filters, delete: bool) -> dict[str, type[Step]]:
    """What has to be done with each key."""
    found: dict[str, type[Step]] = {}
    for key in source.keys() | target.keys():
        if not wanted(key):
            continue
        if key not in source:
            if delete:
                found[key] = Delete
        elif key not in target or source[key] != target[key]:
            found[key] = Copy
        else:
            found[key] = Same
    return found


@given(SIDES, SIDES, RULES, st.booleans())
def test_a_plan_does_what_two_dictionaries_say(
    source: dict[str, int], target: dict[str, int], rules: list[tuple[bool, str]], delete: bool
) -> None:
    """[SYNC-2], [SYNC-3], [SYNC-9], [SYNC-10]: each key once, in order, filtered ones never."""
    wanted = Filters(rules)
    rule = rule_for(Kind.BUCKET, Kind.LOCAL, How.SIZE)
    steps = list(plan(entries(source, wanted), entries(target, wanted), rule, delete=delete))
    keys = [(step.target if isinstance(step, Delete | Same) else step.source).key for step in steps]
    assert keys == sorted(set(keys), key=str.encode)
    assert dict(zip(keys, map(type, steps), strict=True)) == oracle(source, target, wanted, delete)


@given(KEYS, RULES)
def test_the_last_rule_that_matches_decides(key: str, rules: list[tuple[bool, str]]) -> None:
    """[SYNC-9]"""
    verdict = True
    for include, pattern in rules:
        if fnmatch.fnmatchcase(key, pattern):
            verdict = include
    assert Filters(rules)(key) is verdict


PATTERNS = st.text(st.sampled_from("ab/*?[]!-"), max_size=6)


@settings(max_examples=500)
@given(PATTERNS, st.text(st.sampled_from("ab/-!]["), max_size=3), st.text(st.sampled_from("ab/-!]["), max_size=3))
def test_a_pattern_that_cannot_match_below_a_folder_does_not(pattern: str, folder: str, rest: str) -> None:
    """[SYNC-9] by all texts below it."""
    wanted = Filters([(False, "*"), (True, pattern)])
    if fnmatch.fnmatchcase(f"{folder}/{rest}", pattern):
        assert not wanted.leaves_out_all_below(folder)


@given(st.text(st.sampled_from("ab*?"), max_size=5), st.text(st.sampled_from("ab"), max_size=2))
def test_a_pattern_that_may_match_below_a_folder_does_for_some_text(pattern: str, folder: str) -> None:
    """[SYNC-9] the other way round, over all texts that are long enough."""
    wanted = Filters([(False, "*"), (True, f"{folder}/{pattern}")])
    below = ("".join(text) for size in range(6) for text in product("ab", repeat=size))
    assert wanted.leaves_out_all_below(folder) is not any(map(wanted, (f"{folder}/{text}" for text in below)))


@given(KEYS, KEYS, RULES)
def test_no_key_is_included_below_a_folder_that_is_left_out(
    folder: str, rest: str, rules: list[tuple[bool, str]]
) -> None:
    wanted = Filters(rules)
    if wanted.leaves_out_all_below(folder):
        assert not wanted(f"{folder}/{rest}")


def test_a_folder_is_left_out_by_a_star_behind_it() -> None:
    assert Filters([(False, "private/*")]).leaves_out_all_below("private")
    assert not Filters([(False, "*"), (True, "*.txt")]).leaves_out_all_below("private")
    assert Filters([(False, "*"), (True, "docs/*")]).leaves_out_all_below("private")
    assert Filters([(False, "*"), (True, "[!p]*.txt")]).leaves_out_all_below("private")
    assert not Filters([(False, "*"), (True, "p*/a")]).leaves_out_all_below("private")


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["a/b", "a.txt"]], ids=["falling", "twice", "directory order"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_in_another_order_is_refused(keys: list[str], side: str) -> None:
    """[SYNC-2]"""
    wrong = [Entry(key, 1, 0) for key in keys]
    sides = (wrong, []) if side == "source" else ([], wrong)
    with pytest.raises(Unsupported, match=f"the {side} lists '{keys[1]}' behind '{keys[0]}'"):
        list(plan(*sides, rule_for(Kind.S3, Kind.BUCKET, How.QUICK), delete=True))


HERE = Entry("k", 5, 100_000, touched=100_000, path=b"k")
OURS = Entry("k", 5, 100_000, etag=EMPTY_MD5, content=b"cid")
THERE = Entry("k", 5, 100_000, etag=EMPTY_MD5)
PARTS = replace(THERE, etag="0" * 32 + "-2")


@pytest.mark.parametrize(
    ("kinds", "how", "source", "target", "verdict"),
    [
        ("LB", "QUICK", HERE, replace(OURS, size=6), "size"),
        ("LB", "QUICK", HERE, replace(OURS, modified=100_000 + SLACK), None),
        ("LB", "QUICK", HERE, replace(OURS, modified=100_000 + SLACK - 1), Compare),
        ("LB", "QUICK", replace(HERE, touched=105_000), replace(OURS, modified=103_000), Compare),
        ("LB", "QUICK", replace(HERE, touched=900_000), OURS, None),
        ("LB", "QUICK", replace(HERE, touched=101_999), OURS, Compare),
        ("BL", "QUICK", OURS, replace(HERE, touched=101_999), Compare),
        ("LB", "QUICK", replace(HERE, modified=100_001, touched=900_000), OURS, Compare),
        ("LB", "CHECKSUM", HERE, replace(OURS, modified=900_000), Compare),
        ("LB", "SIZE", replace(HERE, touched=900_000, modified=900_000), OURS, None),
        ("BL", "QUICK", OURS, replace(HERE, touched=900_000), None),
        ("BL", "QUICK", OURS, replace(HERE, modified=900_000), Compare),
        ("BL", "QUICK", replace(OURS, modified=900_000), HERE, Compare),
        ("BL", "CHECKSUM", OURS, HERE, Compare),
        ("BB", "QUICK", OURS, replace(OURS, modified=7, etag="x"), None),
        ("BB", "QUICK", OURS, replace(OURS, content=b"other"), "content"),
        ("BB", "CHECKSUM", OURS, replace(OURS, content=b"other"), "content"),
        ("SB", "QUICK", THERE, replace(OURS, modified=7), None),
        ("SB", "QUICK", THERE, replace(OURS, modified=900_000, etag=OTHER_MD5), "content"),
        ("SB", "QUICK", PARTS, replace(OURS, modified=100_000 + SLACK), None),
        ("SB", "QUICK", PARTS, replace(OURS, modified=100_000 + SLACK - 1), "time"),
        ("SB", "QUICK", PARTS, replace(OURS, modified=7, etag=PARTS.etag), None),
        ("SB", "CHECKSUM", THERE, OURS, Compare),
        ("BS", "QUICK", OURS, replace(PARTS, modified=900_000), None),
        ("BS", "QUICK", OURS, replace(THERE, etag=OTHER_MD5, modified=900_000), "content"),
    ],
    ids=[
        "another size", "untouched since the put", "touched less than two seconds before", "an old time but a new change",
        "the object's very time", "that time by chance", "in a target by chance",
        "a millisecond beside it", "checksum trusts no time", "size only", "as it was copied out",
        "written since it was copied out", "the object is newer", "checksum reads what was copied out",
        "one body under two times", "two bodies of one size", "two bodies, checksum", "one MD5 whatever the times",
        "two MD5s whatever the times", "no MD5 and copied later", "no MD5 and copied just then", "one ETag of parts",
        "checksum trusts no ETag", "sent in parts later", "two MD5s the other way",
    ],
)  # fmt: skip
def test_what_is_equal(kinds: str, how: str, source: Entry, target: Entry, verdict: object) -> None:
    """[SYNC-3] to [SYNC-8], one row each and more"""
    names = {"L": Kind.LOCAL, "B": Kind.BUCKET, "S": Kind.S3}
    assert rule_for(names[kinds[0]], names[kinds[1]], How[how])(source, target) == verdict
