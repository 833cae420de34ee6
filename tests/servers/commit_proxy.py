"""A proxy in front of a PostgreSQL server that loses the first COMMIT, or the answer to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from psycopg import conninfo

SYNC: Final = b"S\0\0\0\4"  # by itself: it ends the implicit transaction of a pipeline


class Proxy:
    """Stands between client and server, and at the first COMMIT does what it was told; without `armed`, nothing."""

    def __init__(self, folder: Path, target: str) -> None:
        self.target = conninfo.conninfo_to_dict(target)
        self.at_commit: Callable[[], bool] = lambda: True  # False: the server never sees it
        self.armed = True
        self.refuse = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self.url = conninfo.make_conninfo(target, host=str(folder), port=5432)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if client.recv(1, socket.MSG_PEEK) == b"q":
                client.close()
                return
            if self.refuse:
                client.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(f"{self.target['host']}/.s.PGSQL.{self.target['port']}")
            except OSError:
                client.close()
                server.close()
                continue
            cut = threading.Event()
            for source, sink, watch in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._forward, args=(source, sink, watch, cut))
                thread.start()
                self._threads.append(thread)

    def _forward(self, source: socket.socket, sink: socket.socket, from_client: bool, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_client and self.armed and (b"COMMIT\0" in data or data == SYNC):
                    cut.set()  # no answer passes any more
                    if self.at_commit():
                        sink.sendall(data)
                        time.sleep(0.1)  # the server commits; its answer goes nowhere
                    break
                if not from_client and cut.is_set():
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if not from_client:
            source.close()
            sink.close()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._listener.getsockname())
            last.sendall(b"q")
            self._threads[0].join()
        self._listener.close()
        for thread in self._threads[1:]:
            thread.join()
