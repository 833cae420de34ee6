"""What the gateway costs above the library: one worker, one connection, requests that were signed once and sent again.

The floor is the library's own call in this process, on the same store: what the gateway cannot leave out. Processor time is
that of the worker alone; this machine's client is another process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from rows import Row

import mstbucket

ROUNDS = 1500
_BODY = os.urandom(4096)
_LARGE = os.urandom(64 << 20)
_OVERHEAD = 150.0  # µs of processor time above the library, wanted on a quiet machine

_found = importlib.util.spec_from_file_location("wire", Path(__file__).parents[1] / "gateway" / "wire.py")
assert _found is not None
assert _found.loader is not None
wire = importlib.util.module_from_spec(_found)
_found.loader.exec_module(wire)


def run() -> list[Row]:
    """Small reads and writes by processor time, and a large body by the wall."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, mstbucket.open(f"{folder}/s", background=False) as store:
        bucket = store.create_bucket("bench")
        bucket.put_object("small", _BODY)
        command = [sys.executable, "-m", "mstbucket", "--json", "--store", f"{folder}/s", "serve", "--listen", "127.0.0.1:0"]
        environment = {**os.environ, "PYTHONPATH": str(Path(mstbucket.__file__).parents[1])}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            return _rows(bucket, SimpleNamespace(**json.loads(process.stdout.readline())), process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def _rows(bucket: mstbucket.Bucket, told: Any, parent: int) -> list[Row]:
    rows = []
    calls: list[tuple[str, bytes, Callable[[], object]]] = [
        ("GET", b"", lambda: bucket.get_object("small").read()),
        ("HEAD", b"", lambda: bucket.head_object("small")),
        ("PUT", _BODY, lambda: bucket.put_object("small", _BODY)),
    ]
    for method, body, call in calls:
        floor = _cpu(time.process_time, lambda call=call: [call() for _ in range(ROUNDS)])
        send = _sender(told, method, "/bench/small", body)
        send(100)
        [worker] = [p for p in psutil.Process(parent).children() if "spawn_main" in " ".join(p.cmdline())]
        spent = _cpu(lambda worker=worker: sum(worker.cpu_times()[:2]), lambda send=send: send(ROUNDS))
        above = (spent - floor) * 1e6
        target = f"<= {_OVERHEAD:g} µs"
        name = f"{method} of 4 KiB above the library"
        rows.append(Row(name, above, "µs CPU", "the library", spent / floor, target, above <= _OVERHEAD))
    start = time.perf_counter()
    bucket.put_object("library", _LARGE)
    floor = time.perf_counter() - start
    start = time.perf_counter()
    _sender(told, "PUT", "/bench/gateway", _LARGE)(1)
    spent = time.perf_counter() - start
    rows.append(Row("64 MiB up", 64 / spent, "MiB/s", "the library", floor / spent, ">= 0.7x", spent <= floor / 0.7))
    return rows


def _cpu(clock: Callable[[], float], work: Callable[[], object]) -> float:
    """Processor seconds of one of ROUNDS."""
    start = clock()
    work()
    return (clock() - start) / ROUNDS


def _sender(told: Any, method: str, path: str, body: bytes) -> Callable[[int], None]:
    """Sends a signed request so many times over one connection, each after the answer to the one before."""
    gateway = SimpleNamespace(endpoint=told.endpoint, access_key=told.access_key, secret_key=told.secret_key)
    head = wire.head(method, path, {**wire.sign(gateway, method, path, body=body), "content-length": str(len(body))})
    connection = wire.Wire(int(told.endpoint.rpartition(":")[2]))
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(times: int) -> None:
        for _ in range(times):
            connection.send(head + body)
            status, _, _ = connection.answer(method)
            assert status == 200, status

    return send
