-- The database of a store, in files to be read in order: tables, what buckets, packs and blocks are written by, what objects
-- and versions are written by, locks and lifecycle, views, the past, collection. This one holds the tables.
-- Everything stands in the schema `mstbucket`, which the migration runner has made and selected.
-- Keys are text in collation "C": PostgreSQL then compares them as UTF-8 bytes, which is the order of the tree.
-- All times are ms since 1970 by the database's clock ([PG-26]).
-- Pages of what is changed in place keep room for it, so that no index is touched (HOT): `buckets`, which each flush updates, and
-- `dirty`, which each put does. Not `objects`: of random overwriting 95 of 100 updates were HOT in full pages, and room in each
-- would cost 28 bytes an object. What flushes leave is vacuumed by them ([PG-27]).

-- --- the store itself ----------------------------------------------------------------------------------------------------

-- Which store this is (spec/store/23-store.md); one row. `identity` is NULL until the store is made; its blob place holds the
-- same ([STO-18]). `begun` is what is about to be written there, so that a making that was interrupted is told from a place that
-- is another store's. `blobs` is where they were at the last opening: for people, and for nothing else.
CREATE TABLE store (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    identity text CHECK (identity ~ '^[0-9a-f]{32}$'),
    begun    text CHECK (begun ~ '^[0-9a-f]{32}$'),
    blobs    text
);
INSERT INTO store DEFAULT VALUES;

-- What the store does to new packs (spec/store/20-frames.md); one row. `key_id`, `wrapped_key` and `key_blob` are NULL until it
-- is encrypted. `encrypts` is whether new packs are: a store that is being decrypted keeps its key until nothing needs it.
CREATE TABLE encoding (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    compression integer,                        -- level of zstd, NULL for none
    key_id      bytea,
    wrapped_key bytea,
    key_blob    text COLLATE "C",               -- where the blob store has the wrapped key too
    encrypts    boolean NOT NULL DEFAULT true,
    CHECK ((key_id IS NULL) = (wrapped_key IS NULL) AND (key_id IS NULL) = (key_blob IS NULL))
);
INSERT INTO encoding DEFAULT VALUES;

-- The epoch of collections: a block that was touched in this one or later stays. A cycle takes one: 2^31 last for 68 years of one
-- a second, and the one after them is refused. `blocks` has it in every row.
CREATE TABLE collector (epoch integer NOT NULL);
INSERT INTO collector VALUES (1);

-- Advisory locks of this schema: class 0x6d7374 ('mst') for the store, the bucket's id under class 0x6d7375 for a bucket.
-- A writer holds both shared until its commit; a collection takes the first, a bucket's deletion the second, exclusively.

-- --- buckets and their commits -------------------------------------------------------------------------------------------

-- Tags and versioning are in the bucket's commit, so a change of them has to make a flush: `tags_dirty` is the generation of a
-- change not in the current commit yet, `tags_since` its time. Both NULL: the commit has exactly these ([TAG-6]).
-- `versioning` NULL: it was never set. Once it was, a bucket is Enabled or Suspended for good ([VSN-1]). Once `object_lock` is
-- set it stays, and versioning stays Enabled ([LOCK-1], [LOCK-2]). The default retention is a mode and either of the periods.
CREATE TABLE buckets (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE,
    identity    text NOT NULL,                  -- 128 random bits; stays through renames, exports and mirrors
    created     bigint NOT NULL,
    commit      bytea,                          -- CID of the current commit; the one mutable pointer there is
    seq         bigint NOT NULL DEFAULT 0,      -- of the current commit; 0 before the first
    folded      bigint DEFAULT 0,               -- as `seq`, while nothing but flushes made its commits and nobody forked it ([GC-22])
    tags        jsonb,
    tags_dirty  bigint,
    tags_since  bigint,
    versioning  text CHECK (versioning IN ('Enabled', 'Suspended')),
    object_lock boolean NOT NULL DEFAULT false,
    lock_mode   text CHECK (lock_mode IN ('GOVERNANCE', 'COMPLIANCE')),
    lock_days   integer,
    lock_years  integer,
    CONSTRAINT buckets_default_retention CHECK (
        num_nonnulls(lock_days, lock_years) = num_nonnulls(lock_mode) AND (object_lock OR lock_mode IS NULL)),
    CONSTRAINT buckets_locked CHECK (NOT object_lock OR versioning IS NOT DISTINCT FROM 'Enabled')
) WITH (fillfactor = 50);

CREATE TABLE commits (
    bucket    bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    seq       bigint NOT NULL,
    cid       bytea NOT NULL,
    prev      bytea,                            -- CID of the commit before, in this store or in the one it came from
    forked    bytea,                            -- CID of the commit that the bucket was made from; only with seq 1 ([COM-21])
    merged    bytea,                            -- CID of the commit of another bucket whose changes came in ([COM-22])
    message   text,                             -- what whoever made it said of it ([COM-23])
    name      text NOT NULL,                    -- of the bucket at that time
    tree      bytea NOT NULL,
    versions  bytea,
    time      bigint NOT NULL,
    objects   bigint NOT NULL,
    bytes     bigint NOT NULL,
    published boolean NOT NULL DEFAULT false,   -- its refs/ blob is durable
    whole     boolean NOT NULL DEFAULT false,   -- holds all that was dirty at its snapshot; others may wait for that ([FLUSH-12])
    PRIMARY KEY (bucket, seq)
);
CREATE INDEX commits_unpublished ON commits (bucket, seq) WHERE NOT published;

-- --- objects and versions ------------------------------------------------------------------------------------------------

-- One row is one current object, and the row *is* the cached manifest: its bytes are a pure function of these columns. What
-- another column says already is not written again, and numbers stand before all else, so that nothing is lost to alignment.
CREATE TABLE objects (
    bucket       bigint NOT NULL,
    size         bigint NOT NULL,
    modified     bigint NOT NULL,
    created      bigint,                        -- NULL: as `modified`
    seq          bigint,                        -- its place among the versions of its key; NULL where there are no others
    key          text COLLATE "C" NOT NULL,
    manifest     bytea NOT NULL,                -- CID, computed at put time
    content      bytea NOT NULL,                -- CID of the body's root
    etag         bytea NOT NULL,                -- 16 bytes are those of a digest in hex; else see `etag_text`
    content_type text,
    sha256       bytea,                         -- NULL: what a raw `content` says, else none; empty: none beside a raw one
    checksums    jsonb,
    headers      jsonb,
    metadata     jsonb,
    tags         jsonb,
    parts        bigint[],
    version_id   text,
    PRIMARY KEY (bucket, key)
);

-- Noncurrent versions and all delete markers, which have no content (spec/store/18-versions.md). What `objects` holds for a key
-- is newer than all of these; a key without a row there has a marker for its newest version here ([VSN-4]). The columns are
-- those of `objects` and the sequence; version_id NULL is the version that S3 calls "null".
CREATE TABLE versions (
    bucket       bigint NOT NULL,
    seq          bigint NOT NULL CHECK (seq >= 0),  -- higher is newer; of its key alone
    modified     bigint NOT NULL,
    created      bigint,
    size         bigint,
    key          text COLLATE "C" NOT NULL,
    manifest     bytea NOT NULL,
    content      bytea,
    etag         bytea,
    content_type text,
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

-- Keys whose row is ahead of the tree. A flush removes exactly the generation it has folded. No row: tree[key] = row.
CREATE TABLE dirty (
    bucket     bigint NOT NULL,
    key        text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    since      bigint NOT NULL,                 -- of the oldest change not folded yet
    PRIMARY KEY (bucket, key)
) WITH (fillfactor = 90);
CREATE SEQUENCE generation CACHE 1;

-- As `dirty`, for the tree of versions.
CREATE TABLE dirty_versions (
    bucket     bigint NOT NULL,
    key        text COLLATE "C" NOT NULL,
    seq        bigint NOT NULL,
    generation bigint NOT NULL,
    since      bigint NOT NULL,
    PRIMARY KEY (bucket, key, seq)
) WITH (fillfactor = 90);

-- --- packs and blocks ----------------------------------------------------------------------------------------------------

-- A pack is known here before its first byte is written, so nothing in the blob store is ever unknown to the database.
CREATE TABLE packs (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     text COLLATE "C" NOT NULL UNIQUE,
    state    text NOT NULL CHECK (state IN ('pending', 'ready', 'doomed')),
    created  bigint NOT NULL,
    size     bigint,
    encoding text CHECK (encoding IN ('zstd', 'aes', 'zstd+aes')),  -- NULL for a plain CAR; else what its name says too
    plain    bigint,                            -- size of the CAR in it, where it has an encoding
    alive    bigint,                            -- pending: when its writer last gave a sign of life; doomed: since when it is that
    epoch    bigint,                            -- of collections, at its registration; while it is pending no row touched since then goes ([PUT-11])
    rows     bigint,                            -- of `blocks` that lead here, or more; NULL: nobody has counted ([GC-25])
    lost     bigint NOT NULL DEFAULT 0,         -- bytes of the CAR whose rows collections have removed
    damaged  boolean NOT NULL DEFAULT false,    -- some of it was found so ([PUT-13]): its blocks are read before anybody counts on them
    CONSTRAINT packs_plain CHECK (encoding IS NULL OR state <> 'ready' OR plain IS NOT NULL)
);
CREATE INDEX packs_unsettled ON packs (state, created) WHERE state <> 'ready';
-- Small packs are looked for every few seconds, among any number of large ones. The size is that of the CAR.
CREATE INDEX packs_by_size ON packs ((coalesce(plain, size)), id) WHERE state = 'ready';
CREATE INDEX packs_damaged ON packs (id) WHERE damaged;

-- Where the frames of a pack are (spec/store/20-frames.md), up to 256 in a row of the table: a read asks for the row with the
-- greatest `start` not above an offset of `blocks`. `lengths` has 8 bytes a frame: stored and plain length, unsigned,
-- little-endian ([FRAME-7]).
CREATE TABLE frames (
    pack    bigint NOT NULL REFERENCES packs ON DELETE CASCADE,
    start   bigint NOT NULL,                    -- of the first frame in the plain CAR
    number  bigint NOT NULL,                    -- of the first frame
    stored  bigint NOT NULL,                    -- where the first frame is stored
    lengths bytea NOT NULL,
    PRIMARY KEY (pack, start)
);
ALTER TABLE frames ALTER COLUMN lengths SET STORAGE MAIN;    -- whole rows are read, always
COMMENT ON TABLE frames IS 'Where the frames of compressed and encrypted packs are.';

-- Where every block is: in a pack, or (small bodies not flushed yet) here in `body`. The numbers stand first, as in `objects`.
-- `pack` is no foreign key on purpose: the check would cost more than the insert. `Bucket.verify` holds it instead.
CREATE TABLE blocks (
    pack     bigint,
    "offset" bigint,                            -- of the block's first byte in the pack
    length   integer NOT NULL,
    epoch    integer NOT NULL,                  -- of the collector, in which it was last needed by a writer
    born     integer,                           -- number of the commit before it came: no commit up to that one has it. NULL: it is
                                                -- shared, for ever: somebody else has needed it since, or may have ([GC-21])
    cid      bytea PRIMARY KEY,
    body     bytea,
    CHECK ((pack IS NULL) = (body IS NOT NULL) AND (pack IS NULL) = ("offset" IS NULL))
);
ALTER TABLE blocks ALTER COLUMN body SET STORAGE EXTERNAL;   -- bodies are mostly incompressible: do not try

-- --- multipart uploads (spec/store/16-multipart.md): service state, which lives only here ---------------------------------

-- An upload is open until it is completed; then the row stays for a while, without parts, as the answer to a repetition.
CREATE TABLE uploads (
    id           text COLLATE "C" PRIMARY KEY,  -- starts with the time, so that ids of a key ascend as they were made
    bucket       bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    key          text COLLATE "C" NOT NULL,
    initiated    bigint NOT NULL,
    content_type text NOT NULL,
    headers      jsonb,
    metadata     jsonb,
    tags         jsonb,
    completed    bigint,                        -- from here on, but for the last three, NULL while open
    asked        bytea,                         -- sha256 of the list of parts that was completed
    size         bigint,
    etag         text,
    content      bytea,
    manifest     bytea,
    version_id   text,                          -- of the object that it was completed as
    checksum_algorithm text,                    -- what the object is to have, said at the beginning; both NULL where
    checksum_type text,                         -- nothing was said ([SUM-7])
    checksums    jsonb,                         -- of the object, in the answer kept of a completion
    lock_mode    text,                          -- what the object is to be locked by, said at the beginning
    lock_until   bigint,
    lock_hold    boolean
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
    modified   bigint NOT NULL,
    generation bigint NOT NULL,                 -- tells a part from the one that it replaced
    chunks     bytea NOT NULL,                  -- sha256 of each chunk, 32 bytes each, in order
    checksums  jsonb,                           -- base64 by algorithm, as in `objects`
    PRIMARY KEY (upload, number)
);
ALTER TABLE parts ALTER COLUMN chunks SET STORAGE EXTERNAL;  -- digests do not compress

-- --- locks and lifecycle (spec/store/19-lock.md, 22-lifecycle.md): service state, in no commit ----------------------------

-- What protects a version; a row goes with its version, and no version without a row is protected.
CREATE TABLE locks (
    bucket  bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    key     text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,          -- its id; '' is the null version
    mode    text CHECK (mode IN ('GOVERNANCE', 'COMPLIANCE')),
    until   bigint,
    hold    boolean,                            -- a legal hold; NULL is one that was never spoken of
    generation bigint NOT NULL DEFAULT nextval('generation'),  -- of the last change; drawn while the key is held ([REB-20])
    PRIMARY KEY (bucket, key, version),
    CHECK ((mode IS NULL) = (until IS NULL))
);

-- The rules of a bucket, in the order given. A NULL is what a rule does not say.
CREATE TABLE lifecycle_rules (
    bucket          bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    place           integer NOT NULL,
    id              text NOT NULL,
    enabled         boolean NOT NULL,
    prefix          text COLLATE "C" NOT NULL,
    tags            jsonb,
    larger          bigint,                     -- bytes; objects with more than these
    smaller         bigint,
    days            integer,                    -- of a current object
    date            bigint,
    lone_markers    boolean NOT NULL,
    noncurrent_days integer,
    keep            integer,                    -- newer noncurrent versions that have to be there
    upload_days     integer,
    PRIMARY KEY (bucket, place)
);

-- How far the background work is: everything up to (key, seq) of a phase is done, by the rules as of `midnight` ([LIFE-13]).
CREATE TABLE lifecycle_passes (
    bucket   bigint PRIMARY KEY REFERENCES buckets ON DELETE CASCADE,
    midnight bigint NOT NULL,
    phase    integer NOT NULL,
    key      text COLLATE "C" NOT NULL,
    seq      bigint NOT NULL
);

-- Documents about a bucket, as they were given: its policy, its CORS rules, its limits.
CREATE TABLE bucket_documents (
    bucket   bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    kind     text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (bucket, kind)
);
