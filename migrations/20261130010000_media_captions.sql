-- Captions that people upload to videos.

CREATE TABLE media_captions (
    video_id TEXT NOT NULL,
    -- BCP 47, in small letters.
    language TEXT NOT NULL,
    -- What players show in their menus.
    label TEXT NOT NULL,
    -- WebVTT.
    body TEXT NOT NULL,
    cues BIGINT NOT NULL,
    -- When it was uploaded: also the part of its address that changes.
    created_at BIGINT NOT NULL,
    PRIMARY KEY (video_id, language)
);
