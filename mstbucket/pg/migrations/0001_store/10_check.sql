-- --- the scrub (spec/store/28-check.md) ------------------------------------------------------------------------------------

-- When every byte of a pack was last read and hashed. A pack without a row was hashed as it was written. A pack that is written
-- again keeps its number and gets another name, and then the row says nothing.
CREATE TABLE scrubbed (
    pack bigint PRIMARY KEY REFERENCES packs ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    at   bigint NOT NULL                            -- ms since 1970
);
