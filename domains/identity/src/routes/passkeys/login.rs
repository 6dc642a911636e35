use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::Problem;
use nova_domain::db::Error;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use webauthn_rs::prelude::{DiscoverableAuthentication, DiscoverableKey, Passkey, PublicKeyCredential};

use super::{Challenge, Pending, Row, challenge, encoded, party, used};
use crate::account;
use crate::domain::State;
use crate::routes::answer::{self, LoginAnswer};
use crate::routes::oauth::take;
use crate::secret::{Purpose, Secret};
use crate::session::{self, Proven};

const PER_IP: Rule = Rule::new("passkey.ip", 30, 30, Duration::from_secs(60));

/// Begins a login with a passkey. Nobody is named: the device offers the accounts it has keys for.
#[utoipa::path(
    post, path = "/auth/passkeys/login/begin", tag = "auth", operation_id = "passkey_login_begin",
    responses(
        (status = 200, description = "For `navigator.credentials.get`", body = Challenge),
        (status = 409, description = "The server has no host name", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn begin(Shared(state): Shared<State>, client: Client) -> Result<Json<Challenge>, Problem> {
    state.limits.check(&PER_IP, client.network())?;
    let started = party(&state)?.start_discoverable_authentication();
    let (options, pending) = started.map_err(|error| Problem::internal(&error))?;
    challenge(&state, pending, None, serde_json::to_value(options).unwrap_or_default()).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasskeyLoginBody)]
pub(crate) struct Finish {
    #[schema(max_length = 100)]
    flow: String,
    /// `PublicKeyCredential.toJSON()`.
    #[schema(value_type = Object)]
    credential: serde_json::Value,
    /// What the person calls this device in the list of sessions.
    #[schema(max_length = 100)]
    device_name: Option<String>,
    /// For browsers: tokens come as `__Host-` cookies and not in the body.
    #[serde(default)]
    cookies: bool,
}

/// Begins a session with a passkey.
#[utoipa::path(
    post, path = "/auth/passkeys/login/finish", tag = "auth", operation_id = "passkey_login_finish", request_body = Finish,
    responses(
        (status = 200, description = "Logged in", body = LoginAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "The flow is over, or the passkey is not one of this site", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "The server has no host name", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn finish(
    Shared(state): Shared<State>,
    client: Client,
    Json(body): Json<Finish>,
) -> Result<Response, Problem> {
    let device_name = body.device_name.unwrap_or_default();
    let mut fields = Fields::new();
    fields.text("device_name", &device_name, 0, 100);
    fields.done()?;
    state.limits.check(&PER_IP, client.network())?;
    let webauthn = party(&state)?;
    let wrong = || Problem::unauthenticated("this passkey does not open an account here").code("passkey_wrong");
    let now = state.clock.now();
    let secret = Secret::parse(Purpose::Link, &body.flow).ok_or_else(wrong)?;
    let credential: PublicKeyCredential = serde_json::from_value(body.credential).map_err(|_bad| wrong())?;
    let mut tx = state.db.begin().await?;
    // The challenge counts once, whatever comes of it.
    let pending: Option<Pending<DiscoverableAuthentication>> = take(&state, &mut tx, &secret.hash()).await?;
    tx.commit().await?;
    let pending = pending.filter(|pending| pending.expires_at > now.0).ok_or_else(wrong)?;
    let (claimed, credential_id) = webauthn
        .identify_discoverable_authentication(&credential)
        .map_err(|_bad| wrong())?;
    let mut tx = state.db.begin().await?;
    let row: Option<Row> =
        sqlx::query_as("SELECT id, user_id, credential FROM identity_passkeys WHERE credential_id = $1")
            .bind(encoded(credential_id))
            .fetch_optional(tx.conn())
            .await
            .map_err(Error::from)?;
    let row = row.filter(|row| row.user_id.uuid() == claimed).ok_or_else(wrong)?;
    // Locked: the counter of a copied key is compared with the newest.
    let user = account::lock(&mut tx, row.user_id).await?.ok_or_else(wrong)?;
    let mut passkey: Passkey = serde_json::from_str(&row.credential).map_err(|error| Problem::internal(&error))?;
    let answered =
        webauthn.finish_discoverable_authentication_v2(&credential, pending.state, DiscoverableKey::from(&passkey));
    let answered = match answered {
        Ok(answered) if answered.user_verified() => answered,
        _ => {
            session::record_login(&mut tx, user.id, false, "passkey", &client, now).await?;
            tx.commit().await?;
            return Err(wrong());
        }
    };
    used(&mut tx, row.id, &mut passkey, &answered, now).await?;
    let proven = Proven {
        // RFC 8176: a key in hardware or software, unlocked by its person; both together are two factors.
        amr: &["pop", "user", "mfa"],
        device_name: &device_name,
        client: &client,
    };
    let pair = session::begin(&state, &mut tx, &user, &proven, now).await?;
    tx.commit().await?;
    answer::answer(&state, &user, pair, body.cookies, now).await
}
