"""The plan of reads, against every way there is to group the same blocks."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from mstbucket.packs.plan import Location, Read, plan, section_start

Wanted = list[tuple[bytes, Location]]


@st.composite
def wanted(draw: st.DrawFn, most: int = 30) -> Wanted:
    """Blocks in a few packs, as an index would place them: sections never overlap, and some come twice."""
    found: Wanted = []
    for pack in draw(st.lists(st.sampled_from("abc"), max_size=3, unique=True)):
        at = 59
        for number in range(draw(st.integers(0, most))):
            at += draw(st.sampled_from([0, 0, 0, 1, 50, 400, 3_000]))
            length = draw(st.sampled_from([0, 1, 91, 92, 300, 2_000]))
            offset = at + 37 + (36 + length > 0x7F)
            found.append((f"{pack}{number}".encode(), Location(pack, offset, length)))
            at = offset + length
    if found and draw(st.booleans()):
        found.append(draw(st.sampled_from(found)))
    return draw(st.permutations(found))


def span(group: Wanted) -> tuple[int, int]:
    """What one read for all of `group` has to cover, from the first one's section on."""
    start = min(section_start(at.offset, at.length) for _, at in group)
    return start, max(at.offset + at.length for _, at in group)


def allowed(group: Wanted, gap: int, limit: int) -> bool:
    """Whether one read may serve `group`, which is in order."""
    start, stop = span(group)
    near = all(
        section_start(b.offset, b.length) - (a.offset + a.length) <= gap and a.pack == b.pack
        for (_, a), (_, b) in pairwise(group)
    )
    return len(group) == 1 or (near and stop - start <= limit)


gaps = st.sampled_from([0, 1, 38, 100, 1_000])
limits = st.sampled_from([1, 100, 1_000, 5_000, 10**9])


@given(wanted(), gaps, limits)
@settings(max_examples=200, deadline=None)
def test_every_block_is_in_one_read_and_no_read_breaks_a_rule(blocks: Wanted, gap: int, limit: int) -> None:
    """[PACK-7]"""
    reads = plan(blocks, gap, limit)
    assert sorted(item for read in reads for item in read.wanted) == sorted(blocks)
    for read in reads:
        assert allowed(list(read.wanted), gap, limit)
        assert {at.pack for _, at in read.wanted} == {read.pack}
        if len(read.wanted) == 1:
            (_, at) = read.wanted[0]
            assert (read.start, read.stop) == (at.offset, at.offset + at.length)
        else:
            assert (read.start, read.stop) == span(list(read.wanted))
    assert [(read.pack, read.start) for read in reads] == sorted((read.pack, read.start) for read in reads)


@given(wanted(most=3), gaps, limits)
@settings(max_examples=200, deadline=None)
def test_no_other_grouping_has_fewer_reads(blocks: Wanted, gap: int, limit: int) -> None:
    """[PACK-7] by trying every way to cut the blocks, in their order, into groups"""
    ordered = sorted(blocks, key=lambda item: item[1])
    fewest = 0 if not ordered else len(ordered)
    for cuts in product((False, True), repeat=max(len(ordered) - 1, 0)):
        groups: list[Wanted] = [ordered[:1]] if ordered else []
        for item, cut in zip(ordered[1:], cuts, strict=True):
            if cut:
                groups.append([item])
            else:
                groups[-1].append(item)
        if all(allowed(group, gap, limit) for group in groups):
            fewest = min(fewest, len(groups))
    assert len(plan(blocks, gap, limit)) == fewest


def test_a_read_may_be_exactly_as_long_as_the_limit_and_a_gap_as_the_gap() -> None:
    """[PACK-7] both bounds are inclusive"""
    blocks = [(b"a", Location("p", 100, 50)), (b"b", Location("p", 197, 50))]  # sections from 63 and 160, a gap of 10
    assert [len(plan(blocks, gap, limit)) for gap, limit in ((10, 184), (9, 184), (10, 183))] == [1, 2, 2]


def test_an_index_row_that_cannot_be_true_gives_no_negative_offset() -> None:
    """[PACK-6] the block's hash tells, not an exception of the planner"""
    blocks = [(b"a", Location("p", 3, 5)), (b"b", Location("p", 9, 5))]
    assert plan(blocks) == [Read("p", 0, 14, tuple(blocks))]
