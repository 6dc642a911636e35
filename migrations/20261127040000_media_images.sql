-- Pictures that people uploaded, in the sizes that were made of them.

CREATE TABLE media_images (
    id TEXT PRIMARY KEY,
    owner_user_id TEXT NOT NULL,
    -- `avatar`, `banner`, `post` or `thumbnail`.
    kind TEXT NOT NULL,
    -- Where its objects lie: `images/{folder}/` in the object store. A hash of what they hold and of the id.
    folder TEXT NOT NULL,
    -- JSON: a list of {name, width, height, type, bytes}, the largest first.
    variants TEXT NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    -- 0 while its objects are on their way to the store.
    ready SMALLINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX media_images_folder ON media_images (folder);
CREATE INDEX media_images_owner ON media_images (owner_user_id, created_at, id);
CREATE INDEX media_images_unfinished ON media_images (created_at) WHERE ready = 0;
