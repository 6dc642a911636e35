//! Sign-in through others. `start` sends the browser to the provider, `callback` takes what comes back and gives the browser a ticket in the
//! fragment of a page's address, and `complete` makes a session of the ticket: with the second factor where the account has one, in cookies or as
//! tokens, by the same function as every other login (ASVS 6.3.4).

use nova_core::clock::Timestamp;
use nova_domain::db::{Error, SessionId, Tx, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::State;
use crate::oidc::Flow;
use crate::secret::SecretHash;

pub(super) mod callback;
pub(super) mod complete;
pub(super) mod links;
pub(super) mod providers;
pub(super) mod start;

/// The cookie that binds a sign-in to the browser that began it.
const COOKIE: &str = "__Host-nova_oauth";

/// A sign-in under way.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    flow: Flow,
    /// Where the page goes afterwards.
    return_to: String,
    /// Who asks to add an identity to their account.
    add_to: Option<Asker>,
}

/// Somebody logged in.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Asker {
    user: UserId,
    /// Must be open still when they come back.
    session: SessionId,
}

/// Somebody whom a provider vouches for and who is about to have a session.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    user: UserId,
    /// With the subject: the identity, which must be theirs still when a session is made.
    issuer: String,
    subject: String,
    /// The cookie of the browser that came back: a ticket that somebody else was given opens nothing in it (login CSRF).
    browser: String,
    expires_at: i64,
}

/// Keeps something under the hash of a secret that only its bearer has, sealed.
pub(in crate::routes) async fn keep(
    state: &State,
    tx: &mut Tx,
    id: &SecretHash,
    what: &impl Serialize,
    now: Timestamp,
) -> Result<(), Error> {
    let plain = serde_json::to_vec(what).unwrap_or_default();
    sqlx::query("INSERT INTO identity_oauth_flows (id, sealed, created_at) VALUES ($1, $2, $3)")
        .bind(id.to_string())
        .bind(state.sealer.seal(&plain))
        .bind(now.0)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Takes it out again: it counts once.
pub(in crate::routes) async fn take<T: DeserializeOwned>(
    state: &State,
    tx: &mut Tx,
    id: &SecretHash,
) -> Result<Option<T>, Error> {
    let sealed: Option<Vec<u8>> = sqlx::query_scalar("DELETE FROM identity_oauth_flows WHERE id = $1 RETURNING sealed")
        .bind(id.to_string())
        .fetch_optional(tx.conn())
        .await?;
    let plain = sealed.and_then(|sealed| state.sealer.open(&sealed));
    Ok(plain.and_then(|plain| serde_json::from_slice(&plain).ok()))
}

/// The name a flow is kept under.
fn flow_id(state: &str) -> SecretHash {
    use sha2::Digest;
    SecretHash(sha2::Sha256::digest(state.as_bytes()).into())
}

/// Whose an identity is.
async fn owner(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<UserId>, Error> {
    let sql = "SELECT user_id FROM identity_links WHERE issuer = $1 AND subject = $2";
    Ok(sqlx::query_scalar(sql)
        .bind(issuer)
        .bind(subject)
        .fetch_optional(tx.conn())
        .await?)
}
