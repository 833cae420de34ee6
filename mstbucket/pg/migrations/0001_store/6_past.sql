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
