"""Who owns an embedded server's files and runs it: we ourselves, or another when we are root ([PG-7]).

Standard library only, as all that `supervisor.py` imports.
"""

from __future__ import annotations

import os

from mstbucket.pg.identity import become, enter_namespace, nobody
from mstbucket.pg.processes import Failed


class Ownership:
    """The user of one server.

    Attributes:
        owner: the user id that owns the data and runs the server, when it is not our own.
    """

    def __init__(self) -> None:
        self.owner: int | None = None
        self._namespace = False

    def choose(self, root_as: str, top: str) -> None:
        """PostgreSQL refuses to run as root. Map root to another number inside a namespace, or become `nobody`."""
        # [PG-7]
        if root_as != "nobody":
            pid = os.fork()
            if pid == 0:
                os._exit(0 if enter_namespace() else 1)
            self._namespace = os.waitpid(pid, 0)[1] == 0
        if self._namespace:
            self.owner = 0
        elif root_as == "namespace":
            raise Failed("this system does not allow user namespaces")
        else:
            self.owner = nobody()
            self._let_through(top)

    def _let_through(self, top: str) -> None:
        """Let the server's user pass the store's directory, which nobody but us may read."""
        if top:
            found = os.stat(top)
            if found.st_uid == os.geteuid() and not found.st_mode & 0o001:
                os.chmod(top, found.st_mode & 0o7777 | 0o011)

    def own(self, path: str) -> None:
        """Give a file or directory to the server's user."""
        if self.owner is not None and os.lstat(path).st_uid != self.owner:
            os.chown(path, self.owner, -1, follow_symlinks=False)

    def own_tree(self, top: str) -> None:
        """Give a data directory to the server's user, when it was last used in the other way."""
        found = os.stat(top).st_uid
        if self.owner is None:
            if found != os.geteuid():
                raise Failed(f"{top} belongs to user {found}: run as that user, or give it to user {os.geteuid()}")
        elif found != self.owner:
            for folder, _, names in os.walk(top, topdown=False):
                for name in names:
                    self.own(os.path.join(folder, name))
                self.own(folder)  # the top comes last: a chown that was interrupted is done again

    def become(self) -> None:
        """In the forked child: take on the server's identity."""
        if self._namespace:
            if not enter_namespace():
                raise OSError("user namespaces were withdrawn")
        elif self.owner:
            become(self.owner)
