use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::Problem;
use nova_domain::db::Error;
use nova_domain::http::caller::EvenSuspended;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use webauthn_rs::prelude::{Passkey, PasskeyAuthentication, PublicKeyCredential};

use super::{Challenge, Pending, Row, challenge, encoded, party, passkeys_of, used};
use crate::account;
use crate::domain::State;
use crate::routes::oauth::take;
use crate::routes::sudo::{PER_ACCOUNT, SudoAnswer, proved, refuse};
use crate::secret::{Purpose, Secret};

/// Begins to prove once more who the caller is, with a passkey of theirs.
#[utoipa::path(
    post, path = "/auth/passkeys/sudo/begin", tag = "auth", operation_id = "passkey_sudo_begin", security(("bearer" = [])),
    responses(
        (status = 200, description = "For `navigator.credentials.get`", body = Challenge),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "The account has no passkey, or the server no host name", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn begin(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
) -> Result<Json<Challenge>, Problem> {
    caller.require_session()?;
    let webauthn = party(&state)?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let known = passkeys_of(&state, caller.user).await?;
    if known.is_empty() {
        return Err(Problem::conflict("the account has no passkey"));
    }
    let started = webauthn.start_passkey_authentication(&known);
    let (options, pending) = started.map_err(|error| Problem::internal(&error))?;
    challenge(
        &state,
        pending,
        Some(caller.user),
        serde_json::to_value(options).unwrap_or_default(),
    )
    .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasskeySudoBody)]
pub(crate) struct Finish {
    #[schema(max_length = 100)]
    flow: String,
    /// `PublicKeyCredential.toJSON()`.
    #[schema(value_type = Object)]
    credential: serde_json::Value,
    /// For browsers: the token comes as a cookie.
    #[serde(default)]
    cookies: bool,
}

/// Proves once more who the caller is, with a passkey: two factors in one, so a code is not asked for.
#[utoipa::path(
    post, path = "/auth/passkeys/sudo/finish", tag = "auth", operation_id = "passkey_sudo_finish", security(("bearer" = [])),
    request_body = Finish,
    responses(
        (status = 200, description = "Proved", body = SudoAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The flow is over, or the passkey is none of the caller's (`code` `passkey_wrong`), or a personal access token was shown", body = Details, content_type = "application/problem+json"),
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
    EvenSuspended(caller): EvenSuspended,
    Json(body): Json<Finish>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    let webauthn = party(&state)?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let wrong = || Problem::forbidden("this passkey does not prove it").code("passkey_wrong");
    let now = state.clock.now();
    let secret = Secret::parse(Purpose::Link, &body.flow).ok_or_else(wrong)?;
    let credential: PublicKeyCredential = serde_json::from_value(body.credential).map_err(|_bad| wrong())?;
    let mut tx = state.db.begin().await?;
    // The challenge counts once, whatever comes of it.
    let pending: Option<Pending<PasskeyAuthentication>> = take(&state, &mut tx, &secret.hash()).await?;
    tx.commit().await?;
    let pending = pending
        .filter(|pending| pending.user == Some(caller.user) && pending.expires_at > now.0)
        .ok_or_else(wrong)?;
    let mut tx = state.db.begin().await?;
    // Locked: the counter of a copied key is compared with the newest.
    let user = account::lock(&mut tx, caller.user).await?.ok_or_else(wrong)?;
    let answered = match webauthn.finish_passkey_authentication(&credential, &pending.state) {
        Ok(answered) if answered.user_verified() => answered,
        _ => return refuse(tx, &user, &client, wrong(), now).await,
    };
    // It may have been taken away since the challenge.
    let row: Option<Row> = sqlx::query_as(
        "SELECT id, user_id, credential FROM identity_passkeys WHERE credential_id = $1 AND user_id = $2",
    )
    .bind(encoded(answered.cred_id().as_ref()))
    .bind(caller.user)
    .fetch_optional(tx.conn())
    .await
    .map_err(Error::from)?;
    let row = row.filter(|row| row.user_id == caller.user).ok_or_else(wrong)?;
    let mut passkey: Passkey = serde_json::from_str(&row.credential).map_err(|error| Problem::internal(&error))?;
    used(&mut tx, row.id, &mut passkey, &answered, now).await?;
    proved(&state, tx, &caller, &user, "pop", body.cookies, now).await
}
