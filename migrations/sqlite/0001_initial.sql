-- The log, and everything that is derived from it or stands beside it.
-- Instants are microseconds since 1970; JSON is text, kept byte for byte.

PRAGMA application_id = 0x44656564; -- "Deed"

-- The log. Positions and versions count without a gap; nothing is ever changed or removed.
CREATE TABLE events (
    position    INTEGER PRIMARY KEY,
    stream      TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    schema      INTEGER NOT NULL,
    payload     TEXT    NOT NULL,
    metadata    TEXT    NOT NULL,
    recorded_at INTEGER NOT NULL,
    UNIQUE (stream, version)
) STRICT;

CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the log is immutable');
END;

CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'the log is immutable');
END;

-- Also keeps INSERT OR REPLACE from removing what it collides with.
CREATE TRIGGER events_in_order BEFORE INSERT ON events
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM events)
  OR NEW.version IS NOT (SELECT coalesce(max(version), 0) + 1 FROM events WHERE stream = NEW.stream)
BEGIN
    SELECT RAISE(ABORT, 'the log grows by the next position and the next version only');
END;

-- Singletons: who runs them until when. A row outlives its holder so that epochs never repeat.
CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    owner      TEXT,
    epoch      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each subscription has come.
CREATE TABLE checkpoints (
    name     TEXT    PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Read model: the folded state of each contested name.
CREATE TABLE ownerships (
    stream  TEXT    PRIMARY KEY,
    version INTEGER NOT NULL,
    body    TEXT    NOT NULL
) STRICT;

-- Read model: claims in lists.
CREATE TABLE claims (
    claim_id     TEXT    PRIMARY KEY,
    stream       TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    workspace    TEXT    NOT NULL,
    app          TEXT,
    name         TEXT    NOT NULL,
    scope        TEXT    NOT NULL CHECK (scope IN ('apex', 'host')),
    status       TEXT    NOT NULL,
    initiated_at INTEGER NOT NULL,
    open         INTEGER NOT NULL CHECK (open IN (0, 1)), -- open and not held
    body         TEXT    NOT NULL
) STRICT;

CREATE INDEX claims_by_stream ON claims (stream);
CREATE INDEX claims_in_lists ON claims (workspace, app, initiated_at DESC, claim_id DESC, status);
CREATE INDEX claims_open ON claims (workspace) WHERE open = 1;

-- Read model: apps.
CREATE TABLE apps (
    stream     TEXT    PRIMARY KEY,
    version    INTEGER NOT NULL,
    app_id     TEXT    NOT NULL UNIQUE,
    workspace  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    deleted    INTEGER NOT NULL CHECK (deleted IN (0, 1)),
    body       TEXT    NOT NULL
) STRICT;

CREATE INDEX apps_in_lists ON apps (workspace, created_at, app_id) WHERE deleted = 0;

-- Work that falls due. `visible_at` is `due_at` until the row is handed out, so one range of it is what
-- may be handed out now.
CREATE TABLE due_work (
    stream     TEXT    NOT NULL,
    claim_id   TEXT    NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('check', 'expire')),
    attempt    INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    PRIMARY KEY (stream, claim_id, kind, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX due_work_by_visibility ON due_work (visible_at, due_at);

-- API keys; the keys themselves are not here, only their SHA-256.
CREATE TABLE api_keys (
    id         TEXT    PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    name       TEXT    NOT NULL,
    workspace  TEXT, -- none: the platform's own
    scopes     TEXT    NOT NULL, -- JSON array
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- Requests with an idempotency key, and their answers once there are any.
CREATE TABLE requests (
    key_id          TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    fingerprint     BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    begun_at        INTEGER NOT NULL,
    locked_until    INTEGER NOT NULL,
    status          INTEGER,
    body            TEXT,
    PRIMARY KEY (key_id, idempotency_key),
    CHECK ((status IS NULL) = (body IS NULL))
) STRICT;

CREATE INDEX requests_by_age ON requests (begun_at);
