"""Run benchmarks and print their figures: `python tests/bench/run.py [tree car store …]`, all of them by default."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    """Print a table; 1 if a target was missed."""
    sys.path.insert(0, str(HERE))
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    missed = 0
    for name in names or known:
        print(f"\n{name}\n{'figure':44} {'value':>12} {'unit':8} {'of floor':>9}  {'target':18} floor")
        for row in importlib.import_module(f"bench_{name}").run():
            missed += not row.met
            mark = "" if row.met else "  MISSED"
            print(
                f"{row.name:44} {row.value:12,.1f} {row.unit:8} {row.ratio:9.2f}  {row.target:18} {row.floor_name}{mark}",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
