"""The roots of a collection, and what they reach ([GC-2], [GC-3])."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from mstbucket.core.cid import CID, CID_SIZE
from mstbucket.errors import Conflict, CorruptionError, FormatError
from mstbucket.index import collection, deaths
from mstbucket.index.collection import Start
from mstbucket.limits import MIB
from mstbucket.services.blocks.context import Context
from mstbucket.services.collection.mark import Marks, is_node_of_body
from mstbucket.services.collection.packs import Packs
from mstbucket.spill.scratch import Spooled
from mstbucket.spill.seen import Seen

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

#: Whoever waits for the barrier stops all writers meanwhile. Writers are short: so it gives up after this, and tries again.
#: Most are out within the first time; a flush of many keys takes a second.
BARRIER_WAITS: Final = ("20ms", "20ms", "50ms", "100ms", "200ms", "500ms")
BARRIER_WAIT: Final = "1s"  # after these
ATTEMPTS: Final = 30

_SPOOL: Final = 4 * MIB  # of CIDs held in memory
_PAGE: Final = 1000  # CIDs followed at a time


def mark(context: Context, check: Callable[[], object], stack: ExitStack) -> tuple[Start, Marks, Packs]:
    """Begin an epoch, and mark what all roots of this moment reach; also the packs that are ready at this moment.

    No snapshot is held while blocks are read. *check* is called now and then. *stack* holds the temporary files.

    Raises:
        MissingBlock, HashMismatch, BrokenFrame, InvalidBlock: something cannot be read. So nothing may be removed.
        Conflict: a writer held the barrier all the time.
        StorageError: the database, the blob store, or the temporary directory failed.
    """
    marks = Marks(stack.enter_context(Seen()), context.blocks, check)
    trees, bodies = _Spool(stack), _Spool(stack)
    with begin(context) as (connection, start):
        packs = Packs(collection.ready_packs(connection))
        for tree in collection.trees(connection):
            marks.add_alone(tree.commit)
            trees.add(tree.objects)
            if tree.versions is not None:
                trees.add(tree.versions)
        marks.unwritten = deaths.unwritten(connection)
        # [GC-3] A row is its manifest, so the block of that needs no reading.
        for manifest, content in collection.manifests(connection):
            marks.add_alone(manifest)
            if content is None:
                continue
            if is_node_of_body(content):
                bodies.add(content)
            else:
                marks.add_alone(content)
        for digests in collection.part_digests(connection):
            marks.add_chunks(digests)
    try:
        for page in bodies.pages():
            marks.follow_bodies(page)
        for page in trees.pages():
            marks.follow_trees(page)
    except (CorruptionError, FormatError) as error:  # [GC-5]
        error.args = (
            f"nothing was collected, because something that is needed cannot be read: {error}. See what 'check' says; then "
            "repair the blocks, or give up what needs them (repair_blocks; repair_lost, a flush, and repair_lost again)",
        )  # the type and the rest stay
        raise
    return start, marks, packs


@contextmanager
def begin(context: Context) -> Iterator[tuple[Connection, Start]]:
    """See `collection.begin_epoch`; tried again where a writer is inside for long."""
    with ExitStack() as stack:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                wait = BARRIER_WAITS[attempt - 1] if attempt <= len(BARRIER_WAITS) else BARRIER_WAIT
                begun = stack.enter_context(collection.begin_epoch(context.db, wait))
                break
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(random.uniform(0, 1))  # who waits behind us goes first
        yield begun


class _Spool:
    """CIDs in a temporary file, in the order in which they came."""

    def __init__(self, stack: ExitStack) -> None:
        self._file = stack.enter_context(Spooled(_SPOOL, "the roots of a collection were put aside"))

    def add(self, cid: CID) -> None:
        self._file.write(cid)

    def pages(self) -> Iterator[list[CID]]:
        self._file.seek(0)
        while data := self._file.read(_PAGE * CID_SIZE):
            yield [data[at : at + CID_SIZE] for at in range(0, len(data), CID_SIZE)]
