use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_domain::audit::Act;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::register::{busy, hashed, judge};
use crate::domain::State;
use crate::hash::Verdict;
use crate::mail::Message;
use crate::password::{MIN_ALONE, Normalized};
use crate::{account, post, session};

const PER_ACCOUNT: Rule = Rule::new("password.account", 10, 20, Duration::from_secs(3600));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePasswordBody {
    /// The one there is.
    #[schema(max_length = 1024)]
    current_password: String,
    /// At least 15 characters; 8 with a second factor.
    #[schema(max_length = 1024)]
    new_password: String,
}

/// Changes the password. Other devices are logged out, and a message tells of it.
#[utoipa::path(
    post, path = "/auth/password", tag = "auth", security(("bearer" = [])), request_body = ChangePasswordBody,
    responses(
        (status = 204, description = "Changed"),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The current password is wrong, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "The new password is refused", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Json(body): Json<ChangePasswordBody>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let gone = || Problem::unauthenticated("the account is gone");
    let wrong = || Problem::forbidden("the current password is wrong").code("wrong_credentials");
    let user = account::by_id(&state.db, caller.user).await?.ok_or_else(gone)?;
    let current = Normalized::for_check(&body.current_password).ok_or_else(wrong)?;
    let verdict = state
        .hasher
        .verify(current, user.password().as_ref())
        .await
        .map_err(|error| busy(&error))?;
    if !matches!(verdict, Verdict::Right { .. }) {
        return Err(wrong());
    }
    let username = state
        .directory
        .card(user.id)
        .await?
        .map(|card| card.username)
        .unwrap_or_default();
    let judged = judge(
        &state,
        &body.new_password,
        &username,
        &user.email,
        user.totp_secret.is_some(),
    )
    .map_err(|why| Problem::invalid(why.to_string()).field("new_password", why.to_string()))?;
    let stored = hashed(&state, judged).await?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let alone = body.new_password.chars().count() >= MIN_ALONE;
    account::set_password(tx.conn(), user.id, &stored, alone).await?;
    session::end_others(&state, &mut tx, user.id, Some(caller.session), now).await?;
    let message = Message::PasswordChanged {
        at: now,
        link: state.page("/reset-password", ""),
    };
    post::enqueue(&state, &mut tx, &user.email, &message, now).await?;
    let act = Act {
        actor: Some(user.id),
        action: "identity.password_changed",
        subject: Some(user.id.to_string()),
        detail: "",
    };
    tx.audit(act, Some(&client), now).await?;
    Ok(tx.commit_as(StatusCode::NO_CONTENT).await?)
}
