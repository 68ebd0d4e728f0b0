-- What a fleet is. Columns hold numbers, text or bytes; instants are microseconds since 1970.

CREATE TABLE compatibility (
    -- A program that does not know this migration must not use the database.
    oldest BIGINT NOT NULL
);
INSERT INTO compatibility (oldest) VALUES (1);

CREATE TABLE setting (
    key TEXT PRIMARY KEY NOT NULL,
    value BYTEA NOT NULL
);

CREATE TABLE manager (
    id BYTEA PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    exchange_rate BIGINT NOT NULL,
    connections BIGINT NOT NULL,
    commit_latency BIGINT NOT NULL,
    detail BYTEA NOT NULL,
    seen_at BIGINT NOT NULL,
    drain BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE lease (
    name TEXT PRIMARY KEY NOT NULL,
    holder BYTEA NOT NULL,
    term BIGINT NOT NULL,
    until BIGINT NOT NULL
);

CREATE TABLE configuration (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE version (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    configuration BIGINT NOT NULL REFERENCES configuration (id),
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    text BYTEA NOT NULL,
    UNIQUE (configuration, number)
);

CREATE TABLE agent_group (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    version BIGINT REFERENCES version (id),
    created_at BIGINT NOT NULL
);

CREATE TABLE enrolment_token (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret BYTEA NOT NULL UNIQUE,
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
    uid BYTEA PRIMARY KEY NOT NULL,
    agent_group BIGINT NOT NULL REFERENCES agent_group (id),
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    credential_kind BIGINT NOT NULL,
    credential BYTEA NOT NULL UNIQUE,
    standing BIGINT NOT NULL,
    fingerprint BYTEA NOT NULL,
    enrolled_at BIGINT NOT NULL,
    enrolled_with BIGINT,
    own_version BIGINT REFERENCES version (id),
    reported BIGINT NOT NULL DEFAULT 0,
    capabilities BIGINT NOT NULL DEFAULT 0,
    healthy BIGINT,
    effective BYTEA,
    applied_state BIGINT,
    applied_hash BYTEA,
    applied_message TEXT,
    pin BYTEA,
    forks BIGINT NOT NULL DEFAULT 0,
    forked_at BIGINT,
    contact BYTEA NOT NULL DEFAULT '',
    description BYTEA NOT NULL DEFAULT '',
    health BYTEA NOT NULL DEFAULT ''
);
CREATE INDEX agent_by_name ON agent (name, uid);
CREATE INDEX agent_by_group ON agent (agent_group);

-- What changes with every exchange, and nothing else. No index on what changes.
CREATE TABLE agent_seen (
    agent BYTEA PRIMARY KEY NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    current BYTEA NOT NULL,
    previous BYTEA NOT NULL,
    presence BIGINT NOT NULL,
    seen_at BIGINT,
    manager BYTEA,
    address TEXT NOT NULL,
    reply BYTEA NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE agent_text (
    agent BYTEA PRIMARY KEY NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    text BYTEA NOT NULL
);

CREATE TABLE event_stream (
    agent BYTEA NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    stream BYTEA NOT NULL,
    through BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (agent, stream)
);

-- One partition for each day. `transaction` and `number` together are the order in which events
-- become visible: see the code that reads them.
CREATE SEQUENCE event_number AS BIGINT CACHE 1;
CREATE TABLE event (
    day BIGINT NOT NULL,
    transaction BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    number BIGINT NOT NULL DEFAULT nextval('event_number'),
    received_at BIGINT NOT NULL,
    manager BYTEA,
    agent BYTEA,
    stream BYTEA,
    sequence BIGINT,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    severity BIGINT NOT NULL,
    body BYTEA NOT NULL
) PARTITION BY LIST (day);
CREATE INDEX event_by_position ON event (transaction, number);
CREATE INDEX event_by_agent ON event (agent, transaction, number);

CREATE TABLE rollout (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_group BIGINT NOT NULL REFERENCES agent_group (id),
    version BIGINT NOT NULL REFERENCES version (id),
    former BIGINT REFERENCES version (id),
    state BIGINT NOT NULL,
    wave BIGINT,
    wave_at BIGINT,
    plan BYTEA NOT NULL,
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
    agent BYTEA NOT NULL REFERENCES agent (uid) ON DELETE CASCADE,
    wave BIGINT NOT NULL,
    state BIGINT NOT NULL,
    message TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (rollout, agent)
);
CREATE INDEX rollout_member_by_agent ON rollout_member (agent);

CREATE TABLE account (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role BIGINT NOT NULL,
    password TEXT NOT NULL,
    disabled BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE web_session (
    secret BYTEA PRIMARY KEY NOT NULL,
    account BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX web_session_by_account ON web_session (account);

CREATE TABLE api_token (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret BYTEA NOT NULL UNIQUE,
    account BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    note TEXT NOT NULL
);
CREATE INDEX api_token_by_account ON api_token (account);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail BYTEA NOT NULL
);

CREATE TABLE alert (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity BIGINT NOT NULL,
    agent BYTEA,
    text TEXT NOT NULL,
    detail BYTEA NOT NULL,
    state BIGINT NOT NULL,
    count BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    changed_by TEXT
);
-- One that is not closed for each condition.
CREATE UNIQUE INDEX alert_by_key ON alert (key) WHERE state <> 2;
