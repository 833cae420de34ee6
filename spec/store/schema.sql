-- The tables, functions and views of the schema `mstbucket`, as the catalog of a fresh database holds them. Generated from
-- mstbucket/pg/migrations/, where the reasons stand, by tests/pg/schema_text.py: change it there.
-- Only the views are for others to read (17-attributes.md); the rest may change with any release.

CREATE SEQUENCE generation CACHE 1;

CREATE TABLE access_keys (
    id text COLLATE "C" NOT NULL,
    secret bytea NOT NULL,
    sealed bytea,
    name text NOT NULL,
    created bigint NOT NULL,
    expires bigint,
    disabled boolean NOT NULL DEFAULT false,
    policy text,
    bytes_max bigint,
    bytes_sent bigint NOT NULL DEFAULT 0,
    CONSTRAINT access_keys_pkey PRIMARY KEY (id)
);

CREATE TABLE blocks (
    pack bigint,
    "offset" bigint,
    length integer NOT NULL,
    epoch integer NOT NULL,
    born integer,
    cid bytea NOT NULL,
    body bytea,
    CONSTRAINT blocks_pkey PRIMARY KEY (cid),
    CONSTRAINT blocks_check CHECK ((((pack IS NULL) = (body IS NOT NULL)) AND ((pack IS NULL) = ("offset" IS NULL))))
);
ALTER TABLE blocks ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE bucket_documents (
    bucket bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    document text NOT NULL,
    CONSTRAINT bucket_documents_pkey PRIMARY KEY (bucket, kind),
    CONSTRAINT bucket_documents_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);

CREATE TABLE bucket_state (
    bucket bigint NOT NULL,
    id text NOT NULL DEFAULT replace((gen_random_uuid())::text, '-'::text, ''::text),
    version bigint NOT NULL DEFAULT 1,
    published bigint NOT NULL DEFAULT 0,
    exact boolean NOT NULL DEFAULT false,
    blobs integer NOT NULL DEFAULT 0,
    CONSTRAINT bucket_state_pkey PRIMARY KEY (bucket),
    CONSTRAINT bucket_state_id_key UNIQUE (id),
    CONSTRAINT bucket_state_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);
CREATE INDEX bucket_state_ahead ON bucket_state USING btree (bucket) WHERE (version > published);

CREATE TABLE buckets (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text COLLATE "C" NOT NULL,
    identity text NOT NULL,
    created bigint NOT NULL,
    commit bytea,
    seq bigint NOT NULL DEFAULT 0,
    folded bigint DEFAULT 0,
    tags jsonb,
    tags_dirty bigint,
    tags_since bigint,
    versioning text,
    object_lock boolean NOT NULL DEFAULT false,
    lock_mode text,
    lock_days integer,
    lock_years integer,
    CONSTRAINT buckets_pkey PRIMARY KEY (id),
    CONSTRAINT buckets_name_key UNIQUE (name),
    CONSTRAINT buckets_default_retention CHECK (((num_nonnulls(lock_days, lock_years) = num_nonnulls(lock_mode)) AND (object_lock OR (lock_mode IS NULL)))),
    CONSTRAINT buckets_lock_mode_check CHECK ((lock_mode = ANY (ARRAY['GOVERNANCE'::text, 'COMPLIANCE'::text]))),
    CONSTRAINT buckets_locked CHECK (((NOT object_lock) OR (NOT (versioning IS DISTINCT FROM 'Enabled'::text)))),
    CONSTRAINT buckets_versioning_check CHECK ((versioning = ANY (ARRAY['Enabled'::text, 'Suspended'::text])))
) WITH (fillfactor=50);

CREATE TABLE buried (
    cycle bigint NOT NULL,
    cid bytea NOT NULL,
    pack bigint,
    "offset" bigint,
    length integer NOT NULL,
    body bytea,
    CONSTRAINT buried_pkey PRIMARY KEY (cycle, cid)
);
ALTER TABLE buried ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX buried_by_pack ON buried USING btree (pack) WHERE (pack IS NOT NULL);

CREATE TABLE collections (
    epoch bigint NOT NULL,
    started bigint NOT NULL,
    ended bigint,
    until bigint,
    live_blocks bigint,
    live_bytes bigint,
    dead_blocks bigint,
    dead_bytes bigint,
    freed_blocks bigint,
    freed_bytes bigint,
    freed_packs bigint,
    stored bigint,
    swept boolean NOT NULL DEFAULT false,
    sign text,
    CONSTRAINT collections_pkey PRIMARY KEY (epoch)
);

CREATE TABLE collector (
    epoch integer NOT NULL,
    undos bigint NOT NULL DEFAULT 0
);

CREATE TABLE commits (
    bucket bigint NOT NULL,
    seq bigint NOT NULL,
    cid bytea NOT NULL,
    prev bytea,
    forked bytea,
    merged bytea,
    message text,
    name text NOT NULL,
    tree bytea NOT NULL,
    versions bytea,
    time bigint NOT NULL,
    objects bigint NOT NULL,
    bytes bigint NOT NULL,
    published boolean NOT NULL DEFAULT false,
    whole boolean NOT NULL DEFAULT false,
    CONSTRAINT commits_pkey PRIMARY KEY (bucket, seq),
    CONSTRAINT commits_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);
CREATE INDEX commits_by_cid ON commits USING btree (bucket, cid);
CREATE INDEX commits_unpublished ON commits USING btree (bucket, seq) WHERE (NOT published);

CREATE TABLE died (
    cid bytea NOT NULL,
    bucket bigint NOT NULL,
    seq bigint NOT NULL,
    epoch integer NOT NULL,
    held bigint NOT NULL DEFAULT 0,
    CONSTRAINT died_pkey PRIMARY KEY (cid, bucket)
);
CREATE INDEX died_by_holder ON died USING btree (bucket, held);

CREATE TABLE dirty (
    bucket bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    since bigint NOT NULL,
    CONSTRAINT dirty_pkey PRIMARY KEY (bucket, key)
) WITH (fillfactor=90);

CREATE TABLE dirty_versions (
    bucket bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    generation bigint NOT NULL,
    since bigint NOT NULL,
    CONSTRAINT dirty_versions_pkey PRIMARY KEY (bucket, key, seq)
) WITH (fillfactor=90);

CREATE TABLE encoding (
    one boolean NOT NULL DEFAULT true,
    compression integer,
    key_id bytea,
    wrapped_key bytea,
    key_blob text COLLATE "C",
    encrypts boolean NOT NULL DEFAULT true,
    CONSTRAINT encoding_pkey PRIMARY KEY (one),
    CONSTRAINT encoding_check CHECK ((((key_id IS NULL) = (wrapped_key IS NULL)) AND ((key_id IS NULL) = (key_blob IS NULL)))),
    CONSTRAINT encoding_one_check CHECK (one)
);

CREATE TABLE frames (
    pack bigint NOT NULL,
    start bigint NOT NULL,
    number bigint NOT NULL,
    stored bigint NOT NULL,
    lengths bytea NOT NULL,
    CONSTRAINT frames_pkey PRIMARY KEY (pack, start),
    CONSTRAINT frames_pack_fkey FOREIGN KEY (pack) REFERENCES packs(id) ON DELETE CASCADE
);
ALTER TABLE frames ALTER COLUMN lengths SET STORAGE MAIN;
COMMENT ON TABLE frames IS 'Where the frames of compressed and encrypted packs are.';

CREATE TABLE gone_buckets (
    id text NOT NULL,
    identity text NOT NULL,
    commit bytea,
    CONSTRAINT gone_buckets_pkey PRIMARY KEY (id)
);

CREATE TABLE leases (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    cid bytea NOT NULL,
    tree bytea NOT NULL,
    versions bytea,
    until bigint NOT NULL,
    CONSTRAINT leases_pkey PRIMARY KEY (id)
);

CREATE TABLE lifecycle_passes (
    bucket bigint NOT NULL,
    midnight bigint NOT NULL,
    phase integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    CONSTRAINT lifecycle_passes_pkey PRIMARY KEY (bucket),
    CONSTRAINT lifecycle_passes_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);

CREATE TABLE lifecycle_rules (
    bucket bigint NOT NULL,
    place integer NOT NULL,
    id text NOT NULL,
    enabled boolean NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    tags jsonb,
    larger bigint,
    smaller bigint,
    days integer,
    date bigint,
    lone_markers boolean NOT NULL,
    noncurrent_days integer,
    keep integer,
    upload_days integer,
    CONSTRAINT lifecycle_rules_pkey PRIMARY KEY (bucket, place),
    CONSTRAINT lifecycle_rules_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);

CREATE TABLE lock_changes (
    bucket bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    CONSTRAINT lock_changes_pkey PRIMARY KEY (bucket, key, version)
);

CREATE TABLE locks (
    bucket bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    mode text,
    until bigint,
    hold boolean,
    generation bigint NOT NULL DEFAULT nextval('generation'::regclass),
    CONSTRAINT locks_pkey PRIMARY KEY (bucket, key, version),
    CONSTRAINT locks_check CHECK (((mode IS NULL) = (until IS NULL))),
    CONSTRAINT locks_mode_check CHECK ((mode = ANY (ARRAY['GOVERNANCE'::text, 'COMPLIANCE'::text]))),
    CONSTRAINT locks_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);

CREATE TABLE migrations (
    version integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied timestamp with time zone NOT NULL DEFAULT now(),
    oldest_reader integer,
    oldest_writer integer,
    CONSTRAINT migrations_pkey PRIMARY KEY (version)
);

CREATE TABLE objects (
    bucket bigint NOT NULL,
    size bigint NOT NULL,
    modified bigint NOT NULL,
    created bigint,
    seq bigint,
    key text COLLATE "C" NOT NULL,
    manifest bytea NOT NULL,
    content bytea NOT NULL,
    etag bytea NOT NULL,
    content_type text,
    sha256 bytea,
    checksums jsonb,
    headers jsonb,
    metadata jsonb,
    tags jsonb,
    parts bigint[],
    version_id text,
    CONSTRAINT objects_pkey PRIMARY KEY (bucket, key)
);

CREATE TABLE packs (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text COLLATE "C" NOT NULL,
    state text NOT NULL,
    created bigint NOT NULL,
    size bigint,
    encoding text,
    plain bigint,
    alive bigint,
    epoch bigint,
    rows bigint,
    lost bigint NOT NULL DEFAULT 0,
    damaged boolean NOT NULL DEFAULT false,
    until bigint,
    CONSTRAINT packs_pkey PRIMARY KEY (id),
    CONSTRAINT packs_name_key UNIQUE (name),
    CONSTRAINT packs_encoding_check CHECK ((encoding = ANY (ARRAY['zstd'::text, 'aes'::text, 'zstd+aes'::text]))),
    CONSTRAINT packs_plain CHECK (((encoding IS NULL) OR (state <> 'ready'::text) OR (plain IS NOT NULL))),
    CONSTRAINT packs_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'ready'::text, 'doomed'::text])))
);
CREATE INDEX packs_by_size ON packs USING btree (COALESCE(plain, size), id) WHERE (state = 'ready'::text);
CREATE INDEX packs_damaged ON packs USING btree (id) WHERE damaged;
CREATE INDEX packs_unsettled ON packs USING btree (state, created) WHERE (state <> 'ready'::text);
CREATE INDEX packs_waiting ON packs USING btree (until) WHERE (until IS NOT NULL);

CREATE TABLE parts (
    upload text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    size bigint NOT NULL,
    md5 bytea NOT NULL,
    sha256 bytea NOT NULL,
    modified bigint NOT NULL,
    generation bigint NOT NULL,
    chunks bytea NOT NULL,
    checksums jsonb,
    CONSTRAINT parts_pkey PRIMARY KEY (upload, number),
    CONSTRAINT parts_number_check CHECK (((number >= 1) AND (number <= 10000))),
    CONSTRAINT parts_upload_fkey FOREIGN KEY (upload) REFERENCES uploads(id) ON DELETE CASCADE
);
ALTER TABLE parts ALTER COLUMN chunks SET STORAGE EXTERNAL;

CREATE TABLE rebuild (
    one boolean NOT NULL DEFAULT true,
    identity text NOT NULL,
    begun bigint NOT NULL,
    CONSTRAINT rebuild_pkey PRIMARY KEY (one),
    CONSTRAINT rebuild_one_check CHECK (one)
);

CREATE TABLE rebuild_blocks (
    cid bytea NOT NULL,
    pack bigint NOT NULL,
    "offset" bigint NOT NULL,
    length integer NOT NULL
);

CREATE TABLE rebuild_buckets (
    bucket bigint NOT NULL,
    report jsonb NOT NULL,
    CONSTRAINT rebuild_buckets_pkey PRIMARY KEY (bucket),
    CONSTRAINT rebuild_buckets_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);

CREATE TABLE rebuild_locks (
    key text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    there boolean NOT NULL,
    mode text,
    until bigint,
    hold boolean
);

CREATE TABLE remote_commits (
    bucket bigint NOT NULL,
    remote text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    fetched boolean NOT NULL DEFAULT false,
    CONSTRAINT remote_commits_pkey PRIMARY KEY (bucket, remote),
    CONSTRAINT remote_commits_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE,
    CONSTRAINT remote_commits_bucket_seq_fkey FOREIGN KEY (bucket, seq) REFERENCES commits(bucket, seq) ON DELETE CASCADE,
    CONSTRAINT remote_commits_remote_fkey FOREIGN KEY (remote) REFERENCES remotes(name) ON DELETE CASCADE
);
CREATE INDEX remote_commits_by_commit ON remote_commits USING btree (bucket, seq);

CREATE TABLE remote_heads (
    remote text COLLATE "C" NOT NULL,
    identity text NOT NULL,
    seq bigint NOT NULL,
    commit bytea NOT NULL,
    CONSTRAINT remote_heads_pkey PRIMARY KEY (remote, identity),
    CONSTRAINT remote_heads_remote_fkey FOREIGN KEY (remote) REFERENCES remotes(name) ON DELETE CASCADE
);

CREATE TABLE remotes (
    name text COLLATE "C" NOT NULL,
    place text NOT NULL,
    blobs text,
    CONSTRAINT remotes_pkey PRIMARY KEY (name)
);

CREATE TABLE retention (
    bucket bigint NOT NULL,
    everything bigint,
    last integer,
    hourly integer,
    daily integer,
    weekly integer,
    monthly integer,
    CONSTRAINT retention_pkey PRIMARY KEY (bucket),
    CONSTRAINT retention_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);

CREATE TABLE scrubbed (
    pack bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    CONSTRAINT scrubbed_pkey PRIMARY KEY (pack),
    CONSTRAINT scrubbed_pack_fkey FOREIGN KEY (pack) REFERENCES packs(id) ON DELETE CASCADE
);

CREATE TABLE settings (
    one boolean NOT NULL DEFAULT true,
    flush_age integer,
    flush_keys integer,
    inline_max integer,
    CONSTRAINT settings_pkey PRIMARY KEY (one),
    CONSTRAINT settings_one_check CHECK (one)
);

CREATE TABLE snapshots (
    bucket bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    created bigint NOT NULL,
    CONSTRAINT snapshots_pkey PRIMARY KEY (bucket, name),
    CONSTRAINT snapshots_bucket_seq_fkey FOREIGN KEY (bucket, seq) REFERENCES commits(bucket, seq) ON DELETE CASCADE
);
CREATE INDEX snapshots_by_commit ON snapshots USING btree (bucket, seq);

CREATE TABLE store (
    one boolean NOT NULL DEFAULT true,
    identity text,
    begun text,
    blobs text,
    CONSTRAINT store_pkey PRIMARY KEY (one),
    CONSTRAINT store_begun_check CHECK ((begun ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT store_identity_check CHECK ((identity ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT store_one_check CHECK (one)
);

CREATE TABLE strays (
    name text COLLATE "C" NOT NULL,
    seen bigint NOT NULL,
    CONSTRAINT strays_pkey PRIMARY KEY (name)
);

CREATE TABLE swept (
    cid bytea NOT NULL
);

CREATE TABLE uploads (
    id text COLLATE "C" NOT NULL,
    bucket bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    initiated bigint NOT NULL,
    content_type text NOT NULL,
    headers jsonb,
    metadata jsonb,
    tags jsonb,
    completed bigint,
    asked bytea,
    size bigint,
    etag text,
    content bytea,
    manifest bytea,
    version_id text,
    checksum_algorithm text,
    checksum_type text,
    checksums jsonb,
    lock_mode text,
    lock_until bigint,
    lock_hold boolean,
    CONSTRAINT uploads_pkey PRIMARY KEY (id),
    CONSTRAINT uploads_bucket_fkey FOREIGN KEY (bucket) REFERENCES buckets(id) ON DELETE CASCADE
);
CREATE INDEX uploads_abandoned ON uploads USING btree (initiated) WHERE (completed IS NULL);
CREATE INDEX uploads_answered ON uploads USING btree (completed) WHERE (completed IS NOT NULL);
CREATE INDEX uploads_open ON uploads USING btree (bucket, key, id) WHERE (completed IS NULL);

CREATE TABLE versions (
    bucket bigint NOT NULL,
    seq bigint NOT NULL,
    modified bigint NOT NULL,
    created bigint,
    size bigint,
    key text COLLATE "C" NOT NULL,
    manifest bytea NOT NULL,
    content bytea,
    etag bytea,
    content_type text,
    sha256 bytea,
    checksums jsonb,
    headers jsonb,
    metadata jsonb,
    tags jsonb,
    parts bigint[],
    version_id text COLLATE "C",
    CONSTRAINT versions_pkey PRIMARY KEY (bucket, key, seq),
    CONSTRAINT versions_check CHECK ((((content IS NULL) = (size IS NULL)) AND ((content IS NULL) = (etag IS NULL)))),
    CONSTRAINT versions_seq_check CHECK ((seq >= 0))
);
CREATE UNIQUE INDEX versions_by_id ON versions USING btree (version_place(bucket, key, version_id));

CREATE FUNCTION add_blocks(p_epoch bigint, p_pack bigint, p_cids bytea[], p_offsets bigint[], p_lengths integer[], p_born integer[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF NOT EXISTS (SELECT FROM blocks b WHERE b.cid = ANY (p_cids)) THEN
        BEGIN
            INSERT INTO blocks (cid, pack, "offset", length, born, epoch)
            SELECT c, p_pack, o, l, nullif(n, -1), p_epoch FROM unnest(p_cids, p_offsets, p_lengths, p_born) AS t (c, o, l, n)
            ORDER BY c;
            RETURN cardinality(p_cids);
        EXCEPTION WHEN unique_violation THEN
            NULL;  -- somebody else brought one of them meanwhile
        END;
    END IF;
    RETURN (SELECT place_blocks(p_epoch, p_pack, p_cids, p_offsets, p_lengths, p_born));
END $function$;

CREATE FUNCTION add_bodies(p_epoch bigint, p_born integer, p_cids bytea[], p_bodies bytea[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO blocks AS b (cid, length, born, body, epoch)
    SELECT c, length(d), p_born, d, p_epoch FROM unnest(p_cids, p_bodies) AS t (c, d) ORDER BY c
    ON CONFLICT (cid) DO UPDATE SET
        epoch = greatest(b.epoch, excluded.epoch), body = CASE WHEN b.pack IS NULL THEN excluded.body END, born = NULL
    -- [GC-21] it is shared now, [PUT-13] good bytes for bad ones
    WHERE b.epoch < excluded.epoch OR b.born IS NOT NULL OR b.body <> excluded.body;
    PERFORM refuse_damaged(p_cids);
END $function$;

CREATE FUNCTION add_objects(p_bucket bigint, p_versioning text, p_keys text[], p_manifests bytea[], p_contents bytea[], p_sizes bigint[], p_etags bytea[], p_types text[], p_created bigint[], p_modified bigint[], p_sha256 bytea[], p_checksums jsonb[], p_headers jsonb[], p_metadata jsonb[], p_tags jsonb[], p_versions text[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE seqs bigint[];
BEGIN
    IF p_versioning IS NOT NULL THEN
        seqs := ARRAY(SELECT make_way(p_bucket, p_versioning, t.key) FROM unnest(p_keys) AS t (key));
    END IF;
    INSERT INTO objects AS o (bucket, key, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                              headers, metadata, tags, version_id, seq)
    SELECT p_bucket, t.key, t.manifest, t.content, t.size, t.etag, t.type, t.created, t.modified, t.sha256,
           t.checksums, t.headers, t.metadata, t.tags, t.version, t.seq
    FROM unnest(p_keys, p_manifests, p_contents, p_sizes, p_etags, p_types, p_created, p_modified, p_sha256,
                p_checksums, p_headers, p_metadata, p_tags, p_versions, seqs)
         AS t (key, manifest, content, size, etag, type, created, modified, sha256, checksums, headers, metadata, tags,
               version, seq)
    ON CONFLICT (bucket, key) DO UPDATE SET
        manifest = excluded.manifest, content = excluded.content, size = excluded.size, etag = excluded.etag,
        content_type = excluded.content_type, created = excluded.created, modified = excluded.modified,
        sha256 = excluded.sha256, checksums = excluded.checksums, headers = excluded.headers,
        metadata = excluded.metadata, tags = excluded.tags, parts = NULL, version_id = excluded.version_id,
        seq = excluded.seq;
    IF p_versioning = 'Enabled' THEN
        PERFORM lock_by_default(p_bucket, p_keys, p_versions);                                   -- [LOCK-4]
    END IF;
    PERFORM mark_dirty(p_bucket, p_keys);
END $function$;

CREATE FUNCTION archive(p_bucket bigint, p_key text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE s bigint;
BEGIN
    INSERT INTO versions (bucket, key, seq, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                          headers, metadata, tags, parts, version_id)
    SELECT o.bucket, o.key, coalesce(o.seq, 1), o.manifest, o.content, o.size, o.etag, o.content_type, o.created, o.modified, o.sha256,
           o.checksums, o.headers, o.metadata, o.tags, o.parts, o.version_id
    FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key RETURNING seq INTO s;
    PERFORM mark_version_dirty(p_bucket, p_key, s);
END $function$;

CREATE FUNCTION assume(p_versioning text, p_believed text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_versioning IS DISTINCT FROM p_believed THEN
        RAISE EXCEPTION 'the versioning of the bucket was changed meanwhile' USING ERRCODE = 'MB421';
    END IF;
END $function$;

CREATE FUNCTION bring_back(p_limit integer, OUT seen bigint, OUT back bigint, OUT bytes bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE collector SET undos = undos + 1;
    WITH taken AS (
        DELETE FROM buried WHERE (cycle, cid) IN (SELECT t.cycle, t.cid FROM buried t LIMIT p_limit) RETURNING *),
    usable AS (
        SELECT t.* FROM taken t LEFT JOIN packs p ON p.id = t.pack
        WHERE t.pack IS NULL OR p.state = 'ready' OR (p.state = 'doomed' AND p.until IS NOT NULL)),
    revived AS (
        UPDATE packs p SET state = 'ready', until = NULL, alive = CASE p.state WHEN 'ready' THEN p.alive END,
            rows = NULL                                                                         -- [GC-25]
        WHERE p.id IN (SELECT u.pack FROM usable u)),
    made AS (
        INSERT INTO blocks (cid, pack, "offset", length, body, epoch)
        SELECT u.cid, u.pack, u."offset", u.length, u.body, c.epoch FROM usable u CROSS JOIN collector c ORDER BY u.cid
        ON CONFLICT (cid) DO NOTHING RETURNING length)
    SELECT (SELECT count(*) FROM taken), count(*), coalesce(sum(m.length), 0) INTO seen, back, bytes FROM made m;
END $function$;

CREATE FUNCTION bucket_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE bucket_state SET version = version + 1
        WHERE bucket = NEW.id AND (exact OR (OLD.name, OLD.versioning, OLD.object_lock, OLD.lock_mode, OLD.lock_days, OLD.lock_years)
            IS DISTINCT FROM (NEW.name, NEW.versioning, NEW.object_lock, NEW.lock_mode, NEW.lock_days, NEW.lock_years));
    RETURN NULL;
END $function$;

CREATE FUNCTION cid_text(cid bytea)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
    SELECT 'b' || string_agg(chr(v + CASE WHEN v < 26 THEN 97 ELSE 24 END), '' ORDER BY i)
    FROM (SELECT i, ((get_byte(p, i * 5 / 8) << 8 | get_byte(p, i * 5 / 8 + 1)) >> (11 - i * 5 % 8)) & 31 AS v
          FROM (SELECT cid || '\x00'::bytea AS p, (length(cid) * 8 + 4) / 5 AS digits) s,
               generate_series(0, digits - 1) AS i) d
$function$;

CREATE FUNCTION close_barrier(p_wait text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM set_config('lock_timeout', p_wait, true);
    PERFORM pg_advisory_xact_lock(7172980, 0);
END $function$;

CREATE FUNCTION collected_before()
 RETURNS bigint
 LANGUAGE sql
 STABLE
RETURN (SELECT LEAST((c.epoch)::bigint, (SELECT min(p.epoch) AS min FROM packs p WHERE (p.state = 'pending'::text))) AS "least" FROM collector c);

CREATE FUNCTION create_bucket(p_name text, p_identity text, p_created bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE made bigint;
BEGIN
    INSERT INTO buckets (name, identity, created) VALUES (p_name, p_identity, p_created)
        ON CONFLICT (name) DO NOTHING RETURNING id INTO made;
    IF made IS NULL THEN
        RAISE EXCEPTION 'a bucket named % exists already', quote_literal(p_name) USING ERRCODE = 'MB411';
    END IF;
    RETURN made;
END $function$;

CREATE FUNCTION days_before(p_midnight bigint, p_days integer)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
RETURN (p_midnight - (p_days * (86400000)::bigint));

CREATE FUNCTION delete_bucket(p_name text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE gone bigint;
BEGIN
    SELECT id INTO gone FROM buckets WHERE name = p_name;
    IF gone IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_name) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock(7172981, gone::integer);
    PERFORM 1 FROM objects WHERE bucket = gone LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'bucket % is not empty: delete its objects first', quote_literal(p_name) USING ERRCODE = 'MB410';
    END IF;
    PERFORM 1 FROM versions WHERE bucket = gone LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'bucket % is not empty: it holds versions or delete markers; list them with list_object_versions and '
            'delete each by its version id', quote_literal(p_name) USING ERRCODE = 'MB410';
    END IF;
    PERFORM 1 FROM snapshots WHERE bucket = gone LIMIT 1;
    IF FOUND THEN                                                                               -- [PAST-16]
        RAISE EXCEPTION 'bucket % is not empty: it has snapshots; remove them first', quote_literal(p_name)
            USING ERRCODE = 'MB410';
    END IF;
    DELETE FROM dirty WHERE bucket = gone;
    DELETE FROM dirty_versions WHERE bucket = gone;
    DELETE FROM buckets WHERE id = gone;
END $function$;

CREATE FUNCTION delete_objects(p_bucket bigint, p_keys text[])
 RETURNS SETOF text
 LANGUAGE plpgsql
AS $function$
DECLARE gone text[];
BEGIN
    PERFORM 1 FROM objects o WHERE o.bucket = p_bucket AND o.key = ANY (p_keys) ORDER BY o.key FOR UPDATE;
    WITH d AS (DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = ANY (p_keys) RETURNING o.key)
        SELECT array_agg(d.key) INTO gone FROM d;
    IF gone IS NOT NULL THEN
        PERFORM mark_dirty(p_bucket, gone);
        RETURN QUERY SELECT unnest(gone);
    END IF;
END $function$;

CREATE FUNCTION delete_version(p_bucket bigint, p_key text, p_version text, p_bypass boolean, OUT marker boolean, OUT refused text)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE present boolean := hold(p_bucket, p_key); s bigint;
BEGIN
    refused := locked(p_bucket, p_key, p_version, p_bypass);
    IF refused IS NOT NULL THEN
        RETURN;
    END IF;
    DELETE FROM locks WHERE bucket = p_bucket AND key = p_key AND version = coalesce(p_version, '');
    DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key AND o.version_id IS NOT DISTINCT FROM p_version;
    IF FOUND THEN
        PERFORM mark_dirty(p_bucket, ARRAY[p_key]);
        PERFORM promote(p_bucket, p_key);
        marker := false;
        RETURN;
    END IF;
    DELETE FROM versions v
        WHERE version_place(v.bucket, v.key, v.version_id) = version_place(p_bucket, p_key, p_version)
        RETURNING v.seq, v.content IS NULL INTO s, marker;
    IF FOUND THEN
        PERFORM mark_version_dirty(p_bucket, p_key, s);
        IF NOT present THEN
            PERFORM promote(p_bucket, p_key);
        END IF;
    END IF;
END $function$;

CREATE FUNCTION drop_null_version(p_bucket bigint, p_key text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE s bigint;
BEGIN
    DELETE FROM versions v
        WHERE version_place(v.bucket, v.key, v.version_id) = version_place(p_bucket, p_key, NULL) RETURNING v.seq INTO s;
    IF FOUND THEN
        PERFORM mark_version_dirty(p_bucket, p_key, s);
    END IF;
END $function$;

CREATE FUNCTION enter(p_bucket text, OUT bucket bigint, OUT epoch bigint, OUT versioning text, OUT seq integer)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5] the barrier comes first
    SELECT b.id INTO bucket FROM buckets b WHERE b.name = p_bucket;
    IF bucket IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(7172981, bucket::integer);
    -- The bucket may have gone, or its versioning changed, while we waited for the one who did it.
    SELECT b.versioning, CASE WHEN b.seq < 2147483647 THEN b.seq END INTO versioning, seq FROM buckets b WHERE b.id = bucket;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    SELECT c.epoch INTO epoch FROM collector c;
END $function$;

CREATE FUNCTION enter_alone(p_bucket text, OUT bucket bigint, OUT epoch bigint, OUT versioning text, OUT seq integer)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE FUNCTION enter_store()
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);
    RETURN (SELECT epoch FROM collector);
END $function$;

CREATE FUNCTION etag_text(etag bytea)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (length(etag) = 16) THEN encode(etag, 'hex'::text) ELSE convert_from(CASE WHEN (substr(etag, 1, 1) = '\xff'::bytea) THEN substr(etag, 2) ELSE etag END, 'UTF8'::name) END;

CREATE FUNCTION expect(p_bucket bigint, p_key text, p_match text[], p_none_match text[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE refused text;
BEGIN
    PERFORM hold(p_bucket, p_key);
    refused := refusal(p_bucket, p_key, p_match, p_none_match);
    IF refused IS NOT NULL THEN
        RAISE EXCEPTION '%', substr(refused, 7) USING ERRCODE = left(refused, 5);
    END IF;
END $function$;

CREATE FUNCTION expire_by_markers(p_bucket bigint, p_versioning text, p_keys text[], p_manifests bytea[], p_versions text[], p_now bigint, p_midnight bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE n bigint := 0;
BEGIN
    FOR i IN 1 .. cardinality(p_keys) LOOP
        PERFORM hold(p_bucket, p_keys[i]);
        PERFORM 1 FROM objects o WHERE o.bucket = p_bucket AND o.key = p_keys[i]
            AND object_expires(p_bucket, o.key, o.size, o.tags, o.modified, p_midnight);
        IF FOUND THEN
            PERFORM put_marker(p_bucket, p_versioning, p_keys[i], p_manifests[i], p_versions[i], p_now);
            n := n + 1;
        END IF;
    END LOOP;
    RETURN n;
END $function$;

CREATE FUNCTION expire_markers(p_bucket bigint, p_keys text[], p_seqs bigint[], p_midnight bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE n bigint := 0;
BEGIN
    FOR i IN 1 .. cardinality(p_keys) LOOP
        PERFORM hold(p_bucket, p_keys[i]);
        DELETE FROM versions v
            WHERE v.bucket = p_bucket AND v.key = p_keys[i] AND v.seq = p_seqs[i] AND v.content IS NULL
                AND marker_expires(p_bucket, v.key, v.seq, v.modified, p_midnight);
        IF FOUND THEN
            PERFORM mark_version_dirty(p_bucket, p_keys[i], p_seqs[i]);
            n := n + 1;
        END IF;
    END LOOP;
    RETURN n;
END $function$;

CREATE FUNCTION expire_objects(p_bucket bigint, p_keys text[], p_midnight bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE gone text[];
BEGIN
    PERFORM 1 FROM objects o WHERE o.bucket = p_bucket AND o.key = ANY (p_keys) ORDER BY o.key FOR UPDATE;
    WITH d AS (
        DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = ANY (p_keys)
            AND object_expires(p_bucket, o.key, o.size, o.tags, o.modified, p_midnight)
        RETURNING o.key)
    SELECT array_agg(d.key) INTO gone FROM d;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM mark_dirty(p_bucket, gone);
    RETURN cardinality(gone);
END $function$;

CREATE FUNCTION expire_versions(p_bucket bigint, p_keys text[], p_seqs bigint[], p_midnight bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE n bigint := 0; id text; held text;
BEGIN
    FOR i IN 1 .. cardinality(p_keys) LOOP
        IF held IS DISTINCT FROM p_keys[i] THEN
            PERFORM hold(p_bucket, p_keys[i]);
            held := p_keys[i];
        END IF;
        SELECT v.version_id INTO id FROM versions v
            WHERE v.bucket = p_bucket AND v.key = p_keys[i] AND v.seq = p_seqs[i]
                AND version_expires(p_bucket, v.key, v.seq, v.size, v.tags, v.modified, p_midnight);
        CONTINUE WHEN NOT FOUND OR locked(p_bucket, p_keys[i], id, false) IS NOT NULL;           -- [LIFE-10]
        DELETE FROM versions v WHERE v.bucket = p_bucket AND v.key = p_keys[i] AND v.seq = p_seqs[i];
        DELETE FROM locks WHERE bucket = p_bucket AND key = p_keys[i] AND version = coalesce(id, '');
        PERFORM mark_version_dirty(p_bucket, p_keys[i], p_seqs[i]);
        n := n + 1;
    END LOOP;
    RETURN n;
END $function$;

CREATE FUNCTION find_blocks(p_cids bytea[])
 RETURNS TABLE(cid bytea, name text, "offset" bigint, length integer, damaged boolean, stale boolean)
 LANGUAGE plpgsql
AS $function$
DECLARE here bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5]
    SELECT c.epoch INTO here FROM collector c;
    RETURN QUERY
        SELECT b.cid, p.name, b."offset", b.length, p.damaged, b.epoch < here FROM blocks b JOIN packs p ON p.id = b.pack
        WHERE b.cid = ANY (p_cids) AND p.state = 'ready';
END $function$;

CREATE FUNCTION give_up_commits(p_bucket bigint, p_seqs bigint[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE FUNCTION hold(p_bucket bigint, p_key text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    LOOP
        PERFORM 1 FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key FOR UPDATE;
        IF FOUND THEN
            RETURN true;
        END IF;
        -- There is no row to lock. One that is inserted and removed again stays in everybody's way until we have
        -- committed, because its fate depends on ours; and no reader ever sees it.
        INSERT INTO objects (bucket, key, manifest, content, size, etag, created, modified)
            VALUES (p_bucket, p_key, '', '', 0, '', 0, 0) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
            RETURN false;
        END IF;
    END LOOP;
END $function$;

CREATE FUNCTION hold_blocks(p_cids bytea[])
 RETURNS TABLE(cid bytea, name text, "offset" bigint, length integer, damaged boolean, stale boolean)
 LANGUAGE plpgsql
AS $function$
DECLARE here bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5]
    SELECT c.epoch INTO here FROM collector c;
    PERFORM touch_blocks(here, p_cids);
    RETURN QUERY SELECT * FROM find_blocks(p_cids);
END $function$;

CREATE FUNCTION import_bucket(p_id bigint, p_name text, p_identity text, p_created bigint, p_commit bytea, p_seq bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);                                   -- [PUT-5]
    INSERT INTO buckets (id, name, identity, created, commit, seq) OVERRIDING SYSTEM VALUE
        VALUES (p_id, p_name, p_identity, p_created, p_commit, p_seq) ON CONFLICT (name) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a bucket named % exists already', quote_literal(p_name) USING ERRCODE = 'MB411';
    END IF;
    RETURN (SELECT epoch FROM collector);
END $function$;

CREATE FUNCTION is_sound(p_pack bigint)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    RETURN EXISTS (SELECT FROM packs p WHERE p.id = p_pack AND p.state = 'ready' AND NOT p.damaged);
END $function$;

CREATE FUNCTION keep_blocks(p_epoch bigint, p_cids bytea[], p_proven boolean)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM touch_blocks(p_epoch, p_cids);
    RETURN (SELECT count(*) FROM blocks b JOIN packs p ON p.id = b.pack
            WHERE b.cid = ANY (p_cids) AND p.state = 'ready' AND (p_proven OR NOT p.damaged));
END $function$;

CREATE FUNCTION lock_advances()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    NEW.generation := nextval('generation');
    RETURN NEW;
END $function$;

CREATE FUNCTION lock_bucket(p_bucket text, p_mode text, p_days integer, p_years integer)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE found_id bigint;
BEGIN
    SELECT id INTO found_id FROM buckets WHERE name = p_bucket;
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock(7172981, found_id::integer);
    UPDATE buckets SET object_lock = true, lock_mode = p_mode, lock_days = p_days, lock_years = p_years
        WHERE id = found_id AND versioning = 'Enabled';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'bucket % cannot have object lock, because its versioning is not Enabled: enable it first',
            quote_literal(p_bucket) USING ERRCODE = 'MB423';
    END IF;
END $function$;

CREATE FUNCTION lock_by_default(p_bucket bigint, p_keys text[], p_versions text[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE b buckets; t bigint;
BEGIN
    SELECT * INTO b FROM buckets WHERE id = p_bucket AND lock_mode IS NOT NULL;
    IF FOUND THEN
        t := extract(epoch FROM clock_timestamp()
            + make_interval(years => coalesce(b.lock_years, 0), days => coalesce(b.lock_days, 0))) * 1000;
        INSERT INTO locks (bucket, key, version, mode, until)
            SELECT p_bucket, k, v, b.lock_mode, t FROM unnest(p_keys, p_versions) AS n (k, v);
    END IF;
END $function$;

CREATE FUNCTION lock_versions(p_bucket bigint, p_keys text[], p_versions text[], p_modes text[], p_untils text[], p_holds text[])
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO locks AS l (bucket, key, version, mode, until, hold)
    SELECT p_bucket, k, v, m, u::bigint, h::boolean FROM unnest(p_keys, p_versions, p_modes, p_untils, p_holds) AS n (k, v, m, u, h)
    ON CONFLICT (bucket, key, version) DO UPDATE SET
        mode = coalesce(excluded.mode, l.mode), until = coalesce(excluded.until, l.until), hold = coalesce(excluded.hold, l.hold)
$function$;

CREATE FUNCTION locked(p_bucket bigint, p_key text, p_version text, p_bypass boolean)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE l locks;
BEGIN
    SELECT * INTO l FROM locks WHERE bucket = p_bucket AND key = p_key AND version = coalesce(p_version, '');
    RETURN CASE
        WHEN l.hold THEN 'is under a legal hold'                                                 -- [LOCK-9]
        WHEN l.until IS NULL OR l.until <= now_ms() OR (l.mode = 'GOVERNANCE' AND p_bypass) THEN NULL
        ELSE format('is retained until %s in mode %s', moment(l.until), l.mode) END;             -- [LOCK-7], [LOCK-8]
END $function$;

CREATE FUNCTION locks_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO lock_changes AS l SELECT c.bucket, c.key, c.version, c.generation FROM changed c ORDER BY c.key, c.version
        ON CONFLICT (bucket, key, version) DO UPDATE SET generation = excluded.generation;
    RETURN NULL;
END $function$;

CREATE FUNCTION locks_removed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO lock_changes AS l
        SELECT c.bucket, c.key, c.version, nextval('generation') FROM changed c JOIN buckets b ON b.id = c.bucket
        ORDER BY c.key, c.version
        ON CONFLICT (bucket, key, version) DO UPDATE SET generation = excluded.generation;
    RETURN NULL;
END $function$;

CREATE FUNCTION make_way(p_bucket bigint, p_versioning text, p_key text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE present boolean := hold(p_bucket, p_key); s bigint := next_seq(p_bucket, p_key);
BEGIN
    IF present AND (p_versioning = 'Enabled' OR EXISTS (
            SELECT FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key AND o.version_id IS NOT NULL)) THEN
        PERFORM archive(p_bucket, p_key);
    END IF;
    IF p_versioning = 'Suspended' THEN
        PERFORM drop_null_version(p_bucket, p_key);
    END IF;
    RETURN s;
END $function$;

CREATE FUNCTION mark_dirty(p_bucket bigint, p_keys text[])
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO dirty
    SELECT p_bucket, k, nextval('generation'), now_ms() FROM unnest(p_keys) AS t (k) ORDER BY k COLLATE "C"
    ON CONFLICT (bucket, key) DO UPDATE SET generation = excluded.generation
$function$;

CREATE FUNCTION mark_version_dirty(p_bucket bigint, p_key text, p_seq bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO dirty_versions VALUES (p_bucket, p_key, p_seq, nextval('generation'), now_ms())
    ON CONFLICT (bucket, key, seq) DO UPDATE SET generation = excluded.generation
$function$;

CREATE FUNCTION marker_expires(p_bucket bigint, p_key text, p_seq bigint, p_modified bigint, p_midnight bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT NOT EXISTS (SELECT FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key)
        AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = p_bucket AND n.key = p_key AND n.seq <> p_seq)
        AND EXISTS (
            SELECT FROM lifecycle_rules r
            WHERE r.bucket = p_bucket AND r.enabled AND starts_with(p_key, r.prefix)
                AND r.tags IS NULL AND r.larger IS NULL AND r.smaller IS NULL
                AND (r.lone_markers OR p_modified <= days_before(p_midnight, r.days) OR r.date <= p_midnight))
$function$;

CREATE FUNCTION moment(ms bigint)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE PARALLEL SAFE STRICT
RETURN CASE WHEN (ms < '253402300800000'::bigint) THEN (('1970-01-01 00:00:00+00'::timestamp with time zone + (((ms / 1000))::double precision * '00:00:01'::interval)) + (((ms % (1000)::bigint))::double precision * '00:00:00.001'::interval)) ELSE 'infinity'::timestamp with time zone END;

CREATE FUNCTION next_seq(p_bucket bigint, p_key text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE newest bigint;
BEGIN
    SELECT greatest((SELECT max(v.seq) FROM versions v WHERE v.bucket = p_bucket AND v.key = p_key),
                    (SELECT coalesce(o.seq, 1) FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key)) INTO newest;
    IF newest = 9223372036854775807 THEN
        RAISE EXCEPTION 'the sequence of the versions of % has come to its end: remove the newest of them, then repeat',
            quote_literal(p_key) USING ERRCODE = 'MB501';
    END IF;
    RETURN coalesce(newest, 0) + 1;
END $function$;

CREATE FUNCTION note_died(p_bucket bigint, p_seq bigint, p_epoch integer, p_cids bytea[])
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO died AS d (cid, bucket, seq, epoch) SELECT c, p_bucket, p_seq, p_epoch FROM unnest(p_cids) AS t (c) ORDER BY c
    ON CONFLICT (cid, bucket) DO UPDATE SET seq = greatest(d.seq, excluded.seq), epoch = least(d.epoch, excluded.epoch), held = 0
$function$;

CREATE FUNCTION note_unflushed()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    PERFORM FROM dirty d WHERE d.bucket = OLD.bucket AND d.key = OLD.key FOR UPDATE;
    IF FOUND THEN
        INSERT INTO died AS d (cid, bucket, seq, epoch)
        SELECT OLD.content, b.id, b.seq, c.epoch FROM buckets b JOIN blocks l ON l.cid = OLD.content AND l.born = b.seq
        CROSS JOIN collector c WHERE b.id = OLD.bucket AND b.versioning IS NULL
        ON CONFLICT (cid, bucket) DO UPDATE SET seq = greatest(d.seq, excluded.seq), epoch = least(d.epoch, excluded.epoch), held = 0;
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION now_ms()
 RETURNS bigint
 LANGUAGE sql
RETURN ((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint;

CREATE FUNCTION object_expires(p_bucket bigint, p_key text, p_size bigint, p_tags jsonb, p_modified bigint, p_midnight bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (
        SELECT FROM lifecycle_rules r
        WHERE r.bucket = p_bucket AND r.enabled AND starts_with(p_key, r.prefix) AND (r.tags IS NULL OR p_tags @> r.tags)
            AND (r.larger IS NULL OR p_size > r.larger) AND (r.smaller IS NULL OR p_size < r.smaller)
            AND (p_modified <= days_before(p_midnight, r.days) OR r.date <= p_midnight))
$function$;

CREATE FUNCTION place_blocks(p_epoch bigint, p_pack bigint, p_cids bytea[], p_offsets bigint[], p_lengths integer[], p_born integer[])
 RETURNS bigint
 LANGUAGE sql
AS $function$
    WITH made AS (
        INSERT INTO blocks AS b (cid, pack, "offset", length, born, epoch)
        SELECT c, p_pack, o, l, n, p_epoch FROM unnest(p_cids, p_offsets, p_lengths, p_born) AS t (c, o, l, n) ORDER BY c
        ON CONFLICT (cid) DO UPDATE SET
            pack = CASE WHEN b.pack IS NULL THEN excluded.pack WHEN is_sound(b.pack) THEN b.pack ELSE excluded.pack END,
            "offset" = CASE
                WHEN b.pack IS NULL THEN excluded."offset" WHEN is_sound(b.pack) THEN b."offset" ELSE excluded."offset" END,
            born = CASE WHEN b.pack IS NULL AND excluded.born = -1 THEN b.born END,
            body = NULL, epoch = greatest(b.epoch, excluded.epoch)
        WHERE CASE WHEN b.pack IS NULL OR b.epoch < excluded.epoch OR b.born IS NOT NULL THEN true ELSE NOT is_sound(b.pack) END
        RETURNING b.pack)
    SELECT count(*) FROM made WHERE pack = p_pack
$function$;

CREATE FUNCTION promote(p_bucket bigint, p_key text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE newest versions;
BEGIN
    SELECT * INTO newest FROM versions v WHERE v.bucket = p_bucket AND v.key = p_key ORDER BY v.seq DESC LIMIT 1;
    IF newest.content IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM versions v WHERE v.bucket = p_bucket AND v.key = p_key AND v.seq = newest.seq;
    PERFORM mark_version_dirty(p_bucket, p_key, newest.seq);
    INSERT INTO objects (bucket, key, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                         headers, metadata, tags, parts, version_id, seq)
        VALUES (newest.bucket, newest.key, newest.manifest, newest.content, newest.size, newest.etag, newest.content_type,
                newest.created, newest.modified, newest.sha256, newest.checksums, newest.headers, newest.metadata,
                newest.tags, newest.parts, newest.version_id, newest.seq);
    PERFORM mark_dirty(p_bucket, ARRAY[p_key]);
END $function$;

CREATE FUNCTION put_group(p_bucket text, p_believed text, p_patience text, p_cids bytea[], p_bodies bytea[], p_match jsonb[], p_none_match jsonb[], p_keys text[], p_manifests bytea[], p_contents bytea[], p_sizes bigint[], p_etags bytea[], p_types text[], p_created bigint[], p_modified bigint[], p_sha256 bytea[], p_checksums jsonb[], p_headers jsonb[], p_metadata jsonb[], p_tags jsonb[], p_versions text[], OUT refused text[], OUT xid text, OUT crashed timestamp with time zone)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE here record; limited text := set_config('lock_timeout', p_patience, true);
BEGIN
    here := enter(p_bucket);
    PERFORM assume(here.versioning, p_believed);
    IF p_match IS NOT NULL THEN
        refused := ARRAY(SELECT refusal(here.bucket, c.key, texts(c.match), texts(c.none_match))
                         FROM unnest(p_keys, p_match, p_none_match) WITH ORDINALITY AS c (key, match, none_match, n) ORDER BY c.n);
        IF cardinality(array_remove(refused, NULL)) > 0 THEN
            RETURN;
        END IF;
        refused := NULL;
    END IF;
    PERFORM add_bodies(here.epoch, here.seq, p_cids, p_bodies);
    IF cardinality(p_cids) < cardinality(p_contents) THEN                               -- [GC-21] several objects, one body
        PERFORM touch_blocks(here.epoch, ARRAY(SELECT c FROM unnest(p_contents) AS t (c) GROUP BY c HAVING count(*) > 1));
    END IF;
    IF p_match IS NOT NULL THEN
        PERFORM expect(here.bucket, c.key, texts(c.match), texts(c.none_match))
        FROM unnest(p_keys, p_match, p_none_match) AS c (key, match, none_match);
    END IF;
    PERFORM add_objects(here.bucket, here.versioning, p_keys, p_manifests, p_contents, p_sizes, p_etags, p_types, p_created,
                        p_modified, p_sha256, p_checksums, p_headers, p_metadata, p_tags, p_versions);
    xid := pg_current_xact_id()::text;
    crashed := pg_stat_get_bgwriter_stat_reset_time();
END $function$;

CREATE FUNCTION put_inline(p_bucket text, p_key text, p_manifest bytea, p_content bytea, p_size bigint, p_etag bytea, p_type text, p_created bigint, p_modified bigint, p_sha256 bytea, p_checksums jsonb, p_headers jsonb, p_metadata jsonb, p_tags jsonb, p_body bytea, p_match text[], p_none_match text[], p_believed text, p_version text, p_patience text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE here record; s bigint; limited text;
BEGIN
    IF p_patience IS NOT NULL THEN
        limited := set_config('lock_timeout', p_patience, true);
    END IF;
    here := enter(p_bucket);
    INSERT INTO blocks AS b (cid, length, born, body, epoch) VALUES (p_content, length(p_body), here.seq, p_body, here.epoch)
        ON CONFLICT (cid) DO UPDATE SET
            epoch = greatest(b.epoch, excluded.epoch), body = CASE WHEN b.pack IS NULL THEN excluded.body END, born = NULL
        WHERE b.epoch < excluded.epoch OR b.born IS NOT NULL OR b.body <> excluded.body;  -- [PUT-6] touch, [GC-21], [PUT-13]
    PERFORM refuse_damaged(ARRAY[p_content]);
    IF here.versioning IS NOT NULL OR p_believed IS NOT NULL THEN
        PERFORM assume(here.versioning, p_believed);
    END IF;
    IF p_match IS NOT NULL OR p_none_match IS NOT NULL THEN
        PERFORM expect(here.bucket, p_key, p_match, p_none_match);
    END IF;
    IF here.versioning IS NOT NULL THEN
        s := make_way(here.bucket, here.versioning, p_key);
    END IF;
    INSERT INTO objects AS o (bucket, key, manifest, content, size, etag, content_type, created, modified, sha256, checksums,
                              headers, metadata, tags, version_id, seq)
        VALUES (here.bucket, p_key, p_manifest, p_content, p_size, p_etag, p_type, p_created, p_modified, p_sha256, p_checksums,
                p_headers, p_metadata, p_tags, p_version, s)
        ON CONFLICT (bucket, key) DO UPDATE SET
            manifest = excluded.manifest, content = excluded.content, size = excluded.size, etag = excluded.etag,
            content_type = excluded.content_type, created = excluded.created, modified = excluded.modified,
            sha256 = excluded.sha256, checksums = excluded.checksums, headers = excluded.headers,
            metadata = excluded.metadata, tags = excluded.tags, parts = NULL, version_id = excluded.version_id,
            seq = excluded.seq;
    IF here.versioning = 'Enabled' THEN
        PERFORM lock_by_default(here.bucket, ARRAY[p_key], ARRAY[p_version]);                    -- [LOCK-4]
    END IF;
    INSERT INTO dirty VALUES (here.bucket, p_key, nextval('generation'), p_modified)
        ON CONFLICT (bucket, key) DO UPDATE SET generation = excluded.generation;
END $function$;

CREATE FUNCTION put_marker(p_bucket bigint, p_versioning text, p_key text, p_manifest bytea, p_version text, p_now bigint)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE present boolean; s bigint := make_way(p_bucket, p_versioning, p_key);
BEGIN
    DELETE FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
    present := FOUND;
    IF present THEN
        PERFORM mark_dirty(p_bucket, ARRAY[p_key]);
    END IF;
    INSERT INTO versions (bucket, key, seq, manifest, created, modified, version_id)
        VALUES (p_bucket, p_key, s, p_manifest, NULL, p_now, p_version);
    PERFORM mark_version_dirty(p_bucket, p_key, s);
    RETURN present;
END $function$;

CREATE FUNCTION put_part(p_upload text, p_number integer, p_size bigint, p_md5 bytea, p_sha256 bytea, p_modified bigint, p_chunks bytea, p_checksums jsonb)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO parts AS p
    VALUES (p_upload, p_number, p_size, p_md5, p_sha256, p_modified, nextval('generation'), p_chunks, p_checksums)
    ON CONFLICT (upload, number) DO UPDATE SET
        size = excluded.size, md5 = excluded.md5, sha256 = excluded.sha256, modified = excluded.modified,
        generation = excluded.generation, chunks = excluded.chunks, checksums = excluded.checksums
$function$;

CREATE FUNCTION refusal(p_bucket bigint, p_key text, p_match text[], p_none_match text[])
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE current text;
BEGIN
    SELECT '"' || etag_text(o.etag) || '"' INTO current FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key;
    IF p_match IS NOT NULL AND current IS NULL THEN
        RETURN 'MB405 If-Match: there is no object ' || quote_literal(p_key) || ' in the bucket';
    END IF;
    IF p_match IS NOT NULL AND NOT ('*' = ANY (p_match) OR current = ANY (p_match)) THEN
        RETURN 'MB420 If-Match: the object ' || quote_literal(p_key) || ' has the ETag ' || current
            || ' now: read it again, then decide';
    END IF;
    IF p_none_match IS NOT NULL AND current IS NOT NULL AND ('*' = ANY (p_none_match) OR current = ANY (p_none_match)) THEN
        RETURN 'MB420 If-None-Match: there is an object ' || quote_literal(p_key) || ' with the ETag ' || current;
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION refuse_damaged(p_cids bytea[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF EXISTS (SELECT FROM packs p WHERE p.damaged) THEN
        PERFORM FROM blocks b JOIN packs p ON p.id = b.pack WHERE b.cid = ANY (p_cids) AND p.damaged;
        IF FOUND THEN
            RAISE EXCEPTION 'a body is in a pack that was found damaged' USING ERRCODE = 'MB424';
        END IF;
    END IF;
END $function$;

CREATE FUNCTION register_and_find(p_name text, p_encoding text, p_key bytea, p_encrypts boolean, p_cids bytea[])
 RETURNS TABLE(id bigint, cid bytea, name text, "offset" bigint, length integer, damaged boolean, stale boolean)
 LANGUAGE plpgsql
AS $function$
BEGIN
    id := register_pack(p_name, p_encoding, p_key, p_encrypts);
    RETURN NEXT;
    RETURN QUERY SELECT NULL::bigint, f.* FROM find_blocks(p_cids) f;
END $function$;

CREATE FUNCTION register_pack(p_name text, p_encoding text, p_key bytea, p_encrypts boolean)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE made bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7172980, 0);
    INSERT INTO packs (name, state, created, encoding, epoch)
        SELECT p_name, 'pending', now_ms(), p_encoding, c.epoch FROM collector c
        WHERE (SELECT (e.key_id IS NOT DISTINCT FROM p_key) AND e.encrypts = p_encrypts FROM encoding e) RETURNING id INTO made;
    RETURN made;
END $function$;

CREATE FUNCTION remove_blocks(p_cycle bigint, p_before bigint, p_bury boolean, p_cids bytea[])
 RETURNS TABLE(pack bigint, blocks bigint, bytes bigint)
 LANGUAGE plpgsql
AS $function$
BEGIN
    RETURN QUERY
        WITH held AS (
            SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND b.epoch < p_before ORDER BY b.cid FOR UPDATE SKIP LOCKED),
        gone AS (
            DELETE FROM blocks b USING held h WHERE b.cid = h.cid AND b.epoch < p_before
            RETURNING b.cid, b.pack, b."offset", b.length, b.body),
        kept AS (
            INSERT INTO buried (cycle, cid, pack, "offset", length, body)
            SELECT p_cycle, g.cid, g.pack, g."offset", g.length, g.body FROM gone g WHERE p_bury)
        SELECT g.pack, count(*), sum(g.length)::bigint FROM gone g GROUP BY g.pack;
END $function$;

CREATE FUNCTION remove_died(p_cycle bigint, p_before bigint, p_bury boolean, p_cids bytea[], p_deaths integer[])
 RETURNS TABLE(pack bigint, blocks bigint, bytes bigint)
 LANGUAGE plpgsql
AS $function$
BEGIN
    RETURN QUERY
        WITH held AS (
            SELECT b.cid, t.death FROM unnest(p_cids, p_deaths) AS t (cid, death) JOIN blocks b ON b.cid = t.cid
            WHERE b.born IS NOT NULL AND b.epoch <= t.death AND b.epoch < p_before ORDER BY b.cid FOR UPDATE OF b SKIP LOCKED),
        gone AS (
            DELETE FROM blocks b USING held h
            WHERE b.cid = h.cid AND b.born IS NOT NULL AND b.epoch <= h.death AND b.epoch < p_before
            RETURNING b.cid, b.pack, b."offset", b.length, b.body),
        kept AS (
            INSERT INTO buried (cycle, cid, pack, "offset", length, body)
            SELECT p_cycle, g.cid, g.pack, g."offset", g.length, g.body FROM gone g WHERE p_bury),
        done AS (DELETE FROM died d USING gone g WHERE d.cid = g.cid),
        said AS (INSERT INTO swept SELECT g.cid FROM gone g)
        SELECT g.pack, count(*), sum(g.length)::bigint FROM gone g GROUP BY g.pack;
END $function$;

CREATE FUNCTION retag(p_bucket bigint, p_key text, p_manifest bytea, p_tags jsonb)
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE objects SET manifest = p_manifest, tags = p_tags WHERE bucket = p_bucket AND key = p_key;
    SELECT mark_dirty(p_bucket, ARRAY[p_key]);
$function$;

CREATE FUNCTION retag_version(p_bucket bigint, p_key text, p_seq bigint, p_manifest bytea, p_tags jsonb)
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE versions SET manifest = p_manifest, tags = p_tags WHERE bucket = p_bucket AND key = p_key AND seq = p_seq;
    SELECT mark_version_dirty(p_bucket, p_key, p_seq);
$function$;

CREATE FUNCTION roots_sign()
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
    IF EXISTS (SELECT FROM leases) THEN
        RETURN NULL;
    END IF;
    RETURN concat_ws(' ', (SELECT concat(last_value, is_called) FROM generation),
        (SELECT concat(last_value, is_called) FROM packs_id_seq), (SELECT count(*) FROM commits),
        (SELECT count(*) FROM parts), (SELECT undos FROM collector));
END $function$;

CREATE FUNCTION set_versioning(p_bucket text, p_state text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE found_id bigint;
BEGIN
    SELECT id INTO found_id FROM buckets WHERE name = p_bucket;
    IF found_id IS NULL THEN
        RAISE EXCEPTION 'there is no bucket named %', quote_literal(p_bucket) USING ERRCODE = 'MB404';
    END IF;
    PERFORM pg_advisory_xact_lock(7172981, found_id::integer);
    PERFORM 1 FROM buckets WHERE id = found_id AND object_lock AND p_state <> 'Enabled';
    IF FOUND THEN                                                                                -- [LOCK-2]
        RAISE EXCEPTION 'bucket % has object lock, so its versioning cannot be suspended', quote_literal(p_bucket)
            USING ERRCODE = 'MB423';
    END IF;
    UPDATE buckets SET versioning = p_state, tags_dirty = nextval('generation'), tags_since = coalesce(tags_since, now_ms())
        WHERE id = found_id AND versioning IS DISTINCT FROM p_state;
END $function$;

CREATE FUNCTION sha256_of(content bytea, sha256 bytea)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (sha256 IS NOT NULL) THEN NULLIF(sha256, '\x'::bytea) WHEN (substr(content, 1, 4) = '\x01551220'::bytea) THEN substr(content, 5) ELSE NULL::bytea END;

CREATE FUNCTION share_blocks(p_cids bytea[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE own bytea[];
BEGIN
    own := ARRAY(SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND b.born IS NOT NULL ORDER BY b.cid FOR UPDATE SKIP LOCKED);
    UPDATE blocks b SET born = NULL WHERE b.cid = ANY (own);
    RETURN (SELECT count(*) FROM blocks WHERE cid = ANY (p_cids) AND born IS NULL);
END $function$;

CREATE FUNCTION state_begins()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE kin bigint[];
BEGIN
    INSERT INTO bucket_state (bucket, exact) VALUES (NEW.id, NEW.commit IS NOT NULL);
    IF NEW.commit IS NOT NULL THEN
        SELECT array_agg(k.id) INTO kin FROM (
            SELECT id FROM buckets WHERE identity = NEW.identity AND id <> NEW.id ORDER BY id FOR NO KEY UPDATE) k;
        UPDATE bucket_state SET exact = true, version = version + 1 WHERE bucket = ANY (kin) AND NOT exact;
    END IF;
    RETURN NULL;
END $function$;

CREATE FUNCTION state_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE bucket_state s SET version = s.version + 1 WHERE s.bucket IN (SELECT c.bucket FROM changed c);
    RETURN NULL;
END $function$;

CREATE FUNCTION state_ends()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO gone_buckets SELECT s.id, OLD.identity, OLD.commit FROM bucket_state s WHERE s.bucket = OLD.id;
    DELETE FROM lock_changes WHERE bucket = OLD.id;
    RETURN OLD;
END $function$;

CREATE FUNCTION state_of(p_bucket bigint)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
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
$function$;

CREATE FUNCTION tag_bucket(p_bucket text, p_tags jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE here record;
BEGIN
    here := enter(p_bucket);
    UPDATE buckets SET tags = p_tags, tags_dirty = nextval('generation'), tags_since = coalesce(tags_since, now_ms())
        WHERE id = here.bucket;
END $function$;

CREATE FUNCTION texts(p_list jsonb)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE
RETURN CASE WHEN (p_list IS NOT NULL) THEN ARRAY(SELECT jsonb_array_elements_text(p_list) AS jsonb_array_elements_text) ELSE NULL::text[] END;

CREATE FUNCTION touch_and_count(p_epoch bigint, p_cids bytea[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM touch_blocks(p_epoch, p_cids);
    RETURN (SELECT count(*) FROM blocks WHERE cid = ANY (p_cids));
END $function$;

CREATE FUNCTION touch_blocks(p_epoch bigint, p_cids bytea[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE stale bytea[];
BEGIN
    stale := ARRAY(
        SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND (b.epoch < p_epoch OR b.born IS NOT NULL)
        ORDER BY b.cid FOR UPDATE);
    IF cardinality(stale) > 0 THEN
        UPDATE blocks b SET epoch = greatest(b.epoch, p_epoch), born = NULL WHERE b.cid = ANY (stale);
    END IF;
END $function$;

CREATE FUNCTION touch_folded(p_epoch bigint, p_cids bytea[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE stale bytea[];
BEGIN
    stale := ARRAY(SELECT b.cid FROM blocks b WHERE b.cid = ANY (p_cids) AND b.epoch < p_epoch ORDER BY b.cid FOR UPDATE);
    IF cardinality(stale) > 0 THEN
        UPDATE blocks b SET epoch = p_epoch WHERE b.cid = ANY (stale) AND b.epoch < p_epoch;
    END IF;
    RETURN (SELECT count(*) FROM blocks WHERE cid = ANY (p_cids));
END $function$;

CREATE FUNCTION undo_until(p_pack bigint)
 RETURNS bigint
 LANGUAGE sql
 STABLE
RETURN (SELECT max(c.until) AS max FROM (buried b JOIN collections c ON ((c.epoch = b.cycle))) WHERE (b.pack = undo_until.p_pack));

CREATE FUNCTION version_expires(p_bucket bigint, p_key text, p_seq bigint, p_size bigint, p_tags jsonb, p_modified bigint, p_midnight bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (
        SELECT FROM lifecycle_rules r,
            LATERAL (SELECT o.modified FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key
                     UNION ALL SELECT NULL LIMIT 1) AS current (modified),
            LATERAL (SELECT coalesce(
                (SELECT n.modified FROM versions n WHERE n.bucket = p_bucket AND n.key = p_key AND n.seq > p_seq
                 ORDER BY n.seq LIMIT 1), current.modified)) AS successor (modified)
        WHERE r.bucket = p_bucket AND r.enabled AND r.noncurrent_days IS NOT NULL
            AND starts_with(p_key, r.prefix) AND (r.tags IS NULL OR p_tags @> r.tags)
            AND (r.larger IS NULL OR p_size > r.larger) AND (r.smaller IS NULL OR p_size < r.smaller)
            AND successor.modified IS NOT NULL
            AND greatest(p_modified, successor.modified) <= days_before(p_midnight, r.noncurrent_days)
            AND (r.keep IS NULL OR r.keep <= (
                SELECT count(*) FROM (
                    SELECT FROM versions n WHERE n.bucket = p_bucket AND n.key = p_key AND n.seq > p_seq LIMIT r.keep + 1) AS newer)
                - (current.modified IS NULL)::integer))
$function$;

CREATE FUNCTION version_place(bucket bigint, key text, version_id text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN ((((((bucket)::text || ':'::text) || (octet_length(key))::text) || ':'::text) || key) || COALESCE(version_id, ''::text));

CREATE VIEW v_buckets AS
 SELECT name AS bucket,
    identity,
    moment(created) AS created,
    cid_text(commit) AS commit,
    seq,
    tags,
    ((( SELECT count(*) AS count
           FROM dirty d
          WHERE (d.bucket = b.id)) + ( SELECT count(*) AS count
           FROM dirty_versions d
          WHERE (d.bucket = b.id))) + ((tags_dirty IS NOT NULL))::integer) AS dirty,
    versioning
   FROM buckets b;
COMMENT ON VIEW v_buckets IS 'Buckets: name, identity, newest commit, tags, and how many changes no commit has yet.';

CREATE VIEW v_commits AS
 SELECT b.name AS bucket,
    c.seq,
    cid_text(c.cid) AS cid,
    cid_text(c.prev) AS prev,
    cid_text(c.tree) AS tree,
    cid_text(c.versions) AS versions,
    moment(c."time") AS "time",
    c.objects,
    c.bytes,
    c.message,
    (c.seq = b.seq) AS current,
    c.published
   FROM (buckets b
     JOIN commits c ON ((c.bucket = b.id)));
COMMENT ON VIEW v_commits IS 'The commits of each bucket that this store knows.';

CREATE VIEW v_objects AS
 SELECT b.name AS bucket,
    o.key,
    o.size,
    etag_text(o.etag) AS etag,
    o.content_type,
    moment(o.modified) AS last_modified,
    moment(COALESCE(o.created, o.modified)) AS created,
    o.metadata,
    o.tags,
    o.headers,
    o.checksums,
    encode(sha256_of(o.content, o.sha256), 'hex'::text) AS sha256,
    o.parts,
    o.version_id,
    cid_text(o.content) AS content,
    cid_text(o.manifest) AS manifest,
    (EXISTS ( SELECT
           FROM dirty d
          WHERE ((d.bucket = o.bucket) AND (d.key = o.key)))) AS dirty
   FROM (buckets b
     JOIN objects o ON ((o.bucket = b.id)));
COMMENT ON VIEW v_objects IS 'Current objects, flushed or not; tags and metadata are jsonb, NULL where there are none.';

CREATE VIEW v_uploads AS
 SELECT b.name AS bucket,
    u.key,
    u.id,
    moment(u.initiated) AS initiated,
    u.content_type,
    u.metadata,
    u.tags,
    u.headers,
    u.checksum_algorithm,
    u.checksum_type,
    p.parts,
    p.bytes,
    moment(p.newest) AS last_part
   FROM ((uploads u
     JOIN buckets b ON ((b.id = u.bucket)))
     CROSS JOIN LATERAL ( SELECT count(*) AS parts,
            (COALESCE(sum(parts.size), (0)::numeric))::bigint AS bytes,
            max(parts.modified) AS newest
           FROM parts
          WHERE (parts.upload = u.id)) p)
  WHERE (u.completed IS NULL);
COMMENT ON VIEW v_uploads IS 'Open multipart uploads, each with the number and the bytes of the parts that came.';

CREATE VIEW v_versions AS
 SELECT b.name AS bucket,
    o.key,
    COALESCE(o.version_id, 'null'::text) AS version_id,
    true AS is_latest,
    false AS delete_marker,
    o.size,
    etag_text(o.etag) AS etag,
    o.content_type,
    moment(o.modified) AS last_modified,
    o.metadata,
    o.tags,
    cid_text(o.content) AS content,
    cid_text(o.manifest) AS manifest,
    COALESCE(o.seq, (1)::bigint) AS seq
   FROM (buckets b
     JOIN objects o ON ((o.bucket = b.id)))
UNION ALL
 SELECT b.name AS bucket,
    v.key,
    COALESCE(v.version_id, 'null'::text) AS version_id,
    ((NOT (EXISTS ( SELECT
           FROM objects o
          WHERE ((o.bucket = v.bucket) AND (o.key = v.key))))) AND (NOT (EXISTS ( SELECT
           FROM versions n
          WHERE ((n.bucket = v.bucket) AND (n.key = v.key) AND (n.seq > v.seq)))))) AS is_latest,
    (v.content IS NULL) AS delete_marker,
    v.size,
    etag_text(v.etag) AS etag,
    v.content_type,
    moment(v.modified) AS last_modified,
    v.metadata,
    v.tags,
    cid_text(v.content) AS content,
    cid_text(v.manifest) AS manifest,
    v.seq
   FROM (buckets b
     JOIN versions v ON ((v.bucket = b.id)));
COMMENT ON VIEW v_versions IS 'Every version of every key, delete markers included; of one key a higher seq is newer.';
