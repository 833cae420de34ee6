"""Which store a command works on: `--store`, the environment, the config file, or the user's default, in that order.

The first of them that names a store decides alone, so that no two are ever mixed. Nothing is read from the working
directory: `mst://photos/a` means the same object wherever one stands, and a directory that somebody else made cannot
redirect a command, or bring a database server's configuration with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mstbucket.blobs.media.places import is_url
from mstbucket.errors import InvalidInput

KEYS: Final = ("store", "database", "blobs", "postgres_bin")
VARIABLES: Final = {
    "store": "MSTBUCKET_STORE",
    "database": "MSTBUCKET_DATABASE",
    "blobs": "MSTBUCKET_BLOBS",
    "postgres_bin": "MSTBUCKET_PG_BIN",
}
_PASSWORDS: Final = (
    (re.compile(r"(?i)\b(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)"), r"\1***"),
    # Up to the last @ before the query: a password that was not percent-encoded may hold one, or a slash.
    (re.compile(r"(://[^:/?#@]*):[^?#]*@"), r"\1:***@"),
)


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a store is: an embedded one at `path`, or the parts of one on a server of the user's own.

    Attributes:
        path: directory of an embedded store, or None.
        database: connection string of the user's own server, or None. It may hold a password: print `shown`.
        blobs: directory or URL of the packs where they are not inside `path`.
        postgres_bin: directory of the Postgres programs for an embedded store, or None for the installed ones.
        source: who said so, for messages.
    """

    path: Path | None
    database: str | None = field(repr=False)
    blobs: Path | str | None = field(repr=False)
    postgres_bin: Path | None
    source: str

    @property
    def kind(self) -> str:
        """`embedded` or `server`."""
        return "server" if self.path is None else "embedded"

    @property
    def shown(self) -> str:
        """The place as it may be printed, without a password."""
        return str(self.path) if self.path is not None else redact(self.database or "")


def find_store(flag: str | None, environ: Mapping[str, str], home: Path | None) -> StorePlace:
    """Return the place of the store.

    Args:
        flag: what `--store` said.
        environ: the environment; empty variables count as unset.
        home: the user's home directory, or None where it is not known.

    Raises:
        InvalidInput: a source contradicts itself or leaves something out, or the config file cannot be read.
    """
    # [CLI-6] --store, environment, config file, default; the first that names a store decides alone
    file = config_file(environ, home)
    values = {name: environ.get(variable) or None for name, variable in VARIABLES.items()}
    settings = {} if file is None else _read(file, home)
    programs = values["postgres_bin"] or settings.get("postgres_bin")
    if flag is not None:
        if not flag or "://" in flag:
            raise InvalidInput(f"--store takes a directory, not {redact(flag)!r}; for a server of your own set "
                               "MSTBUCKET_DATABASE and MSTBUCKET_BLOBS")  # fmt: skip
        place = StorePlace(Path(flag), None, None, None, "--store")
    elif values["store"] or values["database"] or values["blobs"]:
        place = _place(values, VARIABLES, "the environment")
    elif any(settings.get(name) for name in ("store", "database", "blobs")):
        place = _place(settings, dict(zip(KEYS, KEYS, strict=True)), str(file))
    else:
        default = _xdg(environ, home, "XDG_DATA_HOME", ".local/share")
        if default is None:
            raise InvalidInput("there is no home directory, so no default store: say --store DIR")
        place = StorePlace(default, None, None, None, "the default")
    return replace(place, postgres_bin=Path(programs) if programs else None)


def home_directory(environ: Mapping[str, str]) -> Path | None:
    """The user's home directory: that of the environment, else that of the user database; None where neither has one.

    An empty HOME counts as unset, like every other variable; a relative one is no place.
    """
    home = environ.get("HOME")
    if not home:
        try:
            import pwd

            home = pwd.getpwuid(os.getuid()).pw_dir
        except (ImportError, KeyError):  # no such system, no such user
            return None
    return Path(home) if os.path.isabs(home) else None


def config_file(environ: Mapping[str, str], home: Path | None) -> Path | None:
    """The path of the config file, whether it is there or not; None where there is no home directory."""
    directory = _xdg(environ, home, "XDG_CONFIG_HOME", ".config")
    return None if directory is None else directory / "config.toml"


def redact(database: str) -> str:
    """A connection string without its password: `***` stands in its place ([CLI-24])."""
    for pattern, shown in _PASSWORDS:
        database = pattern.sub(shown, database)
    return database


def _place(values: Mapping[str, str | None], names: Mapping[str, str], source: str) -> StorePlace:
    store, database, blobs = values.get("store"), values.get("database"), values.get("blobs")
    if store and database:
        raise InvalidInput(f"{source} sets both {names['store']} and {names['database']}: drop one")
    if not store and not (database and blobs):
        there, missing = ("blobs", "database") if blobs else ("database", "blobs")
        raise InvalidInput(f"{source} sets {names[there]} but not {names[missing]}: a server of your own needs both")
    return StorePlace(
        Path(store) if store else None, database or None, _blobs(blobs) if blobs else None, None, source
    )


def _blobs(value: str) -> Path | str:
    return value if is_url(value) else Path(value)


def _read(file: Path, home: Path | None) -> dict[str, str]:
    """The settings of the config file; paths in it are relative to it, and `~` is the home directory."""
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the config file {file} cannot be read: {error}") from error
    import tomllib

    try:
        settings = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput(f"the config file {file} is not TOML: {error}") from error
    for name, value in settings.items():
        # [CLI-7] a misspelt setting is an error, not a silent default
        if name not in KEYS:
            raise InvalidInput(f"the config file {file} sets {name!r}; the settings are {', '.join(KEYS)}")
        if not isinstance(value, str):
            raise InvalidInput(f"the config file {file} sets {name!r} to something other than a text")
    return {
        name: str(file.parent / _expand(value, home)) if value and not _is_no_path(name, value) else value
        for name, value in settings.items()
    }


def _is_no_path(name: str, value: str) -> bool:
    return name == "database" or (name == "blobs" and is_url(value))


def _expand(path: str, home: Path | None) -> Path:
    if path == "~" or path.startswith("~/"):
        if home is None:
            raise InvalidInput(f"the home directory in {path!r} is not known: write the path in full")
        return home / path[2:]
    try:
        return Path(path).expanduser()  # ~somebody
    except RuntimeError as error:
        raise InvalidInput(f"the home directory in {path!r} is not known: write the path in full") from error


def _xdg(environ: Mapping[str, str], home: Path | None, variable: str, default: str) -> Path | None:
    # XDG Base Directory Specification: "If an implementation encounters a relative path […] it should […] ignore it."
    base = Path(environ.get(variable) or "")
    if base.is_absolute():
        return base / "mstbucket"
    return None if home is None else home / default / "mstbucket"
