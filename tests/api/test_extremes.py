"""Arguments of the right type that nobody would think of: endless numbers and texts, files that take nothing, odd trust."""

from __future__ import annotations

import inspect
import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import Trust
from mstbucket.api.access_keys import AccessKeys
from mstbucket.errors import InvalidInput, MstBucketError, NotAFile, StorageError
from mstbucket.errors.root import MESSAGE_MAX
from mstbucket.files.whole import write_all

LONG = "a" * 100_000
#: A value that no parameter can take, by what its annotation begins with.
EXTREMES: dict[str, tuple[Any, ...]] = {
    "int": (10**5000, -(10**5000), 2**63),  # Python prints no number of 5,000 digits
    "str | int | datetime": (10**5000, -(10**5000), 2**63, LONG),
    "str": (LONG,),
}
FUNCTIONS = [name for name in mstbucket.__all__ if inspect.isfunction(getattr(mstbucket, name)) and name != "open"]
OWNERS = {owner.__name__: owner for owner in (mstbucket.Store, mstbucket.Bucket, mstbucket.BucketView, AccessKeys)}
VERBS = [
    f"{owner}.{name}"
    for owner, kind in OWNERS.items()
    for name, member in inspect.getmembers(kind, inspect.isfunction)
    if not name.startswith("_") and name not in ("close", "rebuild")
]


@pytest.fixture(scope="module")
def owners(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the verbs are called on, and right values for some parameters."""
    directory = tmp_path_factory.mktemp("extremes")
    with mstbucket.open(
        database=databases.url(databases.create(template)), blobs=directory / "blobs", background=False
    ) as store:
        bucket = store.create_bucket("things")
        bucket.put_object("there", b"body")
        bucket.put_object("stays", b"body")
        upload = bucket.create_multipart_upload("in parts")
        bucket.flush()
        view = bucket.at(1)
        yield {
            "Store": store, "Bucket": bucket, "BucketView": view, "AccessKeys": store.access_keys,
            "upload_id": upload.id, "other": view,
        }  # fmt: skip


def right(owners: dict[str, Any], name: str, parameter: str, tmp_path: Path) -> Any:
    """A value that is not the reason for which a call fails."""
    if parameter == "path":  # where a file would be made, or read
        return tmp_path / "missing" / "file"
    known: dict[str, Any] = {
        "key": "in parts" if "upload" in name or "part" in name else "there", "upload_id": owners["upload_id"],
        "other": owners["other"], "body": b"", "target": io.BytesIO(), "fileobj": io.BytesIO(), "on": False,
        "tags": {}, "rules": [], "items": [], "requests": [], "parts": [], "part_number": 1, "retention": None,
        "setting": "flush_age", "value": 30, "policy": None,
    }  # fmt: skip
    return known.get(parameter, "things")


def outcome(call: Callable[..., Any], given: dict[str, Any]) -> str:
    """What is said of a call that may fail in a declared way, and in no other."""
    try:
        result = call(**given)
        if isinstance(result, Iterator):
            list(itertools.islice(result, 1))
    except MstBucketError as error:
        return str(error)
    return ""


def attack(owners: dict[str, Any], name: str, call: Callable[..., Any], tmp_path: Path) -> None:
    parameters = inspect.signature(call).parameters.values()
    needed = [one.name for one in parameters if one.default is inspect.Parameter.empty]
    for parameter in parameters:
        for value in EXTREMES.get(str(parameter.annotation).removesuffix(" | None"), ()):
            given = {one: right(owners, name, one, tmp_path) for one in needed} | {parameter.name: value}
            said = outcome(call, given)
            assert len(said) <= MESSAGE_MAX, f"{name}({parameter.name}=…): {said[:100]}"
            assert said or value == LONG, f"{name}({parameter.name}=a number without end) was taken"


@pytest.mark.parametrize("verb", VERBS)
def test_a_number_or_text_without_end_is_refused_in_few_words(owners: dict[str, Any], verb: str, tmp_path: Path) -> None:
    """[ARG-7] [ARG-8]"""
    owner, name = verb.split(".")
    attack(owners, verb, getattr(owners[owner], name), tmp_path)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_too_refuses_in_few_words(owners: dict[str, Any], function: str, tmp_path: Path) -> None:
    """[ARG-7] [ARG-8]"""
    attack(owners, function, getattr(mstbucket, function), tmp_path)


def test_a_message_that_is_cut_keeps_what_it_is_about_and_what_to_do() -> None:
    """[ARG-8]"""
    said = str(InvalidInput(f"the key is {LONG!r}: give a shorter one"))
    assert len(said) == MESSAGE_MAX
    assert said.startswith("the key is 'aaa")
    assert said.endswith("aaa': give a shorter one")
    assert " … " in said


def test_a_body_is_not_sought_in_by_a_number_without_end(owners: dict[str, Any]) -> None:
    """[ARG-8] `io` has its own words for what is no position; Python has none for one of 5,000 digits."""
    reader = owners["Bucket"].get_object("stays")
    for offset, whence in ((-(10**5000), 0), (0, 10**5000), (0, -(10**5000))):
        with pytest.raises(InvalidInput):
            reader.seek(offset, whence)
    assert reader.seek(10**5000) == 10**5000
    assert reader.read() == b""


@pytest.mark.parametrize("verb", ["create", "find", "rotate", "disable", "enable", "set_policy", "remove"])
@pytest.mark.parametrize("text", ["\ud800", "a\0b", ""], ids=repr)
def test_an_access_key_of_a_text_that_nothing_can_hold_is_none(owners: dict[str, Any], verb: str, text: str) -> None:
    """[ARG-1]"""
    keys = owners["AccessKeys"]
    given = (text, None) if verb == "set_policy" else (text,)
    if verb == "find":  # whoever signs a request names it, and is told that there is no such key
        assert keys.find("no such key") is None
        assert outcome(keys.find, {"key_id": text}) == ""
    else:
        with pytest.raises(MstBucketError):
            getattr(keys, verb)(*given)


@pytest.mark.parametrize(
    "trust",
    [
        Trust(signer=5),  # type: ignore[arg-type]
        Trust(signer=b"did:key:z6Mk"),  # type: ignore[arg-type]
        Trust(pins=5),  # type: ignore[arg-type]
        Trust(pins=b"pins"),  # type: ignore[arg-type]
        Trust(pins=""),
        Trust(signature=5),  # type: ignore[arg-type]
        Trust(signature="a\0b"),
        Trust(successions=5),  # type: ignore[arg-type]
        Trust(successions=None),  # type: ignore[arg-type]
        Trust(successions="one"),
        Trust(successions=[5]),  # type: ignore[list-item]
        Trust(successions=[None]),  # type: ignore[list-item]
        Trust(new_bucket="yes"),  # type: ignore[arg-type]
        Trust(signer="did:key:z" + "1" * 100_000),
        "did:key:z6Mk",
    ],
    ids=lambda trust: repr(trust)[:80],
)
@pytest.mark.parametrize("verb", ["verify_car", "check_proof", "import_car"])
def test_trust_that_cannot_be_right_is_refused_before_anything_is_read(
    owners: dict[str, Any], verb: str, trust: Any, tmp_path: Path
) -> None:
    """[ARG-1] what a dataclass holds nobody has checked before."""
    call = owners["Store"].import_car if verb == "import_car" else getattr(mstbucket, verb)
    with pytest.raises(InvalidInput):
        call(tmp_path / "missing", trust=trust)


# --- files to write to -----------------------------------------------------------------------------------------------


class Writer:
    """A file of somebody's own, which keeps what it is given and returns *answer* of it."""

    def __init__(self, answer: Callable[[memoryview], Any]) -> None:
        self.kept = bytearray()
        self._answer = answer

    def write(self, data: memoryview) -> Any:
        answer = self._answer(data)
        self.kept += data[: answer if type(answer) is int and answer >= 0 else len(data)]
        return answer


class Raw(io.RawIOBase):
    """A raw file that would have to wait."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> None:
        return None


@pytest.mark.parametrize("answer", [lambda _: None, len, lambda data: min(len(data), 3)], ids=["None", "all", "a few"])
def test_a_file_gets_every_byte_once_whatever_its_write_returns(owners: dict[str, Any], answer: Callable[..., Any]) -> None:
    """[ARG-9] None is what a `write` returns that has no `return`."""
    whole, file = io.BytesIO(), Writer(answer)
    owners["Bucket"].export_car(whole)
    owners["Bucket"].export_car(file)
    assert bytes(file.kept) == whole.getvalue()
    file = Writer(answer)
    owners["Bucket"].download_fileobj("stays", file)
    assert bytes(file.kept) == b"body"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (Raw(), StorageError),
        (Writer(lambda _: 0), StorageError),
        (Writer(lambda _: -1), InvalidInput),
        (Writer(lambda data: len(data) + 1), InvalidInput),
        (Writer(lambda _: "5"), InvalidInput),
        (io.StringIO(), InvalidInput),
    ],
    ids=["would block", "takes none", "less than none", "more than there is", "a text", "a file of text"],
)
@pytest.mark.parametrize("verb", ["export_car", "prove_page", "download_fileobj"])
def test_a_file_that_takes_nothing_ends_in_an_error_and_not_in_a_loop(
    owners: dict[str, Any], file: Any, kind: type[MstBucketError], verb: str
) -> None:
    """[ARG-9]"""
    with pytest.raises(kind):
        getattr(owners["Bucket"], verb)(*(("stays", file) if verb == "download_fileobj" else (file,)))


def test_what_is_given_is_offered_once_where_all_was_taken() -> None:
    """[ARG-9]"""
    file: Any = Writer(lambda _: None)
    assert write_all(file, b"abc") == 3
    assert file.kept == b"abc"


def to_path(verb: str) -> Callable[[Any, str], object]:
    calls: dict[str, Callable[[Any, str], object]] = {
        "export_car": lambda bucket, path: bucket.export_car(path),
        "prove_key": lambda bucket, path: bucket.prove_key("stays", path),
        "prove_page": lambda bucket, path: bucket.prove_page(path),
        "download_file": lambda bucket, path: bucket.download_file("stays", path),
    }
    return calls[verb]


@pytest.mark.parametrize("verb", ["export_car", "prove_key", "prove_page", "download_file"])
def test_a_device_or_pipe_is_written_to_and_never_replaced(owners: dict[str, Any], verb: str, tmp_path: Path) -> None:
    """[ARG-10] through a link, so that a fault costs the link, and not the device of the machine that runs this."""
    call, bucket = to_path(verb), owners["Bucket"]
    (tmp_path / "null").symlink_to("/dev/null")
    call(bucket, str(tmp_path / "null"))
    assert (tmp_path / "null").is_symlink()
    assert (tmp_path / "null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    call(bucket, str(pipe))
    reader.join(60.0)
    assert pipe.is_fifo()
    call(bucket, str(tmp_path / "file"))
    assert read == [(tmp_path / "file").read_bytes()]
    with pytest.raises(NotAFile, match="Is a directory"):
        call(bucket, str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "null", "pipe"]


def test_an_indexed_export_which_is_read_again_does_not_go_to_a_device(owners: dict[str, Any], tmp_path: Path) -> None:
    """[ARG-10]"""
    (tmp_path / "null").symlink_to("/dev/null")
    with pytest.raises(StorageError, match="read again: name a file"):
        owners["Bucket"].export_indexed(tmp_path / "null")
    assert (tmp_path / "null").is_char_device()
