"""What became of a transaction whose COMMIT got no answer ([PG-13])."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from mstbucket.errors import OutcomeUnknown, StorageError
from mstbucket.pg.settings import RETURN_SECONDS

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

# [PG-13] After a crash a number whose COMMIT was not durable may have been given to a later transaction. "aborted" is
# true all the same, since a durable number is not given again; "committed" is ours only if it is older than the crash.
# A standby that took over gives numbers again from where it took over, and nothing says where that was. Only such a server
# knows when it replayed a transaction last: a crash alone leaves no such time.
FATE: Final = """
    SELECT CASE
        WHEN status <> 'committed' OR same THEN status
        WHEN pg_last_xact_replay_timestamp() IS NOT NULL THEN 'unknown'
        WHEN NOT current_setting('track_commit_timestamp')::boolean THEN 'unknown'
        WHEN pg_xact_commit_timestamp(%(xid)s::xid) < pg_stat_get_bgwriter_stat_reset_time() THEN 'committed'
        ELSE 'aborted' END
    FROM (SELECT CASE WHEN %(xid)s::xid8 < pg_snapshot_xmax(pg_current_snapshot())
                      THEN pg_xact_status(%(xid)s::xid8) ELSE 'aborted' END AS status,
                 pg_stat_get_bgwriter_stat_reset_time() IS NOT DISTINCT FROM %(crashed)s::timestamptz AS same) AS fate
"""


def follow_up(
    reading: Callable[[], AbstractContextManager[Connection]], error: Exception, xid: str, crashed: Any
) -> None:
    """Return if the transaction whose COMMIT got no answer was committed; raise what is known otherwise."""
    said: Any = None
    deadline = time.monotonic() + RETURN_SECONDS
    while said is None and time.monotonic() < deadline:
        try:
            with reading() as connection:
                said = connection.execute(FATE, {"xid": xid, "crashed": crashed}).fetchone()
        except StorageError:
            time.sleep(0.1)  # the server is not back yet
            continue
        if said == ("in progress",):
            said = None
            time.sleep(0.02)  # its session has not noticed yet that we are gone
    if said == ("committed",):
        return
    if said == ("aborted",):
        raise StorageError("the connection was lost during COMMIT; nothing was done: repeat the call") from error
    raise OutcomeUnknown("the connection was lost during COMMIT and the server cannot say what became of it: "
                         "read before repeating the call") from error  # fmt: skip
