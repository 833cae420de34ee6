"""A blob store that fails and lies, around any other: seeded, so that what it did can be done again."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import islice
from typing import Final

from mstbucket.blobs.base import BlobInfo, BlobStore, BlobWriter
from mstbucket.blobs.names import check_name
from mstbucket.errors import InvalidInput, MstBucketError, NoSuchBlob, OutcomeUnknown, StorageError

_NAMES: Final = 64  # names remembered, whose bytes a misdirected read may give
_TRIES: Final = 4  # of finding other bytes for one misdirected read


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong how often: probabilities per call, from 0 to 1, in all at most 1.

    The first three break no promise of `BlobStore`: each is told by a declared error. The last three are lies.

    Attributes:
        seed: of the choices; the same calls in the same order meet the same faults.
        error: the call is refused, and nothing was done.
        lost: the call was done, and its acknowledgement is lost: `OutcomeUnknown` of a write or a delete, a plain
            `StorageError` of a read.
        late: as `lost` of a write or a delete, but it is done only after one to `late_calls` later calls.
        truncated: a range comes back with fewer bytes.
        flipped: a range comes back with one bit changed.
        misdirected: a range comes back with the bytes of another blob.
        late_calls: how many later calls may go before a late one, at most.
    """

    seed: int = 0
    error: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    truncated: float = 0.0
    flipped: float = 0.0
    misdirected: float = 0.0
    late_calls: int = 8

    def __post_init__(self) -> None:
        chances = [getattr(self, kind) for kind in KINDS]
        if min(chances) < 0 or sum(chances) > 1 or self.late_calls < 1:
            rule = "chances are 0 or more, together at most 1; late_calls is 1 or more"
            raise InvalidInput(f"{self} is no set of faults: {rule}")


KINDS: Final = tuple(field.name for field in fields(Faults) if field.name not in {"seed", "late_calls"})


class FaultyBlobs(BlobStore):
    """The blobs of another store, with `faults` on the way. Thread-safe if that one is; repeatable from one thread.

    With no faults it is that other store: it passes `BlobStoreContract`. A listing is never cut short silently, since
    nobody could notice; it fails at the start or in the middle. Names and bytes are checked by the other store.
    """

    def __init__(self, blobs: BlobStore, faults: Faults) -> None:
        self.reading = blobs.reading
        self._blobs = blobs
        self._faults = faults
        self._random = random.Random(faults.seed)
        self._lock = threading.Lock()
        self._calls = 0
        self._injected: Counter[str] = Counter()
        self._late: list[tuple[int, Callable[[], object]]] = []
        self._names: dict[str, None] = {}

    @property
    def calls(self) -> int:
        """Calls so far; each `write` and `commit` of a writer is one."""
        return self._calls

    @property
    def injected(self) -> dict[str, int]:
        """How often each kind of fault was met so far."""
        return dict(self._injected)

    def stop(self) -> None:
        """Let everything succeed from now on. What is late is done now."""
        with self._lock:
            self._faults = Faults()
            late, self._late = self._late, []
        for _, effect in late:
            _unheard(effect)

    def open_write(self, name: str) -> BlobWriter:
        self._meet(f"the writing of {check_name(name)}", "error")
        return _Writer(self, name, self._blobs.open_write(name))

    def put_if_absent(self, name: str, data: bytes) -> None:
        check_name(name)
        held = bytes(data)
        self._write(f"the writing of {name}", lambda: self._blobs.put_if_absent(name, held))
        self._remember(name)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        kind = self._ask(f"the reading of {check_name(name)}", "truncated", "flipped", "misdirected")
        data = self._blobs.get_range(name, start, length)
        self._remember(name)
        if kind is None or not data:
            return data
        answer = self._misdirected(name, start, data) if kind == "misdirected" else self._damaged(kind, data)
        if answer != data:
            self._count(kind)
        return answer

    def head(self, name: str) -> BlobInfo:
        self._ask(f"the question about {check_name(name)}")
        return self._blobs.head(name)

    def list(self, prefix: str = "", after: str = "") -> Iterator[BlobInfo]:
        what = f"the listing of {prefix!r}"
        if self._meet(what, "error", "lost") is None:
            yield from self._blobs.list(prefix, after)
            return
        yield from islice(self._blobs.list(prefix, after), self._draw(10))
        raise StorageError(f"{self._count('lost')}: {what} broke off: repeat it")

    def delete(self, name: str) -> None:
        self.delete_many((name,))

    def delete_many(self, names: Iterable[str]) -> None:
        held = [check_name(name) for name in names]
        self._write(f"the deletion of {', '.join(held)}", lambda: self._blobs.delete_many(held))

    def distrust(self, name: str) -> None:
        self._blobs.distrust(name)

    def release(self) -> None:
        self._blobs.release()

    # --- what goes wrong ---

    def _write(self, what: str, effect: Callable[[], object], refused: Callable[[], object] | None = None) -> None:
        """Run *effect* now, later, or never, as the fault says; run *refused* if it is never."""
        try:
            kind = self._meet(what, "error", "lost", "late")
        except StorageError:
            if refused is not None:
                refused()
            raise
        if kind == "late":
            with self._lock:
                self._late.append((self._calls + 2 + self._random.randrange(self._faults.late_calls), effect))
        elif kind == "lost":
            _unheard(effect)
        else:
            effect()
            return
        raise OutcomeUnknown(f"{self._count(kind)}: {what} was not acknowledged: read before you repeat it")

    def _ask(self, what: str, *lies: str) -> str | None:
        """Meet the faults of a call that changes nothing: it does not matter whether it was done."""
        kind = self._meet(what, "error", "lost", *lies)
        if kind == "lost":
            raise StorageError(f"{self._count(kind)}: the answer to {what} is lost: repeat it")
        return kind

    def _meet(self, what: str, *kinds: str) -> str | None:
        """Count a call, do what is late, and choose the fault of this call; "error" is raised here."""
        with self._lock:
            self._calls += 1
            due = [effect for at, effect in self._late if at <= self._calls]
            self._late = [(at, effect) for at, effect in self._late if at > self._calls]
            chance = self._random.random()
            chosen = None
            for kind in KINDS:
                chance -= getattr(self._faults, kind)
                if chance < 0:
                    chosen = kind if kind in kinds else None
                    break
        for effect in due:
            _unheard(effect)
        if chosen == "error":
            raise StorageError(f"{self._count(chosen)}: {what} was refused: repeat it")
        return chosen

    def _count(self, kind: str) -> str:
        """Count a fault that was met; return its name for messages."""
        with self._lock:
            self._injected[kind] += 1
        return "a fault made on purpose"

    def _draw(self, bound: int) -> int:
        with self._lock:
            return self._random.randrange(bound)

    def _damaged(self, kind: str, data: bytes) -> bytes:
        if kind == "truncated":
            return data[: self._draw(len(data))]
        bit = self._draw(8 * len(data))
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    def _misdirected(self, name: str, start: int, data: bytes) -> bytes:
        """As many bytes of another blob that was used lately; `data` if no such blob has other bytes."""
        with self._lock:
            others = [other for other in self._names if other != name]
            self._random.shuffle(others)
        for other in others[:_TRIES]:
            try:
                size = self._blobs.head(other).size
                length = min(size, len(data))
                part = self._blobs.get_range(other, min(start, size - length), length)
            except NoSuchBlob:
                continue
            if part and (found := (part * -(-len(data) // len(part)))[: len(data)]) != data:
                return found
        return data

    def _remember(self, name: str) -> None:
        with self._lock:
            self._names[name] = None
            if len(self._names) > _NAMES:
                del self._names[next(iter(self._names))]


class _Writer(BlobWriter):
    def __init__(self, store: FaultyBlobs, name: str, inner: BlobWriter) -> None:
        self._store = store
        self._name = name
        self._inner: BlobWriter | None = inner
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        try:
            self._store._meet(f"the writing of {self._name}", "error")
        except StorageError:
            self.abort()
            raise
        self._alive().write(data)

    def commit(self) -> int:
        inner = self._alive()

        def effect() -> None:
            self._size = inner.commit()

        self._inner = None  # before it is known how it ends: a late one must not be aborted any more
        self._store._write(f"the writing of {self._name}", effect, inner.abort)
        self._store._remember(self._name)
        return self._size

    def abort(self) -> None:
        if self._inner is not None:
            self._inner.abort()
            self._inner = None

    def _alive(self) -> BlobWriter:
        if self._inner is None:
            raise InvalidInput(f"the writing of blob {self._name} has ended: begin it again with open_write")
        return self._inner


def _unheard(effect: Callable[[], object]) -> None:
    """Do what nobody waits for. Nobody hears of a failure either: it may have been repeated meanwhile."""
    with suppress(MstBucketError):
        effect()
