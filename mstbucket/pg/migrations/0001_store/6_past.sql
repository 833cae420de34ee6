-- --- the past (spec/store/25-past.md) -------------------------------------------------------------------------------------

-- A row of `commits` is a commit that can still be read: a collection keeps all that it reaches. Retention gives a commit up by
-- removing its row. The newest commit of a bucket, one with a name, and one with a lease are never given up.

-- A commit is asked for by its CID, too ([PAST-20]).
CREATE INDEX commits_by_cid ON commits (bucket, cid);

-- Commits with a name stay until the name is removed.
CREATE TABLE snapshots (
    bucket  bigint NOT NULL,
    name    text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    created bigint NOT NULL,
    PRIMARY KEY (bucket, name),
    FOREIGN KEY (bucket, seq) REFERENCES commits ON DELETE CASCADE
);
CREATE INDEX snapshots_by_commit ON snapshots (bucket, seq);

-- Which commits without a name stay. A bucket without a row here has the default. `everything` is an age in ms below which all
-- stay; `last` a number of newest ones; the others how many periods keep their newest commit. NULL keeps nothing by that rule.
CREATE TABLE retention (
    bucket     bigint PRIMARY KEY REFERENCES buckets ON DELETE CASCADE,
    everything bigint,
    last       integer,
    hourly     integer,
    daily      integer,
    weekly     integer,
    monthly    integer
);

-- Who reads a commit holds a lease on it, by the database's clock, and renews it while the reading goes on. What its trees
-- reach stays for a collection even if the commit, or the whole bucket, is removed meanwhile.
CREATE TABLE leases (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cid      bytea NOT NULL,                    -- of the commit
    tree     bytea NOT NULL,
    versions bytea,
    until    bigint NOT NULL                    -- ms since 1970
);

-- Gives up commits of a bucket by number; how many. The newest stays, and so do those that no blob publishes yet, those with a name
-- and those with a lease ([PAST-13]). The rows are locked first: who takes a lease or gives a name meanwhile has done so
-- before the second statement looks, or finds no row.
CREATE FUNCTION give_up_commits(p_bucket bigint, p_seqs bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    PERFORM 1 FROM commits c WHERE c.bucket = p_bucket AND c.seq = ANY (p_seqs) ORDER BY c.seq FOR UPDATE;
    WITH gone AS (
        DELETE FROM commits c
        WHERE c.bucket = p_bucket AND c.seq = ANY (p_seqs) AND c.published
            AND c.seq < (SELECT b.seq FROM buckets b WHERE b.id = p_bucket)
            AND NOT EXISTS (SELECT FROM snapshots s WHERE s.bucket = c.bucket AND s.seq = c.seq)
            AND NOT EXISTS (SELECT FROM remote_commits r WHERE r.bucket = c.bucket AND r.seq = c.seq)
            AND NOT EXISTS (SELECT FROM leases l WHERE l.cid = c.cid AND l.until > now_ms())
        RETURNING c.cid, c.seq),
    noted AS (                                                                                  -- [GC-20]
        INSERT INTO died AS d (cid, bucket, seq, epoch) SELECT g.cid, p_bucket, g.seq, e.epoch FROM gone g CROSS JOIN collector e
        ON CONFLICT (cid, bucket) DO UPDATE SET seq = greatest(d.seq, excluded.seq), epoch = least(d.epoch, excluded.epoch), held = 0)
    SELECT count(*) INTO n FROM gone;
    RETURN n;
END $$;

-- As `enter`, but alone in the bucket: it waits for the writers inside, and others wait for it. For who changes many keys at once.
CREATE FUNCTION enter_alone(p_bucket text, OUT bucket bigint, OUT epoch bigint, OUT versioning text, OUT seq integer)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5] the barrier comes first
    SELECT b.id INTO bucket FROM buckets b WHERE b.name = p_bucket;
    IF bucket IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(7172981, bucket::integer);
        SELECT b.versioning, CASE WHEN b.seq < 2147483647 THEN b.seq END INTO versioning, seq FROM buckets b WHERE b.id = bucket;
    END IF;
    IF bucket IS NULL OR NOT FOUND THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    SELECT c.epoch INTO epoch FROM collector c;
END $$;

-- --- remotes (spec/store/34-remotes.md) -----------------------------------------------------------------------------------

-- Other stores that have a name in this one. No credentials are here ([RMT-11]).
CREATE TABLE remotes (
    name  text COLLATE "C" PRIMARY KEY,
    place text NOT NULL,
    blobs text                                  -- with a database: where its packs are
);

-- The newest commit of each bucket that was accepted from there: an older one is not accepted any more ([RMT-12]).
CREATE TABLE remote_heads (
    remote   text COLLATE "C" NOT NULL REFERENCES remotes ON DELETE CASCADE,
    identity text NOT NULL,
    seq      bigint NOT NULL,
    commit   bytea NOT NULL,
    PRIMARY KEY (remote, identity)
);

-- The commit at which a bucket was the same here and there last. It stays: the next pull or push starts from it ([RMT-13]).
-- A fetched bucket was made by a fetch from there, and nobody else has to want it ([RMT-15]).
CREATE TABLE remote_commits (
    bucket  bigint NOT NULL REFERENCES buckets ON DELETE CASCADE,
    remote  text COLLATE "C" NOT NULL REFERENCES remotes ON DELETE CASCADE,
    seq     bigint NOT NULL,
    fetched boolean NOT NULL DEFAULT false,
    PRIMARY KEY (bucket, remote),
    FOREIGN KEY (bucket, seq) REFERENCES commits ON DELETE CASCADE
);

CREATE INDEX remote_commits_by_commit ON remote_commits (bucket, seq);
