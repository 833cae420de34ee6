-- Tags that change after the put, tags of buckets, and views for people. Functions and columns only: no row is rewritten.

-- The tags are in the bucket's commit, so a change of them has to make a flush: `tags_dirty` is the generation of a change
-- not in the current commit yet, `tags_since` its time in ms. Both NULL: the commit has exactly these tags ([TAG-6]).
ALTER TABLE buckets
    ADD COLUMN tags jsonb,
    ADD COLUMN tags_dirty bigint,
    ADD COLUMN tags_since bigint;

CREATE FUNCTION tag_bucket(p_bucket text, p_tags jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE here record;
BEGIN
    here := enter(p_bucket);
    UPDATE buckets SET tags = p_tags, tags_dirty = nextval('generation'), tags_since = coalesce(tags_since, now_ms())
        WHERE id = here.bucket;
END $$;

-- The row is locked by the caller, who made the manifest of it ([TAG-4]).
CREATE FUNCTION retag(p_bucket bigint, p_key text, p_manifest bytea, p_tags jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE objects SET manifest = p_manifest, tags = p_tags WHERE bucket = p_bucket AND key = p_key;
    SELECT mark_dirty(p_bucket, ARRAY[p_key]);
$$;

-- --- views for people and their tools ([VIEW-1]); the tables behind them may change with any release -------------------

-- A CID as text: multibase `b`, base32 of RFC 4648 in lower case without padding. About 50 µs each ([VIEW-3]).
CREATE FUNCTION cid_text(cid bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT 'b' || string_agg(chr(v + CASE WHEN v < 26 THEN 97 ELSE 24 END), '' ORDER BY i)
    FROM (SELECT i, ((get_byte(p, i * 5 / 8) << 8 | get_byte(p, i * 5 / 8 + 1)) >> (11 - i * 5 % 8)) & 31 AS v
          FROM (SELECT cid || '\x00'::bytea AS p, (length(cid) * 8 + 4) / 5 AS digits) s,
               generate_series(0, digits - 1) AS i) d
$$;

-- Milliseconds since 1970. What no calendar holds (a foreign manifest may say anything up to 2^63 - 1) is 'infinity'.
-- Not by to_timestamp(double), which is off by microseconds in far years. STABLE, so that it is inlined.
CREATE FUNCTION moment(ms bigint) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN ms < 253402300800000
                THEN timestamptz 'epoch' + ms / 1000 * interval '1 second' + ms % 1000 * interval '1 millisecond'
                ELSE timestamptz 'infinity' END;

CREATE VIEW v_buckets AS
    SELECT b.name AS bucket, b.identity, moment(b.created) AS created, cid_text(b.commit) AS commit, b.seq, b.tags,
           (SELECT count(*) FROM dirty d WHERE d.bucket = b.id) + (b.tags_dirty IS NOT NULL)::integer AS dirty
    FROM buckets b;

CREATE VIEW v_objects AS
    SELECT b.name AS bucket, o.key, o.size, o.etag, o.content_type, moment(o.modified) AS last_modified,
           moment(o.created) AS created, o.metadata, o.tags, o.headers, o.checksums, encode(o.sha256, 'hex') AS sha256,
           o.parts, o.version_id, cid_text(o.content) AS content, cid_text(o.manifest) AS manifest,
           EXISTS (SELECT FROM dirty d WHERE d.bucket = o.bucket AND d.key = o.key) AS dirty
    FROM buckets b JOIN objects o ON o.bucket = b.id;

CREATE VIEW v_commits AS
    SELECT b.name AS bucket, c.seq, cid_text(c.cid) AS cid, cid_text(c.prev) AS prev, cid_text(c.tree) AS tree,
           cid_text(c.versions) AS versions, moment(c.time) AS time, c.objects, c.bytes, c.seq = b.seq AS current,
           c.published
    FROM buckets b JOIN commits c ON c.bucket = b.id;

COMMENT ON VIEW v_buckets IS 'Buckets: name, identity, newest commit, tags, and how many changes no commit has yet.';
COMMENT ON VIEW v_objects IS 'Current objects, flushed or not; tags and metadata are jsonb, NULL where there are none.';
COMMENT ON VIEW v_commits IS 'The commits of each bucket that this store knows.';
