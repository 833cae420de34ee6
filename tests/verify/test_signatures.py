"""Signatures and pins: what is signed passes, and a table of attacks, each refused before anything is remembered."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import Trust
from mstbucket.core import commit as commits
from mstbucket.core import commit_fields, dagcbor, endorsements
from mstbucket.core.car import header, section
from mstbucket.core.car_reader import CarReader
from mstbucket.core.cid import dag_cbor_cid, from_text
from mstbucket.core.did import key_text, parse_key
from mstbucket.errors import (
    CorruptionError,
    FormatError,
    InvalidInput,
    MstBucketError,
    PinMismatch,
    StorageError,
    Unsupported,
    WrongSignature,
)
from mstbucket.signing.keys import Signer, read_key


class World:
    """A bucket with three commits, signed by one key, exported each; and what an attacker has."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.key, self.other = directory / "key", directory / "other"
        self.did, self.other_did = mstbucket.new_signing_key(self.key), mstbucket.new_signing_key(self.other)
        self.cars: list[bytes] = []
        with mstbucket.open(database=url, blobs=directory / "blobs", background=False, signing_key=self.key) as store:
            bucket = store.create_bucket("things")
            for number in range(3):
                bucket.put_object("k", b"%d" % number)
                bucket.flush()
                out = io.BytesIO()
                bucket.export_car(out)
                self.cars.append(out.getvalue())
            second = store.create_bucket("second")
            second.put_object("k", b"2")
            second.flush()
            out = io.BytesIO()
            second.export_car(out)
            self.second = out.getvalue()
            out = io.BytesIO()
            bucket.prove_key("k", out)
            self.proof = out.getvalue()

    def commit(self, car: bytes) -> commits.Commit:
        _, block, _ = next(iter(CarReader(io.BytesIO(car))))
        return commits.decode(block)

    def changed(self, car: bytes, signer: Signer | None = None, **fields: Any) -> bytes:
        """The export with another commit: *fields* changed, and signed anew, or with the signature it had."""
        reader = CarReader(io.BytesIO(car))
        (_, block, _), *rest = reader
        commit = replace(commits.decode(block), **fields)
        if signer is not None:
            commit = replace(commit, key=signer.key, sig=bytes(64))
            commit = replace(commit, sig=signer.sign(commits.signing_bytes(commit)))
        block = commits.encode(commit)
        root = dag_cbor_cid(block)
        return header(root) + section(root, block) + b"".join(section(cid, data) for cid, data, _ in rest)


@pytest.fixture(scope="module")
def world(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("signed"), databases.url(databases.create(template)))


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    return tmp_path / "pins.json"


def verify(car: bytes, **demanded: Any) -> mstbucket.CarReport:
    return mstbucket.verify_car(io.BytesIO(car), trust=Trust(**demanded))


def test_what_is_signed_passes_and_is_said_to_be(world: World) -> None:
    """[SIGN-1], [SIGN-2], [SIGN-4]"""
    report = verify(world.cars[0], signer=world.did)
    assert report.signer is not None
    assert key_text(report.signer) == world.did
    assert mstbucket.verify_car(io.BytesIO(world.cars[0])).signer is None


def up_to_commit(proof: bytes) -> int:
    """How many bytes of a proof its header, its statement and its commit take."""
    sections = iter(CarReader(io.BytesIO(proof)))
    next(sections)
    _, block, offset = next(sections)
    return offset + len(block)


def test_an_import_and_a_proof_demand_it_too(world: World, store: mstbucket.Store) -> None:
    """[SIGN-4], [PROOF-8]"""
    with pytest.raises(WrongSignature):
        store.import_car(io.BytesIO(world.cars[0]), trust=Trust(signer=world.other_did))
    assert store.list_buckets() == []
    assert store.import_car(io.BytesIO(world.cars[0]), trust=Trust(signer=world.did)).name == "things"
    assert mstbucket.check_proof(io.BytesIO(world.proof), trust=Trust(signer=world.did)).objects
    commit_alone = io.BytesIO(world.proof[: up_to_commit(world.proof)])
    for proof in (io.BytesIO(world.proof), commit_alone):  # the commit is judged before anything behind it is read
        with pytest.raises(WrongSignature):
            mstbucket.check_proof(proof, trust=Trust(signer=world.other_did))
    with pytest.raises(InvalidInput, match="who has to have signed"):
        mstbucket.check_proof(io.BytesIO(world.proof))


def test_later_commits_are_remembered_and_no_earlier_ones_are_taken(world: World, pins: Path) -> None:
    """[SIGN-6], [SIGN-8]"""
    for car in (*world.cars, world.cars[2]):
        verify(car, pins=pins)
    said = json.loads(pins.read_text())
    (one,) = said["buckets"].values()
    assert (said["pins"], one["seq"], one["key"]) == (1, 3, world.did)
    for car in world.cars[:2]:
        with pytest.raises(PinMismatch, match="rolled back"):
            verify(car, pins=pins)
    pins.unlink()
    verify(world.cars[0], pins=pins)
    verify(world.cars[2], pins=pins)  # more than one ahead: what is between is not at hand


def signed_apart(world: World, tmp_path: Path, key: Path, car: bytes) -> Path:
    path = tmp_path / f"{key.name}.sig"
    mstbucket.sign_commit(CidOf(car).text, key, path)
    return path


class CidOf:
    """The root of a CAR, as text."""

    def __init__(self, car: bytes) -> None:
        self.text = mstbucket.inspect_car(io.BytesIO(car)).roots[0].cid


def test_a_signature_may_stand_apart(world: World, tmp_path: Path) -> None:
    """[SIGN-3]"""
    unsigned = world.changed(world.cars[1], key=None, sig=None)
    path = signed_apart(world, tmp_path, world.other, unsigned)
    assert verify(unsigned, signer=world.other_did, signature=path).signer == parse_key(world.other_did)
    with pytest.raises(WrongSignature):
        verify(unsigned, signer=world.did, signature=path)


def succession(world: World, path: Path, old: Path, new: str, bucket: str | None = None) -> Path:
    mstbucket.sign_succession(bucket or world.commit(world.cars[0]).bucket, old, new, path)
    return path


def test_a_key_may_be_followed_by_another(world: World, pins: Path, tmp_path: Path) -> None:
    """[SIGN-5] once, and again by a third; then the third one is remembered."""
    third = tmp_path / "third"
    third_did = mstbucket.new_signing_key(third)
    word = [
        succession(world, tmp_path / "1", world.key, world.other_did),
        succession(world, tmp_path / "2", world.other, third_did),
    ]
    verify(world.cars[0], pins=pins)
    by_other = world.changed(world.cars[1], read_key(world.other))
    by_third = world.changed(world.cars[1], read_key(third))
    assert verify(by_other, signer=world.did, successions=word[:1]).signer == parse_key(world.other_did)
    with pytest.raises(PinMismatch, match="another key"):
        verify(by_third, pins=pins, successions=word[1:])
    verify(by_third, pins=pins, successions=word)
    assert json.loads(pins.read_text())["buckets"].popitem()[1]["key"] == third_did
    car = world.changed(world.cars[2], read_key(world.key), prev=from_text(CidOf(by_third).text))
    with pytest.raises(PinMismatch):  # there is no way back
        verify(car, pins=pins, successions=word)


# --- attacks ---


Attack = Callable[[World, Path], bytes]


def edited(**fields: Any) -> Attack:
    return lambda world, _: world.changed(world.cars[1], **fields)


def by_other(**fields: Any) -> Attack:
    return lambda world, _: world.changed(world.cars[1], read_key(world.other), **fields)


ATTACKS: dict[str, Attack] = {
    "no signature": edited(key=None, sig=None),
    "signature of zeros": edited(sig=bytes(64)),
    "signature of ones": edited(sig=b"\xff" * 64),
    "another key named": lambda world, _: world.changed(world.cars[1], key=read_key(world.other).key),
    "a weak key named": edited(key=bytes(32)),
    "a key that is no point": edited(key=b"\xff" * 32),
    "signed by another key": by_other(),
    "renamed": edited(name="other"),
    "another time": edited(time=0),
    "a later number": edited(seq=9),
    "another past": lambda world, _: world.changed(world.cars[1], prev=world.commit(world.cars[1]).tree),
    "no objects": edited(objects=0),
    "more bytes": edited(bytes=10**6),
    "another tree": lambda world, _: world.changed(world.cars[1], tree=world.commit(world.cars[2]).tree),
    "another bucket": lambda world, _: world.changed(world.cars[1], bucket=world.commit(world.second).bucket),
    "tags": edited(tags={"a": "b"}),
    "versioning": edited(config=commit_fields.config("Enabled")),
    "signature of the commit before": lambda world, _: world.changed(world.cars[1], sig=world.commit(world.cars[0]).sig),
    "signature of the commit after": lambda world, _: world.changed(world.cars[1], sig=world.commit(world.cars[2]).sig),
    "signature of another bucket": lambda world, _: world.changed(world.cars[1], sig=world.commit(world.second).sig),
    "signature with a bit flipped at the start": lambda world, _: world.changed(world.cars[1], sig=flipped(world, 0)),
    "signature with a bit flipped in the middle": lambda world, _: world.changed(world.cars[1], sig=flipped(world, 32)),
    "signature with a bit flipped at the end": lambda world, _: world.changed(world.cars[1], sig=flipped(world, 63)),
    "signature with the group's order added": lambda world, _: world.changed(world.cars[1], sig=malleable(world)),
    "the whole file of another bucket": lambda world, _: world.second,
    "rolled back": lambda world, _: world.cars[0],
    "rolled back and renumbered by another key": by_other(seq=4),
    "forked by another key": by_other(time=1),
}


def flipped(world: World, at: int) -> bytes:
    sig = bytearray(world.commit(world.cars[1]).sig or b"")
    sig[at] ^= 1
    return bytes(sig)


def malleable(world: World) -> bytes:
    """The same signature with another spelling of its second half, which RFC 8032 refuses."""
    sig = world.commit(world.cars[1]).sig or b""
    order = 2**252 + 27742317777372353535851937790883648493
    return sig[:32] + (int.from_bytes(sig[32:], "little") + order).to_bytes(32, "little")


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("demand", ["signer", "pins"])
def test_an_attack_is_refused_and_not_remembered(
    world: World, store: mstbucket.Store, pins: Path, tmp_path: Path, demand: str, name: str
) -> None:
    """[SIGN-2], [SIGN-4], [SIGN-6]: by who knows the key, and by who was here before; verify and import alike."""
    if demand == "signer" and name in ("rolled back", "the whole file of another bucket"):
        trust = Trust(signer=world.did, pins=pins)
        verify(world.cars[2] if name == "rolled back" else world.cars[1], pins=pins)
    elif demand == "signer":
        trust = Trust(signer=world.did)
    else:
        verify(world.cars[1], pins=pins)
        trust = Trust(pins=pins)
    before = pins.read_bytes() if pins.exists() else None
    car = ATTACKS[name](world, tmp_path)
    with pytest.raises((WrongSignature, PinMismatch)):
        mstbucket.verify_car(io.BytesIO(car), trust=trust)
    with pytest.raises((WrongSignature, PinMismatch)):
        store.import_car(io.BytesIO(car), trust=trust)
    assert (pins.read_bytes() if pins.exists() else None) == before
    assert store.list_buckets() == []


def test_forks_by_the_owner_of_the_key_are_noticed(world: World, pins: Path) -> None:
    """[SIGN-6] rightly signed, and two states of one number, or a history that was rewritten."""
    signer = read_key(world.key)
    verify(world.cars[1], pins=pins)
    with pytest.raises(PinMismatch, match="forked"):
        verify(world.changed(world.cars[1], signer, time=1), pins=pins)
    with pytest.raises(PinMismatch, match="does not follow"):
        verify(world.changed(world.cars[2], signer, prev=world.commit(world.cars[2]).tree), pins=pins)


def test_a_new_bucket_is_taken_only_if_told(world: World, pins: Path) -> None:
    """[SIGN-7]"""
    verify(world.cars[0], pins=pins)
    with pytest.raises(PinMismatch, match="say so"):
        verify(world.second, pins=pins)
    verify(world.second, pins=pins, new_bucket=True)
    verify(world.second, pins=pins)
    assert len(json.loads(pins.read_text())["buckets"]) == 2


def test_what_is_damaged_elsewhere_is_not_remembered(world: World, pins: Path) -> None:
    """[SIGN-8]"""
    verify(world.cars[0], pins=pins)
    before = pins.read_bytes()
    bad = bytearray(world.cars[1])
    bad[-1] ^= 1
    with pytest.raises(CorruptionError):
        verify(bytes(bad), pins=pins)
    assert pins.read_bytes() == before


def for_another(world: World, path: Path) -> Path:
    return succession(world, path, world.key, world.other_did, world.commit(world.second).bucket)


SUCCESSIONS: dict[str, Callable[[World, Path], Path]] = {
    "for another bucket": for_another,
    "by the new key itself": lambda world, at: succession(world, at, world.other, world.other_did),
    "the other way round": lambda world, at: succession(world, at, world.other, world.did),
}


@pytest.mark.parametrize("name", SUCCESSIONS)
def test_a_succession_that_is_none_changes_nothing(world: World, pins: Path, tmp_path: Path, name: str) -> None:
    """[SIGN-5]"""
    verify(world.cars[0], pins=pins)
    word = SUCCESSIONS[name](world, tmp_path / "word")
    car = world.changed(world.cars[1], read_key(world.other))
    with pytest.raises((PinMismatch, WrongSignature)):
        verify(car, pins=pins, successions=[word])
    with pytest.raises((PinMismatch, WrongSignature)):
        verify(car, signer=world.did, successions=[word])


def test_a_succession_whose_signature_is_wrong_is_refused(world: World, pins: Path, tmp_path: Path) -> None:
    """[SIGN-5]"""
    verify(world.cars[0], pins=pins)
    word = succession(world, tmp_path / "word", world.key, world.other_did)
    good = dagcbor.decode(word.read_bytes())
    for field, value in (("sig", bytes(64)), ("successor", bytes(32)), ("key", parse_key(world.other_did))):
        word.write_bytes(dagcbor.encode(good | {field: value}))
        with pytest.raises((PinMismatch, WrongSignature)):
            verify(world.changed(world.cars[1], read_key(world.other)), pins=pins, successions=[word])


def test_a_signature_for_another_commit_is_refused_though_the_commit_has_its_own(world: World, tmp_path: Path) -> None:
    """[SIGN-3]"""
    path = signed_apart(world, tmp_path, world.key, world.cars[0])
    with pytest.raises(WrongSignature, match="is for commit"):
        verify(world.cars[1], signer=world.did, signature=path)
    good = dagcbor.decode(path.read_bytes())
    path.write_bytes(dagcbor.encode(good | {"sig": bytes(64)}))
    with pytest.raises(WrongSignature):
        verify(world.cars[0], signer=world.did, signature=path)


@pytest.mark.parametrize(
    "change",
    [{"signature": 2}, {"signature": "1"}, {"more": 1}, {"key": b"short"}, {"sig": "text"}, {"commit": None}, {"key": None}],
    ids=repr,
)
def test_what_is_no_signature_is_refused(world: World, tmp_path: Path, change: dict[str, Any]) -> None:
    """[SIGN-3]"""
    path = signed_apart(world, tmp_path, world.key, world.cars[0])
    path.write_bytes(dagcbor.encode(dagcbor.decode(path.read_bytes()) | change))
    with pytest.raises((FormatError, Unsupported)):
        verify(world.cars[0], signer=world.did, signature=path)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b'{"pins": 2, "buckets": {}}', b'{"pins": 1}', b'{"pins": 1, "buckets": {"a": 1}}', b"\xff",
        b'{"pins": 1, "buckets": {"a": {"seq": "1", "commit": "x", "key": null}}}', b"[" * 99999,
    ],
    ids=range(9),
)  # fmt: skip
def test_a_file_of_pins_that_is_none_is_refused_and_left(world: World, pins: Path, data: bytes) -> None:
    pins.write_bytes(data)
    with pytest.raises(FormatError, match="no file of pins"):
        verify(world.cars[0], pins=pins)
    assert pins.read_bytes() == data


@pytest.mark.parametrize(
    "text", ["", "did:key:", "did:key:z", "did:key:z6Mk", "did:web:x", "did:key:" + "z" * 500, "\ud800", "did:key:f00"]
)
def test_what_is_no_public_key_is_refused(world: World, text: str) -> None:
    """[SIGN-1]"""
    with pytest.raises(InvalidInput):
        verify(world.cars[0], signer=text)


def test_key_files(world: World, tmp_path: Path) -> None:
    """A key is its owner's alone, is never replaced, and is shown by nothing."""
    assert stat.S_IMODE(os.stat(world.key).st_mode) == 0o600
    with pytest.raises(StorageError):
        mstbucket.new_signing_key(world.key)
    assert mstbucket.public_key(world.key) == world.did
    assert world.did in repr(read_key(world.key))
    for data in (b"", b"x" * 100_000, world.did.encode()):
        (tmp_path / "none").write_bytes(data)
        with pytest.raises(InvalidInput, match="no private key"):
            mstbucket.public_key(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        mstbucket.public_key(tmp_path / "missing")


def test_two_processes_that_remember_at_once_lose_nothing_older(world: World, pins: Path) -> None:
    """[SIGN-8] whoever comes late with an older commit is refused, and the file is whole at every moment."""
    verify(world.cars[0], pins=pins)
    program = (
        "import sys, mstbucket\n"
        "for _ in range(20):\n"
        "    for path in sys.argv[2:]:\n"
        "        try: mstbucket.verify_car(path, trust=mstbucket.Trust(pins=sys.argv[1]))\n"
        "        except mstbucket.errors.PinMismatch: pass\n"
    )
    paths = []
    for number, car in enumerate(world.cars):
        paths.append(pins.with_name(f"{number}.car"))
        paths[-1].write_bytes(car)
    runs = [subprocess.Popen([sys.executable, "-c", program, str(pins), *map(str, paths)]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert json.loads(pins.read_text())["buckets"].popitem()[1]["seq"] == 3


def test_every_field_of_an_endorsement_is_under_its_signature(world: World) -> None:
    """[SIGN-3], [SIGN-5]"""
    cid = from_text(CidOf(world.cars[0]).text)
    succession = endorsements.Succession("a", bytes(32), bytes(32), bytes(64))
    for value in (endorsements.Signature(cid, bytes(32), bytes(64)), succession):
        fields = dagcbor.decode(endorsements.encode(value))
        assert dagcbor.decode(endorsements.signing_bytes(value)) == {name: fields[name] for name in fields if name != "sig"}


def test_without_a_demand_nothing_is_checked_and_nothing_written(world: World) -> None:
    """[SIGN-4] a wrong signature that nobody asked about is "present, not checked" [COM-11]."""
    report = mstbucket.verify_car(io.BytesIO(world.changed(world.cars[1], sig=bytes(64))))
    assert report.commit.signature == "present, not checked"
    with pytest.raises(MstBucketError):
        mstbucket.verify_car(io.BytesIO(world.cars[0]), trust="did:key:x")  # type: ignore[arg-type]
