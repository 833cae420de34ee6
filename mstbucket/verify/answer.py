"""Answers a question about a commit from blocks that are asked for one by one: it judges proofs, and makes them.

The same walk serves both sides. The check of a proof takes the blocks from the file, in the order in which they are asked
for. The making takes them from a store, and writes each down. So a proof holds exactly what its check needs, in its order.
The walk shares no code with `core.mst`, which writes trees.

An answer holds for a tree that is good as a whole, as `spec/format/31-proofs.md` says. Each node on the way is judged at its
place; other nodes are not here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mstbucket.core import commit as commits
from mstbucket.core import statement as statements
from mstbucket.core.change_statement import ChangesQuestion
from mstbucket.core.cid import CID
from mstbucket.core.commit import Commit
from mstbucket.core.keys import TOP, decode_key, encode_key, prefix_end
from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.listing import common_prefix
from mstbucket.core.statement import KeyQuestion, PageQuestion, PartQuestion, Statement
from mstbucket.errors import Untrue
from mstbucket.limits import KEY_MAX
from mstbucket.verify import changes
from mstbucket.verify import part as parts
from mstbucket.verify.node import Place, judge
from mstbucket.verify.objects import ProvedObject, Sink, read_body, read_object
from mstbucket.verify.ordered import Take, below, in_order, may_hold
from mstbucket.verify.part import PartFigures
from mstbucket.verify.tree import check_node_cid

#: Sees the commit before anything else is asked for; raises if it is not to be trusted.
Accept = Callable[[CID, Commit], object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is proved of a commit.

    Attributes:
        statement: what was asked, of which commit; for changes, which they are.
        commit: what that says.
        objects: for a key its object, none if it is absent; for a page all objects in it, by key.
        common_prefixes: for a page with a delimiter, in order.
        next_start_after: for a page that is cut short, what the next one starts after; None if nothing follows.
        since: for changes, what the earlier commit says.
        part: for a part of the bucket, how much is in it.
    """

    statement: Statement
    commit: Commit
    objects: tuple[ProvedObject, ...]
    common_prefixes: tuple[str, ...] = ()
    next_start_after: str | None = None
    since: Commit | None = None
    part: PartFigures | None = None


def accept_any(_cid: CID, _commit: Commit) -> None:
    """Take any commit, as the maker of a proof does."""


def answer(root: CID, take: Take, sink: Sink, accept: Accept) -> Answer:
    """Answer the statement *root* from the blocks that *take* gives, once *accept* has taken its commit.

    Raises:
        InvalidBlock, Untrue: a block is not what it has to be at its place, or the commit does not hold what is stated.
        Unsupported: a newer program wrote the statement or the commit.
    """
    check_node_cid(root)
    statement = statements.decode(take(root, "statement"))
    commit = commits.decode(take(statement.commit, "commit"))
    accept(statement.commit, commit)
    question = statement.question
    if isinstance(question, PageQuestion):
        page = _Page(question, take)
        return page.answer(statement, commit)
    if isinstance(question, PartQuestion):
        return Answer(statement, commit, (), part=parts.part(commit, question.part, take))
    if isinstance(question, ChangesQuestion):
        return Answer(statement, commit, (), since=changes.earlier(commit, question, take))
    cid = _find(commit.tree, encode_key(question.key), take)
    if cid is None:
        if question.body is not None:  # [PROOF-7]
            raise Untrue(f"the statement is about the body of {question.key!r}, which the commit does not hold")
        return Answer(statement, commit, ())
    found = read_object(question.key, cid, take)
    if question.body is not None:
        _body(found.manifest, question, take, sink)
    return Answer(statement, commit, (found,))


def _find(root: CID, key: bytes, take: Take) -> CID | None:
    """The value of *key*; None where its place is empty. [PROOF-5] Down to the node that tells, and no further."""
    place: Place | None = (root, None, b"", None)
    while place is not None:
        node = judge(take(place[0], "tree node"), place, KEY_MAX)
        at = bisect_left(node.keys, key)
        if at < len(node.keys) and node.keys[at] == key:
            return node.values[at]
        place = below(node, place, at)
    return None


class _Page:
    """Walks the part of a tree that a page is about, in the order of keys, and nothing else of it [PROOF-6]."""

    def __init__(self, question: PageQuestion, take: Take) -> None:
        self._question = question
        self._take = take
        self._first = question.prefix.encode()
        self._after = question.start_after.encode()
        end = prefix_end(question.prefix)
        self._end = None if end is None else end.encode()
        self._objects: list[ProvedObject] = []
        self._prefixes: list[str] = []
        self._last = ""  # the last item, a key or a common prefix
        self._more = False

    def answer(self, statement: Statement, commit: Commit) -> Answer:
        for key, cid in self._keys(commit.tree):
            if not self._add(decode_key(key), cid):
                break
        after = None
        if self._more:
            after = self._last + TOP if self._prefixes[-1:] == [self._last] else self._last
        return Answer(statement, commit, tuple(self._objects), tuple(self._prefixes), after)

    def _add(self, key: str, cid: CID) -> bool:
        """Put a key, or its common prefix, in the page; False if the page is full and this would be one more."""
        under = common_prefix(key, self._question.prefix, self._question.delimiter)
        if under is not None and self._prefixes[-1:] == [under]:
            return True
        if len(self._objects) + len(self._prefixes) == self._question.max_keys:
            self._more = True
            return False
        if under is not None:
            self._prefixes.append(under)
        else:
            self._objects.append(read_object(key, cid, self._take))
        self._last = key if under is None else under
        return True

    def _keys(self, root: CID) -> Iterator[tuple[bytes, CID]]:
        """The keys that the page is about, with their values, as far as they are asked for."""
        for step in in_order(root, KEY_MAX, self._take, self._is_needed):
            if len(step) == 2 and self._is_asked(step[0]):
                yield step

    def _is_asked(self, key: bytes) -> bool:
        return key > self._after and key >= self._first and (self._end is None or key < self._end)

    def _is_needed(self, place: Place) -> bool:
        """Whether a subtree can hold a key that changes the page: all of its keys are between the two of its place."""
        if not may_hold(place, self._first, self._end, self._after):
            return False
        _, height, low, high = place
        # [PROOF-6] All keys between two that stand under one common prefix stand under it too.
        if not self._prefixes or height is None or high is None:
            return True
        last = self._prefixes[-1].encode()
        return not (low.startswith(last) and high.startswith(last))


def _body(manifest: Manifest, question: KeyQuestion, take: Take, sink: Sink) -> None:
    """Take the blocks of a body that hold the bytes asked for, in order, and give these bytes to *sink* [PROOF-7]."""
    assert manifest.size is not None
    assert question.body is not None
    start, end = question.body
    if end > manifest.size or (start == end and manifest.size):
        raise Untrue(f"the statement is about bytes {start} to {end} of {question.key!r}, which has {manifest.size}")
    read_body(manifest, start, end, take, sink)
