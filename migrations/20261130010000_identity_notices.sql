-- What providers want back, and what they tell of people's identities.

-- Sealed: what Apple takes back when the account goes.
ALTER TABLE identity_links ADD COLUMN token BLOB;
-- 1: the provider forwards no mail to this identity's address any more.
ALTER TABLE identity_links ADD COLUMN mail_stopped SMALLINT NOT NULL DEFAULT 0;

-- Notices of providers that were taken: each counts once.
CREATE TABLE identity_notices (
    -- A hash of what makes it unique; no person can be found by it.
    id TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX identity_notices_age ON identity_notices (at);
