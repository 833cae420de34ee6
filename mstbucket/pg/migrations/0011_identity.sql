-- Which store this is (spec/23-store.md is normative), and flushes that wait for each other (spec/14-protocols.md).

-- One row. `identity` is NULL until the store is made; its blob place holds the same ([STO-18]). `begun` is what is about to be
-- written there, so that a making that was interrupted is told from a place that is another store's. `blobs` is where they were
-- at the last opening: for people, and for nothing else.
CREATE TABLE store (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    identity text CHECK (identity ~ '^[0-9a-f]{32}$'),
    begun    text CHECK (begun ~ '^[0-9a-f]{32}$'),
    blobs    text
);
INSERT INTO store DEFAULT VALUES;

-- Whether a commit holds everything that was dirty when its snapshot was taken; others may be waiting for that ([FLUSH-12]).
ALTER TABLE commits ADD COLUMN whole boolean NOT NULL DEFAULT false;
