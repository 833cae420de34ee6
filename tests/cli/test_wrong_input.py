"""Every command with arguments that are missing, wrong or contradict each other: what a person sees, and the exit code.

Beside the table, all of it holds: one line, no traceback, none of Python's own words, and nothing is made or changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PYTHONS_WORDS = ("Traceback", "defect of mstbucket", "datetime.", "NoneType", "object at 0x", "invalid int", "Error:")

#: Arguments, exit code, and what is said. BUCKET has the object `k`, DIR is empty, FILE is a text, CAR an export.
TABLE: list[tuple[str, int, str]] = [
    ("mb mst://BUCKET", 4, "exists already"),
    ("mb mst://A", 2, "3 to 63 are allowed"),
    ("mb mst://abc mst://abd", 2, "unrecognized arguments: mst://abd"),
    ("mb mst://a\udcffb", 2, "holds NUL or a lone surrogate"),
    ("mb mst://abc --store DIR/..", 2, "is not empty and is no store"),
    ("rb mst://nowhere", 3, "there is no bucket named 'nowhere'"),
    ("rb mst://BUCKET", 4, "--force does"),
    ("ls mst://BUCKET/\udcff", 2, "is not encodable as UTF-8"),
    ("ls mst://BUCKET/none", 3, "nothing starts with"),
    ("ls mst://BUCKET --versions --summarize", 2, "leave out one of them"),
    ("ls --store DIR", 3, "there is no store at"),
    ("ls --store FILE", 3, "there is no store at"),
    ("ls --store ''", 2, "--store takes a directory"),
    ("ls --store postgresql://u:secret@h/d", 2, "--store takes a directory"),
    ("versioning mst://BUCKET on", 2, "invalid choice: 'on'"),
    ("lock mst://BUCKET --retain governance:2040-01-01T00:00:00Z", 2, "--retain is about a key"),
    ("lock mst://BUCKET/k --enable", 2, "--enable is about a bucket"),
    ("lock mst://BUCKET --default governance:0d", 2, "it is from 1 to 36500"),
    ("lock mst://BUCKET --enable", 4, "its versioning is not Enabled"),
    ("lock mst://BUCKET/k --retain governance:yesterday", 2, "a time such as governance:2030-01-01T00:00:00Z"),
    ("lock mst://BUCKET/k --retain governance:2040-01-01", 2, "'2040-01-01' says no time zone"),
    ("lock mst://BUCKET/k --retain open:2040-01-01T00:00:00Z", 2, "there is no mode 'open'"),
    ("lock mst://BUCKET/k --retain ''", 2, "--retain is 'none', or a mode and a time"),
    ("lock mst://BUCKET/k --bypass-governance", 2, "say --retain, too"),
    ("lock mst://BUCKET/k --hold on", 2, "enable it first"),
    ("lifecycle mst://BUCKET set", 2, "takes a file with 'put' or 'set'"),
    ("lifecycle mst://BUCKET show FILE", 2, "takes a file with 'put' or 'set'"),
    ("lifecycle mst://BUCKET set DIR/none", 3, "No such file"),
    ("lifecycle mst://BUCKET set ''", 2, "name the file with the rules"),
    ("lifecycle mst://BUCKET set FILE", 2, "the rules are no JSON"),
    ("rm mst://BUCKET", 2, "-r removes what is in it"),
    ("rm -r mst://BUCKET/none", 3, "there is nothing under"),
    ("rm mst://BUCKET/\udcff", 2, "holds a lone surrogate"),
    ("rm -r mst://BUCKET/k --version-id x", 2, "leave out -r"),
    ("sync DIR mst://BUCKET --content-type ''", 2, "--content-type takes a type"),
    ("cp FILE mst://BUCKET/new --content-type ''", 2, "--content-type takes a type"),
    ("demo ''", 3, "there is no directory ''"),
    ("demo DIR --keep ''", 2, "--keep takes the name"),
    ("cat mst://BUCKET/k --range 0-3", 2, "write it as 'bytes=0-9'"),
    ("cat mst://BUCKET/k --range bytes=99-", 2, "lies outside the object"),
    ("cat mst://BUCKET/k mst://BUCKET/k --version-id x", 2, "name no other"),
    ("stat mst://BUCKET --version-id x", 2, "names none"),
    ("tag mst://BUCKET/k --set a=1 --remove a", 2, "name the same tag"),
    ("tag mst://BUCKET/k --set a=1 --set a=2", 2, "names a tag twice"),
    ("tag mst://BUCKET/k --set x", 2, "--set takes NAME=VALUE"),
    ("uploads mst://BUCKET --abort x", 2, "names no object"),
    ("uploads mst://BUCKET/k --abort x", 3, "has no open upload"),
    ("flush BUCKET/k", 2, "this command takes a bucket"),
    ("log BUCKET -n 1e3", 2, "a whole number is wanted, not '1e3'"),
    ("log BUCKET -n 99999999999999999999999", 2, "a whole number is wanted"),
    ("export BUCKET ''", 2, "an empty argument points at nothing"),
    ("export BUCKET mst://other", 2, "is an address, where the name of a file is wanted"),
    ("export BUCKET s3://other", 2, "names no object to make"),
    ("export BUCKET FILE", 4, "--force replaces it"),
    ("export BUCKET FILE/ --force", 2, "is a folder"),
    ("export BUCKET DIR --force", 6, "Is a directory"),
    ("export nowhere DIR/x.car", 3, "there is no bucket named"),
    ("import ''", 2, "an empty argument points at nothing"),
    ("import mst://BUCKET", 2, "is an address, where the name of a file is wanted"),
    ("import DIR/none", 3, "No such file"),
    ("import DIR", 6, "Is a directory"),
    ("import CAR A", 2, "3 to 63 are allowed"),
    ("import CAR", 4, "import under another name"),
    ("verify ''", 2, "an empty argument points at nothing"),
    ("verify DIR/none", 3, "No such file"),
    ("verify mst://BUCKET/k", 2, "this command takes a bucket"),
    ("store", 2, "arguments are required: COMMAND"),
    ("store validate x", 2, "this is no S3 URL"),
    ("store copy DIR", 2, "arguments are required: TO"),
    ("store copy DIR DIR", 2, "there is nothing to copy"),
    ("store copy DIR/none DIR", 3, "there is no directory"),
    ("store copy '' DIR", 2, "points at nothing"),
    ("store copy STORE/blobs ''", 2, "points at nothing"),
    ("store copy STORE DIR", 2, "is a whole store"),
    ("store reencode --compression ''", 2, "use 'zstd'"),
    ("store reencode --encryption ''", 2, "empty path"),
    ("store reencode --encryption env:NOPE", 2, "has no variable NOPE"),
    ("demo DIR/none", 3, "there is no directory"),
    ("completion fish", 2, "invalid choice: 'fish'"),
    ("status x", 2, "unrecognized arguments: x; see mstbucket status --help"),
    ("mb mst://abc -q -v", 2, "-q and -v exclude each other"),
    ("exprot BUCKET", 2, "there is no command 'exprot', did you mean 'export'?"),
    ("snapshot creat BUCKET", 2, "did you mean 'create'?; see mstbucket snapshot --help"),
    ("cp FILE FILE", 2, "one of them has to be mst://bucket/key"),
    ("cp -r FILE mst://BUCKET/x", 2, "is no directory, and -r is for directories"),
    ("cp DIR mst://BUCKET/x", 2, "copy what is below it with -r"),
    ("cp mst://BUCKET DIR", 2, "is a whole bucket"),
    ("sync DIR", 2, "arguments are required: TARGET"),
    ("sync DIR mst://BUCKET --size-only --checksum", 2, "exclude each other"),
    ("sync DIR mst://BUCKET --workers x", 2, "--workers: a whole number is wanted, not 'x'"),
    ("flush nowhere", 3, "there is no bucket named"),
    ("flush -m words", 2, "name that bucket"),
    ("flush -m words BUCKET BUCKET", 2, "name that bucket"),
    ("flush BUCKET -m", 2, "expected one argument"),
    ("flush BUCKET --allow-empty", 2, "give one with -m"),
    ("log BUCKET --graph --json", 2, "--graph is a drawing"),
    ("diff mst://BUCKET", 2, "arguments are required: mst://BUCKET@COMMIT"),
    ("snapshot create BUCKET a/b", 2, "'a/b' cannot name a snapshot"),
    ("snapshot ls nowhere", 3, "there is no bucket named"),
    ("snapshot rm BUCKET none", 3, "has no snapshot 'none'"),
    ("snapshot policy BUCKET --default --keep-last 1", 2, "either --default, or rules of your own"),
    ("snapshot policy BUCKET --keep-daily -1", 2, "--keep-daily takes a number from 1, not -1"),
    ("fork mst://BUCKET", 2, "arguments are required: mst://BUCKET"),
    ("restore mst://BUCKET/k", 2, "names no commit: write mst://right@COMMIT/k"),
    ("merge mst://BUCKET mst://BUCKET", 2, "cannot be merged with itself"),
    ("merge mst://BUCKET mst://other --ours --theirs", 2, "--theirs: not allowed with argument --ours"),
    ("car join FILE FILE", 2, "arguments are required: OUT"),
    ("car join FILE FILE FILE", 4, "--force replaces it"),
    ("prove mst://BUCKET DIR/p", 2, "name a key"),
    ("check-proof FILE", 2, "name the one you know by --commit CID"),
    ("inspect FILE", 5, "the file ends inside"),
    ("block get", 2, "arguments are required: CID"),
    ("block ls x", 2, "'x' is not a CID"),
    ("sign x FILE --key FILE", 4, "the file is there already; name a new one"),
    ("tree show BUCKET", 2, "names no object"),
    ("serve --listen x", 2, "write HOST:PORT"),
    ("serve --workers 0", 2, "--workers is from 1 to 64, not 0"),
    ("serve --tls-cert FILE", 2, "--tls-cert and --tls-key go together"),
    ("key new FILE", 4, "the file is there already; name a new one"),
    ("key show FILE", 2, "holds no private key"),
    ("key succeed FILE x DIR/new", 2, "arguments are required: --bucket"),
    ("key create x --days 0", 2, "--days is from 1 to 36500, not 0"),
    ("key ls x", 2, "unrecognized arguments: x; see mstbucket key ls --help"),
    ("key rotate x", 3, "there is no access key 'x'"),
    ("key disable x", 3, "there is no access key 'x'"),
    ("key enable x", 3, "there is no access key 'x'"),
    ("key rm x", 3, "there is no access key 'x'"),
    ("key policy x FILE", 2, "must be valid JSON"),
    ("check --level deep", 2, "there is no level 'deep' of a check: database, tree, presence, data, proof"),
    ("check --subset 0/3", 2, "as in 3/10, not '0/3'"),
    ("check --jobs 0", 2, "--jobs takes the number of processes, 1 to 256, not 0"),
    ("doctor x", 2, "unrecognized arguments: x; see mstbucket doctor --help"),
    ("repair blocks DIR/none", 3, "there is nothing at"),
    ("repair index nowhere", 3, "there is no bucket named"),
    ("repair tree nowhere", 3, "there is no bucket named"),
    ("repair lost nowhere", 3, "there is no bucket named"),
    ("store set nothing 1", 2, "there is no setting 'nothing'; there are flush_age"),
    ("store set flush_age", 2, "which value?"),
    ("store set flush_age 1", 2, "is out of bounds: 5 to 86400 seconds"),
    ("store dump FILE", 2, "name one for the backup"),
    ("store dump ''", 2, "a backup is a local directory, not ''"),
    ("store restore DIR", 3, "there is no backup in"),
    ("store compact x", 2, "unrecognized arguments: x; see mstbucket store compact --help"),
    ("store migrate x", 2, "unrecognized arguments: x; see mstbucket store migrate --help"),
    ("collect --undo --dry-run", 2, "not allowed with argument --undo"),
    ("collect --undo --force", 2, "--undo goes with neither --force nor --grace"),
    ("collect --grace -1", 2, "it is from 0 to a year"),
    ("rebuild --encryption ''", 2, "encryption is an empty path"),
    ("maintain --every 0", 2, "--every takes a number from 1, not 0"),
    ("psql --json", 2, "psql prints what it prints"),
    ("psql TABLE", 2, "is no option of psql: give SQL with -c"),
    ("verify nowhere", 3, "a bucket would be mst://nowhere"),
    ("serve --listen 192.0.2.1:9000", 6, "cannot listen on 192.0.2.1:9000: "),
    ("restore BUCKET", 2, "names no commit"),
    ("merge nowhere BUCKET -m words", 3, "there is no bucket named"),
    ("restore BUCKET@1 -m", 2, "expected one argument"),
    ("limit mst://BUCKET --object-size x", 2, "--object-size: a whole number is wanted, not 'x'"),
    ("key limit x 1", 3, "there is no access key 'x'"),
    ("remote add UP DIR", 2, "the name of a remote has 1 to 30 of a-z, 0-9 and '-'"),
    ("remote ls x", 2, "unrecognized arguments: x; see mstbucket remote ls --help"),
    ("remote rm none", 3, "there is no remote 'none'"),
    ("remote prune none", 3, "there is no remote 'none'"),
    ("fetch mst://BUCKET none", 3, "there is no remote 'none'"),
    ("pull mst://BUCKET none", 3, "there is no remote 'none'"),
    ("push mst://BUCKET none", 3, "there is no remote 'none'"),
    ("lifecycle mst://BUCKET put FILE", 2, "the rules are no JSON, in '"),
    ("verify mst://BUCKET --expect x", 2, "are for a file: name one"),
    ("import CAR --new-bucket", 2, "need --signer or --pins"),
    ("commit-log append mst://NONE DIR/log", 3, "there is no bucket"),
    ("commit-log head CAR", 5, "is no log"),
    ("commit-log head DIR/none", 3, "No such file"),
    ("commit-log prove CAR DIR/p", 5, "is no log"),
    ("commit-log check CAR --commit x", 2, "has to be a CID"),
]


def test_the_table_has_a_wrong_call_of_every_command() -> None:
    from mstbucket.cli.examples import EXAMPLES

    groups = {name for name in EXAMPLES if any(other.startswith(f"{name} ") for other in EXAMPLES)}
    called = {name for name in EXAMPLES for line, _, _ in TABLE if f"{line} ".startswith(f"{name} ")}
    assert set(EXAMPLES) - groups <= called


@pytest.fixture(scope="module")
def changing(store_path: Path) -> Any:
    """All that a wrong call could have changed: every row, every blob."""
    import mstbucket

    with mstbucket.open(store_path, background=False) as store:

        def state() -> object:
            with store._context.db.connection() as connection:
                tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'mstbucket'").fetchall()
                rows = {
                    table: sorted(row[0] for row in connection.execute(f"SELECT t::text FROM mstbucket.{table} AS t"))
                    for (table,) in tables
                }
            return rows, sorted(str(path) for path in (store_path / "blobs").rglob("*") if path.is_file())

        yield state


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """The module's one bucket, made at the first test."""
    return {}


@pytest.mark.parametrize(("line", "code", "says"), TABLE, ids=[line for line, _, _ in TABLE])
def test_a_wrong_call_says_what_is_wrong_in_one_line_and_changes_nothing(
    cli: Any, store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changing: Any, made: dict[str, str],
    line: str, code: int, says: str,
) -> None:  # fmt: skip
    """[CLI-2] [CLI-3] [CLI-159]"""
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("no rules, no CAR\n")
    if not made:
        assert cli("mb", "mst://right").code == 0
        assert cli("cp", tmp_path / "file", "mst://right/k").code == 0
        assert cli("export", "right", tmp_path / "right.car").code == 0
        made["CAR"] = str(tmp_path / "right.car")
    places = {"BUCKET": "right", "DIR": str(tmp_path / "dir"), "FILE": str(tmp_path / "file"), "CAR": made["CAR"]}
    places["STORE"] = str(store_path)
    argv = [_filled(word, places) for word in line.split()]
    monkeypatch.chdir(tmp_path / "dir")
    before = changing()
    ran = cli(*argv)
    assert (ran.code, says in ran.error) == (code, True), ran.error
    assert ran.out == b""
    assert not any(word in ran.error for word in (*PYTHONS_WORDS, "secret"))
    assert len(ran.error) < 500
    assert changing() == before
    assert list((tmp_path / "dir").iterdir()) == []


def _filled(word: str, places: dict[str, str]) -> str:
    """A word of the table as an argument."""
    if word == "''":
        return ""
    named = [name for name in places if word.startswith((name, f"mst://{name}"))]
    return word.replace(named[0], places[named[0]]) if named else word


RULES: list[tuple[Any, str]] = [
    ({}, "a JSON array"),
    ([], "at least one rule"),
    ([5], "a JSON array of objects"),
    ([{}], "rule 'number 1' does nothing"),
    ([{"expiration_days": 1}, {"expiration_days": "5"}], "rule 'number 2': expiration_days is a whole number"),
    ([{"expiration_days": float("inf")}], "rule 'number 1': expiration_days is a whole number"),
    ([{"expiration_days": 1, "expiration_dayz": 1}], "a rule has no expiration_dayz"),
    ([{"expiration_date": "2040-01-01"}], "says no time zone"),
    ([{"expiration_date": "2040-01-01T01:00:00Z"}], "has to be a midnight UTC"),
    ([{"expiration_date": 5}], "is a time such as 2030-01-01T00:00:00Z"),
    ([{"tags": [1], "expiration_days": 1}], "tags a map"),
    ([{"prefix": None, "expiration_days": 1}], "prefix has to be a text"),
    ([{"id": 5, "expiration_days": 1}], "the id of rule 1"),
]


@pytest.mark.parametrize(("rules", "says"), RULES, ids=[says for _, says in RULES])
def test_wrong_rules_are_named_by_their_place(cli: Any, bucket: str, rules: Any, says: str) -> None:
    """[CLI-2] a rule without an id has none yet that anybody could know."""
    ran = cli("lifecycle", bucket, "set", "-", stdin=json.dumps(rules).encode())
    assert (ran.code, says in ran.error) == (2, True), ran.error
    assert not any(word in ran.error for word in PYTHONS_WORDS)
    assert cli("lifecycle", bucket).out == b""
