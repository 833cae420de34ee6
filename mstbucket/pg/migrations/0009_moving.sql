-- Packs that are written again, gathered, or left by a crash. spec/23-store.md is normative.

-- ms since 1970. Of a pending pack: when its writer last gave a sign of life. Of a doomed one: since when it is that.
ALTER TABLE packs ADD COLUMN alive bigint;

-- Small packs are looked for every few seconds, among any number of large ones. The size is that of the CAR.
CREATE INDEX packs_by_size ON packs ((coalesce(plain, size)), id) WHERE state = 'ready';

-- Whether new packs are encrypted. A store that is being decrypted keeps its key until nothing needs it any more.
ALTER TABLE encoding ADD COLUMN encrypts boolean NOT NULL DEFAULT true;
