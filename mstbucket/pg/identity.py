"""Who the server runs as when we are root, which PostgreSQL refuses: another number inside a namespace, or `nobody`.

Standard library only: `supervisor.py` imports this without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

OVERFLOW_ID: Final = 65534
_CLONE_NEWUSER: Final = 0x10000000


def enter_namespace() -> bool:
    """Map our user to 65534 inside a new user namespace. Files keep their owner. False where that is not allowed."""
    user, group = os.geteuid(), os.getegid()
    if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        return False
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{OVERFLOW_ID} {user} 1"),
            ("gid_map", f"{OVERFLOW_ID} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    return os.geteuid() == OVERFLOW_ID


def nobody() -> int:
    """The number of the user `nobody`."""
    import pwd

    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return OVERFLOW_ID


def become(user: int) -> None:
    """Give up root for that user, for good, and for the group of nobody."""
    os.setgroups([])
    os.setgid(OVERFLOW_ID)
    os.setuid(user)
