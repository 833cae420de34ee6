"""`log --graph`: the commits of a bucket as a line, with what forked off it and what was merged into it ([CLI-157])."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mstbucket.cli.address import SCHEME
from mstbucket.cli.exits import one_line
from mstbucket.cli.output import count, local_time

if TYPE_CHECKING:
    from mstbucket import CommitInfo, Store

_LINE: Final = 72  # characters of a message; the drawing has to fit on a terminal


@dataclass(frozen=True, slots=True)
class Family:
    """What is needed of the other buckets of a store to draw one.

    Attributes:
        forks: the buckets that were forked off, by the commit from which they came.
        known: the bucket and number of each commit that was merged from.
    """

    forks: Mapping[str, list[str]]
    known: Mapping[str, tuple[str, int]]


def family(store: Store, bucket: str, commits: Iterable[CommitInfo]) -> Family:
    """Look for the relatives of a bucket with these commits: every commit of the store is looked at once."""
    ours = {commit.cid for commit in commits}
    wanted = {one for commit in commits for one in (commit.merged, commit.forked) if one is not None}
    forks: dict[str, list[str]] = {}
    known: dict[str, tuple[str, int]] = {}
    for info in store.list_buckets():
        if info.name == bucket or info.commit is None:
            continue
        for commit in store.bucket(info.name).log():
            if commit.cid in wanted:
                known[commit.cid] = info.name, commit.seq
            if commit.forked in ours:
                forks.setdefault(commit.forked, []).append(info.name)
    return Family(forks, known)


def drawn(commits: Iterable[CommitInfo], relatives: Family) -> Iterator[str]:
    """The lines, newest commit first. A CID has a line of its own, so that it can be copied whole."""
    for commit in commits:
        names = f"  ({', '.join(commit.names)})" if commit.names else ""
        yield f"*  commit {commit.seq}, {local_time(commit.time)}, {count(commit.objects, 'object')}{names}"
        if commit.message is not None:
            yield f"|  {_first_line(commit.message)}"
        for fork in relatives.forks.get(commit.cid, ()):
            yield f"|\\ forked to {SCHEME}{fork}"
        yield f"|  {commit.cid}"
        if commit.merged is not None:
            yield "|\\"
            yield f"| o merged from {_named(commit.merged, relatives)}"
            yield f"| | {commit.merged}"
            yield "|/"
        if commit.forked is not None:
            yield f"o  forked from {_named(commit.forked, relatives)}"
            yield f"   {commit.forked}"


def _first_line(message: str) -> str:
    """What a message begins with, in one line that fits beside the drawing ([COM-24])"""
    line = one_line(message.strip().partition("\n")[0].rstrip())
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"


def _named(cid: str, relatives: Family) -> str:
    found = relatives.known.get(cid)
    return "a commit that is not in this store" if found is None else f"{SCHEME}{found[0]}, commit {found[1]}"
