-- Files that are still coming (tus 1.0). How much of one is here, the file itself says.

CREATE TABLE media_uploads (
    id TEXT PRIMARY KEY,
    owner_user_id TEXT NOT NULL,
    -- The video it becomes.
    video_id TEXT NOT NULL,
    length BIGINT NOT NULL,
    -- As it was sent, to be given back.
    metadata TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX media_uploads_owner ON media_uploads (owner_user_id, created_at);
CREATE INDEX media_uploads_expiry ON media_uploads (expires_at);
