-- Packs that are compressed or encrypted, in frames. spec/20-frames.md is normative.

-- `encoding` is NULL for a plain CAR, else what its name says too; `plain` is then the size of the CAR in it.
ALTER TABLE packs
    ADD COLUMN encoding text CHECK (encoding IN ('zstd', 'aes', 'zstd+aes')),
    ADD COLUMN plain bigint,
    ADD CONSTRAINT packs_plain CHECK (encoding IS NULL OR state <> 'ready' OR plain IS NOT NULL);

-- Where the frames of a pack are, up to 256 in a row of the table: a read asks for the row with the greatest `start` not
-- above an offset of `blocks`. `lengths` has 8 bytes a frame: stored and plain length, unsigned, little-endian ([FRAME-7]).
CREATE TABLE frames (
    pack    bigint NOT NULL REFERENCES packs ON DELETE CASCADE,
    start   bigint NOT NULL,                    -- of the first frame in the plain CAR
    number  bigint NOT NULL,                    -- of the first frame
    stored  bigint NOT NULL,                    -- where the first frame is stored
    lengths bytea NOT NULL,
    PRIMARY KEY (pack, start)
);
ALTER TABLE frames ALTER COLUMN lengths SET STORAGE MAIN;   -- whole rows are read, always

-- What the store does to new packs; one row. `key_id`, `wrapped_key` and `key_blob` are NULL until it is encrypted.
CREATE TABLE encoding (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    compression integer,                        -- level of zstd, NULL for none
    key_id      bytea,
    wrapped_key bytea,
    key_blob    text COLLATE "C",               -- where the blob store has the wrapped key too
    CHECK ((key_id IS NULL) = (wrapped_key IS NULL) AND (key_id IS NULL) = (key_blob IS NULL))
);
INSERT INTO encoding DEFAULT VALUES;

COMMENT ON TABLE frames IS 'Where the frames of compressed and encrypted packs are.';
