#!/usr/bin/env python3
"""A real S3 server on loopback, for tests: Ceph's RADOS Gateway, with one monitor and one store in memory.

    python tests/servers/rgw.py         prints one line of JSON when it is up, and runs until standard input ends

About 13 s to start, 0.5 GiB of memory. Needs Debian's packages:

    apt-get install --no-install-recommends -y radosgw ceph-mon ceph-osd ceph-mgr ceph-common

Ends exactly what it started, also when whoever started it was killed: standard input ends then. Quirks of its release
16, which tests have to live with: it ignores If-None-Match at the end of a multipart upload, ignores checksums other
than Content-MD5, answers some requests without an ETag, wants `tcp_nodelay`, or every GET takes 44 ms, and keeps the
memory of what was deleted for two hours, unless it is told otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ACCESS_KEY: Final = "test-access-key"
SECRET_KEY: Final = "test-canary-secret"  # looked for where no secret may be
REGION: Final = "us-east-1"
PROGRAMS: Final = ("radosgw", "ceph-mon", "ceph-osd", "ceph-mgr", "ceph", "ceph-authtool", "monmaptool", "radosgw-admin")
UP_SECONDS: Final = 90
STARTS: Final = 5  # somebody else may take a port that was free a moment ago

_CONF: Final = """\
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
osd journal =
mon allow pool size one = true
mon max pg per osd = 1000
mgr initial modules =
run dir = {directory}/run
admin socket = {directory}/run/$name.$pid.asok
log file = {directory}/log/$name.log
pid file = {directory}/run/$name.pid
mon data = {directory}/mon
mgr data = {directory}/mgr
osd data = {directory}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw gc obj min wait = 5
rgw gc processor period = 5
rgw gc processor max time = 5
"""


class NotUp(Exception):
    """The server did not start; says why."""


class Rgw:
    """The server in a directory of its own. `start` it, then `stop` it, whatever `start` raised."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it answers."""
        here = self._directory
        for name in ("mon", "mgr", "osd", "run", "log"):
            (here / name).mkdir()
        mon_port, fsid = free_port(), str(uuid.uuid4())
        text = _CONF.format(fsid=fsid, mon_port=mon_port, port=self._port, directory=here)
        (here / "ceph.conf").write_text(text)
        monmap, keyring = str(here / "monmap"), str(here / "mon.keyring")
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{mon_port}]", "--fsid", fsid, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring, *self._conf)
        self._spawn("ceph-mon", "-i", "a")
        self._until("the monitor answers", lambda: self._ask("mon", "stat") is not None)
        self._spawn("ceph-mgr", "-i", "x")
        osd = str(uuid.uuid4())
        self._until("the monitor knows the store", lambda: self._ask("osd", "new", osd) is not None)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, *self._conf)
        self._spawn("ceph-osd", "-i", "0")
        self._until("the store is up", lambda: b"1 up" in (self._ask("osd", "stat") or b""))
        self._spawn("radosgw", "-n", "client.rgw")
        self._until("the gateway answers", self._answers)
        user = ("--uid", "tester", "--display-name", "Tester", "--access-key", ACCESS_KEY, "--secret", SECRET_KEY)
        self._run("radosgw-admin", *self._conf, "--no-mon-config", "-n", "client.rgw", "user", "create", *user)

    def stop(self) -> None:
        """End every process that was started. Nothing of theirs is to be kept, so none is asked."""
        for process in reversed(self._running):
            process.kill()
            process.wait()

    @property
    def _conf(self) -> tuple[str, str]:
        return ("-c", str(self._directory / "ceph.conf"))

    def _run(self, *command: str) -> bytes:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=UP_SECONDS)
        if done.returncode != 0:
            raise NotUp(f"{' '.join(command)} failed:\n{done.stderr.decode(errors='replace')}")
        return done.stdout

    def _ask(self, *command: str) -> bytes | None:
        ask = ("ceph", *self._conf, "--connect-timeout", "3", *command)
        done = subprocess.run(ask, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=UP_SECONDS)
        return done.stdout if done.returncode == 0 else None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _spawn(self, *command: str) -> None:
        with (self._directory / "log" / f"{command[0]}.out").open("wb") as output:
            # With no settings from the monitor. To fetch them, a daemon asks once before it begins, and forgets the
            # cluster's fsid with what it asked: a store that is then faster than the map is refused: "wrong fsid".
            program: list[Any] = [*command, *self._conf, "--no-mon-config", "--foreground"]
            # In a session of its own, so that an interrupt from the terminal reaches only who cleans up.
            self._running.append(
                subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
            )

    def _until(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + UP_SECONDS
        while not done():
            ended = [process for process in self._running if process.poll() is not None]
            if ended or time.monotonic() > end:
                raise NotUp(f"waited for: {what}. {self._last_words(ended)}")
            time.sleep(0.2)

    def _last_words(self, ended: list[subprocess.Popen[bytes]]) -> str:
        names = [str(process.args[0]) for process in ended]  # type: ignore[index]
        texts = [(self._directory / "log" / f"{name}.out").read_text(errors="replace")[-2000:] for name in names]
        return "\n".join([f"ended: {', '.join(names) or 'none'}", *texts])


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Run until standard input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for number in range(STARTS):
        try:
            run()
            return
        except NotUp as error:
            print(f"the S3 server did not start: {error}", file=sys.stderr)
            if number == STARTS - 1:
                raise SystemExit(1) from error


def run() -> None:
    """Start it, say where it is, and stop it when standard input ends."""
    with tempfile.TemporaryDirectory(prefix="mstbucket-rgw-") as directory:
        server = Rgw(Path(directory))
        try:
            server.start()
            told = {"endpoint": server.endpoint, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "region": REGION}
            print(json.dumps(told), flush=True)
            while os.read(sys.stdin.fileno(), 1 << 16):
                pass
        finally:
            server.stop()


if __name__ == "__main__":
    main()
