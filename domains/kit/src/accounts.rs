//! What domains ask each other about people, as small traits: one domain implements each, another is given it by the binary.

use nova_core::clock::Timestamp;
use nova_core::store::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{Error, Tx, UserId};
use crate::http::caller::Role;

/// A person as others see them beside what they wrote, streamed or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Card {
    /// Who.
    pub id: UserId,
    /// The name in URLs and mentions.
    pub username: String,
    /// The name they show; the username when they chose none.
    pub display_name: String,
    /// Their picture.
    pub avatar_url: Option<String>,
}

/// Why a name cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Somebody has it, or had it until lately.
    #[error("this name is taken")]
    Taken,
    /// It is not one a person may have.
    #[error("a name has 3 to 30 letters, digits and '_', and begins with a letter")]
    Malformed,
    /// It could be taken for somebody who speaks for this server.
    #[error("this name is reserved")]
    Reserved,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

/// Who keeps names and profiles. Implemented by the users domain; asked by identity.
pub trait Directory: Send + Sync {
    /// Gives `name` to a new person and makes their profile, in the transaction that makes the account.
    fn claim<'a>(
        &'a self,
        tx: &'a mut Tx,
        user: UserId,
        name: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), ClaimError>>;

    /// Who has this name now; names are the same whatever their case.
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<UserId>, Error>>;

    /// How the person looks to others.
    fn card(&self, user: UserId) -> BoxFuture<'_, Result<Option<Card>, Error>>;
}

/// Who keeps pictures. Implemented by the media domain; asked by whoever shows one as somebody's.
pub trait Images: Send + Sync {
    /// Where the picture `id` of `owner` lies, below this server's address, in the size that shows somebody as `kind`; `None` when they have no such
    /// picture of that kind. It is not deleted before `tx` ends, and whoever shows it hears of its end ([`crate::events::ImageDeleted`]).
    fn path<'a>(
        &'a self,
        tx: &'a mut Tx,
        owner: UserId,
        kind: &'static str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Error>>;
}

/// What is known about an account as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What they may do on the whole server.
    pub role: Role,
    /// Suspended until then; `Some(Timestamp(i64::MAX))` is without end.
    pub suspended_until: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// Who keeps accounts. Implemented by identity; asked by moderation and by whoever must know whether a person may act.
pub trait Accounts: Send + Sync {
    /// How an account stands; `None` when there is none.
    fn standing(&self, user: UserId) -> BoxFuture<'_, Result<Option<Standing>, Error>>;

    /// Suspends until `until`, or lifts it with `None`. Takes effect on every open session within a second of the commit.
    fn suspend<'a>(
        &'a self,
        tx: &'a mut Tx,
        user: UserId,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>>;
}
