"""Which store a command works on ([CLI-6], [CLI-7], [CLI-24])."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from mstbucket.cli.config import StorePlace, find_store, home_directory, redact
from mstbucket.errors import InvalidInput


def write(home: Path, text: str) -> Path:
    file = home / ".config" / "mstbucket" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_the_default_is_in_the_users_data_directory(tmp_path: Path) -> None:
    """[CLI-6]"""
    place = find_store(None, {}, tmp_path)
    assert place == StorePlace(tmp_path / ".local/share/mstbucket", None, None, None, "the default")
    assert find_store(None, {"XDG_DATA_HOME": "/data"}, tmp_path).path == Path("/data/mstbucket")
    assert find_store(None, {"XDG_DATA_HOME": "data"}, tmp_path).path == tmp_path / ".local/share/mstbucket"


def test_the_first_that_names_a_store_decides_alone(tmp_path: Path) -> None:
    """[CLI-6] flag, environment, file; nothing of the others is mixed in."""
    file = write(tmp_path, 'database = "postgresql://file/db"\nblobs = "packs"\npostgres_bin = "/pg"\n')
    environ = {"MSTBUCKET_STORE": "/env", "MSTBUCKET_BLOBS": "/env-blobs"}
    assert find_store("flag", environ, tmp_path) == StorePlace(Path("flag"), None, None, Path("/pg"), "--store")
    assert find_store(None, environ, tmp_path) == StorePlace(
        Path("/env"), None, Path("/env-blobs"), Path("/pg"), "the environment"
    )
    assert find_store(None, {"MSTBUCKET_STORE": "", "MSTBUCKET_PG_BIN": "/mine"}, tmp_path) == StorePlace(
        None, "postgresql://file/db", file.parent / "packs", Path("/mine"), str(file)
    )


def test_a_server_of_ones_own(tmp_path: Path) -> None:
    """[CLI-6]"""
    environ = {"MSTBUCKET_DATABASE": "host=db", "MSTBUCKET_BLOBS": "/packs"}
    place = find_store(None, environ, tmp_path)
    assert place == StorePlace(None, "host=db", Path("/packs"), None, "the environment")
    assert place.kind == "server"


def test_the_packs_may_be_at_a_url(tmp_path: Path) -> None:
    """[CLI-6] [CLI-7] [S3B-15] which is taken as it is, and never printed with a secret in it ([CLI-24])"""
    url = "s3://bucket/p?endpoint=http://localhost:9000"
    assert find_store(None, {"MSTBUCKET_DATABASE": "host=db", "MSTBUCKET_BLOBS": url}, tmp_path).blobs == url
    write(tmp_path, f'database = "host=db"\nblobs = "{url}"')
    assert find_store(None, {}, tmp_path).blobs == url
    assert find_store(None, {"MSTBUCKET_STORE": "/s", "MSTBUCKET_BLOBS": "memory:"}, tmp_path).blobs == "memory:"
    assert redact("s3://AKIA:canary@bucket/p") == "s3://AKIA:***@bucket/p"


def test_paths_in_the_file_are_relative_to_it(tmp_path: Path) -> None:
    """[CLI-7] and `~` is the home directory that was found, not the one that HOME names though it is empty."""
    file = write(tmp_path, 'store = "here"')
    assert find_store(None, {}, tmp_path).path == file.parent / "here"
    for text, path in (("~/here", tmp_path / "here"), ("~", tmp_path), ("~root/here", Path("~root/here").expanduser())):
        file.write_text(f'store = "{text}"')
        assert find_store(None, {}, tmp_path).path == path
    elsewhere = {"XDG_CONFIG_HOME": str(file.parent.parent)}
    file.write_text('store = "~/here"')
    with pytest.raises(InvalidInput, match="is not known"):
        find_store(None, elsewhere, None)


def test_an_empty_home_counts_as_unset() -> None:
    """[CLI-6] then it is the one of the user database, and not the root directory."""
    mine = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert home_directory({}) == home_directory({"HOME": ""}) == mine
    assert home_directory({"HOME": "/somebody"}) == Path("/somebody")
    assert home_directory({"HOME": "somebody"}) is None


def test_the_working_directory_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLI-6] a directory that somebody else made cannot redirect a command."""
    monkeypatch.chdir(tmp_path)
    for name in ("mstbucket.toml", "config.toml"):
        (tmp_path / name).write_text('store = "/elsewhere"')
    (tmp_path / ".mstbucket" / "postgres").mkdir(parents=True)
    assert find_store(None, {}, tmp_path / "home").source == "the default"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"MSTBUCKET_STORE": "a", "MSTBUCKET_DATABASE": "b"}, "sets both MSTBUCKET_STORE and MSTBUCKET_DATABASE"),
        ({"MSTBUCKET_DATABASE": "b"}, "sets MSTBUCKET_DATABASE but not MSTBUCKET_BLOBS"),
        ({"MSTBUCKET_BLOBS": "b"}, "sets MSTBUCKET_BLOBS but not MSTBUCKET_DATABASE"),
    ],
    ids=["two stores", "no blobs", "no database"],
)
def test_a_source_that_contradicts_itself(environ: dict[str, str], says: str, tmp_path: Path) -> None:
    """[CLI-6]"""
    with pytest.raises(InvalidInput, match=says):
        find_store(None, environ, tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stroe = 'a'", "sets 'stroe'; the settings are store, database, blobs, postgres_bin"),
        ("store = 1", "sets 'store' to something other than a text"),
        ("store", "is not TOML"),
        ("a = " + "[" * 10_000, "is not TOML"),
        ("[store]\npath = 'a'", "sets 'store' to something other than a text"),
        ("store = 'a'\ndatabase = 'b'", "sets both store and database"),
    ],
    ids=["a misspelt name", "a number", "half a line", "deep nesting", "a table", "two stores"],
)
def test_a_wrong_file_is_named(text: str, says: str, tmp_path: Path) -> None:
    """[CLI-7] with its path, so that it can be found."""
    file = write(tmp_path, text)
    with pytest.raises(InvalidInput, match=says) as caught:
        find_store(None, {}, tmp_path)
    assert str(file) in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    """[CLI-7]"""
    write(tmp_path, "").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="cannot be read"):
        find_store(None, {}, tmp_path)


def test_without_a_home_directory_a_store_has_to_be_named() -> None:
    """[CLI-6]"""
    assert find_store("here", {}, None).path == Path("here")
    with pytest.raises(InvalidInput, match="say --store DIR"):
        find_store(None, {}, None)


@pytest.mark.parametrize("flag", ["", "postgresql://u:secret@h/d"])
def test_store_takes_a_directory(flag: str, tmp_path: Path) -> None:
    """[CLI-6] [CLI-24]"""
    with pytest.raises(InvalidInput, match="--store takes a directory") as caught:
        find_store(flag, {}, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("database", "shown"),
    [
        ("postgresql://u:secret@h:1/d?sslmode=require", "postgresql://u:***@h:1/d?sslmode=require"),
        ("postgresql://u:se/cr@et@h/d?a=b@c", "postgresql://u:***@h/d?a=b@c"),
        ("postgresql://u:se%40cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?password=secret&x=1", "postgresql://u@h/d?password=***&x=1"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql:///d", "postgresql:///d"),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        ("host=h PASSWORD = 'a secret \\' b' dbname=d", "host=h PASSWORD = *** dbname=d"),
    ],
)
def test_passwords_are_not_shown(database: str, shown: str) -> None:
    """[CLI-24]"""
    assert redact(database) == shown
    assert StorePlace(None, database, Path("b"), None, "").shown == shown
