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

-- The buckets that a rebuild under way has made, each with what is to be said of it at the end.
CREATE TABLE rebuild_buckets (
    bucket bigint PRIMARY KEY REFERENCES buckets ON DELETE CASCADE,
    report jsonb NOT NULL
);
