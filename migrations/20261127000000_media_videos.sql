-- Recordings, uploads and clips: what can be watched again and again.

CREATE TABLE media_videos (
    id TEXT PRIMARY KEY,
    owner_user_id TEXT NOT NULL,
    -- The stream it was broadcast on, or nothing.
    stream_id TEXT,
    -- `recording`, `upload` or `clip`.
    source TEXT NOT NULL,
    -- Where its objects lie: `vod/{folder}/` in the object store. Cannot be guessed.
    folder TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    visibility TEXT NOT NULL,
    -- `live`, `uploading`, `processing`, `ready`, `failed` or `cancelled`.
    status TEXT NOT NULL,
    -- Hundredths of what has to be done.
    progress SMALLINT NOT NULL,
    -- Why it failed, for its owner.
    error TEXT NOT NULL,
    duration_us BIGINT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    -- The upload whose file it is made of, while that file is here.
    upload_id TEXT,
    created_at BIGINT NOT NULL,
    ready_at BIGINT
);
CREATE UNIQUE INDEX media_videos_folder ON media_videos (folder);
CREATE INDEX media_videos_listed ON media_videos (visibility, created_at, id);
CREATE INDEX media_videos_owner ON media_videos (owner_user_id, created_at, id);
CREATE INDEX media_videos_unfinished ON media_videos (status, created_at) WHERE status <> 'ready';
