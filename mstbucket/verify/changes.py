"""Judge a change proof: a commit follows from an earlier one by exactly a list of changes ([PROOF-9] to [PROOF-12]).

The changes touch some nodes of the later tree. These nodes give a row of pairs, and of subtrees known by their CID alone.
With the changes undone, that is the row of the earlier tree: the earlier root has to come out. A node's CID fixes all that
is below. So a subtree that stands in both rows is the same in both trees, whatever is in it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from mstbucket.core import commit as commits
from mstbucket.core.change_statement import Change, ChangesQuestion
from mstbucket.core.cid import CID, to_text
from mstbucket.core.commit import EMPTY_TREE, Commit, check_later
from mstbucket.errors import Untrue
from mstbucket.limits import KEY_MAX, VERSION_KEY_MAX
from mstbucket.verify.node import Place
from mstbucket.verify.ordered import Take, in_order
from mstbucket.verify.regrown import Regrown


def earlier(commit: Commit, question: ChangesQuestion, take: Take) -> Commit:
    """Return the earlier commit of *question*, once the later one is proved to differ from it by these changes alone.

    Raises:
        InvalidBlock, Untrue: a block is not what it has to be at its place, or the two differ by something else.
    """
    since = commits.decode(take(question.since, "earlier commit"))
    check_later(since, commit)  # [PROOF-10]
    _check("objects", (since.tree, commit.tree), question.objects, KEY_MAX, take)
    roots = since.versions or EMPTY_TREE, commit.versions or EMPTY_TREE
    _check("versions", roots, question.versions, VERSION_KEY_MAX, take)
    return since


def _check(what: str, roots: tuple[CID, CID], changes: Sequence[Change], key_max: int, take: Take) -> None:
    old, new = roots
    found = new if not changes else _undone(new, changes, key_max, take)
    if found != old:  # [PROOF-11]
        raise Untrue(
            f"with the changes of the {what} undone, the tree is {to_text(found)}, and that of the earlier commit is "
            f"{to_text(old)}: a change is left out, or states another value than it replaced"
        )


def _undone(root: CID, changes: Sequence[Change], key_max: int, take: Take) -> CID:
    """The root of the earlier tree, which *changes* made into the tree under *root*."""
    tree = Regrown()
    todo = iter(changes)
    due = next(todo, None)
    for step in _touched(root, changes, key_max, take):
        if len(step) == 4:
            cid, height, _, _ = step
            assert height is not None  # the root is never passed over
            tree.graft(cid, height)
            continue
        key, value = step
        while due is not None and due[0] < key:
            _put_back(tree, due)
            due = next(todo, None)
        if due is None or due[0] != key:
            tree.add(key, value)
            continue
        if due[2] != value:  # [PROOF-11] the later tree holds the key with another value, or at all
            raise Untrue(f"key {key[:60]!r} names {to_text(value)} in the later commit, and not what the change states")
        if due[1] is not None:
            tree.add(key, due[1])
        due = next(todo, None)
    while due is not None:
        _put_back(tree, due)
        due = next(todo, None)
    return tree.root() or EMPTY_TREE


def _put_back(tree: Regrown, change: Change) -> None:
    """Append a key that the later tree does not hold."""
    key, old, new = change
    if new is not None or old is None:  # [PROOF-11]
        raise Untrue(f"the later commit does not hold key {key[:60]!r}, which the changes state it does")
    tree.add(key, old)


def _touched(root: CID, changes: Sequence[Change], key_max: int, take: Take) -> Iterator[Place | tuple[bytes, CID]]:
    """The row of the later tree: pairs of the nodes that the changes touch, and the other subtrees as places."""
    keys = [key for key, _, _ in changes]
    added = {key for key, old, _ in changes if old is None}

    def is_touched(place: Place) -> bool:  # [PROOF-12]
        _, height, low, high = place
        if height is None or low in added or high in added:
            return True
        at = bisect_right(keys, low)
        return at < len(keys) and (high is None or keys[at] < high)

    if root == EMPTY_TREE:
        return iter(())
    return in_order(root, key_max, take, is_touched)
