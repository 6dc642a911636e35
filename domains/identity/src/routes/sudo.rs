use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use nova_domain::Problem;
use nova_domain::http::caller::{ACCESS_COOKIE, EvenSuspended};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::login::second_factor;
use super::register::busy;
use crate::domain::State;
use crate::hash::Verdict;
use crate::password::Normalized;
use crate::{account, session};

const PER_ACCOUNT: Rule = Rule::new("sudo.account", 10, 20, Duration::from_secs(600));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SudoBody {
    #[schema(max_length = 1024)]
    password: Option<String>,
    /// Needed beside the password when the account has a second factor.
    #[schema(max_length = 64)]
    totp: Option<String>,
    /// For browsers: the token comes as a cookie.
    #[serde(default)]
    cookies: bool,
}

/// An access token with which sensitive changes may be made for a while.
#[derive(Serialize, ToSchema)]
pub(crate) struct SudoAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds the access token lives.
    expires_in: u32,
    /// Seconds in which sensitive changes may be made.
    sudo_for: u32,
}

/// Proves once more who the caller is (ASVS 7.5.1). What changes the account's address, factors, tokens or end asks for it.
#[utoipa::path(
    post, path = "/auth/sudo", tag = "auth", security(("bearer" = [])), request_body = SudoBody,
    responses(
        (status = 200, description = "Proved", body = SudoAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The proof is wrong", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sudo(
    Shared(state): Shared<State>,
    client: Client,
    EvenSuspended(caller): EvenSuspended,
    Json(body): Json<SudoBody>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let wrong = || Problem::forbidden("the proof is wrong").code("wrong_credentials");
    let user = account::by_id(&state.db, caller.user)
        .await?
        .ok_or_else(|| Problem::unauthenticated("the account is gone"))?;
    let now = state.clock.now();
    let typed = body
        .password
        .as_deref()
        .and_then(Normalized::for_check)
        .ok_or_else(wrong)?;
    let verdict = state
        .hasher
        .verify(typed, user.password().as_ref())
        .await
        .map_err(|error| busy(&error))?;
    let mut proven = matches!(verdict, Verdict::Right { .. });
    let mut method = "pwd";
    if proven && user.totp_secret.is_some() {
        let mut tx = state.db.begin().await?;
        match second_factor(&state, &mut tx, user.id, body.totp.as_deref().unwrap_or_default(), now).await? {
            Some(one) => method = one,
            None => proven = false,
        }
        tx.commit().await?;
    }
    if !proven {
        let mut tx = state.db.begin().await?;
        session::record_login(&mut tx, user.id, false, "sudo", &client, now).await?;
        tx.commit().await?;
        return Err(wrong());
    }
    let token = session::prove_again(&state, &caller, &user, method, now).await?;
    let expires_in = state.config.access_minutes * 60;
    let cookie = body
        .cookies
        .then(|| format!("{ACCESS_COOKIE}={token}; Path=/; Secure; SameSite=Lax; Max-Age={expires_in}; HttpOnly"));
    let mut response = Json(SudoAnswer {
        access_token: (!body.cookies).then_some(token),
        token_type: "Bearer",
        expires_in,
        sudo_for: state.config.sudo_minutes * 60,
    })
    .into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}
