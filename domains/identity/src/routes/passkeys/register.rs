use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_domain::db::{Error, Id};
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use webauthn_rs::prelude::{PasskeyRegistration, RegisterPublicKeyCredential};

use super::{Challenge, Key, MOST, Pending, Shown, challenge, encoded, party, passkeys_of};
use crate::domain::State;
use crate::routes::oauth::take;
use crate::secret::{Purpose, Secret};
use crate::{account, post, session};

/// Begins to add a passkey to the account.
#[utoipa::path(
    post, path = "/auth/passkeys/register/begin", tag = "auth", operation_id = "passkey_register_begin", security(("bearer" = [])),
    responses(
        (status = 200, description = "For `navigator.credentials.create`", body = Challenge),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "There are too many, or the server has no host name", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn begin(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Challenge>, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    let webauthn = party(&state)?;
    let user = account::by_id(&state.db, caller.user)
        .await?
        .ok_or_else(Problem::not_found)?;
    let known = passkeys_of(&state, caller.user).await?;
    if known.len() >= MOST {
        return Err(Problem::conflict(format!(
            "a person has at most {MOST} passkeys: delete one first"
        )));
    }
    let card = state.directory.card(caller.user).await?;
    let shown = card.map_or_else(|| user.email.clone(), |card| card.display_name);
    let exclude = known.iter().map(|key| key.cred_id().clone()).collect();
    let started = webauthn.start_passkey_registration(caller.user.uuid(), &user.email, &shown, Some(exclude));
    let (options, pending) = started.map_err(|error| Problem::internal(&error))?;
    let mut options = serde_json::to_value(options).unwrap_or_default();
    // A login without a name needs a credential that its device finds by itself.
    let selection = &mut options["publicKey"]["authenticatorSelection"];
    selection["residentKey"] = "required".into();
    selection["requireResidentKey"] = true.into();
    challenge(&state, pending, Some(caller.user), options).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasskeyRegistrationBody)]
pub(crate) struct Finish {
    #[schema(max_length = 100)]
    flow: String,
    /// What its person calls it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// `PublicKeyCredential.toJSON()`.
    #[schema(value_type = Object)]
    credential: serde_json::Value,
}

/// Adds a passkey to the account.
#[utoipa::path(
    post, path = "/auth/passkeys/register/finish", tag = "auth", operation_id = "passkey_register_finish", security(("bearer" = [])),
    request_body = Finish,
    responses(
        (status = 201, description = "Added", body = Shown),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "This passkey is known already, or the server has no host name", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "The flow is over, or the credential does not answer it", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn finish(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Json(body): Json<Finish>,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    let webauthn = party(&state)?;
    let mut fields = Fields::new();
    fields.text("name", body.name.trim(), 1, 100);
    fields.done()?;
    let wrong = || Problem::invalid("the flow is over, or the credential does not answer it");
    let secret = Secret::parse(Purpose::Link, &body.flow).ok_or_else(wrong)?;
    let credential: RegisterPublicKeyCredential = serde_json::from_value(body.credential).map_err(|_bad| wrong())?;
    let mut tx = state.db.begin().await?;
    let pending: Option<Pending<PasskeyRegistration>> = take(&state, &mut tx, &secret.hash()).await?;
    let pending = pending.filter(|pending| pending.user == Some(caller.user) && pending.expires_at > now.0);
    let Some(pending) = pending else {
        tx.commit().await?;
        return Err(wrong());
    };
    let Ok(passkey) = webauthn.finish_passkey_registration(&credential, &pending.state) else {
        // The challenge counts once, whatever came of it.
        tx.commit().await?;
        return Err(wrong());
    };
    let shown = Shown {
        id: Id::<Key>::new(now),
        name: body.name.trim().to_owned(),
        created_at: now,
        last_used_at: None,
    };
    let added = sqlx::query(
        "INSERT INTO identity_passkeys (id, user_id, name, credential_id, credential, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (credential_id) DO NOTHING",
    )
    .bind(shown.id)
    .bind(caller.user)
    .bind(shown.name.as_str())
    .bind(encoded(passkey.cred_id().as_ref()))
    .bind(serde_json::to_string(&passkey).unwrap_or_default())
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(Error::from)?;
    if added.rows_affected() == 0 {
        return Err(Problem::conflict("this passkey is known already"));
    }
    let told = ("identity.passkey_added", "A passkey was added to your account");
    post::factor_changed(&state, &mut tx, &client, caller.user, told, now).await?;
    Ok(tx.commit_as((StatusCode::CREATED, Json(shown))).await?)
}
