-- Views for people and their tools ([VIEW-1]); the tables behind them may change with any release.

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
           (SELECT count(*) FROM dirty d WHERE d.bucket = b.id) + (SELECT count(*) FROM dirty_versions d WHERE d.bucket = b.id)
               + (b.tags_dirty IS NOT NULL)::integer AS dirty,
           b.versioning
    FROM buckets b;
COMMENT ON VIEW v_buckets IS 'Buckets: name, identity, newest commit, tags, and how many changes no commit has yet.';

CREATE VIEW v_objects AS
    SELECT b.name AS bucket, o.key, o.size, etag_text(o.etag) AS etag, o.content_type, moment(o.modified) AS last_modified,
           moment(coalesce(o.created, o.modified)) AS created, o.metadata, o.tags, o.headers, o.checksums, encode(sha256_of(o.content, o.sha256), 'hex') AS sha256,
           o.parts, o.version_id, cid_text(o.content) AS content, cid_text(o.manifest) AS manifest,
           EXISTS (SELECT FROM dirty d WHERE d.bucket = o.bucket AND d.key = o.key) AS dirty
    FROM buckets b JOIN objects o ON o.bucket = b.id;
COMMENT ON VIEW v_objects IS 'Current objects, flushed or not; tags and metadata are jsonb, NULL where there are none.';

CREATE VIEW v_commits AS
    SELECT b.name AS bucket, c.seq, cid_text(c.cid) AS cid, cid_text(c.prev) AS prev, cid_text(c.tree) AS tree,
           cid_text(c.versions) AS versions, moment(c.time) AS time, c.objects, c.bytes, c.message, c.seq = b.seq AS current,
           c.published
    FROM buckets b JOIN commits c ON c.bucket = b.id;
COMMENT ON VIEW v_commits IS 'The commits of each bucket that this store knows.';

CREATE VIEW v_versions AS
    SELECT b.name AS bucket, o.key, coalesce(o.version_id, 'null') AS version_id, true AS is_latest, false AS delete_marker,
           o.size, etag_text(o.etag) AS etag, o.content_type, moment(o.modified) AS last_modified, o.metadata, o.tags,
           cid_text(o.content) AS content, cid_text(o.manifest) AS manifest, coalesce(o.seq, 1) AS seq
    FROM buckets b JOIN objects o ON o.bucket = b.id
    UNION ALL
    SELECT b.name, v.key, coalesce(v.version_id, 'null'),
           NOT EXISTS (SELECT FROM objects o WHERE o.bucket = v.bucket AND o.key = v.key)
               AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq),
           v.content IS NULL, v.size, etag_text(v.etag), v.content_type, moment(v.modified), v.metadata, v.tags,
           cid_text(v.content), cid_text(v.manifest), v.seq
    FROM buckets b JOIN versions v ON v.bucket = b.id;
COMMENT ON VIEW v_versions IS 'Every version of every key, delete markers included; of one key a higher seq is newer.';

CREATE VIEW v_uploads AS
    SELECT b.name AS bucket, u.key, u.id, moment(u.initiated) AS initiated, u.content_type, u.metadata, u.tags, u.headers,
           u.checksum_algorithm, u.checksum_type, p.parts, p.bytes, moment(p.newest) AS last_part
    FROM uploads u JOIN buckets b ON b.id = u.bucket
         CROSS JOIN LATERAL (SELECT count(*) AS parts, coalesce(sum(size), 0)::bigint AS bytes, max(modified) AS newest
                             FROM parts WHERE upload = u.id) p
    WHERE u.completed IS NULL;
COMMENT ON VIEW v_uploads IS 'Open multipart uploads, each with the number and the bytes of the parts that came.';
