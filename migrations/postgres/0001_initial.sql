-- The log, and everything that is derived from it or stands beside it.
-- Instants have microseconds. JSON is kept byte for byte (json, not jsonb): what was written reads back the same, digests
-- agree with those of the embedded mode, and no escape that JSON allows is refused. Keys compare bytewise.

-- What the schema asks of a program: the oldest newest-migration it has to know. A migration that takes something away
-- from older programs replaces this function. It also tells that a database is Deed's.
CREATE FUNCTION deed_compatible_from() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1::bigint';

-- The log. Positions and versions count without a gap; nothing is ever changed or removed.
CREATE TABLE events (
    position    bigint           NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    version     bigint           NOT NULL CHECK (version > 0),
    kind        text COLLATE "C" NOT NULL,
    schema      integer          NOT NULL,
    payload     json             NOT NULL,
    metadata    json             NOT NULL,
    recorded_at timestamptz      NOT NULL,
    CONSTRAINT events_by_position PRIMARY KEY (position),
    CONSTRAINT events_by_version UNIQUE (stream, version)
);

CREATE FUNCTION deed_refuse_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;

CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION deed_refuse_change('the log is immutable');

-- One row, locked by whoever appends until that is committed: the order of positions is the order of commits, so no
-- reader sees a position before the one below it. Where the log ends is read from the log itself; the row is locked and
-- never rewritten, so a long transaction elsewhere (a backup) leaves no trail of dead rows here.
CREATE TABLE log_head (
    here boolean PRIMARY KEY DEFAULT true CHECK (here)
);

INSERT INTO log_head DEFAULT VALUES;

CREATE TRIGGER log_head_stays BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON log_head
    FOR EACH STATEMENT EXECUTE FUNCTION deed_refuse_change('log_head is one row for ever');

-- Singletons: who runs them until when. A row outlives its holder so that epochs never repeat.
CREATE TABLE leases (
    name       text COLLATE "C" PRIMARY KEY,
    owner      text COLLATE "C",
    epoch      bigint           NOT NULL,
    expires_at timestamptz      NOT NULL
) WITH (fillfactor = 50);

-- How far each subscription has come.
CREATE TABLE checkpoints (
    name     text COLLATE "C" PRIMARY KEY,
    position bigint           NOT NULL
) WITH (fillfactor = 50);

-- Read model: the folded state of each contested name.
CREATE TABLE ownerships (
    stream  text COLLATE "C" PRIMARY KEY,
    version bigint           NOT NULL,
    body    json             NOT NULL
) WITH (fillfactor = 70);

-- Read model: claims in lists.
CREATE TABLE claims (
    claim_id     text COLLATE "C" PRIMARY KEY,
    stream       text COLLATE "C" NOT NULL,
    version      bigint           NOT NULL,
    workspace    text COLLATE "C" NOT NULL,
    app          text COLLATE "C", -- none: the workspace's own
    name         text COLLATE "C" NOT NULL,
    scope        text COLLATE "C" NOT NULL CHECK (scope IN ('apex', 'host')),
    status       text COLLATE "C" NOT NULL,
    initiated_at timestamptz      NOT NULL,
    open         boolean          NOT NULL, -- open and not held
    body         json             NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX claims_by_stream ON claims (stream);
CREATE INDEX claims_in_lists ON claims (workspace, coalesce(app, ''), initiated_at, claim_id);
CREATE INDEX claims_open ON claims (workspace) WHERE open;

-- Read model: apps.
CREATE TABLE apps (
    stream     text COLLATE "C" PRIMARY KEY,
    version    bigint           NOT NULL,
    app_id     text COLLATE "C" NOT NULL UNIQUE,
    workspace  text COLLATE "C" NOT NULL,
    created_at timestamptz      NOT NULL,
    deleted    boolean          NOT NULL,
    body       json             NOT NULL
);

CREATE INDEX apps_in_lists ON apps (workspace, created_at, app_id) WHERE NOT deleted;

-- Work that falls due. `visible_at` is `due_at` until the row is handed out, so one range of it is what may be handed
-- out now. Handing out leaves dead index entries at the front of that range: they are cleared away early and often.
CREATE TABLE due_work (
    stream     text COLLATE "C" NOT NULL,
    claim_id   text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL CHECK (kind IN ('check', 'expire')),
    attempt    bigint           NOT NULL,
    due_at     timestamptz      NOT NULL,
    visible_at timestamptz      NOT NULL,
    PRIMARY KEY (stream, claim_id, kind, attempt)
) WITH (
    autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX due_work_by_visibility ON due_work (visible_at, due_at);

-- How many rows `due_work` has, which counting would have to walk the table for.
CREATE TABLE due_work_size (
    here    boolean PRIMARY KEY DEFAULT true CHECK (here),
    waiting bigint  NOT NULL
) WITH (fillfactor = 50);

INSERT INTO due_work_size (waiting) VALUES (0);

CREATE FUNCTION deed_count_due_work() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    change bigint;
BEGIN
    SELECT CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END INTO change FROM changed;
    IF change <> 0 THEN
        UPDATE due_work_size SET waiting = waiting + change;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER due_work_grows AFTER INSERT ON due_work REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION deed_count_due_work();
CREATE TRIGGER due_work_shrinks AFTER DELETE ON due_work REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION deed_count_due_work();
CREATE TRIGGER due_work_is_not_truncated BEFORE TRUNCATE ON due_work
    FOR EACH STATEMENT EXECUTE FUNCTION deed_refuse_change('due_work is counted: delete its rows');

-- API keys; the keys themselves are not here, only their SHA-256.
CREATE TABLE api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    hash       bytea            NOT NULL UNIQUE CHECK (length(hash) = 32),
    name       text             NOT NULL,
    workspace  text COLLATE "C", -- none: the platform's own
    scopes     jsonb            NOT NULL CHECK (jsonb_typeof(scopes) = 'array'),
    created_at timestamptz      NOT NULL,
    revoked_at timestamptz
);

-- Requests with an idempotency key, and their answers once there are any.
CREATE TABLE requests (
    key_id          text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    fingerprint     bytea            NOT NULL CHECK (length(fingerprint) = 32),
    begun_at        timestamptz      NOT NULL,
    locked_until    timestamptz      NOT NULL,
    status          integer,
    body            text,
    PRIMARY KEY (key_id, idempotency_key),
    CHECK ((status IS NULL) = (body IS NULL))
) WITH (fillfactor = 60);

CREATE INDEX requests_by_age ON requests (begun_at);

-- For writes that are derived from the log or only coordinate running processes: their transaction is not waited for to
-- reach the disk, which every later one that is waited for brings there too. Always true.
CREATE FUNCTION deed_unsynced() RETURNS boolean
    LANGUAGE sql VOLATILE AS $$ SELECT set_config('synchronous_commit', 'off', true) IS NOT NULL $$;

-- Writes events at the end of the log, and the answers to the requests that led to them, as one transaction by itself.
-- `streams` are those that are written to, each once, and `versions` where each has to be. When one is elsewhere, nothing
-- is written, `last` is null and `actual` tells where they are. They are looked at before the log is locked: a stream that
-- moves on in between has the events' unique key refuse the whole, since versions only grow.
CREATE FUNCTION deed_append(
    streams text[], versions bigint[],
    event_streams text[], event_versions bigint[], kinds text[], schemas integer[], payloads text[], metadata text[],
    instants timestamptz[],
    answered_keys text[], answered text[], statuses integer[], bodies text[],
    OUT last bigint, OUT actual bigint[]
)
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT array_agg(coalesce(e.version, 0) ORDER BY s.place) INTO actual
    FROM unnest(deed_append.streams) WITH ORDINALITY AS s (stream, place)
    LEFT JOIN LATERAL (
        SELECT events.version FROM events WHERE events.stream = s.stream ORDER BY events.version DESC LIMIT 1
    ) AS e ON true;
    IF actual IS DISTINCT FROM deed_append.versions THEN
        RETURN;
    END IF;

    IF cardinality(answered) > 0 THEN
        UPDATE requests SET status = a.status, body = a.body
        FROM unnest(answered_keys, answered, statuses, bodies) AS a (key_id, idempotency_key, status, body)
        WHERE requests.key_id = a.key_id AND requests.idempotency_key = a.idempotency_key AND requests.status IS NULL;
    END IF;

    PERFORM FROM log_head FOR UPDATE;
    SELECT coalesce(max(events.position), 0) INTO last FROM events;
    INSERT INTO events (position, stream, version, kind, schema, payload, metadata, recorded_at)
    SELECT last + e.place, e.stream, e.version, e.kind, e.schema, e.payload::json, e.metadata::json, e.recorded_at
    FROM unnest(event_streams, event_versions, kinds, schemas, payloads, deed_append.metadata, instants)
        WITH ORDINALITY AS e (stream, version, kind, schema, payload, metadata, recorded_at, place);
    last := last + cardinality(event_streams);
    PERFORM pg_notify('deed_log', format('%s:%s', 'events'::regclass::oid, last));
END
$$;
