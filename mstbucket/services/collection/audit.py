"""The mark says whether the sweeps were right: nothing that they removed is needed ([GC-26])."""

from __future__ import annotations

import logging
from typing import Final

from mstbucket.core.cid import to_text
from mstbucket.errors import MissingBlock
from mstbucket.index import deaths
from mstbucket.services.blocks.context import Context
from mstbucket.services.collection.mark import Marks

_NAMED: Final = 20  # blocks in a message

log = logging.getLogger("mstbucket")


def audit(context: Context, marks: Marks) -> None:
    """Compare what sweeps have removed since the last cycle with what is needed.

    Raises:
        MissingBlock: some of it is needed, and is not there. The log names the blocks.
    """
    needed: list[bytes] = []
    for page in deaths.swept(context.db):
        # What was not written at the mark may have been replaced since, and then no flush ever writes it.
        needed += [cid for cid in page if cid in marks and cid not in marks.unwritten]
    missing = deaths.without_row(context.db, needed) if needed else []
    if not missing:
        return
    log.error("sweeps have removed blocks that are needed: %s", ", ".join(map(to_text, missing)))
    named = ", ".join(map(to_text, missing[:_NAMED]))
    raise MissingBlock(
        f"{len(missing)} blocks are needed, and a sweep has removed them: {named}; bring them back (undo_collect, or "
        "repair_blocks from a copy), and report it: it is a defect of mstbucket"
    ).about(cid=missing[0])
