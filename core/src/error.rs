//! What kind of failure an error is, so that one match turns it into a status for a client or a level for a log.

/// The kinds of failure a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong; sending it again will not help.
    Invalid,
    /// Nobody has proved who they are.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// Not there, or not to be known.
    NotFound,
    /// In conflict with what is there already.
    Conflict,
    /// Too large.
    TooLarge,
    /// Too often, or a bound is reached; try again later.
    Exhausted,
    /// Something Nova needs is away for now.
    Unavailable,
    /// It took longer than it may.
    TimedOut,
    /// A defect.
    Internal,
}
