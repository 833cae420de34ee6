
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
    swept        boolean NOT NULL DEFAULT false,  -- a sweep: it decided what had died, and counted nothing else ([GC-24])
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
        UPDATE packs p SET state = 'ready', until = NULL, alive = CASE p.state WHEN 'ready' THEN p.alive END,
            rows = NULL                                                                         -- [GC-25]
        WHERE p.id IN (SELECT u.pack FROM usable u)),
    made AS (
        INSERT INTO blocks (cid, pack, "offset", length, body, epoch)
        SELECT u.cid, u.pack, u."offset", u.length, u.body, c.epoch FROM usable u CROSS JOIN collector c ORDER BY u.cid
        ON CONFLICT (cid) DO NOTHING RETURNING length)
    SELECT (SELECT count(*) FROM taken), count(*), coalesce(sum(m.length), 0) INTO seen, back, bytes FROM made m;
END $$;

-- --- what died, without a mark -------------------------------------------------------------------------------------------

-- Blocks that may have died, until a sweep has decided: the newest commit of the bucket that may have it, and the epoch in which it
-- died. `held` is the newest kept commit that may have it, as of the last look; 0 before the first. [GC-20]
CREATE TABLE died (
    cid    bytea NOT NULL,
    bucket bigint NOT NULL,
    seq    bigint NOT NULL,
    epoch  integer NOT NULL,
    held   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (cid, bucket)
);
CREATE INDEX died_by_holder ON died (bucket, held);

-- What sweeps have removed since the last cycle: that finds none of it among what is needed, or something is wrong. [GC-26]
CREATE TABLE swept (cid bytea NOT NULL);

-- What a flush replaced in the trees. Of two deaths in one bucket the older epoch counts, and the newer commit. [GC-20]
CREATE FUNCTION note_died(p_bucket bigint, p_seq bigint, p_epoch integer, p_cids bytea[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO died AS d (cid, bucket, seq, epoch) SELECT c, p_bucket, p_seq, p_epoch FROM unnest(p_cids) AS t (c) ORDER BY c
    ON CONFLICT (cid, bucket) DO UPDATE SET seq = greatest(d.seq, excluded.seq), epoch = least(d.epoch, excluded.epoch), held = 0
$$;

-- A body that is replaced while its key waits for a flush: no flush sees it die. No commit can have it if none came after its row. The
-- mark of the key is held, so that a flush that is under way either has cleared it, and its commit is counted here, or leaves it, and
-- marks the body as shared ([GC-23]). Where versions are kept the body may be that of a version now; there it is left to the cycles.
-- No table is read from end to end: after a flush `dirty` is empty, and a plan of that moment would stay.
CREATE FUNCTION note_unflushed() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM dirty d WHERE d.bucket = OLD.bucket AND d.key = OLD.key FOR UPDATE;
    IF FOUND THEN
        INSERT INTO died AS d (cid, bucket, seq, epoch)
        SELECT OLD.content, b.id, b.seq, c.epoch FROM buckets b JOIN blocks l ON l.cid = OLD.content AND l.born = b.seq
        CROSS JOIN collector c WHERE b.id = OLD.bucket AND b.versioning IS NULL
        ON CONFLICT (cid, bucket) DO UPDATE SET seq = greatest(d.seq, excluded.seq), epoch = least(d.epoch, excluded.epoch), held = 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER body_replaced AFTER UPDATE ON objects FOR EACH ROW WHEN (OLD.content <> NEW.content) EXECUTE FUNCTION note_unflushed();
CREATE TRIGGER body_removed AFTER DELETE ON objects FOR EACH ROW WHEN (OLD.content <> '') EXECUTE FUNCTION note_unflushed();

-- As `remove_blocks`, of blocks that died: none that is shared, or was needed in an epoch after its death. [GC-24]
CREATE FUNCTION remove_died(p_cycle bigint, p_before bigint, p_bury boolean, p_cids bytea[], p_deaths integer[])
RETURNS TABLE (pack bigint, blocks bigint, bytes bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        WITH held AS (
            SELECT b.cid, t.death FROM unnest(p_cids, p_deaths) AS t (cid, death) JOIN blocks b ON b.cid = t.cid
            WHERE b.born IS NOT NULL AND b.epoch <= t.death AND b.epoch < p_before ORDER BY b.cid FOR UPDATE OF b SKIP LOCKED),
        gone AS (
            DELETE FROM blocks b USING held h
            WHERE b.cid = h.cid AND b.born IS NOT NULL AND b.epoch <= h.death AND b.epoch < p_before
            RETURNING b.cid, b.pack, b."offset", b.length, b.body),
        kept AS (
            INSERT INTO buried (cycle, cid, pack, "offset", length, body)
            SELECT p_cycle, g.cid, g.pack, g."offset", g.length, g.body FROM gone g WHERE p_bury),
        done AS (DELETE FROM died d USING gone g WHERE d.cid = g.cid),
        said AS (INSERT INTO swept SELECT g.cid FROM gone g)
        SELECT g.pack, count(*), sum(g.length)::bigint FROM gone g GROUP BY g.pack;
END $$;
