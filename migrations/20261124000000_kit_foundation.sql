-- What every domain stands on: deliveries of events and jobs, answers kept for repeated requests, the audit log, small secrets.

-- One row for each consumer of an event and for each job. A row is gone once its work is done.
CREATE TABLE kit_outbox (
    id TEXT PRIMARY KEY,
    lane TEXT NOT NULL,
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    version BIGINT NOT NULL,
    ordering_key TEXT,
    actor TEXT,
    trace TEXT,
    payload TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    available_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    dead_at BIGINT
);
CREATE UNIQUE INDEX kit_outbox_once ON kit_outbox (consumer, event_id);
CREATE INDEX kit_outbox_due ON kit_outbox (lane, id) WHERE dead_at IS NULL;
CREATE INDEX kit_outbox_order ON kit_outbox (consumer, ordering_key, id) WHERE dead_at IS NULL AND ordering_key IS NOT NULL;
CREATE INDEX kit_outbox_dead ON kit_outbox (dead_at, id) WHERE dead_at IS NOT NULL;

-- The answer to a request that carried an Idempotency-Key, encrypted with a key that only the caller has.
CREATE TABLE kit_idempotency (
    key_hash TEXT PRIMARY KEY,
    request_hash TEXT NOT NULL,
    status BIGINT,
    answer BLOB,
    created_at BIGINT NOT NULL
);
CREATE INDEX kit_idempotency_age ON kit_idempotency (created_at);

-- Append-only: who did what to whom, when and from where. No bodies.
CREATE TABLE kit_audit (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    actor_id TEXT,
    action TEXT NOT NULL,
    subject TEXT,
    ip TEXT,
    request_id TEXT,
    detail TEXT NOT NULL
);
CREATE INDEX kit_audit_actor ON kit_audit (actor_id, id);
CREATE INDEX kit_audit_subject ON kit_audit (subject, id);
