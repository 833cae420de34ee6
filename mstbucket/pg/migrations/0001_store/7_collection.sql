
-- --- collection (spec/store/26-collection.md) ------------------------------------------------------------------------------

-- How often removed rows of blocks were brought back. Who has seen that no row leads to a pack has to find the same number when
-- it dooms the pack: nothing else ever adds a row to a pack that is ready ([GC-11]).
ALTER TABLE collector ADD COLUMN undos bigint NOT NULL DEFAULT 0;

-- Of a doomed pack: until then an undo brings it back, and the blob stays. NULL: the blob may go ([GC-10]).
ALTER TABLE packs ADD COLUMN until bigint;
CREATE INDEX packs_waiting ON packs (until) WHERE until IS NOT NULL;

-- The cycles, by the epoch that each began. `ended` is NULL where one was broken off, or is under way. Until `until` what it
-- removed can be brought back. `stored` is what the packs had at its end, the others as its report says.
CREATE TABLE collections (
    epoch        bigint PRIMARY KEY,
    started      bigint NOT NULL,
    ended        bigint,
    until        bigint,
    live_blocks  bigint,
    live_bytes   bigint,
    dead_blocks  bigint,                        -- found, and not removed: spared, or too many
    dead_bytes   bigint,
    freed_blocks bigint,
    freed_bytes  bigint,
    freed_packs  bigint,
    stored       bigint,
    sign         text                           -- of the roots, where nothing was left to do; see `roots_sign` ([GC-18])
);

-- Rows of `blocks` that a cycle removed, as they were, until they cannot be brought back any more.
CREATE TABLE buried (
    cycle    bigint NOT NULL,
    cid      bytea NOT NULL,
    pack     bigint,
    "offset" bigint,
    length   integer NOT NULL,
    body     bytea,
    PRIMARY KEY (cycle, cid)
);
ALTER TABLE buried ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX buried_by_pack ON buried (pack) WHERE pack IS NOT NULL;

-- Blobs under `packs/` that no row named, and when that was first seen ([GC-14]).
CREATE TABLE strays (
    name text COLLATE "C" PRIMARY KEY,
    seen bigint NOT NULL
);

-- Changes whenever anything may have died: every put, delete and part draws a generation, every new commit has a pack, and the
-- others are counted. NULL: somebody reads a commit, and may let go of it without a trace. Of a moment with nobody inside. [GC-18]
CREATE FUNCTION roots_sign() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM leases) THEN
        RETURN NULL;
    END IF;
    RETURN concat_ws(' ', (SELECT concat(last_value, is_called) FROM generation),
        (SELECT concat(last_value, is_called) FROM packs_id_seq), (SELECT count(*) FROM commits),
        (SELECT count(*) FROM parts), (SELECT undos FROM collector));
END $$;

-- Stops all who come, waits for the writers inside, and gives up after a while. [GC-1]
CREATE FUNCTION close_barrier(p_wait text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', p_wait, true);
    PERFORM pg_advisory_xact_lock(7172980, 0);
END $$;

-- Removes those of these blocks that nobody has touched since, and says from which packs. Rows that somebody holds stay: it is
-- a writer, which touches them, or a compaction. In a cycle with an undo window they are kept in `buried`. [GC-7]
CREATE FUNCTION remove_blocks(p_cycle bigint, p_before bigint, p_bury boolean, p_cids bytea[])
RETURNS TABLE (pack bigint, blocks bigint, bytes bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        WITH held AS (
            SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND b.epoch < p_before ORDER BY b.cid FOR UPDATE SKIP LOCKED),
        gone AS (
            DELETE FROM blocks b USING held h WHERE b.cid = h.cid AND b.epoch < p_before
            RETURNING b.cid, b.pack, b."offset", b.length, b.body),
        kept AS (
            INSERT INTO buried (cycle, cid, pack, "offset", length, body)
            SELECT p_cycle, g.cid, g.pack, g."offset", g.length, g.body FROM gone g WHERE p_bury)
        SELECT g.pack, count(*), sum(g.length)::bigint FROM gone g GROUP BY g.pack;
END $$;

-- Until when rows can be brought back that lead to this pack; NULL where there are none.
CREATE FUNCTION undo_until(p_pack bigint) RETURNS bigint LANGUAGE sql STABLE
    RETURN (SELECT max(c.until) FROM buried b JOIN collections c ON c.epoch = b.cycle WHERE b.pack = p_pack);

-- Brings some of the removed rows back, with their packs, but for those whose blobs may have gone; how many rows were looked at
-- and how many brought back. Behind the closed barrier: what compacts or collects now has to begin anew. [GC-11]
CREATE FUNCTION bring_back(p_limit integer, OUT seen bigint, OUT back bigint, OUT bytes bigint) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE collector SET undos = undos + 1;
    WITH taken AS (
        DELETE FROM buried WHERE (cycle, cid) IN (SELECT t.cycle, t.cid FROM buried t LIMIT p_limit) RETURNING *),
    usable AS (
        SELECT t.* FROM taken t LEFT JOIN packs p ON p.id = t.pack
        WHERE t.pack IS NULL OR p.state = 'ready' OR (p.state = 'doomed' AND p.until IS NOT NULL)),
    revived AS (
        UPDATE packs p SET state = 'ready', until = NULL, alive = NULL
        WHERE p.id IN (SELECT u.pack FROM usable u) AND p.state = 'doomed'),
    made AS (
        INSERT INTO blocks (cid, pack, "offset", length, body, epoch)
        SELECT u.cid, u.pack, u."offset", u.length, u.body, c.epoch FROM usable u CROSS JOIN collector c ORDER BY u.cid
        ON CONFLICT (cid) DO NOTHING RETURNING length)
    SELECT (SELECT count(*) FROM taken), count(*), coalesce(sum(m.length), 0) INTO seen, back, bytes FROM made m;
END $$;
