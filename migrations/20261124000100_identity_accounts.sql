-- Who somebody is: accounts, logins, tokens, and what proves an address.

CREATE TABLE identity_users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    -- NULL: no password, only sign-in through others or passkeys.
    password_scheme SMALLINT,
    password_hash TEXT,
    -- 1: the password is long enough to stand alone (SP 800-63B-4), so that the second factor may be switched off.
    password_alone SMALLINT NOT NULL DEFAULT 0,
    role TEXT NOT NULL,
    suspended_until BIGINT,
    delete_at BIGINT,
    -- Sealed. The pending one has not been proved to be in an app yet.
    totp_secret BLOB,
    totp_pending BLOB,
    totp_last_step BIGINT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX identity_users_email_folded ON identity_users (email_folded);
CREATE INDEX identity_users_delete ON identity_users (delete_at) WHERE delete_at IS NOT NULL;

CREATE TABLE identity_recovery_codes (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES identity_users (id)
);
CREATE INDEX identity_recovery_codes_user ON identity_recovery_codes (user_id);

-- One login on one device; the family of its refresh tokens.
CREATE TABLE identity_sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES identity_users (id),
    device_name TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    ip TEXT,
    amr TEXT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX identity_sessions_user ON identity_sessions (user_id, created_at, id);
CREATE INDEX identity_sessions_ended ON identity_sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE identity_refresh_tokens (
    hash TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES identity_sessions (id),
    -- 0 unused, 1 consumed, 2 revoked.
    state SMALLINT NOT NULL,
    successor TEXT,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX identity_refresh_tokens_session ON identity_refresh_tokens (session_id);

-- What ended before its time: other processes read it twice a second.
CREATE TABLE identity_token_revocations (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    session_id TEXT,
    user_id TEXT,
    -- Access tokens of the user made until then are void.
    issued_until BIGINT NOT NULL,
    forget_at BIGINT NOT NULL
);
CREATE INDEX identity_token_revocations_at ON identity_token_revocations (at);

-- One attempt at one thing that an address must prove: `register`, `reset`, `email`.
CREATE TABLE identity_flows (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    user_id TEXT,
    email TEXT NOT NULL,
    email_folded TEXT NOT NULL,
    username TEXT,
    password_scheme SMALLINT,
    password_hash TEXT,
    code TEXT NOT NULL,
    link TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    closed SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX identity_flows_link ON identity_flows (link);
CREATE INDEX identity_flows_address ON identity_flows (kind, email_folded, created_at);
CREATE INDEX identity_flows_age ON identity_flows (created_at);

-- Every attempt to log in to an account: for its person, and for new-device notices.
CREATE TABLE identity_logins (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    success SMALLINT NOT NULL,
    reason TEXT NOT NULL,
    ip TEXT,
    network TEXT,
    user_agent TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX identity_logins_user ON identity_logins (user_id, at, id);
CREATE INDEX identity_logins_age ON identity_logins (at);

-- Personal access tokens: only a hash is kept.
CREATE TABLE identity_access_tokens (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES identity_users (id),
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at BIGINT
);
CREATE UNIQUE INDEX identity_access_tokens_hash ON identity_access_tokens (hash);
CREATE INDEX identity_access_tokens_user ON identity_access_tokens (user_id, created_at, id);

-- Accounts elsewhere that open an account here: by issuer and subject, never by address (ASVS 6.8.1).
CREATE TABLE identity_links (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES identity_users (id),
    provider TEXT NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    email TEXT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX identity_links_subject ON identity_links (issuer, subject);
CREATE INDEX identity_links_user ON identity_links (user_id);

-- Sign-ins through others that are under way.
CREATE TABLE identity_oauth_flows (
    id TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX identity_oauth_flows_age ON identity_oauth_flows (created_at);

-- An archive of somebody's data. `path` is a file in the data folder.
CREATE TABLE identity_exports (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES identity_users (id),
    path TEXT,
    created_at BIGINT NOT NULL,
    ready_at BIGINT,
    expires_at BIGINT
);
CREATE INDEX identity_exports_user ON identity_exports (user_id, created_at, id);

-- Sealed: the keys that sign access tokens.
CREATE TABLE identity_keys (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    changed_at BIGINT NOT NULL
);
