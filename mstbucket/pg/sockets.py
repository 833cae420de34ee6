"""The directory of an embedded server's socket: made, written down, and removed ([PG-9]).

Standard library only, as all that `supervisor.py` imports.
"""

from __future__ import annotations

import os

from mstbucket.pg import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mstbucket.pg.ownership import Ownership


class Sockets:
    """Where the socket of one server is."""

    def __init__(self, run: str, ownership: Ownership) -> None:
        """*run* is the directory of the locks. If its path is short enough, the socket is there too."""
        self._run = run
        self._ownership = ownership
        self._private: str | None = None  # the socket's directory, when it is one of ours outside the directory

    def make(self, place: str) -> None:
        """Make the directory for the socket when it is not `run` itself, and write down which it is."""
        with open(os.path.join(self._run, "ready.lock"), "r+b") as file:  # made by the client that asked for the lock
            file.truncate(0)
            file.write(os.fsencode(place))  # before there is anything: a successor removes what is written down
        if place != self._run:
            # [PG-9] its name cannot be guessed; if somebody has it all the same, this fails and nothing of theirs is used
            os.mkdir(place, 0o700)
            self._private = place
        self._ownership.own(place)

    def sweep(self) -> None:
        """Remove the sockets of the last server, and the directory that was made for them."""
        processes.remove_sockets(self._run)
        self._remove(self._recorded())

    def remove(self) -> None:
        """Remove what was made outside the directory."""
        if self._private is not None:
            self._remove(self._private)

    def _recorded(self) -> str:
        """The directory of the last server's socket."""
        try:
            with open(os.path.join(self._run, "ready.lock"), "rb") as file:
                return os.fsdecode(file.read(4096))
        except FileNotFoundError:
            return self._run

    def _remove(self, place: str) -> None:
        """Remove a directory for a socket that lies outside, if it is there and is ours."""
        try:
            found = os.lstat(place)
            private = os.path.basename(place).startswith("mstbucket-") and found.st_mode == 0o040700
            if place != self._run and private and found.st_uid in {os.geteuid(), self._ownership.owner}:
                processes.remove_sockets(place)
                os.rmdir(place)
        except (FileNotFoundError, ValueError):
            pass  # ValueError: garbage was written down, with NUL in it
        except OSError as error:
            os.write(2, f"cannot remove {place}: {error}\n".encode(errors="replace"))
