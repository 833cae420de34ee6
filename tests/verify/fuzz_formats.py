"""Changed files of every kind against what reads them: `python tests/verify/fuzz_formats.py SECONDS [SEED]`.

Exports, deltas, and proofs of keys, pages, parts and changes are changed at random: bytes, sections, blocks, links and
fields, with the names above made to fit again. Whatever comes, there is an answer or a declared error. Deltas go into a real
store, too, where they must not move the bucket unless all of its later state verifies. The first finding ends it, with its
file.
"""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from judge_shop.mutants import mutants, second_name

import mstbucket
from mstbucket.errors import MstBucketError

FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
NO_COMMIT: Final = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"
BATCH: Final = 200  # changed files made with one seed
STORED: Final = 200  # of the changed deltas, one in so many goes into the store, which takes seconds

Read = Callable[[bytes], object]


def golden(folder: str) -> list[bytes]:
    """The golden files of a folder, but for large ones."""
    return [path.read_bytes() for path in sorted((FIXTURES / folder).glob("*.car")) if path.stat().st_size < 300_000]


def proof(data: bytes) -> object:
    """Check a proof against the commit that it names itself."""
    return mstbucket.check_proof(io.BytesIO(data), second_name(data, NO_COMMIT))


class Deltas:
    """A base, a delta from it, and a store that has the base."""

    def __init__(self, store: mstbucket.Store, folder: Path) -> None:
        bucket = store.create_bucket("source")
        bucket.put_bucket_versioning("Enabled")
        for n in range(80):
            bucket.put_object(f"k{n % 60}", b"%d" % n)
        first = bucket.flush().cid
        self._folder, self._store, self._first = folder, store, first
        bucket.export_car(folder / "base.car")
        for n in range(6):
            bucket.put_object(f"k{n * 9}", b"new %d" % n)
        bucket.delete_object("k5")
        bucket.flush()
        bucket.export_delta(first, folder / "delta.car")
        self.delta = (folder / "delta.car").read_bytes()
        self._numbers = count()
        self._copy = self._made()

    def join(self, data: bytes) -> object:
        """Join a changed delta with the base."""
        if next(self._numbers) % STORED == 0:
            self._bring(data)
        (self._folder / "changed.car").write_bytes(data)
        return mstbucket.join_cars(self._folder / "base.car", self._folder / "changed.car", io.BytesIO())

    def _bring(self, data: bytes) -> None:
        """Import it: a bucket that has moved is whole and true, and one that was refused has not moved."""
        refused = False
        try:
            self._store.import_car(io.BytesIO(data), self._copy.name)
        except MstBucketError:
            refused = True
        moved = self._copy.head_commit() != self._before
        assert not (refused and moved)
        if moved:
            self._copy.verify()
            self._copy = self._made()

    def _made(self) -> mstbucket.Bucket:
        made = self._store.import_car(self._folder / "base.car", f"copy-{next(self._numbers)}")
        self._before = made.head_commit()
        return made


def run(seconds: float, seed: int) -> Counter[str]:
    """Change files and read them for that long; how many there were of each kind, and of each answer."""
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place, mstbucket.open(Path(place) / "store", background=False) as store:
        deltas = Deltas(store, Path(place))
        kinds: dict[str, tuple[list[bytes], Read]] = {
            "export": (golden("exports"), lambda data: mstbucket.verify_car(io.BytesIO(data))),
            "proof": (golden("proofs"), proof),
            "part": (golden("part-proofs"), proof),
            "changes": (golden("change-proofs"), proof),
            "delta": ([deltas.delta], deltas.join),
        }
        for batch in count(seed):
            for kind, (bases, read) in kinds.items():
                for data in mutants(bases, batch, BATCH):
                    try:
                        read(data)
                        answer = "good"
                    except MstBucketError as error:
                        answer = type(error).__name__
                    except BaseException:
                        Path("finding.car").write_bytes(data)
                        print(f"a finding of {kind}, in batch {batch}: its file is finding.car", file=sys.stderr)
                        raise
                    done[kind] += 1
                    done[f"{kind}: {answer}"] += 1
            if time.monotonic() > end:
                return done
    raise AssertionError


if __name__ == "__main__":
    found = run(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for name, number in sorted(found.items()):
        print(f"{number:9,}  {name}")
    print(f"{sum(n for name, n in found.items() if ':' not in name):9,}  in all; at most "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB of memory")  # fmt: skip
