-- Streams, who may publish to them, and what was broadcast.

CREATE TABLE media_streams (
    id TEXT PRIMARY KEY,
    owner_user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    visibility TEXT NOT NULL,
    record SMALLINT NOT NULL,
    -- SHA-256 of the stream key; the key itself is nowhere.
    key_hash TEXT NOT NULL,
    -- A broadcast whose publisher was let in before this time is to be ended, and why.
    cut_at BIGINT NOT NULL,
    cut_reason TEXT NOT NULL,
    -- Nobody is let in before this time.
    refused_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX media_streams_name_folded ON media_streams (name_folded);
CREATE UNIQUE INDEX media_streams_key_hash ON media_streams (key_hash);
CREATE INDEX media_streams_listed ON media_streams (visibility, created_at, id);
CREATE INDEX media_streams_owner ON media_streams (owner_user_id, created_at, id);

-- Each time a stream was on air.
CREATE TABLE media_broadcasts (
    id TEXT PRIMARY KEY,
    stream_id TEXT NOT NULL,
    owner_user_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    peak_viewers BIGINT NOT NULL,
    -- When the process that has it last said that it runs.
    seen_at BIGINT NOT NULL
);
CREATE INDEX media_broadcasts_stream ON media_broadcasts (stream_id, started_at);
CREATE INDEX media_broadcasts_owner ON media_broadcasts (owner_user_id, started_at);
CREATE INDEX media_broadcasts_open ON media_broadcasts (seen_at) WHERE ended_at IS NULL;
