"""A table of damage: each kind is found under its own code and at its level, and at no level below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damaging import flip

import mstbucket
from mstbucket.core.cid import from_text, raw_cid, to_text
from mstbucket.core.mst.node import read_node
from mstbucket.index import check_rows
from mstbucket.model.findings import LEVELS
from mstbucket.services.check.found import Part
from mstbucket.services.check.marking import Marker

pytestmark = pytest.mark.early

Sql = Callable[..., list[Any]]
Packs = Callable[[], list[Path]]


def codes(store: mstbucket.Store, level: str) -> set[str]:
    return {finding.code for finding in store.check(level).findings}


# --- what is done to the database: a statement, or several ----------------------------------------------------------------

PLAIN = "(SELECT id FROM buckets WHERE name = 'plain')"
MANIFEST = "(SELECT manifest FROM objects WHERE key = 'k/001')"
PAST = "(SELECT id FROM buckets WHERE name = 'past')"

BY_SQL: dict[str, tuple[str, ...]] = {
    "database.singletons": ("INSERT INTO collector VALUES (7)",),
    "database.identity": ("UPDATE store SET identity = NULL",),
    "database.bucket": ("UPDATE buckets SET identity = 'x' WHERE name = 'empty'",),
    "database.head": (f"DELETE FROM commits WHERE bucket = {PLAIN} AND seq = 2",),
    "database.commit-ahead": (f"UPDATE commits SET seq = 9 WHERE bucket = {PLAIN} AND seq = 1",),
    "database.chain": (f"UPDATE commits SET prev = cid WHERE bucket = {PLAIN} AND seq = 2",),
    "database.totals": (
        f"UPDATE commits SET bytes = bytes + 1 WHERE bucket = {PAST}",
        f"DELETE FROM dirty WHERE bucket = {PAST}",
    ),
    "database.unpublished": (f"UPDATE commits SET published = false, time = 0 WHERE bucket = {PLAIN} AND seq = 2",),
    "database.object": (f"UPDATE objects SET size = -1 WHERE bucket = {PLAIN} AND key = 'k/001'",),
    "database.version": (f"UPDATE versions SET manifest = 'abc' WHERE bucket = {PAST} AND seq = 1",),
    "database.object-orphan": (f"UPDATE objects SET bucket = 999 WHERE bucket = {PLAIN} AND key = 'k/001'",),
    "database.version-orphan": (f"UPDATE versions SET bucket = 999 WHERE bucket = {PAST} AND seq = 1",),
    "database.dirty-orphan": ("INSERT INTO dirty VALUES (999, 'a', 1, 1)",),
    "database.dirty-version-orphan": ("INSERT INTO dirty_versions VALUES (999, 'a', 1, 1, 1)",),
    "database.object-body": ("DELETE FROM blocks WHERE cid = (SELECT content FROM objects WHERE key = 'k/001')",),
    "database.version-body": ("DELETE FROM blocks WHERE cid = (SELECT content FROM versions WHERE seq = 1)",),
    "database.part-body": (
        r"DELETE FROM blocks WHERE cid = (SELECT '\x01551220'::bytea || substr(chunks, 1, 32) FROM parts)",
    ),
    "database.part": ("UPDATE parts SET size = 3",),
    "database.part-left": ("UPDATE uploads SET completed = 1",),
    "database.history": (
        f"DELETE FROM objects WHERE bucket = {PAST}",
        f"DELETE FROM versions WHERE bucket = {PAST} AND content IS NULL",
    ),
    "database.version-order": (f"UPDATE objects SET seq = 1 WHERE bucket = {PAST}",),
    "database.version-id": (
        "UPDATE objects SET version_id = (SELECT version_id FROM versions WHERE seq = 1) WHERE key = 'doc'",
    ),
    "database.versioning": (f"UPDATE buckets SET object_lock = false, versioning = NULL WHERE id = {PAST}",),
    "database.lock": (f"UPDATE locks SET version = 'other' WHERE bucket = {PAST}",),
    "database.generation": ("SELECT setval('generation', 1)",),
    "database.block": ("UPDATE blocks SET length = length + 1 WHERE body IS NOT NULL",),
    "database.block-pack": ("UPDATE blocks SET pack = 999 WHERE cid = (SELECT content FROM objects WHERE key = 'k/001')",),
    "database.block-place": (
        'UPDATE blocks SET "offset" = 99999999 WHERE cid = (SELECT content FROM objects WHERE key = \'k/001\')',
    ),
    "database.epoch": ("UPDATE collector SET epoch = 0",),
    "database.pack": ("UPDATE packs SET encoding = 'zstd', plain = size WHERE id = (SELECT min(id) FROM packs)",),
    "database.frames": ("INSERT INTO frames SELECT min(id), 0, 0, 0, '' FROM packs",),
    "database.leftover": (
        "INSERT INTO packs (name, state, created) VALUES ('packs/ab/ab000000000000000000000000000000.car', 'pending', 1)",
    ),
    "tree.commit-row": (f"UPDATE commits SET objects = objects + 1 WHERE bucket = {PLAIN} AND seq = 2",),
    "tree.not-in-index": (f"DELETE FROM objects WHERE bucket = {PLAIN} AND key = 'k/001'",),
    "tree.not-in-tree": (f"UPDATE objects SET key = 'k/new' WHERE bucket = {PLAIN} AND key = 'k/001'",),
    "tree.differs": (
        "UPDATE objects SET manifest = (SELECT manifest FROM objects WHERE key = 'k/002') WHERE key = 'k/001'",
    ),
    "tree.tags": (f"""UPDATE buckets SET tags = '{{"a": "c"}}' WHERE id = {PLAIN}""",),
    "tree.versioning": (f"UPDATE buckets SET versioning = 'Enabled' WHERE id = {PLAIN}",),
    "presence.commit-row": (f"UPDATE commits SET objects = objects + 1 WHERE bucket = {PLAIN} AND seq = 1",),
    "presence.pack-size": ("UPDATE packs SET size = size + 1 WHERE id = (SELECT min(id) FROM packs)",),
    "proof.row": (f"UPDATE objects SET content_type = 'text/wrong' WHERE bucket = {PLAIN} AND key = 'k/001'",),
}


@pytest.mark.parametrize("code", BY_SQL)
def test_wrong_rows_are_found_at_their_level(full: mstbucket.Store, sql: Sql, code: str) -> None:
    """[CHECK-1] [CHECK-3]"""
    level = code.partition(".")[0]
    below = LEVELS[: LEVELS.index(level)]
    for statement in BY_SQL[code]:
        sql(statement.replace("%", "%%"))
    if below:
        assert code not in codes(full, below[-1])
    assert code in codes(full, level)
    assert code in codes(full, LEVELS[-1])  # [CHECK-1] each level includes those before


# --- what is done to blobs ------------------------------------------------------------------------------------------------


def place_of(sql: Sql, tmp_path: Path, cid: bytes) -> tuple[Path, int, int]:
    query = 'SELECT p.name, b."offset", b.length FROM blocks b JOIN packs p ON p.id = b.pack WHERE cid = %s'
    [(name, offset, length)] = sql(query, cid)
    return tmp_path / "blobs" / name, offset, length


def find(store: mstbucket.Store, level: str, code: str) -> mstbucket.Finding:
    found = [finding for finding in store.check(level).findings if finding.code == code]
    assert found, [finding.code for finding in store.check(level).findings]
    return found[0]


def root_of(sql: Sql, seq: int) -> bytes:
    [(tree,)] = sql(f"SELECT tree FROM commits WHERE bucket = {PLAIN} AND seq = %s", seq)
    return bytes(tree)


def commit_of(sql: Sql, seq: int) -> bytes:
    [(cid,)] = sql(f"SELECT cid FROM commits WHERE bucket = {PLAIN} AND seq = %s", seq)
    return bytes(cid)


@pytest.mark.parametrize(("seq", "code"), [(2, "tree.commit-damaged"), (1, "presence.commit-damaged")])
def test_a_flipped_bit_in_a_commit(full: mstbucket.Store, sql: Sql, tmp_path: Path, seq: int, code: str) -> None:
    cid = commit_of(sql, seq)
    path, offset, _ = place_of(sql, tmp_path, cid)
    flip(path, offset + 9)
    finding = find(full, code.partition(".")[0], code)
    assert (finding.bucket, from_text(finding.cid or "")) == ("plain", cid)


@pytest.mark.parametrize(("seq", "code"), [(2, "tree.commit-lost"), (1, "presence.commit-lost")])
def test_a_commit_without_a_block(full: mstbucket.Store, sql: Sql, seq: int, code: str) -> None:
    sql("DELETE FROM blocks WHERE cid = %s", commit_of(sql, seq))
    find(full, code.partition(".")[0], code)


def test_a_flipped_bit_in_a_node_leaves_the_other_keys_compared(full: mstbucket.Store, sql: Sql, tmp_path: Path) -> None:
    """[CHECK-4]"""
    [(leaf,)] = _leaf(full, root_of(sql, 2))
    path, offset, _ = place_of(sql, tmp_path, leaf)
    flip(path, offset + 9)
    sql(f"DELETE FROM objects WHERE bucket = {PLAIN} AND key = 'large'")
    report = full.check("tree")
    assert {finding.code for finding in report.findings} == {"tree.node-damaged", "tree.not-in-index"}
    [node] = [finding for finding in report.findings if finding.code == "tree.node-damaged"]
    assert node.path is not None
    assert node.path.endswith(f"/{node.cid}")
    assert node.path.count("/") >= 2


def _leaf(store: mstbucket.Store, root: bytes) -> list[tuple[bytes]]:
    """The first node below the root that holds no key of those that the test removes."""
    blocks = store._context.blocks
    keys, _, links = read_node(blocks.get(root))
    del keys
    for link in links:
        if link is None:
            continue
        inner, _, _ = read_node(blocks.get(link))
        if b"large" not in inner:
            return [(link,)]
    raise AssertionError("the tree has one node")


def test_a_node_without_a_row(full: mstbucket.Store, sql: Sql) -> None:
    sql("DELETE FROM blocks WHERE cid = %s", root_of(sql, 2))
    find(full, "tree", "tree.node-lost")


def test_a_node_of_an_older_commit_without_a_row(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-5]"""
    sql("DELETE FROM blocks WHERE cid = %s", root_of(sql, 1))
    finding = find(full, "presence", "presence.block-unknown")
    assert finding.commit is not None
    assert from_text(finding.commit) == commit_of(sql, 1)
    assert codes(full, "tree") == set()


def test_a_row_that_leads_to_another_tree_is_untrue(full: mstbucket.Store, sql: Sql) -> None:
    """A block that hashes right, and is not what belongs there."""
    sql(f"UPDATE commits SET tree = {MANIFEST} WHERE bucket = {PLAIN} AND seq = 2")
    find(full, "tree", "tree.node-untrue")


def test_the_same_in_an_older_commit(full: mstbucket.Store, sql: Sql) -> None:
    sql(f"UPDATE commits SET tree = {MANIFEST} WHERE bucket = {PLAIN} AND seq = 1")
    find(full, "presence", "presence.block-untrue")


def test_a_flipped_bit_in_a_manifest(full: mstbucket.Store, sql: Sql, tmp_path: Path) -> None:
    [(manifest,)] = sql("SELECT manifest FROM objects WHERE key = 'k/001'")
    path, offset, _ = place_of(sql, tmp_path, manifest)
    flip(path, offset + 9)
    finding = find(full, "presence", "presence.block-damaged")
    assert (finding.bucket, finding.key) == ("plain", "k/001")
    assert codes(full, "tree") == set()


def test_a_chunk_without_a_row(full: mstbucket.Store, sql: Sql) -> None:
    chunk = raw_cid((bytes(range(256)) * 4096)[: 1 << 20])
    sql("DELETE FROM blocks WHERE cid = %s", chunk)
    finding = find(full, "presence", "presence.block-unknown")
    assert finding.key == "large"
    assert codes(full, "tree") == set()


def test_a_chunk_of_a_changed_key_without_a_row(full: mstbucket.Store, sql: Sql) -> None:
    sql("DELETE FROM blocks WHERE cid = %s", raw_cid(b"x" * (1 << 20)))
    finding = find(full, "presence", "presence.block-unknown")
    assert (finding.bucket, finding.key, finding.commit) == ("plain", "large-changed", None)


def test_a_row_of_a_chunk_with_another_length(full: mstbucket.Store, sql: Sql) -> None:
    sql("UPDATE blocks SET length = 5 WHERE cid = (SELECT content FROM objects WHERE key = 'k/001')")
    find(full, "presence", "presence.block-size")


def test_a_pack_that_is_gone(full: mstbucket.Store, packs: Packs, sql: Sql) -> None:
    packs()[-1].unlink()
    assert codes(full, "database") == set()
    find(full, "presence", "presence.pack-lost")
    assert "presence.block-lost" in codes(full, "presence")


def test_a_pack_that_was_cut(full: mstbucket.Store, packs: Packs) -> None:
    path = packs()[-1]
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    find(full, "presence", "presence.pack-size")


def test_a_pack_that_no_row_knows(full: mstbucket.Store, packs: Packs) -> None:
    """[CHECK-6]"""
    name = "ab" + "0" * 30
    other = packs()[0].parent.parent / "ab"
    other.mkdir(exist_ok=True)
    (other / f"{name}.car").write_bytes(b"what is this")
    report = full.check("presence")
    assert [finding.code for finding in report.findings] == ["presence.blob-unknown"]
    assert not report.damaged


def test_a_blob_with_a_foreign_name(full: mstbucket.Store, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "packs" / "notes.txt").write_bytes(b"hello")
    assert codes(full, "presence") == {"presence.blob-foreign"}


def test_a_ref_that_is_gone(full: mstbucket.Store, tmp_path: Path) -> None:
    max((tmp_path / "blobs" / "refs").rglob("*.car")).unlink()
    find(full, "presence", "presence.ref-lost")


def test_a_ref_above_every_commit(full: mstbucket.Store, tmp_path: Path) -> None:
    ref = max((tmp_path / "blobs" / "refs").rglob("*.car"))
    ref.with_name("00000000000000ff" + ref.name[16:]).write_bytes(ref.read_bytes())
    assert codes(full, "presence") == {"presence.ref-ahead"}


def test_an_identity_that_is_gone(full: mstbucket.Store, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "store.id").unlink()
    assert codes(full, "presence") == {"presence.identity"}


def test_a_flipped_bit_in_a_chunk_says_whose_it_is(full: mstbucket.Store, sql: Sql, tmp_path: Path) -> None:
    """[CHECK-2]"""
    chunk = raw_cid((bytes(range(256)) * 4096)[: 1 << 20])
    path, offset, _ = place_of(sql, tmp_path, chunk)
    flip(path, offset + 1000)
    assert codes(full, "presence") == set()
    finding = find(full, "data", "data.block")
    assert (finding.bucket, finding.key, from_text(finding.cid or "")) == ("plain", "large", chunk)
    assert finding.commit is not None
    assert finding.path is not None
    assert finding.path.startswith(f"/{finding.commit}/")
    assert "data.pack" in codes(full, "data")


def test_a_flipped_bit_between_the_blocks_of_a_pack(full: mstbucket.Store, packs: Packs) -> None:
    flip(packs()[-1], 70)  # the section of the empty block, which no row leads to
    assert codes(full, "presence") == set()
    assert codes(full, "data") == {"data.pack"}


def test_a_small_body_in_the_database_that_is_another(full: mstbucket.Store, sql: Sql) -> None:
    sql("UPDATE blocks SET body = 'not in a commit yEt' WHERE cid = %s", raw_cid(b"not in a commit yet"))
    assert codes(full, "presence") == set()
    finding = find(full, "data", "data.body")
    assert (finding.bucket, finding.key) == ("plain", "k/changed")


def test_a_row_that_leads_to_another_place(full: mstbucket.Store, sql: Sql) -> None:
    sql('UPDATE blocks SET "offset" = "offset" + 1 WHERE cid = %s', raw_cid(b"x" * (1 << 20)))
    assert codes(full, "presence") == set()
    find(full, "data", "data.row-misplaced")


def test_a_row_that_leads_to_another_pack(full: mstbucket.Store, sql: Sql) -> None:
    sql("UPDATE blocks SET pack = (SELECT max(pack) FROM blocks) WHERE cid = %s", raw_cid(b"body 1"))
    find(full, "data", "data.row-elsewhere")


def test_a_ref_that_was_flipped(full: mstbucket.Store, tmp_path: Path) -> None:
    flip(max((tmp_path / "blobs" / "refs").rglob("*.car")), 120)
    assert codes(full, "presence") == set()
    assert codes(full, "data") == {"data.ref"}


def test_rows_that_give_another_tree(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-8]"""
    sql(f"DELETE FROM objects WHERE bucket = {PLAIN} AND key = 'k/001'")
    found = codes(full, "proof")
    assert {"proof.tree", "proof.commit"} <= found


def test_no_damage_is_changed_by_the_check(full: mstbucket.Store, sql: Sql) -> None:
    sql(f"DELETE FROM objects WHERE bucket = {PLAIN} AND key = 'k/001'")
    before = sql("SELECT count(*), sum(hashtext(b::text)) FROM blocks b")
    full.check("proof")
    assert sql("SELECT count(*), sum(hashtext(b::text)) FROM blocks b") == before


# --- packs in frames ------------------------------------------------------------------------------------------------------


@pytest.fixture
def framed(database_url: str, tmp_path: Path) -> mstbucket.Store:
    return mstbucket.open(
        database=database_url, blobs=tmp_path / "blobs", background=False, compression="zstd", encryption=_key(tmp_path)
    )


def _key(tmp_path: Path) -> str:
    path = tmp_path / "key"
    path.write_text("5a" * 32)
    path.chmod(0o600)
    return str(path)


def test_an_encrypted_store_is_clean_and_its_damage_is_found(
    framed: mstbucket.Store, sql: Sql, packs: Packs, tmp_path: Path
) -> None:
    with framed as store:
        bucket = store.create_bucket("secret")
        bucket.put_objects(mstbucket.PutRequest(f"{n}", b"%d" % n * 9000) for n in range(20))
        bucket.put_object("large", bytes(range(256)) * 12_000)
        bucket.flush()
        assert store.check("proof").findings == ()
        [key] = (tmp_path / "blobs" / "keys").iterdir()
        data = key.read_bytes()
        key.unlink()
        assert codes(store, "presence") == {"presence.key"}
        key.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert codes(store, "data") == {"data.key"}
        key.write_bytes(data)
        sql("UPDATE frames SET lengths = lengths || lengths WHERE pack = (SELECT min(pack) FROM frames)")
        assert "data.frames" in codes(store, "data")
        half = "substr(lengths, 1, octet_length(lengths) / 2)"
        sql(f"UPDATE frames SET lengths = {half} WHERE pack = (SELECT min(pack) FROM frames)")
        assert codes(store, "data") == set()
        path = packs()[-1]
        flip(path, path.stat().st_size - 30)
        assert codes(store, "presence") == set()
        assert codes(store, "data") == {"data.trailer"}


def test_what_a_given_up_commit_shares_with_others_is_looked_at_again(full: mstbucket.Store, sql: Sql) -> None:
    """[CHECK-5] A walk that ended in the middle has seen blocks whose links it did not follow."""
    (lost,) = sql(f"SELECT manifest FROM objects WHERE bucket = {PLAIN} AND key = 'k/050'")[0]
    sql("DELETE FROM blocks WHERE cid = %s", lost)
    context = full._context
    number = next(number for number, name in check_rows.buckets(context.db) if name == "plain")
    commit = next(iter(check_rows.kept_commits(context.db, number)))
    part = Part()
    with Marker(context, part, "plain") as marker:
        answers = iter([True, False])  # it is given up between the first look and the second
        marker.tree(commit.cid, commit.tree, False, lambda: next(answers))
        assert part.findings == []
        marker.tree(commit.cid, commit.tree, False, lambda: True)
    assert [(one.code, one.cid) for one in part.findings] == [("presence.block-unknown", to_text(lost))]
