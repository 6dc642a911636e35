-- Reports, what moderators decided about accounts, and appeals.

CREATE TABLE users_reports (
    id TEXT PRIMARY KEY,
    -- NULL once the person is gone; the report stays.
    reporter_id TEXT,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    -- Whose it is, when it is known.
    subject_id TEXT,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- How it looked when it was reported.
    evidence TEXT NOT NULL,
    -- How often the same person reported the same thing.
    times BIGINT NOT NULL DEFAULT 1,
    -- open or resolved.
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    claimed_by TEXT,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    resolved_by TEXT,
    resolved_at BIGINT,
    action TEXT,
    note TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX users_reports_once ON users_reports (reporter_id, target_type, target_id) WHERE status = 'open';
CREATE INDEX users_reports_queue ON users_reports (status, created_at, id);
CREATE INDEX users_reports_subject ON users_reports (subject_id);
CREATE INDEX users_reports_claimed ON users_reports (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX users_reports_resolved ON users_reports (resolved_by) WHERE resolved_by IS NOT NULL;

CREATE TABLE users_strikes (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    -- warn or suspend.
    action TEXT NOT NULL,
    -- What the person is told.
    statement TEXT NOT NULL,
    -- What moderators tell each other.
    note TEXT NOT NULL,
    report_id TEXT,
    moderator_id TEXT,
    created_at BIGINT NOT NULL,
    suspended_until BIGINT,
    lifted_at BIGINT
);
CREATE INDEX users_strikes_user ON users_strikes (user_id, created_at, id);
CREATE INDEX users_strikes_moderator ON users_strikes (moderator_id);

CREATE TABLE users_appeals (
    id TEXT PRIMARY KEY,
    strike_id TEXT NOT NULL UNIQUE REFERENCES users_strikes (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    -- open, granted or refused.
    status TEXT NOT NULL,
    answer TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT
);
CREATE INDEX users_appeals_queue ON users_appeals (status, created_at, id);
CREATE INDEX users_appeals_user ON users_appeals (user_id);
CREATE INDEX users_appeals_decided ON users_appeals (decided_by) WHERE decided_by IS NOT NULL;
