-- Writes on a condition, decided in the transaction that makes them visible. spec/15-conditions.md is normative.

-- Refuses unless the current object under the key is what the caller expects, and holds the key until the transaction
-- ends: nobody else can create, replace or remove the object meanwhile. Both lists are of entity-tags as HTTP writes
-- them, `"…"` in quotes or `*` for any object; NULL is no condition. [COND-6], [COND-7]
-- Locks a row of `objects`, so the blocks come before it and other keys in their order ([PUT-9]).
CREATE FUNCTION expect(p_bucket bigint, p_key text, p_match text[], p_none_match text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE current text; present boolean;
BEGIN
    LOOP
        SELECT '"' || o.etag || '"' INTO current FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key FOR UPDATE;
        present := FOUND;
        EXIT WHEN present;
        -- There is no row to lock. One that is inserted and removed again stays in everybody's way until we have
        -- committed, because its fate depends on ours; and no reader ever sees it.
        INSERT INTO objects (bucket, key, manifest, content, size, etag, created, modified)
            VALUES (p_bucket, p_key, '', '', 0, '', 0, 0) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
            EXIT;
        END IF;
    END LOOP;
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

-- As it was, and on a condition. One round trip, one commit.
DROP FUNCTION put_inline(text, text, bytea, bytea, bigint, text, text, bigint, bigint, bytea, jsonb, jsonb, jsonb, jsonb, bytea);
CREATE FUNCTION put_inline(
    p_bucket text, p_key text, p_manifest bytea, p_content bytea, p_size bigint, p_etag text, p_type text,
    p_created bigint, p_modified bigint, p_sha256 bytea, p_checksums jsonb, p_headers jsonb, p_metadata jsonb,
    p_tags jsonb, p_body bytea, p_match text[], p_none_match text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE here record;
BEGIN
    here := enter(p_bucket);
    INSERT INTO blocks AS b (cid, length, body, epoch) VALUES (p_content, length(p_body), p_body, here.epoch)
        ON CONFLICT (cid) DO UPDATE SET epoch = excluded.epoch WHERE b.epoch < excluded.epoch;   -- [PUT-6] touch
    IF p_match IS NOT NULL OR p_none_match IS NOT NULL THEN
        PERFORM expect(here.bucket, p_key, p_match, p_none_match);
    END IF;
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

-- Removes one object if it is what the caller expects; whether there was one.
CREATE FUNCTION delete_expected(p_bucket text, p_key text, p_match text[], p_none_match text[])
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE here record;
BEGIN
    here := enter(p_bucket);
    PERFORM expect(here.bucket, p_key, p_match, p_none_match);
    DELETE FROM objects o WHERE o.bucket = here.bucket AND o.key = p_key;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM mark_dirty(here.bucket, ARRAY[p_key]);
    RETURN true;
END $$;
