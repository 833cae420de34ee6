-- Time, the way in of every writer, buckets, packs and blocks. spec/store/14-protocols.md is normative.

-- --- time and the way in -----------------------------------------------------------------------------------------------

-- The present.
CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE
    RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- The way in of every writer, into a bucket by name. [PUT-5]
-- `seq` is the number of the newest commit, which may move meanwhile; NULL where `blocks.born` has no room for it.
CREATE FUNCTION enter(p_bucket text, OUT bucket bigint, OUT epoch bigint, OUT versioning text, OUT seq integer)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5] the barrier comes first
    SELECT b.id INTO bucket FROM buckets b WHERE b.name = p_bucket;
    IF bucket IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(7172981, bucket::integer);
    -- The bucket may have gone, or its versioning changed, while we waited for the one who did it.
    SELECT b.versioning, CASE WHEN b.seq < 2147483647 THEN b.seq END INTO versioning, seq FROM buckets b WHERE b.id = bucket;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    SELECT c.epoch INTO epoch FROM collector c;
END $$;

-- The way in of a writer that goes into no bucket; the epoch. [PUT-5]
CREATE FUNCTION enter_store() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);
    RETURN (SELECT epoch FROM collector);
END $$;

-- The caller has made manifests for the state it believes the bucket to be in; it repeats the call if that has changed.
CREATE FUNCTION assume(p_versioning text, p_believed text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_versioning IS DISTINCT FROM p_believed THEN
        RAISE EXCEPTION 'the versioning of the bucket was changed meanwhile' USING ERRCODE = 'MB421';
    END IF;
END $$;

-- --- buckets -----------------------------------------------------------------------------------------------------------

-- An empty bucket; its row number.
CREATE FUNCTION create_bucket(p_name text, p_identity text, p_created bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE made bigint;
BEGIN
    INSERT INTO buckets (name, identity, created) VALUES (p_name, p_identity, p_created)
        ON CONFLICT (name) DO NOTHING RETURNING id INTO made;
    IF made IS NULL THEN
        RAISE EXCEPTION 'a bucket named % exists already', quote_literal(p_name) USING ERRCODE = 'MB411';
    END IF;
    RETURN made;
END $$;

-- A bucket with the commit it had elsewhere, under a row number reserved before; the epoch. Barrier first, as in enter.
CREATE FUNCTION import_bucket(p_id bigint, p_name text, p_identity text, p_created bigint, p_commit bytea, p_seq bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5]
    INSERT INTO buckets (id, name, identity, created, commit, seq) OVERRIDING SYSTEM VALUE
        VALUES (p_id, p_name, p_identity, p_created, p_commit, p_seq) ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a bucket named % exists already', quote_literal(p_name) USING ERRCODE = 'MB411';
    END IF;
    RETURN (SELECT epoch FROM collector);
END $$;

-- The tags of a bucket, or none.
CREATE FUNCTION tag_bucket(p_bucket text, p_tags jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE here record;
BEGIN
    here := enter(p_bucket);
    UPDATE buckets SET tags = p_tags, tags_dirty = nextval('generation'), tags_since = coalesce(tags_since, now_ms())
        WHERE id = here.bucket;
END $$;

-- Waits for the writers inside the bucket: each of them sees one state from its beginning to its end.
CREATE FUNCTION set_versioning(p_bucket text, p_state text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE found_id bigint;
BEGIN
    SELECT id INTO found_id FROM buckets WHERE name = p_bucket;
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock(7172981, found_id::integer);
    PERFORM 1 FROM buckets WHERE id = found_id AND object_lock AND p_state <> 'Enabled';
    IF FOUND THEN                                                                                -- [LOCK-2]
        RAISE EXCEPTION 'bucket % has object lock, so its versioning cannot be suspended', quote_literal(p_bucket)
            USING ERRCODE = 'MB423';
    END IF;
    UPDATE buckets SET versioning = p_state, tags_dirty = nextval('generation'), tags_since = coalesce(tags_since, now_ms())
        WHERE id = found_id AND versioning IS DISTINCT FROM p_state;
END $$;

-- Waits for the writers that are inside the bucket, then refuses or removes it for good.
CREATE FUNCTION delete_bucket(p_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE gone bigint;
BEGIN
    SELECT id INTO gone FROM buckets WHERE name = p_name;
    IF gone IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_name) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock(7172981, gone::integer);
    PERFORM 1 FROM objects WHERE bucket = gone LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'bucket % is not empty: delete its objects first', quote_literal(p_name) USING ERRCODE = 'MB410';
    END IF;
    PERFORM 1 FROM versions WHERE bucket = gone LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'bucket % is not empty: it holds versions or delete markers; list them with list_object_versions and '
            'delete each by its version id', quote_literal(p_name) USING ERRCODE = 'MB410';
    END IF;
    PERFORM 1 FROM snapshots WHERE bucket = gone LIMIT 1;
    IF FOUND THEN                                                                               -- [PAST-16]
        RAISE EXCEPTION 'bucket % is not empty: it has snapshots; remove them first', quote_literal(p_name)
            USING ERRCODE = 'MB410';
    END IF;
    DELETE FROM dirty WHERE bucket = gone;
    DELETE FROM dirty_versions WHERE bucket = gone;
    DELETE FROM buckets WHERE id = gone;
END $$;

-- --- packs and blocks --------------------------------------------------------------------------------------------------

-- A new pending pack, if new packs are encrypted as its writer believes; otherwise NULL. The barrier comes first: a collection
-- that starts later sees this row, one that started before has raised the epoch before.
CREATE FUNCTION register_pack(p_name text, p_encoding text, p_key bytea, p_encrypts boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE made bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);
    INSERT INTO packs (name, state, created, encoding, epoch)
        SELECT p_name, 'pending', now_ms(), p_encoding, c.epoch FROM collector c
        WHERE (SELECT (e.key_id IS NOT DISTINCT FROM p_key) AND e.encrypts = p_encrypts FROM encoding e) RETURNING id INTO made;
    RETURN made;
END $$;

-- Rows that were touched in this epoch or later stay: a writer counts on them. Asked by a collection in the snapshot of its roots.
CREATE FUNCTION collected_before() RETURNS bigint LANGUAGE sql STABLE
    RETURN (SELECT least(c.epoch, (SELECT min(p.epoch) FROM packs p WHERE p.state = 'pending')) FROM collector c);

-- A writer needs these: no collection of this epoch takes them ([PUT-6]), and no sweep ever ([GC-21]). Rows are locked in the
-- order of CIDs ([PUT-9]).
CREATE FUNCTION touch_blocks(p_epoch bigint, p_cids bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE stale bytea[];
BEGIN
    stale := ARRAY(
        SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND (b.epoch < p_epoch OR b.born IS NOT NULL)
        ORDER BY b.cid FOR UPDATE);
    IF cardinality(stale) > 0 THEN
        UPDATE blocks b SET epoch = greatest(b.epoch, p_epoch), born = NULL WHERE b.cid = ANY (stale);
    END IF;
END $$;

-- A flush needs these bodies, of objects that it folds: that is no other life of theirs, so they stay as shared or not as they
-- are. How many of them there are ([FLUSH-6]).
CREATE FUNCTION touch_folded(p_epoch bigint, p_cids bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE stale bytea[];
BEGIN
    stale := ARRAY(SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND b.epoch < p_epoch ORDER BY b.cid FOR UPDATE);
    IF cardinality(stale) > 0 THEN
        UPDATE blocks b SET epoch = p_epoch WHERE b.cid = ANY (stale) AND b.epoch < p_epoch;
    END IF;
    RETURN (SELECT count(*) FROM blocks WHERE cid = ANY (p_cids));
END $$;

-- Marks these as shared, those that nobody holds at the moment; how many are ([GC-23]). It waits for nobody.
CREATE FUNCTION share_blocks(p_cids bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE own bytea[];
BEGIN
    own := ARRAY(SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND b.born IS NOT NULL ORDER BY b.cid FOR UPDATE SKIP LOCKED);
    UPDATE blocks b SET born = NULL WHERE b.cid = ANY (own);
    RETURN (SELECT count(*) FROM blocks WHERE cid = ANY (p_cids) AND born IS NULL);
END $$;

-- The same; how many of them there are.
CREATE FUNCTION touch_and_count(p_epoch bigint, p_cids bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch_blocks(p_epoch, p_cids);
    RETURN (SELECT count(*) FROM blocks WHERE cid = ANY (p_cids));
END $$;

-- Which of these are in a pack, and where; `stale` are those that a collection could take, being not touched in this epoch.
-- Bodies held in `blocks` itself are not among them: a flush moves only those that are the whole body of an object.
CREATE FUNCTION find_blocks(p_cids bytea[])
RETURNS TABLE (cid bytea, name text, "offset" bigint, length integer, damaged boolean, stale boolean) LANGUAGE plpgsql AS $$
DECLARE here bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5]
    SELECT c.epoch INTO here FROM collector c;
    RETURN QUERY
        SELECT b.cid, p.name, b."offset", b.length, p.damaged, b.epoch < here FROM blocks b JOIN packs p ON p.id = b.pack
        WHERE b.cid = ANY (p_cids) AND p.state = 'ready';
END $$;

-- The same for blocks that are stale: touched first.
CREATE FUNCTION hold_blocks(p_cids bytea[])
RETURNS TABLE (cid bytea, name text, "offset" bigint, length integer, damaged boolean, stale boolean) LANGUAGE plpgsql AS $$
DECLARE here bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5]
    SELECT c.epoch INTO here FROM collector c;
    PERFORM touch_blocks(here, p_cids);
    RETURN QUERY SELECT * FROM find_blocks(p_cids);
END $$;

-- `register_pack`, and in the same round trip `find_blocks`; the first row has the number of the pack and no block.
CREATE FUNCTION register_and_find(p_name text, p_encoding text, p_key bytea, p_encrypts boolean, p_cids bytea[])
RETURNS TABLE (id bigint, cid bytea, name text, "offset" bigint, length integer, damaged boolean, stale boolean)
LANGUAGE plpgsql AS $$
BEGIN
    id := register_pack(p_name, p_encoding, p_key, p_encrypts);
    RETURN NEXT;
    RETURN QUERY SELECT NULL::bigint, f.* FROM find_blocks(p_cids) f;
END $$;

-- How many of these are in packs still, and stay; those in packs found damaged count only if p_proven, when they were read.
CREATE FUNCTION keep_blocks(p_epoch bigint, p_cids bytea[], p_proven boolean) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch_blocks(p_epoch, p_cids);
    RETURN (SELECT count(*) FROM blocks b JOIN packs p ON p.id = b.pack
            WHERE b.cid = ANY (p_cids) AND p.state = 'ready' AND (p_proven OR NOT p.damaged));
END $$;

-- Whether a row of `blocks` may stay with this pack when its block was written again. Volatile: it sees what was committed
-- while the statement that asks was waiting.
CREATE FUNCTION is_sound(p_pack bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM packs p WHERE p.id = p_pack AND p.state = 'ready' AND NOT p.damaged);
END $$;

-- Blocks of a pack, in the order of their CIDs, so that two writers cannot deadlock. A row of a pack that is damaged or gone comes
-- to this one. Returns how many rows lead to this pack.
--
-- An INSERT that looks for conflicts costs twice one that does not, and mostly none of the blocks has a row. So that is tried
-- first, where none is seen. It is all of them or none: the rows of two statements would be locked in another order ([PUT-9]).
--
-- `p_born` has for each what a row that is made here gets. -1 stands for a body that a flush takes out of `blocks` itself: it stays
-- as shared or not as it was. Any other row that is found is shared from then on ([GC-21]).
CREATE FUNCTION add_blocks(
    p_epoch bigint, p_pack bigint, p_cids bytea[], p_offsets bigint[], p_lengths integer[], p_born integer[]
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM blocks b WHERE b.cid = ANY (p_cids)) THEN
        BEGIN
            INSERT INTO blocks (cid, pack, "offset", length, born, epoch)
            SELECT c, p_pack, o, l, nullif(n, -1), p_epoch FROM unnest(p_cids, p_offsets, p_lengths, p_born) AS t (c, o, l, n)
            ORDER BY c;
            RETURN cardinality(p_cids);
        EXCEPTION WHEN unique_violation THEN
            NULL;  -- somebody else brought one of them meanwhile
        END;
    END IF;
    RETURN (SELECT place_blocks(p_epoch, p_pack, p_cids, p_offsets, p_lengths, p_born));
END $$;

-- The same where some of the blocks have rows. Bodies held here are no question to `is_sound`: it costs five times as much as
-- all the rest, and a flush has one for each key.
CREATE FUNCTION place_blocks(
    p_epoch bigint, p_pack bigint, p_cids bytea[], p_offsets bigint[], p_lengths integer[], p_born integer[]
) RETURNS bigint LANGUAGE sql AS $$
    WITH made AS (
        INSERT INTO blocks AS b (cid, pack, "offset", length, born, epoch)
        SELECT c, p_pack, o, l, n, p_epoch FROM unnest(p_cids, p_offsets, p_lengths, p_born) AS t (c, o, l, n) ORDER BY c
        ON CONFLICT (cid) DO UPDATE SET
            pack = CASE WHEN b.pack IS NULL THEN excluded.pack WHEN is_sound(b.pack) THEN b.pack ELSE excluded.pack END,
            "offset" = CASE
                WHEN b.pack IS NULL THEN excluded."offset" WHEN is_sound(b.pack) THEN b."offset" ELSE excluded."offset" END,
            born = CASE WHEN b.pack IS NULL AND excluded.born = -1 THEN b.born END,
            body = NULL, epoch = greatest(b.epoch, excluded.epoch)
        WHERE CASE WHEN b.pack IS NULL OR b.epoch < excluded.epoch OR b.born IS NOT NULL THEN true ELSE NOT is_sound(b.pack) END
        RETURNING b.pack)
    SELECT count(*) FROM made WHERE pack = p_pack
$$;

-- Small bodies that a damaged pack holds are not taken: in here no flush would find those that no changed key names. Their
-- writer makes a pack of them.
CREATE FUNCTION refuse_damaged(p_cids bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM packs p WHERE p.damaged) THEN
        PERFORM FROM blocks b JOIN packs p ON p.id = b.pack WHERE b.cid = ANY (p_cids) AND p.damaged;
        IF FOUND THEN
            RAISE EXCEPTION 'a body is in a pack that was found damaged' USING ERRCODE = 'MB424';
        END IF;
    END IF;
END $$;

-- Small bodies, held here until a flush.
CREATE FUNCTION add_bodies(p_epoch bigint, p_born integer, p_cids bytea[], p_bodies bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO blocks AS b (cid, length, born, body, epoch)
    SELECT c, length(d), p_born, d, p_epoch FROM unnest(p_cids, p_bodies) AS t (c, d) ORDER BY c
    ON CONFLICT (cid) DO UPDATE SET
        epoch = greatest(b.epoch, excluded.epoch), body = CASE WHEN b.pack IS NULL THEN excluded.body END, born = NULL
    -- [GC-21] it is shared now, [PUT-13] good bytes for bad ones
    WHERE b.epoch < excluded.epoch OR b.born IS NOT NULL OR b.body <> excluded.body;
    PERFORM refuse_damaged(p_cids);
END $$;
