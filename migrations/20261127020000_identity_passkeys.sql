-- Passkeys (WebAuthn credentials): the public half, and what tells a copy from the original.
CREATE TABLE identity_passkeys (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES identity_users (id),
    name TEXT NOT NULL,
    -- base64url
    credential_id TEXT NOT NULL,
    -- As the WebAuthn library keeps it: public key, counter, flags.
    credential TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE UNIQUE INDEX identity_passkeys_credential_id ON identity_passkeys (credential_id);
CREATE INDEX identity_passkeys_user ON identity_passkeys (user_id, created_at);
