-- Clips: what they are cut from, and reels among them.

-- The video it was cut from, which may be gone, or nothing.
ALTER TABLE media_videos ADD COLUMN clip_of TEXT;
-- The cuts, from the beginning of that video.
ALTER TABLE media_videos ADD COLUMN clip_start_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE media_videos ADD COLUMN clip_end_us BIGINT NOT NULL DEFAULT 0;
-- Whether it is a reel, and which of its pictures stands for it, from its own beginning.
ALTER TABLE media_videos ADD COLUMN reel SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE media_videos ADD COLUMN cover_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX media_videos_reels ON media_videos (created_at, id) WHERE reel = 1;
