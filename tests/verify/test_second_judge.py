"""A judge in JavaScript, written from the specification alone, says of every file what ours says: class of error and byte.

`fixtures/foreign/judge` has it. One process of node judges thousands of files: good ones, broken ones, and mutants of both.
"""

from __future__ import annotations

import importlib
import io
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import mstbucket
from mstbucket.core.cid import to_text
from mstbucket.core.keys import version_key
from mstbucket.errors import MstBucketError
from mstbucket.verify.car import verify_car

FIXTURES = Path(__file__).parents[2] / "fixtures"
JUDGE = FIXTURES / "foreign" / "judge" / "judge.mjs"
GOOD: dict[str, dict[str, Any]] = json.loads((FIXTURES / "exports" / "index.json").read_text(encoding="utf-8"))
BAD: dict[str, dict[str, Any]] = json.loads((FIXTURES / "negative-exports" / "index.json").read_text(encoding="utf-8"))
CLASS_OF = {  # [VER-32]
    "InvalidCar": "malformed", "InvalidBlock": "malformed", "ForeignCar": "malformed", "HashMismatch": "untrue",
    "Untrue": "untrue", "OtherCommit": "untrue", "MissingBlock": "missing", "ExtraBlock": "extra",
    "Unsupported": "unsupported",
}  # fmt: skip
SEVERAL = {"malformed", "untrue"}

pytestmark = pytest.mark.node

MIB = 1 << 20

Verdict = tuple[str, ...]


class Shop(NamedTuple):
    """Modules of `judge_shop`."""

    mutants: ModuleType
    forgeries: ModuleType


def exports(*names: str) -> list[bytes]:
    return [(FIXTURES / "exports" / f"{name}.car").read_bytes() for name in names]


def asked(what: str, files: Iterable[bytes], commits: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """The answers of the second judge; *what* is `verify`, `rebuild`, or `proof`, where each file has its commit."""
    named = zip(files, repeat("") if commits is None else commits, strict=False)
    frames = b"".join(b"%s %d %s\n%s" % (what.encode(), len(data), cid.encode(), data) for data, cid in named)
    ran = subprocess.run(["node", str(JUDGE), "batch"], check=True, input=frames, stdout=subprocess.PIPE, timeout=500)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def of_theirs(answer: dict[str, Any]) -> Verdict:
    if answer["ok"]:
        return ("good", answer["root"], str(answer["objects"]), str(answer["bytes"]))
    return (answer["class"], str(answer["byte"]), "foreign" if answer["foreign"] else "")


def of_ours(data: bytes) -> Verdict:
    try:
        report = verify_car(io.BytesIO(data))
    except MstBucketError as error:
        name = type(error).__name__
        return (CLASS_OF[name], re.findall(r"at byte (\d+)", str(error))[-1], "foreign" if name == "ForeignCar" else "")
    return ("good", to_text(report.root), str(report.objects), str(report.bytes))


def alike(ours: Verdict, answer: dict[str, Any]) -> bool:
    theirs = of_theirs(answer)
    if answer["ok"]:
        return ours == theirs
    if answer["clause"] == "CAR-1":  # [VER-22] a root whose hash is not known is foreign, or damage
        return ours[:2] == theirs[:2]
    # [VER-30] where one block has several breaches, any of them may be the answer
    return ours == theirs or (ours[1:] == theirs[1:] and {ours[0], theirs[0]} <= SEVERAL)


def same_verdicts(files: list[bytes]) -> Counter[str]:
    """Both judge *files*; returns how many got which class. The smallest file of a disagreement is shown."""
    theirs = asked("verify", files)
    assert len(theirs) == len(files)
    apart = []
    classes: Counter[str] = Counter()
    for data, answer in zip(files, theirs, strict=True):
        ours = of_ours(data)
        classes[ours[0]] += 1
        if not alike(ours, answer):
            apart.append((len(data), data, ours, answer))
    apart.sort(key=lambda found: found[0])
    assert not apart, f"{len(apart)} of {len(files)}: ours {apart[0][2]}, theirs {apart[0][3]}: {apart[0][1][:4000].hex()}"
    return classes


# --- fixtures ---------------------------------------------------------------------------------------------------------


def test_good_exports_are_taken_and_made_again_byte_for_byte() -> None:
    files = exports(*GOOD)
    assert [(a["ok"], a["root"], a["objects"], a["bytes"]) for a in asked("verify", files)] == [
        (True, said["root"], said["objects"], said["bytes"]) for said in GOOD.values()
    ]
    assert [answer["same"] for answer in asked("rebuild", files)] == [True] * len(files)


def test_a_file_with_one_defect_gets_the_class_and_the_byte_of_the_index() -> None:
    """[VER-31] [VER-32]"""
    answers = asked("verify", [(FIXTURES / "negative-exports" / f"{name}.car").read_bytes() for name in BAD])
    for (name, said), answer in zip(BAD.items(), answers, strict=True):
        foreign = said["error"] == "ForeignCar"
        wanted = {"class": said["class"], "byte": said["byte"], "foreign": foreign}
        assert {key: answer.get(key) for key in wanted} == wanted, (name, answer)


def test_large_files_with_one_defect_get_the_same_answer(generators: Callable[[str], ModuleType]) -> None:
    same_verdicts([make() for make in generators("generate_negative_exports").LARGE.values()])


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", JUDGE, *arguments], check=False, capture_output=True, text=True, timeout=100)


def test_the_commands_end_with_the_exit_codes_of_the_tables(tmp_path: Path) -> None:
    """[VER-32]"""
    assert run("verify", FIXTURES / "exports" / "fork.car").returncode == 0
    for name in ("car-cut", "com-version-2-alone"):
        ran = run("verify", FIXTURES / "negative-exports" / f"{name}.car")
        assert (ran.returncode, ran.stdout) == (BAD[name]["exit"], "")
        assert f"at byte {BAD[name]['byte']})" in ran.stderr
    assert run("verify").returncode == 2
    assert run("verify", tmp_path / "nothing.car").returncode == 1


def test_a_bucket_is_restored_and_made_again(tmp_path: Path) -> None:
    car = FIXTURES / "exports" / "versions-and-a-marker.car"
    assert run("restore", car, tmp_path / "out").stdout == "1 objects\n"
    lines = [json.loads(line) for line in (tmp_path / "out" / "objects.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(tmp_path / "out" / line["file"]).stat().st_size for line in lines] == [line["size"] for line in lines]
    assert len((tmp_path / "out" / "versions.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    assert run("rebuild", car, tmp_path / "again.car").stdout == "the same, byte for byte\n"
    assert (tmp_path / "again.car").read_bytes() == car.read_bytes()


def test_the_golden_proofs_prove_what_their_index_says() -> None:
    index = json.loads((FIXTURES / "proofs" / "index.json").read_text(encoding="utf-8"))
    for name, said in index.items():
        proof = FIXTURES / "proofs" / f"{name}.car"
        ran = run("check-proof", proof, "--commit", said["commit"])
        assert {key: value for key, value in json.loads(ran.stdout).items() if said[key] != value} == {}, name
        assert run("check-proof", proof, "--commit", GOOD["fork"]["root"]).returncode == 5


@pytest.mark.parametrize("folder", ["change-proofs", "part-proofs"])
def test_the_golden_proofs_of_changes_and_parts_prove_what_we_say(folder: str) -> None:
    """[PROOF-9] to [PROOF-14]"""
    for name, said in json.loads((FIXTURES / folder / "index.json").read_text(encoding="utf-8")).items():
        proof = FIXTURES / folder / f"{name}.car"
        ran = run("check-proof", proof, "--commit", said["commit"])
        assert {"ok": True, **json.loads(ran.stdout)}.items() >= proved(proof.read_bytes(), said["commit"]).items(), name


# --- mutants ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """The makers of changed and made-up files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield Shop(importlib.import_module("judge_shop.mutants"), importlib.import_module("judge_shop.forgeries"))


def small() -> list[bytes]:
    return exports("empty", "one-object", "two-levels", "empty-intermediate-node", "versions-and-a-marker", "fork")


def test_both_say_the_same_of_changed_exports(shop: Shop) -> None:
    """[VER-30] [VER-31] [VER-32] [CAR-13] Bytes, sections, blocks, links and fields."""
    classes = same_verdicts(shop.mutants.mutants(small(), seed=1, count=2_000))
    assert set(classes) == {"good", *CLASS_OF.values()}


def test_both_say_the_same_of_changed_bodies_without_their_chunks(shop: Shop) -> None:
    """A good one is one whose chunks are missing."""
    large = [shop.mutants.blocks_of(data) for data in exports("shared-blocks", "body-of-height-2")]
    bases = [shop.mutants.car_of([pair for pair in blocks if len(pair[1]) < MIB // 2]) for blocks in large]
    classes = same_verdicts(shop.mutants.mutants(bases, seed=2, count=250))
    assert {"malformed", "untrue", "missing"} <= set(classes)


def test_both_say_the_same_of_nodes_of_any_size_and_height(shop: Shop) -> None:
    """[BODY-4] [BODY-7] [BODY-9] [BODY-10]"""
    base = shop.mutants.blocks_of(exports("one-object")[0])
    classes = same_verdicts(shop.forgeries.bodies(base, seed=3, count=300))
    assert {"malformed", "untrue", "missing"} <= set(classes)


def test_both_say_the_same_of_histories(shop: Shop, forge_type: Any) -> None:
    """[VER-21] Which version is the newest is read off the tree's shape."""
    classes = same_verdicts(shop.forgeries.histories(forge_type, seed=4, count=100))
    assert {"good", "untrue", "unsupported"} <= set(classes)


def test_a_block_again_is_extra_where_its_link_is_wrong_too(forge: Any) -> None:
    """[VER-18] Two versions have one id by one manifest, and the manifest stands there twice."""
    found = []
    for first in range(8):
        value, present = forge.manifest(b"x"), forge.manifest(b"y", version_id="v")
        versions = {b"a\0%016x" % ((1 << 64) - 1 - seq): value for seq in (first, first + 1)}
        root = forge.bucket({b"a": present}, versions)
        order = forge.order(root)
        place = order.index(value) + 2
        found += [forge.car(root, order), forge.car(root, [*order[:place], value, *order[place:]])]
    assert set(same_verdicts(found)) == {"untrue", "extra"}


def test_what_both_take_is_made_again_byte_for_byte(shop: Shop, forge_type: Any) -> None:
    """One state has one file."""
    files = shop.mutants.mutants(small(), seed=5, count=700) + shop.forgeries.histories(forge_type, seed=6, count=40)
    answers = [answer for answer in asked("rebuild", files) if answer["ok"]]
    assert len(answers) > 80
    assert all(answer["same"] for answer in answers)


# --- proofs -----------------------------------------------------------------------------------------------------------


def proofs_of(bucket: mstbucket.Bucket, count: int) -> list[bytes]:
    """Proofs of keys that are there and not, of ranges of bodies, and of pages."""
    random = Random(7)
    keys = sorted({a + b + c for a in "/ab" for b in ("", "/", "a", "b", "é") for c in ("", "/", "0", "1", "2", "a/x")})
    bucket.put_objects(mstbucket.PutRequest(key, key.encode()) for key in keys)
    bucket.put_object("nothing", b"")
    bucket.flush()
    found = []
    for _n in range(count):
        out = io.BytesIO()
        key = random.choice([*keys, "nothing", "c", "a/zz", "0"])
        match random.randrange(4):
            case 0:
                bucket.prove_key(key, out)
            case 1:
                whole = random.choice(keys)
                end = random.randrange(1, len(whole.encode()) + 1)
                bucket.prove_key(whole, out, range=f"bytes={random.randrange(end)}-{end - 1}")
            case _:
                text = lambda none: random.choice([none, none, "/", "a", "b", "é", "a/", "a/0", "b//", "/a", "zz"])  # noqa: E731
                most = random.choice((1, 2, 3, 5, 20, 1000))
                bucket.prove_page(out, prefix=text(""), delimiter=text(None), start_after=text(None), max_keys=most)
        found.append(out.getvalue())
    return found


def changes_said(found: mstbucket.ProvedChanges) -> dict[str, Any]:
    return {
        "since": found.since, "is_next": found.is_next, "objects": [[one.key, one.old, one.new] for one in found.objects],
        "versions": [
            [version_key(one.key.encode(), one.sequence or 0).decode(), one.old, one.new] for one in found.versions
        ],
    }  # fmt: skip


def proved(data: bytes, commit: str) -> dict[str, Any]:
    try:
        found = mstbucket.check_proof(io.BytesIO(data), commit)
    except MstBucketError as error:
        name = type(error).__name__
        return {"ok": False, "class": CLASS_OF[name], "message": str(error)}
    if found.part is not None:
        return {"ok": True, **asdict(found.part)}
    if found.changes is not None:
        return {"ok": True, **changes_said(found.changes)}
    objects = {item.key: item.cid for item in found.objects}
    said = {"objects": objects, "common_prefixes": list(found.common_prefixes), "next_start_after": found.next_start_after}
    return {"ok": True} | said


@pytest.mark.parametrize("count", [60, pytest.param(1_000, marks=pytest.mark.slow)])
def test_both_say_the_same_of_proofs_and_of_changed_ones(bucket: mstbucket.Bucket, shop: Shop, count: int) -> None:
    """[PROOF-1] to [PROOF-8]; a changed commit or tree is asked for by its new name."""
    good = proofs_of(bucket, count)
    longer = [data + shop.mutants.section(*shop.mutants.blocks_of(data)[-1]) for data in good[:10]]
    files = good + longer + shop.mutants.mutants(good, seed=8, count=8 * count)
    head = bucket.head_commit()
    assert head is not None
    commits = [shop.mutants.second_name(data, head.cid) for data in files]
    theirs = asked("proof", files, commits)
    apart = []
    for data, commit, answer in zip(files, commits, theirs, strict=True):
        ours = proved(data, commit)
        same = all(answer[name] == value for name, value in ours.items() if name not in ("class", "message"))
        classes = {ours.get("class"), answer.get("class")}
        if not same or (len(classes) > 1 and not classes <= SEVERAL):
            apart.append((len(data), commit, data.hex(), ours, answer))
    refused = [(answer, data.hex()) for answer, data in zip(theirs, good, strict=False) if not answer["ok"]]
    assert not refused, (len(refused), min(refused, key=lambda found: len(found[1])))
    assert {answer.get("class", "good") for answer in theirs} == {"good", *CLASS_OF.values()}
    assert not apart, (len(apart), min(apart))


@pytest.mark.parametrize("count", [6, pytest.param(300, marks=pytest.mark.slow)])
def test_both_say_the_same_of_changes_and_parts(bucket: mstbucket.Bucket, shop: Shop, count: int) -> None:
    """[PROOF-9] to [PROOF-14], and of changed ones."""
    random = Random(9)
    keys = [f"{folder}{name:03}" for folder in ("a/", "b/", "é") for name in range(60)]
    bucket.put_bucket_versioning("Enabled")
    bucket.put_objects(mstbucket.PutRequest(key, b"") for key in random.sample(keys, 100))
    commits = [bucket.flush()]
    good: list[tuple[bytes, str]] = []
    for number in range(count):
        bucket.put_objects(mstbucket.PutRequest(key, b"%d" % number) for key in random.sample(keys, 4))
        bucket.delete_objects(random.sample(keys, 3))
        commits.append(bucket.flush())
        earlier, out, part = random.choice(commits[:-1]), io.BytesIO(), io.BytesIO()
        bucket.prove_changes(earlier.seq, commits[-1].seq, out)
        bucket.export_part(random.choice(["a/", "b/02", "é", "z"]), part)
        good += [(out.getvalue(), commits[-1].cid), (part.getvalue(), commits[-1].cid)]
    asks = good + [
        (data, shop.mutants.second_name(data, commit))
        for one, commit in good
        for data in shop.mutants.mutants([one], seed=len(one), count=12)
    ]
    theirs = asked("proof", [data for data, _ in asks], [commit for _, commit in asks])
    apart = []
    for (data, commit), answer in zip(asks, theirs, strict=True):
        ours = proved(data, commit)
        if any(answer.get(name) != value for name, value in ours.items() if name not in ("class", "message")):
            apart.append((len(data), commit, data.hex(), ours, answer))
    assert all(answer["ok"] for answer in theirs[: len(good)])
    assert not apart, (len(apart), min(apart))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_both_say_the_same_of_very_many_changed_exports(shop: Shop, forge_type: Any, seed: int) -> None:
    base = shop.mutants.blocks_of(exports("one-object")[0])
    histories = shop.forgeries.histories(forge_type, seed, 500)
    for files in (
        shop.mutants.mutants(small(), seed, 5_000),
        histories,
        shop.mutants.mutants(histories[:100], seed, 2_000),
        shop.forgeries.bodies(base, seed, 1_000),
    ):
        same_verdicts(files)
