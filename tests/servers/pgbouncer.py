"""A PgBouncer before a test server, for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from psycopg import conninfo

from mstbucket.pg.identity import enter_namespace

PROGRAM: Final = "pgbouncer"
PLACES: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
START_SECONDS: Final = 30.0


def found() -> str | None:
    """The program, where it is installed."""
    return shutil.which(PROGRAM, path=PLACES)


class Pooler:
    """A PgBouncer in `folder` before the server that `url` names; `close` ends it.

    Attributes:
        log: what it says.
    """

    def __init__(self, folder: Path, url: str, mode: str, **settings: str) -> None:
        program = found()
        assert program is not None
        self._server = conninfo.conninfo_to_dict(url)
        self._folder = folder
        self.log = folder / "pgbouncer.log"
        # Round robin: two transactions in a row are never in one session, unless there is only one.
        chosen = {
            "listen_port": "6432", "unix_socket_dir": str(folder), "auth_type": "any", "pool_mode": mode,
            "server_round_robin": "1", "min_pool_size": "2",
            "default_pool_size": "40" if mode == "session" else "4", "max_client_conn": "200",
            "logfile": str(self.log), "unix_socket_mode": "0700", **settings,
        }  # fmt: skip
        name = "ini"
        parts = [key for key in ("host", "port", "user", "password") if key in self._server]
        server = " ".join(f"{key}='{self._server[key]}'" for key in parts)
        lines = ["[databases]", f"* = {server}", "[pgbouncer]", *(f"{key} = {value}" for key, value in chosen.items())]
        (folder / name).write_text("\n".join(lines) + "\n")
        # It refuses to be root; the files it needs are root's.
        become = enter_namespace if os.geteuid() == 0 else None
        self._process = subprocess.Popen(
            [program, "-q", name], cwd=folder, preexec_fn=become, stderr=subprocess.DEVNULL  # noqa: PLW1509
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self._process.poll() is None, self.log.read_text() if self.log.exists() else "it ended at once"
            assert time.monotonic() < deadline, "it did not start"
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._folder / ".s.PGSQL.6432")) == 0

    def url(self, database: str, **more: str) -> str:
        """The connection string of a database through it."""
        user = str(self._server.get("user", "postgres"))
        return conninfo.make_conninfo("", host=str(self._folder), port=6432, user=user, dbname=database, **more)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
