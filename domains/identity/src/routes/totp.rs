use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_domain::db::{Tx, UserId};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account;
use crate::domain::State;
use crate::post;
use crate::session;
use crate::totp::{self, TotpSecret};

const PER_ACCOUNT: Rule = Rule::new("totp.account", 10, 20, Duration::from_secs(600));

/// A key for an authenticator app. It is in force once a code of it was shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct PendingTotp {
    /// For typing.
    secret: String,
    /// For a QR code.
    otpauth_uri: String,
}

/// Codes that each replace the app once; shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmTotpBody {
    /// Six digits that the app shows now.
    #[schema(max_length = 16)]
    code: String,
}

/// Begins to set up an authenticator app (RFC 6238). Asks for a recent proof.
#[utoipa::path(
    post, path = "/auth/totp", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "A key for the app", body = PendingTotp),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "There is one already", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn begin(Shared(state): Shared<State>, caller: Caller) -> Result<Response, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let secret = TotpSecret::generate(&state.random);
    let mut tx = state.db.begin().await?;
    let user = locked(&mut tx, caller.user).await?;
    if user.totp_secret.is_some() {
        return Err(Problem::conflict("there is an authenticator app: remove it first"));
    }
    sqlx::query("UPDATE identity_users SET totp_pending = $1 WHERE id = $2")
        .bind(state.sealer.seal(secret.as_bytes()))
        .bind(caller.user)
        .execute(tx.conn())
        .await?;
    Ok(tx
        .commit_as(Json(PendingTotp {
            secret: secret.to_base32(),
            otpauth_uri: secret.otpauth_uri(&state.site.name, &user.email),
        }))
        .await?)
}

async fn locked(tx: &mut Tx, user: UserId) -> Result<account::User, Problem> {
    account::lock(tx, user)
        .await?
        .ok_or_else(|| Problem::unauthenticated("the account is gone"))
}

/// Puts the app in force: every login asks for its code from now on. The recovery codes are for the day the phone is gone.
#[utoipa::path(
    post, path = "/auth/totp/confirm", tag = "auth", security(("bearer" = [])), request_body = ConfirmTotpBody,
    responses(
        (status = 200, description = "In force", body = RecoveryCodes),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "Nothing was begun", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "The code is wrong", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn confirm(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Json(body): Json<ConfirmTotpBody>,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let mut tx = state.db.begin().await?;
    let user = locked(&mut tx, caller.user).await?;
    let pending = user.totp_pending.filter(|_| user.totp_secret.is_none());
    let sealed = pending.ok_or_else(|| Problem::conflict("begin with POST /api/v1/auth/totp"))?;
    let secret = state
        .sealer
        .open(&sealed)
        .and_then(|bytes| bytes.try_into().ok())
        .map(TotpSecret::from_bytes);
    let digits: String = body.code.chars().filter(|c| !c.is_whitespace()).collect();
    let step = secret
        .and_then(|secret| secret.check(&digits, now, None))
        .ok_or_else(|| Problem::invalid("the code is wrong").field("code", "is not what the app shows now"))?;
    sqlx::query("UPDATE identity_users SET totp_secret = $1, totp_pending = NULL, totp_last_step = $2 WHERE id = $3")
        .bind(sealed)
        .bind(step)
        .bind(caller.user)
        .execute(tx.conn())
        .await?;
    let codes = new_recovery_codes(&state, &mut tx, caller.user).await?;
    session::end_others(&state, &mut tx, caller.user, Some(caller.session), now).await?;
    let told = ("identity.totp_added", "An authenticator app was added to your account");
    post::factor_changed(&state, &mut tx, &client, caller.user, told, now).await?;
    Ok(tx.commit_as(Json(codes)).await?)
}

/// Replaces the recovery codes. Asks for a recent proof.
#[utoipa::path(
    post, path = "/auth/totp/recovery-codes", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "New codes; the old ones are void", body = RecoveryCodes),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "There is no authenticator app", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn recovery_codes(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let mut tx = state.db.begin().await?;
    if locked(&mut tx, caller.user).await?.totp_secret.is_none() {
        return Err(Problem::conflict("there is no authenticator app"));
    }
    let codes = new_recovery_codes(&state, &mut tx, caller.user).await?;
    let told = (
        "identity.recovery_codes_replaced",
        "The recovery codes of your account were replaced",
    );
    post::factor_changed(&state, &mut tx, &client, caller.user, told, now).await?;
    Ok(tx.commit_as(Json(codes)).await?)
}

/// Removes the authenticator app. Asks for a recent proof, and for a password that may stand alone.
#[utoipa::path(
    delete, path = "/auth/totp", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "There is none, or the password is too short to stand alone", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    let mut tx = state.db.begin().await?;
    let user = locked(&mut tx, caller.user).await?;
    if user.totp_secret.is_none() {
        return Err(Problem::conflict("there is no authenticator app"));
    }
    if !user.password_alone.0 {
        return Err(Problem::conflict(
            "the password is too short to stand alone: choose one of 15 characters first",
        ));
    }
    sqlx::query(
        "UPDATE identity_users SET totp_secret = NULL, totp_pending = NULL, totp_last_step = NULL WHERE id = $1",
    )
    .bind(caller.user)
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM identity_recovery_codes WHERE user_id = $1")
        .bind(caller.user)
        .execute(tx.conn())
        .await?;
    let told = (
        "identity.totp_removed",
        "The authenticator app was taken away from your account",
    );
    post::factor_changed(&state, &mut tx, &client, caller.user, told, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn new_recovery_codes(state: &State, tx: &mut Tx, user: UserId) -> Result<RecoveryCodes, Problem> {
    sqlx::query("DELETE FROM identity_recovery_codes WHERE user_id = $1")
        .bind(user)
        .execute(tx.conn())
        .await?;
    let codes = totp::recovery_codes(&state.random);
    for code in &codes {
        let hash = totp::recovery_hash(&user.to_string(), code).map(|hash| hash.to_string());
        sqlx::query("INSERT INTO identity_recovery_codes (hash, user_id) VALUES ($1, $2)")
            .bind(hash)
            .bind(user)
            .execute(tx.conn())
            .await?;
    }
    Ok(RecoveryCodes {
        recovery_codes: codes.to_vec(),
    })
}
