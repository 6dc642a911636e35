//! Sign-in through others. `start` sends the browser to the provider, `callback` takes what comes back and gives the browser a ticket in the
//! fragment of a page's address, and `complete` makes a session of the ticket: with the second factor where the account has one, in cookies or as
//! tokens, by the same function as every other login (ASVS 6.3.4).

use http::HeaderMap;
use nova_core::clock::Timestamp;
use nova_domain::Caller;
use nova_domain::db::{Error, SessionId, Tx, UserId};
use nova_domain::http::caller::cookie;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::domain::State;
use crate::oidc::Flow;
use crate::secret::SecretHash;

pub(super) mod callback;
pub(super) mod complete;
pub(super) mod links;
pub(super) mod notices;
pub(super) mod providers;
pub(crate) mod revoke;
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
    purpose: Purpose,
}

/// What a sign-in is for.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Purpose {
    /// A session.
    LogIn,
    /// One more identity for somebody's account.
    Add(Asker),
    /// Proves once more who somebody is.
    Prove(Asker),
}

impl Purpose {
    /// The page where a refusal is told.
    fn page(self) -> &'static str {
        match self {
            Self::LogIn => "/login",
            Self::Add(_) | Self::Prove(_) => "/account",
        }
    }
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

/// Somebody logged in who has just proved at a provider who they are.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Proof {
    proves: Asker,
    browser: String,
    expires_at: i64,
}

impl Proof {
    /// It is `caller`'s, in this browser, and not over.
    pub(in crate::routes) fn is_of(&self, caller: &Caller, headers: &HeaderMap, now: Timestamp) -> bool {
        self.proves.user == caller.user
            && self.proves.session == caller.session
            && self.expires_at > now.0
            && is_browser(headers, &self.browser)
    }
}

/// The request comes from the browser that came back from the provider.
fn is_browser(headers: &HeaderMap, wanted: &str) -> bool {
    let shown = cookie(headers, COOKIE).unwrap_or_default();
    !shown.is_empty() && bool::from(wanted.as_bytes().ct_eq(shown.as_bytes()))
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
