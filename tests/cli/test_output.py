"""Texts, JSON and progress bars."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import TextIO

import pytest

from mstbucket.cli import progress
from mstbucket.cli.output import Output, count, human_size, iso


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 Bytes"), (1, "1 Byte"), (1023, "1023 Bytes"), (1024, "1.0 KiB"), (1536, "1.5 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"), (1024**2, "1.0 MiB"), (10 * 1024**3, "10.0 GiB"), (5 * 1024**4, "5.0 TiB"),
        (1024**5, "1.0 PiB"), (1024**6, "1.0 EiB"), (2**63, "8.0 EiB"), (1024**7, "1024.0 EiB"),
    ],
)  # fmt: skip
def test_sizes_for_people(size: int, shown: str) -> None:
    assert human_size(size) == shown


def test_counts() -> None:
    assert [count(0, "key"), count(1, "key"), count(2048, "entry", "entries")] == ["0 keys", "1 key", "2,048 entries"]


def test_times_are_utc_with_milliseconds() -> None:
    """[CLI-8]"""
    assert iso(datetime(2026, 11, 21, 9, 5, tzinfo=UTC)) == "2026-11-21T09:05:00.000Z"
    there = timezone(timedelta(hours=5, minutes=30))
    assert iso(datetime(2026, 1, 1, 0, 0, 0, 123999, tzinfo=there)) == "2025-12-31T18:30:00.123Z"


def test_json_is_one_ascii_line(capsys: pytest.CaptureFixture[str]) -> None:
    """[CLI-8]"""
    out = Output(as_json=True, quiet=True)
    out.report({"key": "é\n\u2028😀", "time": datetime(2026, 1, 1, tzinfo=UTC), "none": None}, "text")
    expected = '{"key": "\\u00e9\\n\\u2028\\ud83d\\ude00", "time": "2026-01-01T00:00:00.000Z", "none": null}\n'
    assert capsys.readouterr().out == expected


def test_quiet_leaves_out_progress_but_not_results(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False, quiet=True)
    out.report({}, "progress")
    out.emit({}, "result")
    assert capsys.readouterr().out == "result\n"


def test_an_error_comes_behind_the_results_before_it_also_where_both_go_to_one_file() -> None:
    """[CLI-1] `verify … > log 2>&1` lists what is hurt, and then says how much that is."""
    script = "from mstbucket.cli.output import Output, complain; Output(False, False).emit({}, 'hurt'); complain('1 hurt')"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    assert done.stdout == b"hurt\nmstbucket: error: 1 hurt\n"


# --- progress bars ---


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, after: float, *, quiet: bool) -> str:
    """What a terminal shows of a piece of work; *after* so many seconds of it a bar may appear."""
    monkeypatch.setattr(progress, "AFTER", after)
    monkeypatch.setenv("TERM", "xterm")
    screen, device = pty.openpty()
    with os.fdopen(device, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        with progress.bar("export it", 1000, quiet=quiet) as tell:
            tell(10)
            tell(1000)
        stderr.write("|")  # so that there is something to read in any case
        stderr.flush()
        text = ""
        while not text.endswith("|"):  # a terminal gives what it has by now
            text += os.read(screen, 100_000).decode()
    os.close(screen)
    return text


def test_long_work_on_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-1] on standard error."""
    text = shown_on_a_terminal(monkeypatch, 0.0, quiet=False)
    assert "export it" in text
    assert "1,000 of 1,000 bytes" in text
    assert text.endswith("\r\x1b[K|")  # and it is taken away


@pytest.mark.parametrize(("after", "quiet"), [(1000.0, False), (0.0, True)], ids=["short work", "quiet work"])
def test_other_work_has_none(monkeypatch: pytest.MonkeyPatch, after: float, quiet: bool) -> None:
    assert shown_on_a_terminal(monkeypatch, after, quiet=quiet) == "|"


def test_without_a_terminal_there_is_none(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "AFTER", 0.0)
    stderr: TextIO = sys.stderr
    assert not stderr.isatty()
    with progress.bar("export it") as tell:
        tell(1000)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("columns", [20, 40, 80, 120, 300])
@pytest.mark.parametrize(
    ("done", "total", "objects", "of", "rate"),
    [
        (0, None, None, None, 0.0), (10, 1000, None, None, 0.0), (5 * 1024**3, 11 * 1024**3, 2000, 123_456, 12_345_678.9),
        (5 * 1024**3, None, 2000, None, 12_345_678.9), (2000, 1000, 3, 2, 1.0), (0, 0, 0, 0, 0.0), (1, 2**60, 1, 1, 0.001),
    ],
)  # fmt: skip
def test_the_line_of_progress_fits_the_terminal(
    done: int, total: int | None, objects: int | None, of: int | None, rate: float, columns: int
) -> None:
    """[CLI-151] a line that goes on in the next one could not be drawn over."""
    text = progress.line("upload to mst://photos/a/long/prefix/of/photos", done, total, objects, of, rate, columns)
    assert 0 < len(text) < columns


def test_the_line_of_progress_has_one_unit_objects_rate_and_time_left() -> None:
    """[CLI-151]"""
    figures = (3 * 1024**2, 12 * 1024**2, 30, 120, 1024.0**2)
    shown = {columns: progress.line("upload to mst://photos", *figures, columns) for columns in (80, 120)}
    tail = " 25 %  3.0 of 12.0 MiB  30 of 120 objects  1.0 MiB/s  0:09 left"
    assert shown[120].endswith(tail)
    assert shown[120].startswith("upload to mst://photos  ")
    assert shown[80].endswith(tail)


def test_an_estimate_is_marked_and_never_says_that_all_is_done() -> None:
    """[CLI-161]"""
    figures = (3 * 1024**2, 12 * 1024**2, None, None, 1024.0**2, 80)
    assert progress.line("export", *figures, about=True).endswith(" ~25 %  3.0 of ~12.0 MiB  1.0 MiB/s  ~0:09 left")
    assert "~99 %" in progress.line("export", 5000, 4000, None, None, 1.0, 80, about=True)
    assert "100 %" in progress.line("export", 5000, 5000, None, None, 1.0, 80)


def test_an_unknown_total_says_so() -> None:
    """[CLI-161]"""
    text = progress.line("export", 3 * 1024**2, None, None, None, 1024.0**2, 80)
    assert text.endswith("3.0 MiB  1.0 MiB/s  total unknown")


def test_the_line_makes_room_for_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-151]"""
    monkeypatch.setattr(progress, "AFTER", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    screen, device = pty.openpty()
    with os.fdopen(device, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        patch.setattr(sys, "stdout", terminal)
        with progress.bar("work", 10) as tell:
            tell(5)
            Output(as_json=False, quiet=False).emit({}, "a result")
        terminal.write("|")
        terminal.flush()
        text = ""
        while not text.endswith("|"):
            text += os.read(screen, 100_000).decode()
    os.close(screen)
    assert "\r\x1b[Ka result\r\n" in text
