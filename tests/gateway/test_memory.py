"""What uploads hold that stand still: of memory by a count, and of a real process."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import psutil
import pytest

from mstbucket.errors import StorageError
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.wire import gather
from mstbucket.gateway.wire.gather import Gathered, Room
from mstbucket.limits import KIB, MIB
from mstbucket.model.objects import PutRequest
from mstbucket.services.blocks import incoming
from mstbucket.services.objects.put import put_one

STREAMS = 200
HELD_MAX = 150 * MIB


class Slow:
    """A source that gives a piece each time it is let; it raises at its end where it is told to."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self.error = error

    def read(self, size: int) -> bytes:
        if self.pieces:
            piece, self.pieces[0] = self.pieces[0][:size], self.pieces[0][size:]
            if not self.pieces[0]:
                del self.pieces[0]
            return piece
        if self.error is not None:
            raise self.error
        return b""


@pytest.mark.parametrize("left", [0, 1, 70, 100, 1000])
@pytest.mark.parametrize("sizes", [(), (100,), (60, 60, 60, 60), (1, 99, 1), (300,)])
def test_what_is_gathered_is_what_came_wherever_it_waited(left: int, sizes: tuple[int, ...]) -> None:
    """[GW-62] In memory, in a file, or first there and then here."""
    pieces = [os.urandom(size) for size in sizes]
    room = Room(left)
    reader = Gathered(Slow(*pieces), room)
    got = []
    while piece := reader.read(100):
        got.append(piece)
    assert b"".join(got) == b"".join(pieces)
    assert [len(piece) for piece in got[:-1]] == [100] * (len(got) - 1)
    assert room.left == left


@pytest.mark.parametrize("left", [0, 1000])
def test_a_source_that_fails_gives_its_room_back(left: int) -> None:
    """[GW-62]"""
    room = Room(left)
    with pytest.raises(Refused, match="gone"):
        Gathered(Slow(b"x" * 10, error=Refused("RequestTimeout", "gone")), room).read(100)
    assert room.left == left


def test_a_disk_without_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gather.tempfile, "TemporaryFile", full)
    with pytest.raises(StorageError, match="No space left"):
        Gathered(Slow(b"x" * 10), Room(0)).read(100)


def test_puts_that_stand_still_hold_little_of_whole_chunks_together(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[PUT-10] A put asks after 3 MiB, and after one where many wait."""
    monkeypatch.setattr(incoming, "TOGETHER", 4 * MIB)
    store.create_bucket("slow")
    context = store._context
    go = threading.Event()
    arrived = threading.Barrier(13)

    class Stalled:
        def __init__(self) -> None:
            self.left = 2 * MIB + MIB // 2

        def read(self, size: int) -> bytes:
            if self.left == 0 and not go.is_set():
                arrived.wait(60)
                go.wait(60)
            piece = os.urandom(min(size, self.left))
            self.left -= len(piece)
            return piece

    puts = [
        threading.Thread(target=put_one, args=(context, "slow", PutRequest(str(number), Stalled()))) for number in range(12)
    ]
    for put in puts:
        put.start()
    arrived.wait(60)
    held = context.waiting.bytes
    go.set()
    for put in puts:
        put.join(60)
    assert held <= 4 * MIB + 3 * MIB
    assert context.waiting.bytes == 0
    assert len(list(store.bucket("slow").objects())) == 12


def stalled(gateway: Any, wire: Any, bucket: str, streams: int, sent: int) -> list[Any]:
    """Connections on which an upload of 1 GiB stands still."""
    connections = []
    data = os.urandom(sent)
    for number in range(streams):
        path = f"/{bucket}/{number}"
        signed = wire.sign(gateway, "PUT", path, payload="UNSIGNED-PAYLOAD")
        connection = wire.Wire(gateway.port)
        connection.send(wire.head("PUT", path, {**signed, "content-length": str(1 << 30)}))
        connection.send(data)
        connections.append(connection)
    return connections


def held_by(process: psutil.Process) -> int:
    """Bytes of memory that are the process's own, once they do not change any more."""
    held = -1
    while (now := process.memory_full_info().uss) != held:
        held = now
        time.sleep(1)
    return held


@pytest.mark.slow
@pytest.mark.parametrize("sent", [0, 900 * KIB, 2900 * KIB])
def test_a_process_holds_little_under_many_uploads_that_stand_still(
    serve: Any, wire: Any, sent: int
) -> None:
    """[GW-62] Before the first chunk, in it, and behind some."""
    gateway = serve()
    gateway.client().create_bucket(Bucket="held")
    [worker] = [one for one in psutil.Process(gateway.process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
    connections = stalled(gateway, wire, "held", STREAMS, sent)
    assert held_by(worker) < HELD_MAX
    assert gateway.client().put_object(Bucket="held", Key="beside", Body=b"x")["ETag"]
    for connection in connections:
        connection.close()
