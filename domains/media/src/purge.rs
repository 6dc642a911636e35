//! What this domain asks of a CDN that keeps copies. The binary fills it in, since nobody here knows which CDN it is.

use nova_core::store::BoxFuture;

/// What can be done about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Wait: the same call may succeed.
    Wait,
    /// Put the setting up right: credentials, their rights, the distribution's id.
    Setup,
    /// Nothing: these paths are refused.
    Nothing,
}

/// Why a CDN did not do what it was asked. The text is for whoever runs the server, and carries no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct PurgeError {
    /// What was wrong.
    pub why: String,
    /// What can be done.
    pub remedy: Remedy,
}

/// A CDN that can be made to forget. One call is one try, bounded in time.
pub trait Purge: Send + Sync {
    /// Begins to forget what lies at `paths`, each beginning with `/`, with a `*` for any characters at the end of some; the CDN's own id of it. The same
    /// reference with the same paths begins nothing new.
    fn begin<'a>(&'a self, reference: &'a str, paths: &'a [String]) -> BoxFuture<'a, Result<String, PurgeError>>;
    /// Whether that is done everywhere.
    fn is_done<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, PurgeError>>;
    /// Files, and paths with a `*`, that it forgets at a time.
    fn most(&self) -> (usize, usize);
}
