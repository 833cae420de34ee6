-- Content is stored once, and what is damaged never counts as stored. spec/14-protocols.md is normative.

-- Of a pending pack: the collection epoch at its registration. While it is pending no row touched since then goes ([PUT-11]).
ALTER TABLE packs ADD COLUMN epoch bigint;

-- Some of it was found damaged ([PUT-13]): its blocks are read before anybody counts on them.
ALTER TABLE packs ADD COLUMN damaged boolean NOT NULL DEFAULT false;
CREATE INDEX packs_damaged ON packs (id) WHERE damaged;

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

-- [PUT-6] Rows are locked in the order of CIDs ([PUT-9]).
CREATE FUNCTION touch_blocks(p_epoch bigint, p_cids bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE stale bytea[];
BEGIN
    stale := ARRAY(
        SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND b.epoch < p_epoch ORDER BY b.cid FOR UPDATE);
    IF cardinality(stale) > 0 THEN
        UPDATE blocks b SET epoch = p_epoch WHERE b.cid = ANY (stale) AND b.epoch < p_epoch;
    END IF;
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

-- As before; of a pack that is damaged or gone the row comes to this one. Returns how many rows lead to this pack.
DROP FUNCTION add_blocks(bigint, bigint, bytea[], bigint[], integer[]);
CREATE FUNCTION add_blocks(p_epoch bigint, p_pack bigint, p_cids bytea[], p_offsets bigint[], p_lengths integer[])
RETURNS bigint LANGUAGE sql AS $$
    WITH made AS (
        INSERT INTO blocks AS b (cid, pack, "offset", length, epoch)
        SELECT c, p_pack, o, l, p_epoch FROM unnest(p_cids, p_offsets, p_lengths) AS t (c, o, l) ORDER BY c
        ON CONFLICT (cid) DO UPDATE SET
            pack = CASE WHEN is_sound(b.pack) THEN b.pack ELSE excluded.pack END,
            "offset" = CASE WHEN is_sound(b.pack) THEN b."offset" ELSE excluded."offset" END,
            body = NULL, epoch = greatest(b.epoch, excluded.epoch)
        WHERE b.epoch < excluded.epoch OR NOT is_sound(b.pack)
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

CREATE OR REPLACE FUNCTION add_bodies(p_epoch bigint, p_cids bytea[], p_bodies bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO blocks AS b (cid, length, body, epoch)
    SELECT c, length(d), d, p_epoch FROM unnest(p_cids, p_bodies) AS t (c, d) ORDER BY c
    ON CONFLICT (cid) DO UPDATE SET
        epoch = greatest(b.epoch, excluded.epoch), body = CASE WHEN b.pack IS NULL THEN excluded.body END
    WHERE b.epoch < excluded.epoch OR b.body <> excluded.body;                          -- [PUT-13] good bytes for bad ones
    PERFORM refuse_damaged(p_cids);
END $$;

-- As before, with the two rules of [PUT-13].
CREATE OR REPLACE FUNCTION put_inline(
    p_bucket text, p_key text, p_manifest bytea, p_content bytea, p_size bigint, p_etag text, p_type text,
    p_created bigint, p_modified bigint, p_sha256 bytea, p_checksums jsonb, p_headers jsonb, p_metadata jsonb,
    p_tags jsonb, p_body bytea, p_match text[], p_none_match text[], p_believed text, p_version text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE here record; s bigint;
BEGIN
    here := enter(p_bucket);
    INSERT INTO blocks AS b (cid, length, body, epoch) VALUES (p_content, length(p_body), p_body, here.epoch)
        ON CONFLICT (cid) DO UPDATE SET
            epoch = greatest(b.epoch, excluded.epoch), body = CASE WHEN b.pack IS NULL THEN excluded.body END
        WHERE b.epoch < excluded.epoch OR b.body <> excluded.body;                      -- [PUT-6] touch, [PUT-13]
    PERFORM refuse_damaged(ARRAY[p_content]);
    IF here.versioning IS NOT NULL OR p_believed IS NOT NULL THEN
        PERFORM assume(here.versioning, p_believed);
    END IF;
    IF p_match IS NOT NULL OR p_none_match IS NOT NULL THEN
        PERFORM expect(here.bucket, p_key, p_match, p_none_match);
    END IF;
    IF here.versioning IS NOT NULL THEN
        s := make_way(here.bucket, here.versioning, p_key);
    END IF;
    INSERT INTO objects AS o VALUES (here.bucket, p_key, p_manifest, p_content, p_size, p_etag, p_type, p_created,
            p_modified, p_sha256, p_checksums, p_headers, p_metadata, p_tags, NULL, p_version, s)
        ON CONFLICT (bucket, key) DO UPDATE SET
            manifest = excluded.manifest, content = excluded.content, size = excluded.size, etag = excluded.etag,
            content_type = excluded.content_type, created = excluded.created, modified = excluded.modified,
            sha256 = excluded.sha256, checksums = excluded.checksums, headers = excluded.headers,
            metadata = excluded.metadata, tags = excluded.tags, parts = NULL, version_id = excluded.version_id,
            seq = excluded.seq;
    IF here.versioning = 'Enabled' THEN
        PERFORM lock_by_default(here.bucket, ARRAY[p_key], ARRAY[p_version]);                    -- [LOCK-4]
    END IF;
    INSERT INTO dirty VALUES (here.bucket, p_key, nextval('generation'), p_modified)
        ON CONFLICT (bucket, key) DO UPDATE SET generation = excluded.generation;
END $$;
