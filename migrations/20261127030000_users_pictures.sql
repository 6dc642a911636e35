-- The pictures by which people show themselves. `avatar_url` and `banner_url` are paths below this server's address; `avatar_image` and
-- `banner_image` are ids of the media domain, empty where there is none.

ALTER TABLE users_profiles ADD COLUMN banner_url TEXT;
ALTER TABLE users_profiles ADD COLUMN avatar_image TEXT NOT NULL DEFAULT '';
ALTER TABLE users_profiles ADD COLUMN banner_image TEXT NOT NULL DEFAULT '';
