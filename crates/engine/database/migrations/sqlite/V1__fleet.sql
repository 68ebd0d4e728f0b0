-- What a fleet is. Columns hold numbers, text or bytes; instants are microseconds since 1970.

CREATE TABLE compatibility (
    -- A program that does not know this migration must not use the database.
    oldest BIGINT NOT NULL
);
INSERT INTO compatibility (oldest) VALUES (1);

CREATE TABLE setting (
    key TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE manager (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    exchange_rate BIGINT NOT NULL,
    connections BIGINT NOT NULL,
    commit_latency BIGINT NOT NULL,
    detail BLOB NOT NULL,
    seen_at BIGINT NOT NULL,
    drain BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE lease (
    name TEXT PRIMARY KEY NOT NULL,
    holder BLOB NOT NULL,
    term BIGINT NOT NULL,
    until BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE configuration (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    configuration BIGINT NOT NULL REFERENCES configuration (id),
    number BIGINT NOT NULL,
    hash BLOB NOT NULL,
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    text BLOB NOT NULL,
    UNIQUE (configuration, number)
);

CREATE TABLE agent_group (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    version BIGINT REFERENCES version (id),
    created_at BIGINT NOT NULL
);

CREATE TABLE enrolment_token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    secret BLOB NOT NULL UNIQUE,
    agent_group BIGINT NOT NULL REFERENCES agent_group (id),
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    uses BIGINT,
    used BIGINT NOT NULL DEFAULT 0,
    revoked BIGINT NOT NULL DEFAULT 0,
    standing BIGINT NOT NULL,
    note TEXT NOT NULL
);

-- What seldom changes of an agent.
CREATE TABLE agent (
    uid BLOB PRIMARY KEY NOT NULL,
    agent_group BIGINT NOT NULL REFERENCES agent_group (id),
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    credential_kind BIGINT NOT NULL,
    credential BLOB NOT NULL UNIQUE,
    standing BIGINT NOT NULL,
    fingerprint BLOB NOT NULL,
    enrolled_at BIGINT NOT NULL,
    enrolled_with BIGINT,
    own_version BIGINT REFERENCES version (id),
    reported BIGINT NOT NULL DEFAULT 0,
    capabilities BIGINT NOT NULL DEFAULT 0,
    healthy BIGINT,
    effective BLOB,
    applied_state BIGINT,
    applied_hash BLOB,
    applied_message TEXT,
    pin BLOB,
    forks BIGINT NOT NULL DEFAULT 0,
    forked_at BIGINT,
    contact BLOB NOT NULL DEFAULT x'',
    description BLOB NOT NULL DEFAULT x'',
    health BLOB NOT NULL DEFAULT x''
) WITHOUT ROWID;
CREATE INDEX agent_by_name ON agent (name, uid);
CREATE INDEX agent_by_group ON agent (agent_group);

-- What changes with every exchange, and nothing else. No index on what changes.
CREATE TABLE agent_seen (
    agent BLOB PRIMARY KEY NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    current BLOB NOT NULL,
    previous BLOB NOT NULL,
    presence BIGINT NOT NULL,
    seen_at BIGINT,
    manager BLOB,
    address TEXT NOT NULL,
    reply BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE agent_text (
    agent BLOB PRIMARY KEY NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    text BLOB NOT NULL
);

CREATE TABLE event_stream (
    agent BLOB NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    stream BLOB NOT NULL,
    through BIGINT NOT NULL,
    hash BLOB NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (agent, stream)
) WITHOUT ROWID;

-- One table for each day, event_<day>, made when it is needed.
CREATE TABLE event_day (
    day BIGINT PRIMARY KEY NOT NULL
) WITHOUT ROWID;
CREATE TABLE event_number (
    last BIGINT NOT NULL
);
INSERT INTO event_number (last) VALUES (0);

CREATE TABLE rollout (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_group BIGINT NOT NULL REFERENCES agent_group (id),
    version BIGINT NOT NULL REFERENCES version (id),
    former BIGINT REFERENCES version (id),
    state BIGINT NOT NULL,
    wave BIGINT,
    wave_at BIGINT,
    plan BLOB NOT NULL,
    revision BIGINT NOT NULL,
    reason TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX rollout_by_group ON rollout (agent_group, id);

CREATE TABLE rollout_member (
    rollout BIGINT NOT NULL REFERENCES rollout (id) ON DELETE CASCADE,
    agent BLOB NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    wave BIGINT NOT NULL,
    state BIGINT NOT NULL,
    message TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (rollout, agent)
) WITHOUT ROWID;
CREATE INDEX rollout_member_by_agent ON rollout_member (agent);

CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    role BIGINT NOT NULL,
    password TEXT NOT NULL,
    disabled BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE web_session (
    secret BLOB PRIMARY KEY NOT NULL,
    account BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX web_session_by_account ON web_session (account);

CREATE TABLE api_token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    secret BLOB NOT NULL UNIQUE,
    account BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    note TEXT NOT NULL
);
CREATE INDEX api_token_by_account ON api_token (account);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail BLOB NOT NULL
);

CREATE TABLE alert (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity BIGINT NOT NULL,
    agent BLOB,
    text TEXT NOT NULL,
    detail BLOB NOT NULL,
    state BIGINT NOT NULL,
    count BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    changed_by TEXT
);
-- One that is not closed for each condition.
CREATE UNIQUE INDEX alert_by_key ON alert (key) WHERE state <> 2;
