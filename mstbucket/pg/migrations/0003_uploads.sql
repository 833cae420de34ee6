-- Multipart uploads: service state, which lives only here. spec/16-multipart.md is normative.

-- An upload is open until it is completed; then the row stays for a while, without parts, as the answer to a repetition.
CREATE TABLE uploads (
    id           text COLLATE "C" PRIMARY KEY,      -- starts with the time, so that ids of a key ascend as they were made
    bucket       bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    key          text COLLATE "C" NOT NULL,
    initiated    bigint NOT NULL,                   -- ms since 1970
    content_type text NOT NULL,
    headers      jsonb,
    metadata     jsonb,
    tags         jsonb,
    completed    bigint,                            -- ms since 1970; from here on NULL while open
    asked        bytea,                             -- sha256 of the list of parts that was completed
    size         bigint,
    etag         text,
    content      bytea,
    manifest     bytea
);
CREATE INDEX uploads_open ON uploads (bucket, key, id) WHERE completed IS NULL;
CREATE INDEX uploads_abandoned ON uploads (initiated) WHERE completed IS NULL;
CREATE INDEX uploads_answered ON uploads (completed) WHERE completed IS NOT NULL;

-- The chunks of a part are cut from its own start: all have 1 MiB but the last, so size and digests say everything.
-- For a collection the chunks of every row are roots ([MPU-12]).
CREATE TABLE parts (
    upload     text COLLATE "C" NOT NULL REFERENCES uploads ON DELETE CASCADE,
    number     integer NOT NULL CHECK (number BETWEEN 1 AND 10000),
    size       bigint NOT NULL,
    md5        bytea NOT NULL,
    sha256     bytea NOT NULL,
    modified   bigint NOT NULL,                     -- ms since 1970
    generation bigint NOT NULL,                     -- tells a part from the one that it replaced
    chunks     bytea NOT NULL,                      -- sha256 of each chunk, 32 bytes each, in order
    PRIMARY KEY (upload, number)
);
ALTER TABLE parts ALTER COLUMN chunks SET STORAGE EXTERNAL;    -- digests do not compress

CREATE FUNCTION put_part(
    p_upload text, p_number integer, p_size bigint, p_md5 bytea, p_sha256 bytea, p_modified bigint, p_chunks bytea
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO parts AS p
    VALUES (p_upload, p_number, p_size, p_md5, p_sha256, p_modified, nextval('generation'), p_chunks)
    ON CONFLICT (upload, number) DO UPDATE SET
        size = excluded.size, md5 = excluded.md5, sha256 = excluded.sha256, modified = excluded.modified,
        generation = excluded.generation, chunks = excluded.chunks
$$;
