//! Passkeys (Web Authentication Level 3): a login with a key that never leaves its device, unlocked there by a finger, a face or a PIN. That is two
//! factors in one, so an authenticator app is not asked for as well.
//!
//! Each act has two steps: `begin` gives what `navigator.credentials` takes, and a `flow` that is good once and for five minutes; `finish` takes
//! what came of it.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use nova_core::clock::Timestamp;
use nova_domain::Problem;
use nova_domain::db::{Error, Id, Tx, UserId};
use nova_domain::http::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use webauthn_rs::prelude::{AuthenticationResult, Passkey, Url, Webauthn, WebauthnBuilder};

use super::oauth::keep;
use crate::domain::State;
use crate::secret::{Purpose, Secret};

pub(super) mod list;
pub(super) mod login;
pub(super) mod register;
pub(super) mod sudo;

/// How long a flow is good.
const FLOW_MICROS: i64 = 5 * 60_000_000;
/// Passkeys of one person.
const MOST: usize = 20;

/// Marks the id of a passkey.
pub(crate) enum Key {}

/// The relying party of this site; `None` where it has no host name, without which there are no passkeys.
pub(crate) fn relying_party(public_url: &str, name: &str) -> Option<Arc<Webauthn>> {
    let url = Url::parse(public_url).ok()?;
    let host = url.domain()?.to_owned();
    let builder = WebauthnBuilder::new(&host, &url).ok()?.rp_name(name);
    builder.build().ok().map(Arc::new)
}

fn party(state: &State) -> Result<&Webauthn, Problem> {
    let none = || Problem::conflict("this server has no host name, which passkeys need");
    state.webauthn.as_deref().ok_or_else(none)
}

/// What `navigator.credentials.create` or `.get` takes, and what comes back with its answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Challenge {
    /// For the `finish` that belongs to it, once.
    flow: String,
    /// `PublicKeyCredentialCreationOptions` or `PublicKeyCredentialRequestOptions` as JSON, in `publicKey`.
    #[schema(value_type = Object)]
    options: serde_json::Value,
}

/// A passkey of the caller.
#[derive(Serialize, ToSchema)]
#[schema(as = Passkey)]
pub(crate) struct Shown {
    #[schema(value_type = String, format = Uuid)]
    id: Id<Key>,
    /// What its person calls it.
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

/// A challenge under way.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending<T> {
    state: T,
    user: Option<UserId>,
    expires_at: i64,
}

/// Keeps what a challenge expects, for the `finish` that belongs to it, and tells the browser what it takes.
async fn challenge(
    state: &State,
    expects: impl Serialize,
    user: Option<UserId>,
    options: serde_json::Value,
) -> Result<Json<Challenge>, Problem> {
    let now = state.clock.now();
    let secret = Secret::generate(Purpose::Link, &state.random);
    let pending = Pending {
        state: expects,
        user,
        expires_at: now.0 + FLOW_MICROS,
    };
    let mut tx = state.db.begin().await?;
    keep(state, &mut tx, &secret.hash(), &pending, now).await?;
    tx.commit().await?;
    Ok(Json(Challenge {
        flow: secret.expose().to_owned(),
        options,
    }))
}

fn encoded(credential_id: &[u8]) -> String {
    BASE64URL_NOPAD.encode(credential_id)
}

async fn passkeys_of(state: &State, user: UserId) -> Result<Vec<Passkey>, Error> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT credential FROM identity_passkeys WHERE user_id = $1")
        .bind(user)
        .fetch_all(state.db.read())
        .await?;
    Ok(rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect())
}

/// A passkey that somebody shows.
#[derive(sqlx::FromRow)]
struct Row {
    id: Id<Key>,
    user_id: UserId,
    credential: String,
}

/// Writes down that a passkey was used, and its counter, which tells a copy from the original.
async fn used(
    tx: &mut Tx,
    id: Id<Key>,
    passkey: &mut Passkey,
    answered: &AuthenticationResult,
    now: Timestamp,
) -> Result<(), Error> {
    passkey.update_credential(answered);
    sqlx::query("UPDATE identity_passkeys SET credential = $1, last_used_at = $2 WHERE id = $3")
        .bind(serde_json::to_string(passkey).unwrap_or_default())
        .bind(now.0)
        .bind(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}
