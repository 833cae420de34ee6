-- --- the gateway (spec/store/29-gateway.md) -------------------------------------------------------------------------------

-- Keys that requests are signed with. The secret itself has to be known to check a signature, so no hash would do. In an
-- encrypted store it stands here under the data key, whose id is beside it; else as it is.
CREATE TABLE access_keys (
    id       text COLLATE "C" PRIMARY KEY,
    secret   bytea NOT NULL,
    sealed   bytea,                             -- id of the data key; NULL for a secret in plain
    name     text NOT NULL,
    created  bigint NOT NULL,                   -- ms since 1970
    expires  bigint,
    disabled boolean NOT NULL DEFAULT false,
    policy   text,                              -- what its holder may do; NULL for everything
    bytes_max  bigint,                          -- of bodies that its holder may send; NULL for any number
    bytes_sent bigint NOT NULL DEFAULT 0        -- since that was set
);
