-- People: names and profiles, who follows, asks, blocks and mutes whom, settings, reports and what moderators decided.

-- Every name somebody has, or had until lately. One row a name is the one truth about who may have it, so two cannot win a race for it.
CREATE TABLE users_names (
    -- Folded: names are the same whatever their case.
    name TEXT PRIMARY KEY,
    -- NULL once the person is gone.
    user_id TEXT,
    -- NULL: they have it now. Otherwise it was given up, and nobody else gets it before this time.
    kept_until BIGINT
);
CREATE INDEX users_names_user_id ON users_names (user_id);

CREATE TABLE users_profiles (
    user_id TEXT PRIMARY KEY,
    -- As they write it.
    username TEXT NOT NULL,
    renamed_at BIGINT NOT NULL DEFAULT 0,
    -- Empty: the username.
    display_name TEXT NOT NULL DEFAULT '',
    bio TEXT NOT NULL DEFAULT '',
    location TEXT NOT NULL DEFAULT '',
    pronouns TEXT NOT NULL DEFAULT '',
    -- JSON: a list of {title, url}.
    links TEXT NOT NULL DEFAULT '[]',
    avatar_url TEXT,
    -- public, followers or private.
    privacy TEXT NOT NULL DEFAULT 'public',
    discoverable SMALLINT NOT NULL DEFAULT 1,
    indexable SMALLINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The rest of the settings, as JSON: nothing in it is ever searched for.
CREATE TABLE users_preferences (
    user_id TEXT PRIMARY KEY REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    settings TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The graph. Each direction has an index that answers a page of it without touching the table.
CREATE TABLE users_follows (
    follower_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    followee_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (follower_id, followee_id)
);
CREATE INDEX users_follows_following ON users_follows (follower_id, created_at, followee_id);
CREATE INDEX users_follows_followers ON users_follows (followee_id, created_at, follower_id);

CREATE TABLE users_follow_requests (
    follower_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    followee_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (follower_id, followee_id)
);
CREATE INDEX users_follow_requests_asked ON users_follow_requests (followee_id, created_at, follower_id);

CREATE TABLE users_blocks (
    blocker_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    blocked_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (blocker_id, blocked_id)
);
CREATE INDEX users_blocks_listed ON users_blocks (blocker_id, created_at, blocked_id);
CREATE INDEX users_blocks_reverse ON users_blocks (blocked_id, blocker_id);

CREATE TABLE users_mutes (
    muter_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    muted_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (muter_id, muted_id)
);
CREATE INDEX users_mutes_listed ON users_mutes (muter_id, created_at, muted_id);
CREATE INDEX users_mutes_reverse ON users_mutes (muted_id);

-- Whom a viewer does not meet: a block hides both from each other. This is what other domains read.
CREATE VIEW users_hidden (viewer_id, hidden_id) AS
    SELECT blocker_id, blocked_id FROM users_blocks
    UNION ALL
    SELECT blocked_id, blocker_id FROM users_blocks;

-- Followers and followed: what was folded, and what came since. A follow adds a row of its own instead of waiting for a popular person's row.
CREATE TABLE users_counts (
    user_id TEXT PRIMARY KEY REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    followers BIGINT NOT NULL,
    following BIGINT NOT NULL
);
CREATE TABLE users_count_deltas (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users_profiles (user_id) ON DELETE CASCADE,
    followers BIGINT NOT NULL,
    following BIGINT NOT NULL
);
CREATE INDEX users_count_deltas_user ON users_count_deltas (user_id, followers, following);
