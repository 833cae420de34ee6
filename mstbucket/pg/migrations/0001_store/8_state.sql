-- --- a database made again from the blobs (spec/store/27-rebuild.md) -------------------------------------------------------

-- A row is here from the beginning of a rebuild to its end; until then the store cannot be opened ([REB-2]).
CREATE TABLE rebuild (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    identity text NOT NULL,                     -- of the store whose blobs are read
    begun    bigint NOT NULL
);

-- Blocks that were found in packs and have no row of `blocks` yet; nothing is here outside of a rebuild.
CREATE TABLE rebuild_blocks (
    cid      bytea NOT NULL,
    pack     bigint NOT NULL,
    "offset" bigint NOT NULL,
    length   integer NOT NULL
);

-- Locks that were found in blobs, some of them more than once; emptied by whoever fills it, in one transaction.
CREATE TABLE rebuild_locks (
    key        text COLLATE "C" NOT NULL,
    version    text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    there      boolean NOT NULL,
    mode       text,
    until      bigint,
    hold       boolean
);

-- The buckets that a rebuild under way has made, each with what is to be said of it at the end.
CREATE TABLE rebuild_buckets (
    bucket bigint PRIMARY KEY REFERENCES buckets ON DELETE CASCADE,
    report jsonb NOT NULL
);

-- --- service state, kept in blobs too ([REB-20] to [REB-27]) -----------------------------------------------------------

-- What a bucket has beside its commits: object lock, lifecycle rules, retention of commits, named commits, documents. `version` counts its
-- changes, under this row's lock, so that a version is one state and a higher one is newer; `published` is the newest that a blob
-- has. `id` tells the bucket from all others, also from those with its identity. `exact`: other buckets may have the identity, so
-- each commit is a change, and the state says which commit is the bucket's.
CREATE TABLE bucket_state (
    bucket    bigint PRIMARY KEY REFERENCES buckets ON DELETE CASCADE,
    id        text NOT NULL UNIQUE DEFAULT replace(gen_random_uuid()::text, '-', ''),
    version   bigint NOT NULL DEFAULT 1,
    published bigint NOT NULL DEFAULT 0,
    exact     boolean NOT NULL DEFAULT false,
    blobs     integer NOT NULL DEFAULT 0        -- written since they were last trimmed
);
CREATE INDEX bucket_state_ahead ON bucket_state (bucket) WHERE version > published;

-- Locks whose last change is in no blob yet. A row goes by the generation that was written.
CREATE TABLE lock_changes (
    bucket     bigint NOT NULL,
    key        text COLLATE "C" NOT NULL,
    version    text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    PRIMARY KEY (bucket, key, version)
);

-- Buckets that were deleted, and of which no blob says so yet.
CREATE TABLE gone_buckets (
    id       text PRIMARY KEY,
    identity text NOT NULL,
    commit   bytea
);

-- With a bucket that comes with a commit, others of its identity are exact, too. Their rows are locked, so that a flush of one is
-- over, and its commit in the state that is written, or begins after this and is a change.
CREATE FUNCTION state_begins() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE kin bigint[];
BEGIN
    INSERT INTO bucket_state (bucket, exact) VALUES (NEW.id, NEW.commit IS NOT NULL);
    IF NEW.commit IS NOT NULL THEN
        SELECT array_agg(k.id) INTO kin FROM (
            SELECT id FROM buckets WHERE identity = NEW.identity AND id <> NEW.id ORDER BY id FOR NO KEY UPDATE) k;
        UPDATE bucket_state SET exact = true, version = version + 1 WHERE bucket = ANY (kin) AND NOT exact;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER state_begins AFTER INSERT ON buckets FOR EACH ROW EXECUTE FUNCTION state_begins();

CREATE FUNCTION state_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gone_buckets SELECT s.id, OLD.identity, OLD.commit FROM bucket_state s WHERE s.bucket = OLD.id;
    DELETE FROM lock_changes WHERE bucket = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER state_ends BEFORE DELETE ON buckets FOR EACH ROW EXECUTE FUNCTION state_ends();

CREATE FUNCTION bucket_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE bucket_state SET version = version + 1
        WHERE bucket = NEW.id AND (exact OR (OLD.name, OLD.versioning, OLD.object_lock, OLD.lock_mode, OLD.lock_days, OLD.lock_years)
            IS DISTINCT FROM (NEW.name, NEW.versioning, NEW.object_lock, NEW.lock_mode, NEW.lock_days, NEW.lock_years));
    RETURN NULL;
END $$;
CREATE TRIGGER bucket_changed AFTER UPDATE OF commit, name, versioning, object_lock, lock_mode, lock_days, lock_years
    ON buckets FOR EACH ROW EXECUTE FUNCTION bucket_changed();

-- Of the tables whose rows are all of a bucket's state.
CREATE FUNCTION state_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE bucket_state s SET version = s.version + 1 WHERE s.bucket IN (SELECT c.bucket FROM changed c);
    RETURN NULL;
END $$;
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['lifecycle_rules', 'retention', 'snapshots', 'bucket_documents'] LOOP
        EXECUTE format('CREATE TRIGGER state_added AFTER INSERT ON %I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION state_changed()', t);
        EXECUTE format('CREATE TRIGGER state_updated AFTER UPDATE ON %I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION state_changed()', t);
        EXECUTE format('CREATE TRIGGER state_removed AFTER DELETE ON %I REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION state_changed()', t);
    END LOOP;
END $$;

-- Every change of a lock holds the key ([LOCK-6]), so of one lock the generations ascend as its changes are committed.
CREATE FUNCTION lock_advances() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.generation := nextval('generation');
    RETURN NEW;
END $$;
CREATE TRIGGER lock_advances BEFORE UPDATE ON locks FOR EACH ROW EXECUTE FUNCTION lock_advances();

CREATE FUNCTION locks_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lock_changes AS l SELECT c.bucket, c.key, c.version, c.generation FROM changed c ORDER BY c.key, c.version
        ON CONFLICT (bucket, key, version) DO UPDATE SET generation = excluded.generation;
    RETURN NULL;
END $$;
CREATE TRIGGER locks_added AFTER INSERT ON locks REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION locks_changed();
CREATE TRIGGER locks_updated AFTER UPDATE ON locks REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION locks_changed();

CREATE FUNCTION locks_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lock_changes AS l
        SELECT c.bucket, c.key, c.version, nextval('generation') FROM changed c JOIN buckets b ON b.id = c.bucket
        ORDER BY c.key, c.version
        ON CONFLICT (bucket, key, version) DO UPDATE SET generation = excluded.generation;
    RETURN NULL;
END $$;
CREATE TRIGGER locks_removed AFTER DELETE ON locks REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION locks_removed();

-- The state of a bucket that is not its locks, as a blob has it: tables as they are, so that a column more needs no change here.
CREATE FUNCTION state_of(p_bucket bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'number', s.version, 'exact', s.exact, 'name', b.name, 'created', b.created,
        'commit', encode(b.commit, 'hex'), 'seq', b.seq, 'versioning', b.versioning,
        'object_lock', b.object_lock, 'lock_mode', b.lock_mode, 'lock_days', b.lock_days, 'lock_years', b.lock_years,
        'rules', (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'bucket' ORDER BY r.place), '[]') FROM lifecycle_rules r
                  WHERE r.bucket = b.id),
        'retention', (SELECT to_jsonb(r) - 'bucket' FROM retention r WHERE r.bucket = b.id),
        'snapshots', (SELECT coalesce(jsonb_agg(to_jsonb(n) - 'bucket' ORDER BY n.name), '[]') FROM snapshots n
                      WHERE n.bucket = b.id),
        'documents', (SELECT coalesce(jsonb_agg(to_jsonb(d) - 'bucket' ORDER BY d.kind), '[]') FROM bucket_documents d
                      WHERE d.bucket = b.id))
    FROM buckets b JOIN bucket_state s ON s.bucket = b.id WHERE b.id = p_bucket
$$;

-- --- settings of the store ([REB-30]) --------------------------------------------------------------------------------------

-- One row; NULL is the default of the program.
CREATE TABLE settings (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    flush_age  integer,                         -- seconds that a change waits for the background's flush
    flush_keys integer,                         -- changed keys of a bucket from which it does not wait
    inline_max integer                          -- bytes; larger bodies go to a pack at once
);
INSERT INTO settings DEFAULT VALUES;
