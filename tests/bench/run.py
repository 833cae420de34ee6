"""Print the figures of `bench_*.py`: `python tests/bench/run.py [name …]`, a name being `tree` for `bench_tree.py`.

Ends with status 1 if a target is missed.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from rows import Row  # noqa: E402


def table(rows: list[Row]) -> str:
    head = ("figure", "value", "unit", "of floor", "floor", "target", "")
    cells = [head] + [
        (
            row.name,
            f"{row.value:,.4g}" if row.value < 1e4 else f"{row.value:,.0f}",
            row.unit,
            f"{row.ratio:.2f}",
            row.floor_name,
            row.target,
            "ok" if row.met else "MISSED",
        )
        for row in rows
    ]
    widths = [max(len(line[at]) for line in cells) for at in range(len(head))]
    right = (1, 3)
    return "\n".join(
        "  ".join(
            text.rjust(width) if at in right else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def main(names: list[str]) -> int:
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = set(names) - set(known)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    missed = 0
    for name in names or known:
        rows: list[Row] = importlib.import_module(f"bench_{name}").run()
        print(f"{name}\n{table(rows)}\n", flush=True)
        missed += sum(not row.met for row in rows)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
