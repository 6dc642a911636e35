//! The packager from outside: items of the hub in, playlists, manifests and objects out.

mod clip;
mod patch;
mod playlists;
mod recording;
mod rungs;
mod support;
