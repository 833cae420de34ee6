"""Real stores and directories on both sides, and what a sync between them did."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket.sync.directory import Directory
from mstbucket.sync.engine import Event, Removed, Summary
from mstbucket.sync.filters import Filters
from mstbucket.sync.mover import Failed, Moved
from mstbucket.sync.objects import Objects
from mstbucket.sync.plan import How
from mstbucket.sync.run import Options, Side, sync

LONG_AGO = 1_000_000_000  # seconds since 1970


@dataclass
class Did:
    """What one sync told, by key."""

    summary: Summary
    copied: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty directory."""
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.fixture
def run() -> Callable[..., Did]:
    """Runs one sync; the sides are directories, buckets, or sides."""

    def side(place: Any, wanted: Filters, told: list[tuple[str, bool]], follow: bool) -> Side:
        if isinstance(place, Path):
            return Directory(str(place), wanted, lambda text, failed: told.append((text, failed)), follow=follow)
        return Objects(place, "", wanted) if isinstance(place, mstbucket.Bucket) else place

    def run_(
        source: Any, target: Any, *, how: How = How.QUICK, delete: bool = False, dry_run: bool = False, workers: int = 3,
        rules: tuple[tuple[bool, str], ...] = (), follow: bool = True,
    ) -> Did:  # fmt: skip
        events: list[Event] = []
        told: list[tuple[str, bool]] = []
        wanted = Filters(rules)
        options = Options(how, delete, dry_run, workers)
        sides = side(source, wanted, told, follow), side(target, wanted, told, False)
        did = Did(sync(*sides, options, events.append, lambda _: None))
        for event in events:
            if isinstance(event, Moved):
                assert did.copied.setdefault(event.step.source.key, event.step.why) is event.step.why
            elif isinstance(event, Failed):
                did.failed[event.step.source.key] = str(event.error)
            elif isinstance(event, Removed):
                assert event.error is None
                did.deleted.add(event.target.key)
        did.failed |= {text: "" for text, failed in told if failed}
        return did

    return run_


@pytest.fixture
def write() -> Callable[..., None]:
    """Makes files, last touched long ago as far as their time of modification goes; a body of None removes one."""

    def write_(root: Path, files: dict[str, bytes | None]) -> None:
        for name, body in files.items():
            path = root / name
            if body is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            os.utime(path, (LONG_AGO, LONG_AGO))

    return write_


def read_tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def read_bucket(bucket: mstbucket.Bucket) -> dict[str, bytes]:
    return {item.key: bucket.get_object(item.key).read() for item in bucket.objects()}


@pytest.fixture
def contents() -> Callable[[Any], dict[str, bytes]]:
    """What a directory or a bucket holds."""
    return lambda place: read_tree(place) if isinstance(place, Path) else read_bucket(place)
