-- Versions: what a key held before, and delete markers. spec/18-versions.md is normative.

-- NULL: versioning was never set. Once it was, a bucket is Enabled or Suspended for good ([VSN-1]). The state is in the
-- commit, so a change of it makes a flush: `tags_dirty` and `tags_since` stand for it, too.
ALTER TABLE buckets ADD COLUMN versioning text CHECK (versioning IN ('Enabled', 'Suspended'));

-- The place of the current object among its versions, from when it is written. NULL where the key has no others.
ALTER TABLE objects ADD COLUMN seq bigint;

-- Noncurrent versions and all delete markers, which have no content. What `objects` holds for a key is newer than all of
-- these; a key without a row there has a marker for its newest version here ([VSN-4]). The columns are those of `objects`
-- and the sequence; version_id NULL is the version that S3 calls "null".
CREATE TABLE versions (
    bucket       bigint NOT NULL,
    key          text COLLATE "C" NOT NULL,
    seq          bigint NOT NULL CHECK (seq >= 0),  -- higher is newer; of its key alone
    manifest     bytea NOT NULL,
    content      bytea,
    size         bigint,
    etag         text,
    content_type text,
    created      bigint NOT NULL,
    modified     bigint NOT NULL,
    sha256       bytea,
    checksums    jsonb,
    headers      jsonb,
    metadata     jsonb,
    tags         jsonb,
    parts        bigint[],
    version_id   text COLLATE "C",
    PRIMARY KEY (bucket, key, seq),
    CHECK ((content IS NULL) = (size IS NULL) AND (content IS NULL) = (etag IS NULL))
);

-- What finds a version by its id, as one value: an index on the three columns would look to the planner as good as the
-- primary key, which for a key with ten thousand versions it is not.
CREATE FUNCTION version_place(bucket bigint, key text, version_id text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN bucket::text || ':' || octet_length(key)::text || ':' || key || coalesce(version_id, '');
CREATE UNIQUE INDEX versions_by_id ON versions (version_place(bucket, key, version_id));

-- As `dirty`, for the tree of versions.
CREATE TABLE dirty_versions (
    bucket     bigint NOT NULL,
    key        text COLLATE "C" NOT NULL,
    seq        bigint NOT NULL,
    generation bigint NOT NULL,
    since      bigint NOT NULL,
    PRIMARY KEY (bucket, key, seq)
);

ALTER TABLE uploads ADD COLUMN version_id text;         -- of the object that it was completed as

-- --- the way in --------------------------------------------------------------------------------------------------------

DROP FUNCTION enter(text);
CREATE FUNCTION enter(p_bucket text, OUT bucket bigint, OUT epoch bigint, OUT versioning text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5] the barrier comes first
    SELECT b.id INTO bucket FROM buckets b WHERE b.name = p_bucket;
    IF bucket IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(7172981, bucket::integer);
    -- The bucket may have gone, or its versioning changed, while we waited for the one who did it.
    SELECT b.versioning INTO versioning FROM buckets b WHERE b.id = bucket;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    SELECT c.epoch INTO epoch FROM collector c;
END $$;

-- The caller has made manifests for the state it believes the bucket to be in; it repeats the call if that has changed.
CREATE FUNCTION assume(p_versioning text, p_believed text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_versioning IS DISTINCT FROM p_believed THEN
        RAISE EXCEPTION 'the versioning of the bucket was changed meanwhile' USING ERRCODE = 'MB421';
    END IF;
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
    UPDATE buckets SET versioning = p_state, tags_dirty = nextval('generation'), tags_since = coalesce(tags_since, now_ms())
        WHERE id = found_id AND versioning IS DISTINCT FROM p_state;
END $$;

-- --- one key -----------------------------------------------------------------------------------------------------------

-- Holds a key until the transaction ends: nobody else can create, replace or remove an object or a version under it.
-- Whether there is a current object. It locks a row of `objects`: blocks come before it, other keys in order ([PUT-9]).
CREATE FUNCTION hold(p_bucket bigint, p_key text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM 1 FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key FOR UPDATE;
        IF FOUND THEN
            RETURN true;
        END IF;
        -- There is no row to lock. One that is inserted and removed again stays in everybody's way until we have
        -- committed, because its fate depends on ours; and no reader ever sees it.
        INSERT INTO objects (bucket, key, manifest, content, size, etag, created, modified)
            VALUES (p_bucket, p_key, '', '', 0, '', 0, 0) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
            RETURN false;
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION expect(p_bucket bigint, p_key text, p_match text[], p_none_match text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE current text; present boolean;
BEGIN
    present := hold(p_bucket, p_key);
    SELECT '"' || o.etag || '"' INTO current FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
    IF p_match IS NOT NULL AND NOT present THEN
        RAISE EXCEPTION 'If-Match: there is no object % in the bucket', quote_literal(p_key) USING ERRCODE = 'MB405';
    END IF;
    IF p_match IS NOT NULL AND NOT ('*' = ANY (p_match) OR current = ANY (p_match)) THEN
        RAISE EXCEPTION 'If-Match: the object % has the ETag % now: read it again, then decide', quote_literal(p_key), current
            USING ERRCODE = 'MB420';
    END IF;
    IF p_none_match IS NOT NULL AND present AND ('*' = ANY (p_none_match) OR current = ANY (p_none_match)) THEN
        RAISE EXCEPTION 'If-None-Match: there is an object % with the ETag %', quote_literal(p_key), current
            USING ERRCODE = 'MB420';
    END IF;
END $$;

CREATE FUNCTION mark_version_dirty(p_bucket bigint, p_key text, p_seq bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO dirty_versions VALUES (p_bucket, p_key, p_seq, nextval('generation'), now_ms())
    ON CONFLICT (bucket, key, seq) DO UPDATE SET generation = excluded.generation
$$;

-- The sequence for what becomes the newest version or marker of the key ([VSN-3]). The key is held.
CREATE FUNCTION next_seq(p_bucket bigint, p_key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE newest bigint;
BEGIN
    SELECT greatest((SELECT max(v.seq) FROM versions v WHERE v.bucket = p_bucket AND v.key = p_key),
                    (SELECT coalesce(o.seq, 1) FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key)) INTO newest;
    IF newest = 9223372036854775807 THEN
        RAISE EXCEPTION 'the sequence of the versions of % has come to its end: remove the newest of them, then repeat',
            quote_literal(p_key) USING ERRCODE = 'MB501';
    END IF;
    RETURN coalesce(newest, 0) + 1;
END $$;

-- The current object is written down as a noncurrent version; the caller, who holds the key, replaces or removes its row.
CREATE FUNCTION archive(p_bucket bigint, p_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE s bigint;
BEGIN
    INSERT INTO versions
    SELECT o.bucket, o.key, coalesce(o.seq, 1), o.manifest, o.content, o.size, o.etag, o.content_type, o.created, o.modified, o.sha256,
           o.checksums, o.headers, o.metadata, o.tags, o.parts, o.version_id
    FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key RETURNING seq INTO s;
    PERFORM mark_version_dirty(p_bucket, p_key, s);
END $$;

-- Removes the null version where it is not current: there is one at most ([VSN-2]). The key is held.
CREATE FUNCTION drop_null_version(p_bucket bigint, p_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE s bigint;
BEGIN
    DELETE FROM versions v
        WHERE version_place(v.bucket, v.key, v.version_id) = version_place(p_bucket, p_key, NULL) RETURNING v.seq INTO s;
    IF FOUND THEN
        PERFORM mark_version_dirty(p_bucket, p_key, s);
    END IF;
END $$;

-- What is current stays as a version where it has to, before something newer is stored or put in its place ([VSN-5]).
-- The sequence of that.
CREATE FUNCTION make_way(p_bucket bigint, p_versioning text, p_key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE present boolean := hold(p_bucket, p_key); s bigint := next_seq(p_bucket, p_key);
BEGIN
    IF present AND (p_versioning = 'Enabled' OR EXISTS (
            SELECT FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key AND o.version_id IS NOT NULL)) THEN
        PERFORM archive(p_bucket, p_key);
    END IF;
    IF p_versioning = 'Suspended' THEN
        PERFORM drop_null_version(p_bucket, p_key);
    END IF;
    RETURN s;
END $$;

-- The newest version becomes the current object, unless it is a marker ([VSN-6]). The key is held and has no object.
CREATE FUNCTION promote(p_bucket bigint, p_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE newest versions;
BEGIN
    SELECT * INTO newest FROM versions v WHERE v.bucket = p_bucket AND v.key = p_key ORDER BY v.seq DESC LIMIT 1;
    IF newest.content IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM versions v WHERE v.bucket = p_bucket AND v.key = p_key AND v.seq = newest.seq;
    PERFORM mark_version_dirty(p_bucket, p_key, newest.seq);
    INSERT INTO objects (bucket, key, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                         headers, metadata, tags, parts, version_id, seq)
        VALUES (newest.bucket, newest.key, newest.manifest, newest.content, newest.size, newest.etag, newest.content_type,
                newest.created, newest.modified, newest.sha256, newest.checksums, newest.headers, newest.metadata,
                newest.tags, newest.parts, newest.version_id, newest.seq);
    PERFORM mark_dirty(p_bucket, ARRAY[p_key]);
END $$;

-- A delete without a version id, where versioning was ever set: a marker with this manifest and id is put on top.
-- Whether there was a current object.
CREATE FUNCTION put_marker(
    p_bucket bigint, p_versioning text, p_key text, p_manifest bytea, p_version text, p_now bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE present boolean; s bigint := make_way(p_bucket, p_versioning, p_key);
BEGIN
    DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
    present := FOUND;
    IF present THEN
        PERFORM mark_dirty(p_bucket, ARRAY[p_key]);
    END IF;
    INSERT INTO versions (bucket, key, seq, manifest, created, modified, version_id)
        VALUES (p_bucket, p_key, s, p_manifest, p_now, p_now, p_version);
    PERFORM mark_version_dirty(p_bucket, p_key, s);
    RETURN present;
END $$;

-- Removes one version for good; p_version NULL is the null version. NULL: there is none; else whether it was a marker.
CREATE FUNCTION delete_version(p_bucket bigint, p_key text, p_version text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE present boolean := hold(p_bucket, p_key); s bigint; was_marker boolean;
BEGIN
    DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key AND o.version_id IS NOT DISTINCT FROM p_version;
    IF FOUND THEN
        PERFORM mark_dirty(p_bucket, ARRAY[p_key]);
        PERFORM promote(p_bucket, p_key);
        RETURN false;
    END IF;
    DELETE FROM versions v
        WHERE version_place(v.bucket, v.key, v.version_id) = version_place(p_bucket, p_key, p_version)
        RETURNING v.seq, v.content IS NULL INTO s, was_marker;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM mark_version_dirty(p_bucket, p_key, s);
    IF NOT present THEN
        PERFORM promote(p_bucket, p_key);
    END IF;
    RETURN was_marker;
END $$;

-- --- puts and deletes --------------------------------------------------------------------------------------------------

-- As before, and into any state of versioning: p_version is the id of the new version, p_believed as in `assume`.
DROP FUNCTION put_inline(text, text, bytea, bytea, bigint, text, text, bigint, bigint, bytea, jsonb, jsonb, jsonb, jsonb, bytea,
                         text[], text[]);
CREATE FUNCTION put_inline(
    p_bucket text, p_key text, p_manifest bytea, p_content bytea, p_size bigint, p_etag text, p_type text,
    p_created bigint, p_modified bigint, p_sha256 bytea, p_checksums jsonb, p_headers jsonb, p_metadata jsonb,
    p_tags jsonb, p_body bytea, p_match text[], p_none_match text[], p_believed text, p_version text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE here record; s bigint;
BEGIN
    here := enter(p_bucket);
    INSERT INTO blocks AS b (cid, length, body, epoch) VALUES (p_content, length(p_body), p_body, here.epoch)
        ON CONFLICT (cid) DO UPDATE SET epoch = excluded.epoch WHERE b.epoch < excluded.epoch;   -- [PUT-6] touch
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
    INSERT INTO dirty VALUES (here.bucket, p_key, nextval('generation'), p_modified)
        ON CONFLICT (bucket, key) DO UPDATE SET generation = excluded.generation;
END $$;

-- The caller has sorted the keys, so that two writers cannot deadlock ([PUT-9]).
DROP FUNCTION add_objects(bigint, text[], bytea[], bytea[], bigint[], text[], text[], bigint[], bigint[], bytea[], jsonb[], jsonb[],
                          jsonb[], jsonb[]);
CREATE FUNCTION add_objects(
    p_bucket bigint, p_versioning text, p_keys text[], p_manifests bytea[], p_contents bytea[], p_sizes bigint[],
    p_etags text[], p_types text[], p_created bigint[], p_modified bigint[], p_sha256 bytea[], p_checksums jsonb[],
    p_headers jsonb[], p_metadata jsonb[], p_tags jsonb[], p_versions text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE seqs bigint[];
BEGIN
    IF p_versioning IS NOT NULL THEN
        seqs := ARRAY(SELECT make_way(p_bucket, p_versioning, t.key) FROM unnest(p_keys) AS t (key));
    END IF;
    INSERT INTO objects AS o
    SELECT p_bucket, t.key, t.manifest, t.content, t.size, t.etag, t.type, t.created, t.modified, t.sha256,
           t.checksums, t.headers, t.metadata, t.tags, NULL, t.version, t.seq
    FROM unnest(p_keys, p_manifests, p_contents, p_sizes, p_etags, p_types, p_created, p_modified, p_sha256,
                p_checksums, p_headers, p_metadata, p_tags, p_versions, seqs)
         AS t (key, manifest, content, size, etag, type, created, modified, sha256, checksums, headers, metadata, tags,
               version, seq)
    ON CONFLICT (bucket, key) DO UPDATE SET
        manifest = excluded.manifest, content = excluded.content, size = excluded.size, etag = excluded.etag,
        content_type = excluded.content_type, created = excluded.created, modified = excluded.modified,
        sha256 = excluded.sha256, checksums = excluded.checksums, headers = excluded.headers,
        metadata = excluded.metadata, tags = excluded.tags, parts = NULL, version_id = excluded.version_id,
        seq = excluded.seq;
    PERFORM mark_dirty(p_bucket, p_keys);
END $$;

DROP FUNCTION delete_objects(text, text[]);
DROP FUNCTION delete_expected(text, text, text[], text[]);

-- Removes the current objects of `p_keys` where versioning was never set; the keys of those that existed.
CREATE FUNCTION delete_objects(p_bucket bigint, p_keys text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE gone text[];
BEGIN
    PERFORM 1 FROM objects o WHERE o.bucket = p_bucket AND o.key = ANY (p_keys) ORDER BY o.key FOR UPDATE;
    WITH d AS (DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = ANY (p_keys) RETURNING o.key)
        SELECT array_agg(d.key) INTO gone FROM d;
    IF gone IS NOT NULL THEN
        PERFORM mark_dirty(p_bucket, gone);
        RETURN QUERY SELECT unnest(gone);
    END IF;
END $$;

-- The tags of one version. The key is held by the caller, who made the manifest of the row ([TAG-4]).
CREATE FUNCTION retag_version(p_bucket bigint, p_key text, p_seq bigint, p_manifest bytea, p_tags jsonb)
RETURNS void LANGUAGE sql AS $$
    UPDATE versions SET manifest = p_manifest, tags = p_tags WHERE bucket = p_bucket AND key = p_key AND seq = p_seq;
    SELECT mark_version_dirty(p_bucket, p_key, p_seq);
$$;

CREATE OR REPLACE FUNCTION delete_bucket(p_name text) RETURNS void LANGUAGE plpgsql AS $$
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
    DELETE FROM dirty WHERE bucket = gone;
    DELETE FROM dirty_versions WHERE bucket = gone;
    DELETE FROM buckets WHERE id = gone;
END $$;

-- --- views for people and their tools ([VIEW-1]) ------------------------------------------------------------------------

CREATE OR REPLACE VIEW v_buckets AS
    SELECT b.name AS bucket, b.identity, moment(b.created) AS created, cid_text(b.commit) AS commit, b.seq, b.tags,
           (SELECT count(*) FROM dirty d WHERE d.bucket = b.id) + (SELECT count(*) FROM dirty_versions d WHERE d.bucket = b.id)
               + (b.tags_dirty IS NOT NULL)::integer AS dirty,
           b.versioning
    FROM buckets b;

CREATE VIEW v_versions AS
    SELECT b.name AS bucket, o.key, coalesce(o.version_id, 'null') AS version_id, true AS is_latest, false AS delete_marker,
           o.size, o.etag, o.content_type, moment(o.modified) AS last_modified, o.metadata, o.tags,
           cid_text(o.content) AS content, cid_text(o.manifest) AS manifest, coalesce(o.seq, 1) AS seq
    FROM buckets b JOIN objects o ON o.bucket = b.id
    UNION ALL
    SELECT b.name, v.key, coalesce(v.version_id, 'null'),
           NOT EXISTS (SELECT FROM objects o WHERE o.bucket = v.bucket AND o.key = v.key)
               AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq),
           v.content IS NULL, v.size, v.etag, v.content_type, moment(v.modified), v.metadata, v.tags,
           cid_text(v.content), cid_text(v.manifest), v.seq
    FROM buckets b JOIN versions v ON v.bucket = b.id;

COMMENT ON VIEW v_versions IS
    'Every version of every key, delete markers included; of one key a higher seq is newer.';
