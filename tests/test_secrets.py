"""A canary in the place of each secret: it is in no log, no repr, no traceback and no error, whatever is done with it."""

from __future__ import annotations

import gc
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import mstbucket
from mstbucket.blobs.media.s3 import S3Blobs
from mstbucket.cli.main import main
from mstbucket.cli.stores import place_of
from mstbucket.errors import MstBucketError, NoSuchKey, OutcomeUnknown, StorageError
from mstbucket.pg.embedded import EmbeddedPostgres
from mstbucket.remote import attempts

CANARY: Final = "c4nary'b1rd@/:%"  # of characters that quote, separate and escape
WORDS: Final = ("c4nary", "b1rd")  # and so will be cut and escaped
USER: Final = "somebody"


def told(error: BaseException) -> str:
    """Everything that an error says, as people and programs may show it."""
    return "".join(traceback.format_exception(error)) + "".join(map(repr, (error, error.args))) + str(error)


def is_hidden(text: str) -> bool:
    return not any(word in text for word in WORDS)


def alive_and_talking() -> list[str]:
    """What shows the canary of all objects of ours, and of the database's driver, that there are in this process."""
    found = []
    gc.collect()
    for thing in gc.get_objects():  # what an error drags along counts too: some tools show all of it
        if not isinstance(thing, type) and str(type(thing).__module__).partition(".")[0] in ("mstbucket", "psycopg"):
            with suppress(ReferenceError):
                if not is_hidden(repr(thing) + str(thing)):
                    found.append(f"{type(thing).__module__}: {thing!r}")
    return found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """A real server that asks for a password, which is the canary; gives its connection string with another one."""
    directory = tmp_path_factory.mktemp("guarded") / "postgres"
    with EmbeddedPostgres(directory) as server:
        url = server.start()
        with psycopg.connect(url, autocommit=True) as connection:
            secret = CANARY.replace("'", "''")
            connection.execute(f"CREATE ROLE {USER} LOGIN SUPERUSER PASSWORD '{secret}'".encode())
            rules = Path(connection.execute("SHOW hba_file").fetchone()[0])  # type: ignore[index]
            rules.write_text(f"local all {USER} scram-sha-256\n" + rules.read_text())
            connection.execute("SELECT pg_reload_conf()")
        yield lambda password: make_conninfo(url, user=USER, password=password)
    assert server.await_stopped()
    for log in directory.rglob("*.log"):
        assert is_hidden(log.read_text())


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anybody logs, down to the last detail."""
    caplog.set_level(logging.DEBUG)
    return caplog


# --- a server that the password is right for -------------------------------------------------------------------------------


def test_a_store_in_use_shows_its_password_nowhere(
    guarded: Callable[[str], str], tmp_path: Path, logs: pytest.LogCaptureFixture
) -> None:
    """[THR-5] [PG-14]: not in the repr of anything alive, not in what is said of what fails, not in the logs."""
    with mstbucket.open(database=guarded(CANARY), blobs=tmp_path / "blobs") as store:
        assert CANARY.replace("'", "\\'") in store.conninfo()  # the one place, of which its docstring says so
        bucket = store.create_bucket("things")
        bucket.put_object("key", bytes(200_000))
        commit, report = bucket.flush(), bucket.verify()
        reader, page = bucket.get_object("key"), bucket.list_objects()
        kept = [store, bucket, commit, report, reader, page, bucket.head_object("key"), store.list_buckets()]
        with pytest.raises(NoSuchKey) as missing:
            bucket.get_object("nothing")
        for pack in (tmp_path / "blobs").rglob("*.car"):
            pack.write_bytes(b"")
        with pytest.raises(MstBucketError) as damaged:
            bucket.export_car(io.BytesIO())
        with pytest.raises(StorageError) as refused, store._context.db.connection() as connection:
            connection.execute("SELECT nonsense")
        with pytest.raises(OutcomeUnknown) as broken, store._context.db.connection() as connection:
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        shown = [*map(repr, kept), *map(str, kept), *(told(one.value) for one in (missing, damaged, refused, broken))]
        assert is_hidden("".join(shown))
        assert alive_and_talking() == []
    assert is_hidden(logs.text)


# --- and servers that it is wrong for, or that are not there ---------------------------------------------------------------


REFUSED: Final[dict[str, str]] = {
    "nobody listens": "postgresql://somebody:{}@127.0.0.1:1/name",
    "nobody listens, by words": "host=127.0.0.1 port=1 user=somebody password='{}'",
    "no such host": "postgresql://somebody:{}@no-such-host.invalid/name",
    "no such socket": "host=/nowhere/at/all user=somebody password='{}'",
    "a port that is none": "postgresql://somebody:{}@127.0.0.1:port/name",
    "the password as a port": "postgresql://somebody@127.0.0.1:{}/name",
    "an unknown setting": "postgresql://somebody@127.0.0.1/name?pasword={}",
    "a word without =": "host=127.0.0.1 password {}",
    "a certificate's password": "host=127.0.0.1 port=1 sslpassword='{}'",
    "a URL of something else": "s3://id:{}@bucket/prefix",
}


@pytest.mark.parametrize("form", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("escape", [str, quote, lambda text: quote(text, safe="")], ids=["plain", "quoted", "all quoted"])
def test_a_database_that_cannot_be_used_is_an_error_without_the_password(
    form: str, escape: Callable[[str], str], tmp_path: Path, logs: pytest.LogCaptureFixture
) -> None:
    """[THR-5] [PG-14]"""
    with pytest.raises(MstBucketError) as caught:
        mstbucket.open(database=form.format(escape(CANARY)), blobs=tmp_path / "blobs")
    assert is_hidden(told(caught.value))
    assert is_hidden(logs.text)
    assert alive_and_talking() == []


@pytest.mark.parametrize("wrong", [CANARY + "x", "c4nary", "b1rd " * 50], ids=["longer", "short", "long"])
def test_a_password_that_the_server_refuses_is_not_in_the_error(
    guarded: Callable[[str], str], wrong: str, tmp_path: Path, logs: pytest.LogCaptureFixture
) -> None:
    """[THR-5] [PG-14]"""
    with pytest.raises(StorageError, match=r"password authentication failed for user .*somebody") as caught:
        mstbucket.open(database=guarded(wrong), blobs=tmp_path / "blobs")
    assert is_hidden(told(caught.value))
    assert is_hidden(logs.text)


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "postgresql://somebody:{}@host/name"},
        {"database": "host=127.0.0.1 port=1", "blobs": "postgresql://somebody:{}@host/name"},
        {"database": "host=127.0.0.1 port=1", "blobs": "s3://id:{}@bucket/prefix"},
        {"database": "host=127.0.0.1 port=1", "blobs": "https://id:{}@host/bucket"},
    ],
    ids=["a server as path", "a server as blobs", "credentials in a URL", "another service"],
)
def test_a_url_in_the_wrong_place_is_neither_shown_nor_made_a_directory(
    arguments: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MstBucketError) as caught:
        mstbucket.open(**{name: value.format(WORDS[0]) for name, value in arguments.items()})  # type: ignore[arg-type]
    assert is_hidden(told(caught.value))
    assert list(tmp_path.iterdir()) == []


# --- the credentials of a service ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda blobs: blobs.put("packs/a", b"data"),
        lambda blobs: blobs.get_range("packs/a", 0, 1),
        lambda blobs: list(blobs.list()),
        lambda blobs: blobs.delete("packs/a"),
    ],
    ids=["put", "get", "list", "delete"],
)
def test_credentials_of_a_service_that_is_not_there_are_shown_nowhere(
    call: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch, logs: pytest.LogCaptureFixture
) -> None:
    """[THR-5] [S3B-2] [S3B-11]"""
    monkeypatch.setattr(attempts, "FIRST_WAIT", 0.0001)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "c4nary")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "b1rd")
    with pytest.raises(StorageError) as caught:
        call(S3Blobs("s3://bucket/prefix?endpoint=http://127.0.0.1:1&region=here"))
    assert is_hidden(told(caught.value))
    assert is_hidden(logs.text)
    assert alive_and_talking() == []


# --- the command line ------------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command; what it printed, and its exit code."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "MSTBUCKET_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        code = main(arguments)
        out, err = capfd.readouterr()
        return f"{code} {out} {err}"

    return run


COMMANDS: Final = [["status"], ["ls"], ["mb", "mst://things"], ["flush", "mst://none"], ["verify", "mst://things"]]


@pytest.mark.parametrize("options", [[], ["--debug"], ["--json"]], ids=["plain", "debug", "json"])
def test_commands_show_no_password(
    guarded: Callable[[str], str], options: list[str], shell: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, logs: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """[CLI-24]"""
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(tmp_path / "blobs"))
    for database in (guarded(CANARY), guarded("c4nary"), f"postgresql://somebody:{quote(CANARY, safe='')}@127.0.0.1:1/x"):
        monkeypatch.setenv("MSTBUCKET_DATABASE", database)
        for command in COMMANDS:
            assert is_hidden(shell(*command, *options))
    assert is_hidden(logs.text)


MISPLACED: Final = [
    ["ls", "{}"],
    ["{}"],
    ["--database", "{}", "ls"],
    ["ls", "--database={}"],
    ["--store={}", "ls"],
    ["ls", "--store", "{}"],
    ["cp", "{}", "mst://b/k"],
    ["cp", "file", "{}"],
    ["import", "{}"],
    ["verify", "{}"],
    ["flush", "{}"],
    ["store", "validate", "{}"],
]


@pytest.mark.parametrize("options", [[], ["--debug"]], ids=["plain", "debug"])
@pytest.mark.parametrize("form", ["postgresql://me:c4nary@b1rd@host/name", "s3://id:c4nary@b", "host=h password=c4nary"])
@pytest.mark.parametrize("command", MISPLACED, ids=" ".join)
def test_a_connection_string_in_the_wrong_place_is_not_printed(
    command: list[str], form: str, options: list[str], shell: Callable[..., str]
) -> None:
    """[CLI-24]"""
    printed = shell(*[part.format(form) for part in command], *options)
    assert printed[0] != "0"
    assert is_hidden(printed)


def test_a_config_file_that_is_wrong_does_not_show_its_password(shell: Callable[..., str], tmp_path: Path) -> None:
    """[CLI-24]"""
    (tmp_path / ".config" / "mstbucket").mkdir(parents=True)
    for text in ('database = "postgresql://me:c4nary@h/d', 'database = ["postgresql://me:c4nary@h/d"]',
                 'database = "postgresql://me:c4nary@h/d"', 'datbase = "postgresql://me:c4nary@h/d"'):  # fmt: skip
        (tmp_path / ".config" / "mstbucket" / "config.toml").write_text(text)
        printed = shell("ls", "--debug")
        assert printed[0] != "0"
        assert is_hidden(printed)


def test_the_place_of_a_store_has_no_password_in_its_repr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """[CLI-24]"""
    monkeypatch.setenv("MSTBUCKET_DATABASE", "postgresql://me:c4nary@h/d")
    monkeypatch.setenv("MSTBUCKET_BLOBS", str(tmp_path))
    from argparse import Namespace

    place = place_of(Namespace(store=None))
    assert is_hidden(repr(place) + place.shown)
