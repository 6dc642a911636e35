//! Videos: recordings, uploads and clips.

pub(super) mod cancel;
pub(super) mod captions;
pub(super) mod clip;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod playback;
pub(super) mod reels;
pub(super) mod retry;
pub(super) mod show;
pub(super) mod shown;
pub(super) mod storage;
pub(super) mod update;
