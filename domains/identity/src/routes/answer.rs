//! What a login and a refresh answer, and the cookies a browser gets instead of tokens.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use nova_core::clock::Timestamp;
use nova_domain::db::UserId;
use nova_domain::http::Json;
use nova_domain::http::caller::{ACCESS_COOKIE, CSRF_COOKIE};
use nova_domain::{Problem, Role};
use serde::Serialize;
use utoipa::ToSchema;

use crate::account::User;
use crate::authenticate::hex;
use crate::domain::State;
use crate::session::Pair;

/// The cookie that carries a browser's refresh token.
pub(crate) const REFRESH_COOKIE: &str = "__Host-nova_refresh";

/// The person who has logged in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    id: UserId,
    username: String,
    display_name: String,
    avatar_url: Option<String>,
    email: String,
    role: Role,
    /// Set while the account is suspended.
    #[schema(value_type = Option<String>, format = DateTime)]
    suspended_until: Option<Timestamp>,
    /// Set while the account waits for its deletion.
    #[schema(value_type = Option<String>, format = DateTime)]
    delete_at: Option<Timestamp>,
}

/// Tokens (RFC 6749 section 5.1). A browser that asked for cookies finds none here.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginAnswer {
    /// For `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds the access token lives.
    expires_in: u32,
    /// For `POST /auth/refresh`, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    user: Me,
}

pub(crate) async fn me(state: &State, user: &User, now: Timestamp) -> Result<Me, Problem> {
    let card = state.directory.card(user.id).await?;
    let (username, display_name, avatar_url) = card
        .map(|card| (card.username, card.display_name, card.avatar_url))
        .unwrap_or_default();
    Ok(Me {
        id: user.id,
        username,
        display_name,
        avatar_url,
        email: user.email.clone(),
        role: user.role(),
        suspended_until: user.suspended_until.filter(|until| *until > now.0).map(Timestamp),
        delete_at: user.delete_at.map(Timestamp),
    })
}

/// The answer with tokens in the body, or in cookies.
pub(crate) async fn answer(
    state: &State,
    user: &User,
    pair: Pair,
    cookies: bool,
    now: Timestamp,
) -> Result<Response, Problem> {
    let me = me(state, user, now).await?;
    let refresh = pair.refresh.expose().to_owned();
    let mut body = LoginAnswer {
        access_token: None,
        token_type: "Bearer",
        expires_in: pair.expires_in,
        refresh_token: None,
        user: me,
    };
    if !cookies {
        body.access_token = Some(pair.access);
        body.refresh_token = Some(refresh);
        let mut response = Json(body).into_response();
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return Ok(response);
    }
    let csrf = hex(&state.random.bytes::<16>());
    let session_age = state.lifetimes().idle.as_secs();
    let mut response = Json(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value, age, script) in [
        (ACCESS_COOKIE, pair.access.as_str(), u64::from(pair.expires_in), false),
        (REFRESH_COOKIE, refresh.as_str(), session_age, false),
        (CSRF_COOKIE, csrf.as_str(), session_age, true),
    ] {
        let hidden = if script { "" } else { "; HttpOnly" };
        let cookie = format!("{name}={value}; Path=/; Secure; SameSite=Lax; Max-Age={age}{hidden}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// Takes the cookies away again.
pub(crate) fn clear_cookies(response: &mut Response) {
    for name in [ACCESS_COOKIE, REFRESH_COOKIE, CSRF_COOKIE] {
        if let Ok(cookie) = HeaderValue::from_str(&format!("{name}=; Path=/; Secure; SameSite=Lax; Max-Age=0")) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}
