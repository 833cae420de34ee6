-- The store's tables. Everything stands in the schema `mstbucket`, which the migration runner has made and selected.
-- Keys are text in collation "C": PostgreSQL then compares them as UTF-8 bytes, which is the order of the tree.

CREATE TABLE buckets (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text COLLATE "C" NOT NULL UNIQUE,
    identity  text NOT NULL,                    -- 128 random bits; stays through renames, exports and mirrors
    created   bigint NOT NULL,                  -- ms since 1970
    commit    bytea,                            -- CID of the current commit; the one mutable pointer there is
    seq       bigint NOT NULL DEFAULT 0         -- of the current commit; 0 before the first
);

CREATE TABLE commits (
    bucket    bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    seq       bigint NOT NULL,
    cid       bytea NOT NULL,
    prev      bytea,                            -- CID of the commit before, in this store or in the one it came from
    name      text NOT NULL,                    -- of the bucket at that time
    tree      bytea NOT NULL,
    versions  bytea,
    time      bigint NOT NULL,
    objects   bigint NOT NULL,
    bytes     bigint NOT NULL,
    published boolean NOT NULL DEFAULT false,   -- its refs/ blob is durable
    PRIMARY KEY (bucket, seq)
);
CREATE INDEX commits_unpublished ON commits (bucket, seq) WHERE NOT published;

-- One row is one current object, and the row *is* the cached manifest: its bytes are a pure function of these columns.
CREATE TABLE objects (
    bucket       bigint NOT NULL,
    key          text COLLATE "C" NOT NULL,
    manifest     bytea NOT NULL,                -- CID, computed at put time
    content      bytea NOT NULL,                -- CID of the body's root
    size         bigint NOT NULL,
    etag         text NOT NULL,
    content_type text,
    created      bigint NOT NULL,
    modified     bigint NOT NULL,
    sha256       bytea,
    checksums    jsonb,
    headers      jsonb,
    metadata     jsonb,
    tags         jsonb,
    parts        bigint[],
    version_id   text,
    PRIMARY KEY (bucket, key)
);

-- Keys whose row is ahead of the tree. A flush removes exactly the generation it has folded. No row: tree[key] = row.
CREATE TABLE dirty (
    bucket     bigint NOT NULL,
    key        text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    since      bigint NOT NULL,                 -- ms since 1970, of the oldest change not folded yet
    PRIMARY KEY (bucket, key)
);
CREATE SEQUENCE generation CACHE 1;

-- A pack is known here before its first byte is written, so nothing in the blob store is ever unknown to the database.
CREATE TABLE packs (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    text COLLATE "C" NOT NULL UNIQUE,
    state   text NOT NULL CHECK (state IN ('pending', 'ready', 'doomed')),
    created bigint NOT NULL,
    size    bigint
);
CREATE INDEX packs_unsettled ON packs (state, created) WHERE state <> 'ready';

-- Where every block is: in a pack, or (small bodies not flushed yet) here in `body`.
-- `pack` is no foreign key on purpose: the check would cost more than the insert. `Bucket.verify` holds it instead.
CREATE TABLE blocks (
    cid      bytea PRIMARY KEY,
    pack     bigint,
    "offset" bigint,                            -- of the block's first byte in the pack
    length   integer NOT NULL,
    body     bytea,
    epoch    bigint NOT NULL,                   -- collection epoch in which it was last needed by a writer
    CHECK ((pack IS NULL) = (body IS NOT NULL) AND (pack IS NULL) = ("offset" IS NULL))
);
ALTER TABLE blocks ALTER COLUMN body SET STORAGE EXTERNAL;   -- bodies are mostly incompressible: do not try

CREATE TABLE collector (epoch bigint NOT NULL);
INSERT INTO collector VALUES (1);

-- Advisory locks of this schema: class 0x6d7374 ('mst') for the store, the bucket's id under class 0x6d7375 for a bucket.
-- A writer holds both shared until its commit; a collection takes the first, a bucket's deletion the second, exclusively.

CREATE FUNCTION enter(p_bucket text, OUT bucket bigint, OUT epoch bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5] the barrier comes first
    SELECT b.id INTO bucket FROM buckets b WHERE b.name = p_bucket;
    IF bucket IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(7172981, bucket::integer);
    -- The bucket may have gone while we waited for its deletion to end.
    PERFORM 1 FROM buckets b WHERE b.id = bucket;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    SELECT c.epoch INTO epoch FROM collector c;
END $$;

CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE
    RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- One object whose body is a single small block, held here until the flush. One round trip, one commit.
CREATE FUNCTION put_inline(
    p_bucket text, p_key text, p_manifest bytea, p_content bytea, p_size bigint, p_etag text, p_type text,
    p_created bigint, p_modified bigint, p_sha256 bytea, p_checksums jsonb, p_headers jsonb, p_metadata jsonb,
    p_tags jsonb, p_body bytea
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE here record;
BEGIN
    here := enter(p_bucket);
    INSERT INTO blocks AS b (cid, length, body, epoch) VALUES (p_content, length(p_body), p_body, here.epoch)
        ON CONFLICT (cid) DO UPDATE SET epoch = excluded.epoch WHERE b.epoch < excluded.epoch;   -- [PUT-6] touch
    INSERT INTO objects AS o VALUES (here.bucket, p_key, p_manifest, p_content, p_size, p_etag, p_type, p_created,
            p_modified, p_sha256, p_checksums, p_headers, p_metadata, p_tags, NULL, NULL)
        ON CONFLICT (bucket, key) DO UPDATE SET
            manifest = excluded.manifest, content = excluded.content, size = excluded.size, etag = excluded.etag,
            content_type = excluded.content_type, created = excluded.created, modified = excluded.modified,
            sha256 = excluded.sha256, checksums = excluded.checksums, headers = excluded.headers,
            metadata = excluded.metadata, tags = excluded.tags, parts = NULL, version_id = NULL;
    INSERT INTO dirty VALUES (here.bucket, p_key, nextval('generation'), p_modified)
        ON CONFLICT (bucket, key) DO UPDATE SET generation = excluded.generation;
END $$;

-- Rows that a bulk writer has gathered: blocks first (the caller sorted both lists, so that two writers cannot deadlock).
CREATE FUNCTION add_blocks(p_epoch bigint, p_pack bigint, p_cids bytea[], p_offsets bigint[], p_lengths integer[])
RETURNS void LANGUAGE sql AS $$
    INSERT INTO blocks AS b (cid, pack, "offset", length, epoch)
    SELECT c, p_pack, o, l, p_epoch FROM unnest(p_cids, p_offsets, p_lengths) AS t (c, o, l) ORDER BY c
    ON CONFLICT (cid) DO UPDATE SET
        pack = coalesce(b.pack, excluded.pack), "offset" = coalesce(b."offset", excluded."offset"), body = NULL,
        epoch = greatest(b.epoch, excluded.epoch)
    WHERE b.pack IS NULL OR b.epoch < excluded.epoch
$$;

CREATE FUNCTION add_bodies(p_epoch bigint, p_cids bytea[], p_bodies bytea[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO blocks AS b (cid, length, body, epoch)
    SELECT c, length(d), d, p_epoch FROM unnest(p_cids, p_bodies) AS t (c, d) ORDER BY c
    ON CONFLICT (cid) DO UPDATE SET epoch = excluded.epoch WHERE b.epoch < excluded.epoch
$$;

CREATE FUNCTION add_objects(
    p_bucket bigint, p_keys text[], p_manifests bytea[], p_contents bytea[], p_sizes bigint[], p_etags text[],
    p_types text[], p_created bigint[], p_modified bigint[], p_sha256 bytea[], p_checksums jsonb[], p_headers jsonb[],
    p_metadata jsonb[], p_tags jsonb[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO objects AS o
    SELECT p_bucket, t.key, t.manifest, t.content, t.size, t.etag, t.type, t.created, t.modified, t.sha256,
           t.checksums, t.headers, t.metadata, t.tags, NULL, NULL
    FROM unnest(p_keys, p_manifests, p_contents, p_sizes, p_etags, p_types, p_created, p_modified, p_sha256,
                p_checksums, p_headers, p_metadata, p_tags)
         AS t (key, manifest, content, size, etag, type, created, modified, sha256, checksums, headers, metadata, tags)
    ORDER BY t.key COLLATE "C"
    ON CONFLICT (bucket, key) DO UPDATE SET
        manifest = excluded.manifest, content = excluded.content, size = excluded.size, etag = excluded.etag,
        content_type = excluded.content_type, created = excluded.created, modified = excluded.modified,
        sha256 = excluded.sha256, checksums = excluded.checksums, headers = excluded.headers,
        metadata = excluded.metadata, tags = excluded.tags, parts = NULL, version_id = NULL;
    PERFORM mark_dirty(p_bucket, p_keys);
END $$;

CREATE FUNCTION mark_dirty(p_bucket bigint, p_keys text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO dirty
    SELECT p_bucket, k, nextval('generation'), now_ms() FROM unnest(p_keys) AS t (k) ORDER BY k COLLATE "C"
    ON CONFLICT (bucket, key) DO UPDATE SET generation = excluded.generation
$$;

-- Removes the rows of `p_keys` that exist and returns those keys. Keys that do not exist are no error, as in S3.
CREATE FUNCTION delete_objects(p_bucket text, p_keys text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE here record; gone text[];
BEGIN
    here := enter(p_bucket);
    PERFORM 1 FROM objects o WHERE o.bucket = here.bucket AND o.key = ANY (p_keys) ORDER BY o.key FOR UPDATE;
    WITH d AS (DELETE FROM objects o WHERE o.bucket = here.bucket AND o.key = ANY (p_keys) RETURNING o.key)
        SELECT array_agg(d.key) INTO gone FROM d;
    IF gone IS NOT NULL THEN
        PERFORM mark_dirty(here.bucket, gone);
        RETURN QUERY SELECT unnest(gone);
    END IF;
END $$;

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
    DELETE FROM dirty WHERE bucket = gone;
    DELETE FROM buckets WHERE id = gone;
END $$;
