//! What domains show to moderators about things of theirs that were reported.

use nova_core::store::BoxFuture;

use crate::db::{Error, UserId};

/// Something that was reported, as it looked at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhibit {
    /// Whose it is.
    pub owner: Option<UserId>,
    /// What it says, for a moderator to read after it was changed or deleted. No secrets.
    pub text: String,
}

/// Who keeps things that can be reported. Implemented by each domain that has some; asked when a report comes in.
pub trait Reportable: Send + Sync {
    /// The words for such things, as they stand in `target_type` of a report.
    fn kinds(&self) -> &'static [&'static str];

    /// How the `kind` called `id` looks now to `viewer`; `None` when they cannot see it.
    fn exhibit<'a>(
        &'a self,
        viewer: UserId,
        kind: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Exhibit>, Error>>;
}
