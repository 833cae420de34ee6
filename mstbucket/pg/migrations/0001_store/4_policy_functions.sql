-- The functions of object lock and of lifecycle. spec/store/19-lock.md and spec/store/22-lifecycle.md are normative.

-- --- locks -------------------------------------------------------------------------------------------------------------

-- Waits for the writers inside the bucket, as `set_versioning` does: later ones follow the new configuration.
CREATE FUNCTION lock_bucket(p_bucket text, p_mode text, p_days integer, p_years integer) RETURNS void LANGUAGE plpgsql AS $$
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
END $$;

-- The default retention of the bucket for versions that were just written ([LOCK-4]). Buckets with versions and without
-- such a default pay for one look at their row.
CREATE FUNCTION lock_by_default(p_bucket bigint, p_keys text[], p_versions text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE b buckets; t bigint;
BEGIN
    SELECT * INTO b FROM buckets WHERE id = p_bucket AND lock_mode IS NOT NULL;
    IF FOUND THEN
        t := extract(epoch FROM clock_timestamp()
            + make_interval(years => coalesce(b.lock_years, 0), days => coalesce(b.lock_days, 0))) * 1000;
        INSERT INTO locks (bucket, key, version, mode, until)
            SELECT p_bucket, k, v, b.lock_mode, t FROM unnest(p_keys, p_versions) AS n (k, v);
    END IF;
END $$;

-- What the writers of versions asked for themselves; of each, NULL leaves what the default has set ([LOCK-5]).
CREATE FUNCTION lock_versions(
    p_bucket bigint, p_keys text[], p_versions text[], p_modes text[], p_untils text[], p_holds text[]
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO locks AS l (bucket, key, version, mode, until, hold)
    SELECT p_bucket, k, v, m, u::bigint, h::boolean FROM unnest(p_keys, p_versions, p_modes, p_untils, p_holds) AS n (k, v, m, u, h)
    ON CONFLICT (bucket, key, version) DO UPDATE SET
        mode = coalesce(excluded.mode, l.mode), until = coalesce(excluded.until, l.until), hold = coalesce(excluded.hold, l.hold)
$$;

-- Why a version must not be removed; NULL if it may be. The key is held. p_bypass reaches past GOVERNANCE alone.
CREATE FUNCTION locked(p_bucket bigint, p_key text, p_version text, p_bypass boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l locks;
BEGIN
    SELECT * INTO l FROM locks WHERE bucket = p_bucket AND key = p_key AND version = coalesce(p_version, '');
    RETURN CASE
        WHEN l.hold THEN 'is under a legal hold'                                                 -- [LOCK-9]
        WHEN l.until IS NULL OR l.until <= now_ms() OR (l.mode = 'GOVERNANCE' AND p_bypass) THEN NULL
        ELSE format('is retained until %s in mode %s', moment(l.until), l.mode) END;             -- [LOCK-7], [LOCK-8]
END $$;

-- --- what a lifecycle rule lets go -------------------------------------------------------------------------------------

-- The latest time from which so many days have passed by `p_midnight`. A time plus days, rounded up to a midnight, has come
-- exactly if the time plus days is not after the last midnight there was ([LIFE-4]).
CREATE FUNCTION days_before(p_midnight bigint, p_days integer) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN p_midnight - p_days * 86400000::bigint;

-- Whether a rule lets a current object expire ([LIFE-5]). This one and the two below are asked for candidates first, and
-- again when the key is held ([LIFE-12]).
CREATE FUNCTION object_expires(
    p_bucket bigint, p_key text, p_size bigint, p_tags jsonb, p_modified bigint, p_midnight bigint
) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM lifecycle_rules r
        WHERE r.bucket = p_bucket AND r.enabled AND starts_with(p_key, r.prefix) AND (r.tags IS NULL OR p_tags @> r.tags)
            AND (r.larger IS NULL OR p_size > r.larger) AND (r.smaller IS NULL OR p_size < r.smaller)
            AND (p_modified <= days_before(p_midnight, r.days) OR r.date <= p_midnight))
$$;

-- Whether a rule lets a noncurrent version expire: it is, since its successor came, and enough newer ones are ([LIFE-7],
-- [LIFE-8]). Where the key has no object, the newest of the versions is a marker, and current. Markers have neither size
-- nor tags.
CREATE FUNCTION version_expires(
    p_bucket bigint, p_key text, p_seq bigint, p_size bigint, p_tags jsonb, p_modified bigint, p_midnight bigint
) RETURNS boolean LANGUAGE sql STABLE AS $$
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
$$;

-- Whether a rule lets a delete marker go: there is nothing else of its key ([LIFE-9]).
CREATE FUNCTION marker_expires(p_bucket bigint, p_key text, p_seq bigint, p_modified bigint, p_midnight bigint)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM objects o WHERE o.bucket = p_bucket AND o.key = p_key)
        AND NOT EXISTS (SELECT FROM versions n WHERE n.bucket = p_bucket AND n.key = p_key AND n.seq <> p_seq)
        AND EXISTS (
            SELECT FROM lifecycle_rules r
            WHERE r.bucket = p_bucket AND r.enabled AND starts_with(p_key, r.prefix)
                AND r.tags IS NULL AND r.larger IS NULL AND r.smaller IS NULL
                AND (r.lone_markers OR p_modified <= days_before(p_midnight, r.days) OR r.date <= p_midnight))
$$;

-- --- doing it ----------------------------------------------------------------------------------------------------------

-- The four below do what is still due of what was found, and return how much that was. Every statement in them sees what
-- was committed before it, and no one can change a key that is held: what it sees then is what it acts on ([LIFE-12]).

-- Of current objects, where versioning was never set.
CREATE FUNCTION expire_objects(p_bucket bigint, p_keys text[], p_midnight bigint) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- Of current objects, by a delete marker each; manifests and ids of the markers are given. Keys ascend ([PUT-9]).
CREATE FUNCTION expire_by_markers(
    p_bucket bigint, p_versioning text, p_keys text[], p_manifests bytea[], p_versions text[], p_now bigint, p_midnight bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- Of noncurrent versions, for good; none that is locked. Keys ascend, and of one key the sequences: the oldest goes first, so
-- that what is newer is there when an older one is judged.
CREATE FUNCTION expire_versions(p_bucket bigint, p_keys text[], p_seqs bigint[], p_midnight bigint) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- Of delete markers that are alone.
CREATE FUNCTION expire_markers(p_bucket bigint, p_keys text[], p_seqs bigint[], p_midnight bigint) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;
