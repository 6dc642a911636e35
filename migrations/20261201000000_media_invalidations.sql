-- What a CDN has to forget, and what has become of that.

CREATE TABLE media_invalidations (
    id TEXT PRIMARY KEY,
    -- `asked` by an admin, or what happened to what lay there.
    reason TEXT NOT NULL,
    -- JSON: a list.
    paths TEXT NOT NULL,
    -- pending, in_progress, completed, failed
    status TEXT NOT NULL,
    -- It was refused together with others: it goes by itself.
    alone SMALLINT NOT NULL DEFAULT 0,
    batch_id TEXT,
    error TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    -- Not before: the origin gives it out until then.
    available_at BIGINT NOT NULL,
    submitted_at BIGINT,
    finished_at BIGINT
);
CREATE INDEX media_invalidations_waiting ON media_invalidations (available_at, id) WHERE batch_id IS NULL AND finished_at IS NULL;
CREATE INDEX media_invalidations_batch ON media_invalidations (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX media_invalidations_newest ON media_invalidations (created_at, id);
CREATE INDEX media_invalidations_finished ON media_invalidations (finished_at) WHERE finished_at IS NOT NULL;

-- What the CDN is told in one call. The id is the reference by which it knows a call that is made twice: the paths never change.
CREATE TABLE media_invalidation_batches (
    id TEXT PRIMARY KEY,
    paths TEXT NOT NULL,
    files BIGINT NOT NULL,
    wildcards BIGINT NOT NULL,
    -- sending, in_progress, completed, failed
    status TEXT NOT NULL,
    -- The CDN's own id of it.
    cdn_id TEXT,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- When the CDN is asked next; whoever asks it moves this first.
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX media_invalidation_batches_open ON media_invalidation_batches (next_at) WHERE finished_at IS NULL;
CREATE INDEX media_invalidation_batches_newest ON media_invalidation_batches (created_at);
