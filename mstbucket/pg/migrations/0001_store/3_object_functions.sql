-- Objects and versions, their marks for the flush, and parts of uploads. spec/store/14-protocols.md is normative.

-- --- columns that are written shorter than they are said (`index/rows.py` writes them) ------------------------------------

-- An ETag as S3 shows it. 16 bytes are a digest, which is shown in hex. All else is the text itself; one of 16 bytes has a byte
-- in front that no text has.
CREATE FUNCTION etag_text(etag bytea) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN length(etag) = 16 THEN encode(etag, 'hex')
                ELSE convert_from(CASE WHEN substr(etag, 1, 1) = '\xff' THEN substr(etag, 2) ELSE etag END, 'UTF8') END;

-- The digest of a body, or NULL.
CREATE FUNCTION sha256_of(content bytea, sha256 bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN sha256 IS NOT NULL THEN nullif(sha256, ''::bytea)
                WHEN substr(content, 1, 4) = '\x01551220' THEN substr(content, 5) END;

-- --- one key: what is dirty, what is held, what is expected ------------------------------------------------------------

-- Of objects; of a key that is dirty already, `since` stays.
CREATE FUNCTION mark_dirty(p_bucket bigint, p_keys text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO dirty
    SELECT p_bucket, k, nextval('generation'), now_ms() FROM unnest(p_keys) AS t (k) ORDER BY k COLLATE "C"
    ON CONFLICT (bucket, key) DO UPDATE SET generation = excluded.generation
$$;

-- Of versions.
CREATE FUNCTION mark_version_dirty(p_bucket bigint, p_key text, p_seq bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO dirty_versions VALUES (p_bucket, p_key, p_seq, nextval('generation'), now_ms())
    ON CONFLICT (bucket, key, seq) DO UPDATE SET generation = excluded.generation
$$;

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

-- Why the current object under the key is not what the caller expects: the code of the error, a blank, and its text; NULL where
-- it is. Both lists are of entity-tags as HTTP writes them, `"…"` in quotes or `*` for any object; NULL is no condition.
-- [COND-6], [COND-7]
CREATE FUNCTION refusal(p_bucket bigint, p_key text, p_match text[], p_none_match text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE current text;
BEGIN
    SELECT '"' || etag_text(o.etag) || '"' INTO current FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
    IF p_match IS NOT NULL AND current IS NULL THEN
        RETURN 'MB405 If-Match: there is no object ' || quote_literal(p_key) || ' in the bucket';
    END IF;
    IF p_match IS NOT NULL AND NOT ('*' = ANY (p_match) OR current = ANY (p_match)) THEN
        RETURN 'MB420 If-Match: the object ' || quote_literal(p_key) || ' has the ETag ' || current
            || ' now: read it again, then decide';
    END IF;
    IF p_none_match IS NOT NULL AND current IS NOT NULL AND ('*' = ANY (p_none_match) OR current = ANY (p_none_match)) THEN
        RETURN 'MB420 If-None-Match: there is an object ' || quote_literal(p_key) || ' with the ETag ' || current;
    END IF;
    RETURN NULL;
END $$;

-- A list in jsonb as an array of texts; NULL stays NULL.
CREATE FUNCTION texts(p_list jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN p_list IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(p_list)) END;

-- Holds the key until the transaction ends, and raises the refusal, if there is one.
CREATE FUNCTION expect(p_bucket bigint, p_key text, p_match text[], p_none_match text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE refused text;
BEGIN
    PERFORM hold(p_bucket, p_key);
    refused := refusal(p_bucket, p_key, p_match, p_none_match);
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION '%', substr(refused, 7) USING ERRCODE = left(refused, 5);
    END IF;
END $$;

-- --- versions of a key (spec/store/18-versions.md) ---------------------------------------------------------------------

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
    INSERT INTO versions (bucket, key, seq, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                          headers, metadata, tags, parts, version_id)
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
        VALUES (p_bucket, p_key, s, p_manifest, NULL, p_now, p_version);
    PERFORM mark_version_dirty(p_bucket, p_key, s);
    RETURN present;
END $$;

-- Removes one version for good, unless a lock refuses it: then `refused` says why. p_version NULL is the null version.
-- `marker` is whether it was a marker, NULL where there is no such version. Everybody who sets or removes a lock holds the
-- key, too, so what is found here stays true until the transaction ends ([LOCK-6]).
CREATE FUNCTION delete_version(
    p_bucket bigint, p_key text, p_version text, p_bypass boolean, OUT marker boolean, OUT refused text
) LANGUAGE plpgsql AS $$
DECLARE present boolean := hold(p_bucket, p_key); s bigint;
BEGIN
    refused := locked(p_bucket, p_key, p_version, p_bypass);
    IF refused IS NOT NULL THEN
        RETURN;
    END IF;
    DELETE FROM locks WHERE bucket = p_bucket AND key = p_key AND version = coalesce(p_version, '');
    DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key AND o.version_id IS NOT DISTINCT FROM p_version;
    IF FOUND THEN
        PERFORM mark_dirty(p_bucket, ARRAY[p_key]);
        PERFORM promote(p_bucket, p_key);
        marker := false;
        RETURN;
    END IF;
    DELETE FROM versions v
        WHERE version_place(v.bucket, v.key, v.version_id) = version_place(p_bucket, p_key, p_version)
        RETURNING v.seq, v.content IS NULL INTO s, marker;
    IF FOUND THEN
        PERFORM mark_version_dirty(p_bucket, p_key, s);
        IF NOT present THEN
            PERFORM promote(p_bucket, p_key);
        END IF;
    END IF;
END $$;

-- --- puts, deletes and tags --------------------------------------------------------------------------------------------

-- One object whose body is a single small block, held here until the flush. One round trip, one commit. On a condition where
-- p_match or p_none_match is given, and into any state of versioning: p_version is the id of the new version, p_believed as in
-- `assume`. Where p_patience is given, it waits no longer for a lock: others would have to wait with it ([PUT-18]).
CREATE FUNCTION put_inline(
    p_bucket text, p_key text, p_manifest bytea, p_content bytea, p_size bigint, p_etag bytea, p_type text,
    p_created bigint, p_modified bigint, p_sha256 bytea, p_checksums jsonb, p_headers jsonb, p_metadata jsonb,
    p_tags jsonb, p_body bytea, p_match text[], p_none_match text[], p_believed text, p_version text, p_patience text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE here record; s bigint; limited text;
BEGIN
    IF p_patience IS NOT NULL THEN
        limited := set_config('lock_timeout', p_patience, true);
    END IF;
    here := enter(p_bucket);
    INSERT INTO blocks AS b (cid, length, born, body, epoch) VALUES (p_content, length(p_body), here.seq, p_body, here.epoch)
        ON CONFLICT (cid) DO UPDATE SET
            epoch = greatest(b.epoch, excluded.epoch), body = CASE WHEN b.pack IS NULL THEN excluded.body END, born = NULL
        WHERE b.epoch < excluded.epoch OR b.born IS NOT NULL OR b.body <> excluded.body;  -- [PUT-6] touch, [GC-21], [PUT-13]
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
    INSERT INTO objects AS o (bucket, key, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                              headers, metadata, tags, version_id, seq)
        VALUES (here.bucket, p_key, p_manifest, p_content, p_size, p_etag, p_type, p_created, p_modified, p_sha256, p_checksums,
                p_headers, p_metadata, p_tags, p_version, s)
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

-- Rows that a bulk writer has gathered. The caller has sorted the keys, so that two writers cannot deadlock ([PUT-9]).
CREATE FUNCTION add_objects(
    p_bucket bigint, p_versioning text, p_keys text[], p_manifests bytea[], p_contents bytea[], p_sizes bigint[],
    p_etags bytea[], p_types text[], p_created bigint[], p_modified bigint[], p_sha256 bytea[], p_checksums jsonb[],
    p_headers jsonb[], p_metadata jsonb[], p_tags jsonb[], p_versions text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE seqs bigint[];
BEGIN
    IF p_versioning IS NOT NULL THEN
        seqs := ARRAY(SELECT make_way(p_bucket, p_versioning, t.key) FROM unnest(p_keys) AS t (key));
    END IF;
    INSERT INTO objects AS o (bucket, key, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                              headers, metadata, tags, version_id, seq)
    SELECT p_bucket, t.key, t.manifest, t.content, t.size, t.etag, t.type, t.created, t.modified, t.sha256,
           t.checksums, t.headers, t.metadata, t.tags, t.version, t.seq
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
    IF p_versioning = 'Enabled' THEN
        PERFORM lock_by_default(p_bucket, p_keys, p_versions);                                   -- [LOCK-4]
    END IF;
    PERFORM mark_dirty(p_bucket, p_keys);
END $$;

-- Small puts of one bucket in one transaction, each under a key of its own and each as if it were alone ([PUT-16]). The keys come
-- in order ([PUT-9]). Either all have a condition, and each list is an array in jsonb, or none has: then both arrays are NULL.
--
-- Refusals come before anything is done: then nothing is, and `refused` has one for each key, or NULL. The caller leaves those
-- out, and repeats. Where a key changes between that look and its hold, the whole is undone by an error.
--
-- No lock is waited for longer than p_patience ([PUT-18]). The answer has the number of the transaction, and the time of the
-- server's last crash ([PG-13]).
CREATE FUNCTION put_group(
    p_bucket text, p_believed text, p_patience text, p_cids bytea[], p_bodies bytea[], p_match jsonb[], p_none_match jsonb[],
    p_keys text[], p_manifests bytea[], p_contents bytea[], p_sizes bigint[], p_etags bytea[], p_types text[], p_created bigint[],
    p_modified bigint[], p_sha256 bytea[], p_checksums jsonb[], p_headers jsonb[], p_metadata jsonb[], p_tags jsonb[],
    p_versions text[], OUT refused text[], OUT xid text, OUT crashed timestamptz
) LANGUAGE plpgsql AS $$
DECLARE here record; limited text := set_config('lock_timeout', p_patience, true);
BEGIN
    here := enter(p_bucket);
    PERFORM assume(here.versioning, p_believed);
    IF p_match IS NOT NULL THEN
        refused := ARRAY(SELECT refusal(here.bucket, c.key, texts(c.match), texts(c.none_match))
                         FROM unnest(p_keys, p_match, p_none_match) WITH ORDINALITY AS c (key, match, none_match, n) ORDER BY c.n);
        IF cardinality(array_remove(refused, NULL)) > 0 THEN
            RETURN;
        END IF;
        refused := NULL;
    END IF;
    PERFORM add_bodies(here.epoch, here.seq, p_cids, p_bodies);
    IF cardinality(p_cids) < cardinality(p_contents) THEN                               -- [GC-21] several objects, one body
        PERFORM touch_blocks(here.epoch, ARRAY(SELECT c FROM unnest(p_contents) AS t (c) GROUP BY c HAVING count(*) > 1));
    END IF;
    IF p_match IS NOT NULL THEN
        PERFORM expect(here.bucket, c.key, texts(c.match), texts(c.none_match))
        FROM unnest(p_keys, p_match, p_none_match) AS c (key, match, none_match);
    END IF;
    PERFORM add_objects(here.bucket, here.versioning, p_keys, p_manifests, p_contents, p_sizes, p_etags, p_types, p_created,
                        p_modified, p_sha256, p_checksums, p_headers, p_metadata, p_tags, p_versions);
    xid := pg_current_xact_id()::text;
    crashed := pg_stat_get_bgwriter_stat_reset_time();
END $$;

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

-- The row is locked by the caller, who made the manifest of it ([TAG-4]).
CREATE FUNCTION retag(p_bucket bigint, p_key text, p_manifest bytea, p_tags jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE objects SET manifest = p_manifest, tags = p_tags WHERE bucket = p_bucket AND key = p_key;
    SELECT mark_dirty(p_bucket, ARRAY[p_key]);
$$;

-- The tags of one version. The key is held by the caller, who made the manifest of the row ([TAG-4]).
CREATE FUNCTION retag_version(p_bucket bigint, p_key text, p_seq bigint, p_manifest bytea, p_tags jsonb)
RETURNS void LANGUAGE sql AS $$
    UPDATE versions SET manifest = p_manifest, tags = p_tags WHERE bucket = p_bucket AND key = p_key AND seq = p_seq;
    SELECT mark_version_dirty(p_bucket, p_key, p_seq);
$$;

-- --- parts of uploads --------------------------------------------------------------------------------------------------

-- A part, in the place of the one that had its number.
CREATE FUNCTION put_part(
    p_upload text, p_number integer, p_size bigint, p_md5 bytea, p_sha256 bytea, p_modified bigint, p_chunks bytea,
    p_checksums jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO parts AS p
    VALUES (p_upload, p_number, p_size, p_md5, p_sha256, p_modified, nextval('generation'), p_chunks, p_checksums)
    ON CONFLICT (upload, number) DO UPDATE SET
        size = excluded.size, md5 = excluded.md5, sha256 = excluded.sha256, modified = excluded.modified,
        generation = excluded.generation, chunks = excluded.chunks, checksums = excluded.checksums
$$;
