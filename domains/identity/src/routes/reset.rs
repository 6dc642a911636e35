use std::time::Duration;

use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::Problem;
use nova_domain::audit::Act;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::register::{MessageSent, SENT, hashed, judge};
use crate::domain::State;
use crate::flow::{self, Kind};
use crate::mail::Message;
use crate::password::MIN_ALONE;
use crate::{account, code, post, session};

const PER_IP: Rule = Rule::new("reset.ip", 10, 10, Duration::from_secs(3600));
const PER_ADDRESS: Rule = Rule::new("reset.address", 3, 3, Duration::from_secs(3600));
const CONFIRM_PER_IP: Rule = Rule::new("reset_confirm.ip", 20, 60, Duration::from_secs(3600));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordResetBody {
    #[schema(max_length = 254)]
    email: String,
}

/// Asks for a new password. The answer and its time are the same whether there is an account: a job looks.
#[utoipa::path(
    post, path = "/auth/password-reset", tag = "auth", request_body = PasswordResetBody,
    responses(
        (status = 202, description = "If there is an account, a message is on its way", body = MessageSent),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "Not an address", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn request(
    Shared(state): Shared<State>,
    client: Client,
    Json(body): Json<PasswordResetBody>,
) -> Result<(StatusCode, Json<MessageSent>), Problem> {
    let mut fields = Fields::new();
    fields.check(
        account::is_address(body.email.trim()),
        "email",
        "is not an e-mail address",
    );
    fields.done()?;
    state.limits.check(&PER_IP, client.network())?;
    state.limits.check(&PER_ADDRESS, account::fold(&body.email))?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    post::enqueue_reset(&state, &mut tx, body.email.trim(), now).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(SENT)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordResetConfirmBody {
    /// What stands after `#` in the message's link.
    #[schema(max_length = 100)]
    token: Option<String>,
    /// The address, beside `code`, instead of the token.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// Eight digits from the message.
    #[schema(max_length = 32)]
    code: Option<String>,
    /// The new one.
    #[schema(max_length = 1024)]
    password: String,
    /// Leaves other devices logged in.
    #[serde(default)]
    keep_sessions: bool,
}

/// What happened.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasswordResetAnswer {
    /// `true`: log in with the new password. A second factor is asked for as before.
    changed: bool,
}

/// Sets a new password with what the message brought. Nobody is logged in by it, and a second factor stays in force.
#[utoipa::path(
    post, path = "/auth/password-reset/confirm", tag = "auth", request_body = PasswordResetConfirmBody,
    responses(
        (status = 200, description = "The password is changed", body = PasswordResetAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "The token or the password is refused", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn confirm(
    Shared(state): Shared<State>,
    client: Client,
    Json(body): Json<PasswordResetConfirmBody>,
) -> Result<Json<PasswordResetAnswer>, Problem> {
    state.limits.check(&CONFIRM_PER_IP, client.network())?;
    let now = state.clock.now();
    let refused = |why: code::Refused| Problem::invalid(why.to_string()).code("code_refused");
    let mut tx = state.db.begin().await?;
    let found = match (&body.token, &body.email, &body.code) {
        (Some(token), None, None) => flow::by_link(&mut tx, token, now).await?,
        (None, Some(email), Some(code)) if !email.contains('\0') => {
            flow::by_code(&mut tx, &[Kind::Reset], email, code, &state.code_key, now).await?
        }
        _ => return Err(Problem::invalid("send `token`, or `email` and `code`")),
    };
    // The attempt counts; and the writer is not held while the password is hashed.
    tx.commit().await?;
    let kept = found.map_err(refused)?;
    let (true, Some(id)) = (kept.is(Kind::Reset), kept.user_id) else {
        return Err(refused(code::Refused::Wrong));
    };
    let user = account::by_id(&state.db, id)
        .await?
        .ok_or_else(|| refused(code::Refused::Wrong))?;
    let username = state
        .directory
        .card(id)
        .await?
        .map(|card| card.username)
        .unwrap_or_default();
    let second_factor = user.totp_secret.is_some();
    let alone = body.password.chars().count() >= MIN_ALONE;
    let password = judge(&state, &body.password, &username, &user.email, second_factor)
        .map_err(|why| Problem::invalid(why.to_string()).field("password", why.to_string()))?;
    let stored = hashed(&state, password).await?;
    let mut tx = state.db.begin().await?;
    // Once only, however many come with it at the same time.
    let closed = sqlx::query("UPDATE identity_flows SET closed = 1 WHERE id = $1 AND closed = 0")
        .bind(kept.id.as_str())
        .execute(tx.conn())
        .await?;
    if closed.rows_affected() == 0 {
        return Err(refused(code::Refused::Closed));
    }
    account::set_password(tx.conn(), id, &stored, alone).await?;
    flow::close(&mut tx, Kind::Reset, &user.email).await?;
    if !body.keep_sessions {
        session::end_others(&state, &mut tx, id, None, now).await?;
    }
    let message = Message::PasswordChanged {
        at: now,
        link: state.page("/reset-password", ""),
    };
    post::enqueue(&state, &mut tx, &user.email, &message, now).await?;
    let act = Act {
        actor: Some(id),
        action: "identity.password_reset",
        subject: Some(id.to_string()),
        detail: "",
    };
    tx.audit(act, Some(&client), now).await?;
    tx.commit().await?;
    Ok(Json(PasswordResetAnswer { changed: true }))
}
