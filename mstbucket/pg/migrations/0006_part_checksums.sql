-- Checksums of parts, and a view of the open uploads. Columns that older uploads have NULL in: they get no checksum.

-- What the object is to have, said at the beginning; both NULL where nothing was said ([SUM-7]).
ALTER TABLE uploads
    ADD COLUMN checksum_algorithm text,
    ADD COLUMN checksum_type text,
    ADD COLUMN checksums jsonb;                     -- of the object, in the answer kept of a completion
ALTER TABLE parts ADD COLUMN checksums jsonb;       -- base64 by algorithm, as in `objects`

DROP FUNCTION put_part(text, integer, bigint, bytea, bytea, bigint, bytea);
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

CREATE VIEW v_uploads AS
    SELECT b.name AS bucket, u.key, u.id, moment(u.initiated) AS initiated, u.content_type, u.metadata, u.tags, u.headers,
           u.checksum_algorithm, u.checksum_type, p.parts, p.bytes, moment(p.newest) AS last_part
    FROM uploads u JOIN buckets b ON b.id = u.bucket
         CROSS JOIN LATERAL (SELECT count(*) AS parts, coalesce(sum(size), 0)::bigint AS bytes, max(modified) AS newest
                             FROM parts WHERE upload = u.id) p
    WHERE u.completed IS NULL;

COMMENT ON VIEW v_uploads IS 'Open multipart uploads, each with the number and the bytes of the parts that came.';
