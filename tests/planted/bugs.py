"""Bugs to plant: one change of a few characters each, in a step that a protocol needs, and the tests that have to notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SQL: Final = "mstbucket/pg/migrations/0001_store/"
_COLLECT: Final = ("tests/services/collection",)
_SWEEP: Final = ("tests/services/collection/test_sweep.py",)
_FLUSH: Final = ("tests/services/tree/test_flush.py", "tests/services/tree/test_flush_races.py")
_SHARING: Final = ("tests/services/blocks/test_sharing.py", "tests/services/blocks/test_mending.py")
_REBUILD: Final = ("tests/services/rebuild",)


@dataclass(frozen=True, slots=True)
class Bug:
    """Attributes:
        name: what the program does with the bug.
        file: the file it is planted in, from the root of the repository.
        old, new: text that stands there exactly once, and what it becomes.
        tests: paths; at least one test there has to fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BUGS: Final = (
    # --- put, and blocks on their way in
    Bug(
        "a put goes in without the barrier",
        f"{_SQL}2_block_functions.sql",
        "PERFORM pg_advisory_xact_lock_shared(7172980, 0);"
        "                                   -- [PUT-5] the barrier comes first\n    SELECT b.id INTO bucket",
        "SELECT b.id INTO bucket",
        _COLLECT,
    ),
    Bug(
        "a put of a body that is there does not touch its row",
        f"{_SQL}2_block_functions.sql",
        "WHERE b.cid = ANY (p_cids) AND (b.epoch < p_epoch OR b.born IS NOT NULL)",
        "WHERE b.cid = ANY (p_cids) AND b.epoch < 0",
        _COLLECT,
    ),
    Bug(
        "a put of a small body that is there does not touch its row",
        f"{_SQL}3_object_functions.sql",
        "WHERE b.epoch < excluded.epoch OR b.born IS NOT NULL OR b.body <> excluded.body;"
        "  -- [PUT-6] touch, [GC-21], [PUT-13]\n    PERFORM refuse_damaged(ARRAY[p_content]);",
        "WHERE b.body <> excluded.body;\n    PERFORM refuse_damaged(ARRAY[p_content]);",
        _COLLECT,
    ),
    Bug(
        "a block that a collection could take counts as safe",
        f"{_SQL}2_block_functions.sql",
        "p.damaged, b.epoch < here FROM blocks b",
        "p.damaged, false FROM blocks b",
        (*_COLLECT, *_SHARING),
    ),
    Bug(
        "a block of a damaged pack counts as present",
        "mstbucket/services/blocks/incoming.py",
        "            if one.damaged:\n                suspect[one.cid] = _location(one)\n            else:",
        "            if False:\n                suspect[one.cid] = _location(one)\n            else:",
        _SHARING,
    ),
    Bug(
        "nobody proves that a block that was counted on is still there",
        "mstbucket/services/blocks/incoming.py",
        "if blocks.keep(tx, part, proven) != len(part):",
        "if blocks.keep(tx, part, proven) < 0:",
        (*_SHARING, *_COLLECT),
    ),
    Bug(
        "a pack that was given up becomes ready",
        "mstbucket/services/blocks/registered.py",
        "if not packs.make_ready(connection, self.id, self._written, rows):",
        "if packs.make_ready(connection, self.id, self._written, rows) is None:",
        ("tests/services/tree/test_protocols.py", "tests/services/objects", "tests/services/blocks"),
    ),
    Bug(
        "the blob goes although the commit went through and only its answer was lost",
        "mstbucket/services/blocks/registered.py",
        "if not packs.doom_pending(connection, self.id) and packs.is_ready(connection, self._name):",
        "if not packs.doom_pending(connection, self.id) and packs.is_ready(connection, ''):",
        ("tests/services/tree/test_protocols.py", "tests/services/tree/test_killed.py", "tests/services/blocks"),
    ),
    Bug(
        "a condition is judged without holding the key",
        f"{_SQL}3_object_functions.sql",
        "    PERFORM hold(p_bucket, p_key);\n    refused := refusal(",
        "    refused := refusal(",
        ("tests/services/objects/test_conditions_races.py",),
    ),
    Bug(
        "a put passes an earlier one of the same key in its line",
        "mstbucket/services/blocks/groups.py",
        "if member.key in keys or size + member.size > GROUP_BYTES_MAX:",
        "if size + member.size > GROUP_BYTES_MAX:",
        ("tests/services/objects/test_put_groups.py",),
    ),
    # --- flush
    Bug(
        "a flush moves a commit that another flush has moved",
        "mstbucket/index/commits.py",
        "WHERE id = %(bucket)s AND seq = %(seq)s AND commit IS NOT DISTINCT FROM %(old)s",
        "WHERE id = %(bucket)s",
        _FLUSH,
    ),
    Bug(
        "a flush forgets a key that was written again meanwhile",
        "mstbucket/index/dirty.py",
        "d.key = f.key AND d.generation = f.generation",
        "d.key = f.key",
        _FLUSH,
    ),
    Bug(
        "a flush forgets a version that was changed again meanwhile",
        "mstbucket/index/dirty.py",
        "AND d.seq = f.seq AND d.generation = f.generation",
        "AND d.seq = f.seq",
        (*_FLUSH, "tests/services/objects/test_versions_races.py", "tests/services/policy/test_s3_lock.py"),
    ),
    Bug(
        "a flush does not look whether the bodies are still there",
        "mstbucket/services/tree/flush.py",
        "if blocks.touch_folded(tx, batch) != len(batch):",
        "if blocks.touch_folded(tx, batch) < 0:",
        (*_FLUSH, "tests/services/tree/test_protocols.py", *_COLLECT),
    ),
    Bug(
        "a flush that lost takes a commit that began before it as its own",
        "mstbucket/services/tree/turns.py",
        "head.bucket, head.seq + 2)",
        "head.bucket, head.seq + 1)",
        _FLUSH,
    ),
    Bug(
        "a commit is published before the locks of its versions",
        "mstbucket/services/tree/publish.py",
        "    publish_state(context, bucket)  # [REB-22] first:",
        "    # [REB-22] first:",
        _REBUILD,
    ),
    # --- collection
    Bug(
        "a cycle begins while writers are inside",
        "mstbucket/index/collection.py",
        'barrier.execute("SELECT close_barrier(%s)", (wait,))',
        'barrier.execute("SELECT %s", (wait,))',
        _COLLECT,
    ),
    Bug(
        "a cycle does not spare what a pending pack counts on",
        f"{_SQL}2_block_functions.sql",
        "RETURN (SELECT least(c.epoch, (SELECT min(p.epoch) FROM packs p WHERE p.state = 'pending')) FROM collector c);",
        "RETURN (SELECT c.epoch FROM collector c);",
        _COLLECT,
    ),
    Bug(
        "a sweep takes rows that were touched after they were counted",
        f"{_SQL}7_collection.sql",
        "WHERE b.cid = ANY (p_cids) AND b.epoch < p_before ORDER BY b.cid FOR UPDATE SKIP LOCKED),\n        gone AS (\n"
        "            DELETE FROM blocks b USING held h WHERE b.cid = h.cid AND b.epoch < p_before",
        "WHERE b.cid = ANY (p_cids) ORDER BY b.cid FOR UPDATE SKIP LOCKED),\n        gone AS (\n"
        "            DELETE FROM blocks b USING held h WHERE b.cid = h.cid",
        _COLLECT,
    ),
    Bug(
        "what a reader holds a lease on is no root",
        "mstbucket/index/collection.py",
        " UNION ALL SELECT cid, tree, versions FROM leases WHERE until > now_ms() - %s\n",
        " WHERE %s > 0\n",
        (*_COLLECT, "tests/services/past/test_leases.py"),
    ),
    Bug(
        "the tree of versions is no root",
        "mstbucket/services/collection/roots.py",
        "if tree.versions is not None:",
        "if False:",
        _COLLECT,
    ),
    Bug(
        "versions that no commit holds yet are no roots",
        "mstbucket/index/collection.py",
        "SELECT manifest, content FROM objects UNION ALL SELECT manifest, content FROM versions",
        "SELECT manifest, content FROM objects",
        _COLLECT,
    ),
    Bug(
        "the parts of open uploads are no roots",
        "mstbucket/services/collection/roots.py",
        "marks.add_chunks(digests)",
        "pass",
        _COLLECT,
    ),
    Bug(
        "a collection goes on where something cannot be read",
        "mstbucket/services/collection/roots.py",
        "  # the type and the rest stay\n        raise\n",
        "  # the type and the rest stay\n",
        _COLLECT,
    ),
    Bug(
        "a sweep does not notice an undo",
        "mstbucket/index/collection.py",
        "return enter_store(connection).epoch == start.epoch and undos(connection) == start.undos",
        "return enter_store(connection).epoch == start.epoch",
        _COLLECT,
    ),
    Bug(
        "a sweep does not notice a later cycle",
        "mstbucket/index/collection.py",
        "return enter_store(connection).epoch == start.epoch and undos(connection) == start.undos",
        "return enter_store(connection).epoch > 0 and undos(connection) == start.undos",
        _COLLECT,
    ),
    Bug(
        "known damage does not stop a collection",
        "mstbucket/services/collection/cycle.py",
        "if not force and collection.is_damage_known(context.db):",
        "if False:",
        _COLLECT,
    ),
    Bug(
        "a collection removes nearly everything unasked",
        "mstbucket/services/collection/cycle.py",
        "if not force and 100 * counted.dead.bytes >",
        "if not force and 0 * counted.dead.bytes >",
        _COLLECT,
    ),
    Bug(
        "what is removed cannot be brought back",
        "mstbucket/services/collection/cycle.py",
        "collection.remove(connection, self._start, self._grace > 0, cids)",
        "collection.remove(connection, self._start, False, cids)",
        _COLLECT,
    ),
    Bug(
        "a blob goes while an undo could bring its rows back",
        "mstbucket/services/collection/cycle.py",
        "names = [pack.name for pack in doomed if not pack.waits]",
        "names = [pack.name for pack in doomed]",
        _COLLECT,
    ),
    Bug(
        "a pack is doomed as soon as one of its rows went",
        "mstbucket/services/collection/packs.py",
        "self._removed[at] + blocks == self._rows[at]:",
        "self._removed[at] + blocks >= 1:",
        _COLLECT,
    ),
    Bug(
        "the undo window ends before its time",
        "mstbucket/index/collection.py",
        "UPDATE packs SET until = NULL WHERE state = 'doomed' AND until <= now_ms()",
        "UPDATE packs SET until = NULL WHERE state = 'doomed'",
        _COLLECT,
    ),
    Bug(
        "an undo does not stop what is under way",
        f"{_SQL}7_collection.sql",
        "UPDATE collector SET undos = undos + 1;",
        "PERFORM 1;",
        _COLLECT,
    ),
    # --- what died, without a mark
    Bug(
        "a put of a small body that is there does not mark it as shared",
        f"{_SQL}3_object_functions.sql",
        "body = CASE WHEN b.pack IS NULL THEN excluded.body END, born = NULL\n"
        "        WHERE b.epoch < excluded.epoch OR b.born IS NOT NULL OR",
        "body = CASE WHEN b.pack IS NULL THEN excluded.body END\n        WHERE b.epoch < excluded.epoch OR",
        _SWEEP,
    ),
    Bug(
        "a batch of small bodies does not mark those that are there as shared",
        f"{_SQL}2_block_functions.sql",
        "body = CASE WHEN b.pack IS NULL THEN excluded.body END, born = NULL\n",
        "body = CASE WHEN b.pack IS NULL THEN excluded.body END\n",
        _SWEEP,
    ),
    Bug(
        "who needs blocks that are there does not mark them as shared",
        f"{_SQL}2_block_functions.sql",
        "UPDATE blocks b SET epoch = greatest(b.epoch, p_epoch), born = NULL WHERE b.cid = ANY (stale);",
        "UPDATE blocks b SET epoch = greatest(b.epoch, p_epoch) WHERE b.cid = ANY (stale);",
        _SWEEP,
    ),
    Bug(
        "a flush does not mark the nodes that it finds as shared",
        f"{_SQL}2_block_functions.sql",
        "born = CASE WHEN b.pack IS NULL AND excluded.born = -1 THEN b.born END,",
        "born = b.born,",
        _SWEEP,
    ),
    Bug(
        "a copy is no other life of the body",
        "mstbucket/services/objects/copy.py",
        "        tx.touch([was.content])  # [GC-21]",
        "        # [GC-21]",
        _SWEEP,
    ),
    Bug(
        "a bucket is swept whoever made its commits",
        "mstbucket/index/deaths.py",
        "AND b.epoch <= d.epoch AND k.folded = k.seq",
        "AND b.epoch <= d.epoch AND k.folded IS NOT NULL",
        _SWEEP,
    ),
    Bug(
        "a body of two objects of one batch has one life",
        "mstbucket/services/objects/put.py",
        "if content is not None and number > 1]",
        "if content is not None and number > 2]",
        _SWEEP,
    ),
    Bug(
        "a body of two objects of one group has one life",
        f"{_SQL}3_object_functions.sql",
        "GROUP BY c HAVING count(*) > 1));",
        "GROUP BY c HAVING count(*) > 2));",
        _SWEEP,
    ),
    Bug(
        "a chunk of two bodies of one batch has one life",
        "mstbucket/services/blocks/incoming.py",
        "self._repeated.update(cid for cid in new if cid in self._seen)",
        "self._repeated.update(cid for cid in new if cid not in self._seen)",
        _SWEEP,
    ),
    Bug(
        "a manifest that a flush folds under two keys has one life",
        "mstbucket/services/tree/deaths.py",
        "for cid, times in _came(snapshot).items() if times > 1]",
        "for cid, times in _came(snapshot).items() if times > 2]",
        _SWEEP,
    ),
    Bug(
        "new tags are the death of a body",
        "mstbucket/services/tree/deaths.py",
        "    bodies -= {snapshot.blocks[cid].content for cid in came}\n",
        "",
        _SWEEP,
    ),
    Bug(
        "a node that was read and stays has died",
        "mstbucket/core/mst/apply.py",
        "fold.old - fold.stay)",
        "fold.old)",
        ("tests/core/test_mst_small.py",),
    ),
    Bug(
        "a flush does not mark what was replaced since its snapshot",
        "mstbucket/services/tree/flush.py",
        "_share(tx, snapshot, sorted({*late, *repeated(snapshot)}))",
        "_share(tx, snapshot, sorted({*repeated(snapshot)}))",
        _SWEEP,
    ),
    Bug(
        "a write looks at the newest commit without holding the mark of its key",
        f"{_SQL}7_collection.sql",
        "PERFORM FROM dirty d WHERE d.bucket = OLD.bucket AND d.key = OLD.key FOR UPDATE;",
        "PERFORM FROM dirty d WHERE d.bucket = OLD.bucket AND d.key = OLD.key;",
        _SWEEP,
    ),
    Bug(
        "a body that is replaced while its key waits is taken for one that no commit has",
        f"{_SQL}7_collection.sql",
        "ON l.cid = OLD.content AND l.born = b.seq",
        "ON l.cid = OLD.content",
        _SWEEP,
    ),
    Bug(
        "a bucket that was forked or merged is swept",
        "mstbucket/index/commits.py",
        "named = [one for one in (cid, c.forked, c.merged) if one is not None]",
        "named = [cid]",
        _SWEEP,
    ),
    Bug(
        "a bucket that was fetched from is swept",
        "mstbucket/index/commits.py",
        "named = [one for one in (cid, c.forked, c.merged) if one is not None]",
        "named = [one for one in (c.forked, c.merged) if one is not None]",
        _SWEEP,
    ),
    Bug(
        "a sweep removes what a commit has that can be read",
        "mstbucket/index/deaths.py",
        "c.seq > b.born AND c.seq <= d.seq",
        "c.seq > b.born AND c.seq < d.seq",
        _SWEEP,
    ),
    Bug(
        "a block came with the commit after the one that has it",
        f"{_SQL}3_object_functions.sql",
        "VALUES (p_content, length(p_body), here.seq, p_body,",
        "VALUES (p_content, length(p_body), here.seq + 1, p_body,",
        _SWEEP,
    ),
    Bug(
        "a sweep does not mind who reads a commit that has gone",
        "mstbucket/index/deaths.py",
        "    if one_row(connection, query, (RENEWAL,))[0]:\n        return\n",
        "    one_row(connection, query, (RENEWAL,))\n",
        _SWEEP,
    ),
    Bug(
        "a death has no epoch",
        f"{_SQL}7_collection.sql",
        "SELECT c, p_bucket, p_seq, p_epoch FROM unnest(p_cids)",
        "SELECT c, p_bucket, p_seq, 1000000 FROM unnest(p_cids)",
        _SWEEP,
    ),
    Bug(
        "a sweep removes rows as it saw them before",
        f"{_SQL}7_collection.sql",
        "            WHERE b.born IS NOT NULL AND b.epoch <= t.death AND b.epoch < p_before"
        " ORDER BY b.cid FOR UPDATE OF b SKIP LOCKED),\n"
        "        gone AS (\n            DELETE FROM blocks b USING held h\n"
        "            WHERE b.cid = h.cid AND b.born IS NOT NULL AND b.epoch <= h.death AND b.epoch < p_before\n",
        "            ORDER BY b.cid FOR UPDATE OF b SKIP LOCKED),\n"
        "        gone AS (\n            DELETE FROM blocks b USING held h\n            WHERE b.cid = h.cid\n",
        _SWEEP,
    ),
    Bug(
        "a pack goes as soon as a sweep has removed one of its rows",
        "mstbucket/index/packs.py",
        "RETURNING p.id, p.rows = 0,",
        "RETURNING p.id, p.rows >= 0,",
        _SWEEP,
    ),
    Bug(
        "an undo does not forget how many rows led to a pack",
        f"{_SQL}7_collection.sql",
        "            rows = NULL ",
        "            rows = p.rows ",
        _SWEEP,
    ),
    Bug(
        "a cycle does not say that a sweep was wrong",
        "mstbucket/services/collection/cycle.py",
        "        audit(context, marks)\n",
        "",
        _SWEEP,
    ),
    Bug(
        "known damage does not stop a sweep",
        "mstbucket/services/collection/sweep.py",
        "if collection.is_damage_known(context.db):",
        "if False:",
        _SWEEP,
    ),
    Bug(
        "a sweep removes nearly everything unasked",
        "mstbucket/services/collection/sweep.py",
        "if 100 * packed >",
        "if 0 * packed >",
        _SWEEP,
    ),
    # --- the past, and rebuild
    Bug(
        "a reader whose lease ran out reads on",
        "mstbucket/services/tree/leases.py",
        "        if stands:\n            return\n",
        "        if stands or True:\n            return\n",
        ("tests/services/past", *_COLLECT),
    ),
    Bug(
        "a rebuild takes the oldest commit",
        "mstbucket/services/rebuild/refs.py",
        "return -ref.commit.seq, -ref.commit.time, ref.cid",
        "return ref.commit.seq, -ref.commit.time, ref.cid",
        _REBUILD,
    ),
    Bug(
        "a rebuild passes over a newer commit that cannot be read",
        "mstbucket/services/rebuild/rebuild.py",
        "        if all(ref.commit.seq < seq for ref in refs.valid.get(identity, ())):",
        "        if False:",
        _REBUILD,
    ),
    # --- media
    Bug(
        "a blob is acknowledged before it is on the disk",
        "mstbucket/blobs/media/disk.py",
        "        os.fsync(handle.fd)",
        "        pass",
        ("tests/blobs",),
    ),
    Bug(
        "an exported file is acknowledged before it is on the disk",
        "mstbucket/files/whole.py",
        "            os.fsync(file.fileno())",
        "            pass",
        ("tests/files", "tests/cli"),
    ),
    Bug(
        "a name that may not outlive a loss of power counts as nothing done",
        "mstbucket/files/whole.py",
        "        raise OutcomeUnknown(f\"{failed(f'the name {path}",
        "        raise StorageError(f\"{failed(f'the name {path}",
        ("tests/files/test_whole.py",),
    ),
    Bug(
        "a backup is named before its database is on the disk",
        "mstbucket/api/dumping.py",
        "        sync(partial)\n        sync(target)  #",
        "        #",
        ("tests/services/test_power_cuts.py",),
    ),
    Bug(
        "a commit that a standby took over is taken for one that a crash undid",
        "mstbucket/pg/lost_commit.py",
        "        WHEN pg_last_xact_replay_timestamp() IS NOT NULL THEN 'unknown'\n",
        "",
        ("tests/pg/test_failover.py",),
    ),
    # --- the files view
    Bug(
        "a folder of exactly the bytes that one node may have is sharded",
        "mstbucket/core/unixfs_directory.py",
        "links + 2 + len(_DIRECTORY) > DIRECTORY_BLOCK_MAX",
        "links + 2 + len(_DIRECTORY) >= DIRECTORY_BLOCK_MAX",
        ("tests/core/test_unixfs_directory.py",),
    ),
    Bug(
        "a folder that comes twice is in the file twice",
        "mstbucket/services/tree/export_files.py",
        "elif seen.add(link.cid):",
        "elif True:",
        ("tests/services/tree/test_export_files.py",),
    ),
    Bug(
        "a folder beside an object keeps the other form of its name when the object is no longer beside it",
        "mstbucket/files/view_paths.py",
        "self._lengths.discard(len(self._begins.pop()))",
        "self._begins.pop()",
        ("tests/files/test_view_paths.py",),
    ),
)
