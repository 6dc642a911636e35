-- Whether the small pictures of a video are there.

ALTER TABLE media_videos ADD COLUMN storyboard SMALLINT NOT NULL DEFAULT 0;
