use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::HeaderMap;
use nova_domain::Problem;
use nova_domain::http::caller::{CSRF_COOKIE, CSRF_HEADER, cookie};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{self, LoginAnswer, REFRESH_COOKIE};
use crate::account;
use crate::domain::State;
use crate::session;

const PER_IP: Rule = Rule::new("refresh.ip", 120, 600, Duration::from_secs(60));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshBody {
    /// The newest one; it is good once. Left out by a browser that has it as a cookie.
    #[schema(max_length = 100)]
    refresh_token: Option<String>,
}

/// A new pair for the newest refresh token. An older one that comes again after its successor was used ends the session.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "auth", request_body = RefreshBody,
    responses(
        (status = 200, description = "A new pair", body = LoginAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Not valid, or not any more", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The CSRF header is missing", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn refresh(
    Shared(state): Shared<State>,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<RefreshBody>,
) -> Result<Response, Problem> {
    state.limits.check(&PER_IP, client.network())?;
    let (presented, by_cookie) = match &body.refresh_token {
        Some(token) => (token.as_str(), false),
        None => {
            let token = cookie(&headers, REFRESH_COOKIE).ok_or_else(|| Problem::invalid("send `refresh_token`"))?;
            let shown = headers
                .get(CSRF_HEADER)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            if shown.is_empty() || Some(shown) != cookie(&headers, CSRF_COOKIE) {
                return Err(Problem::forbidden("the CSRF header is missing or wrong").code("csrf"));
            }
            (token, true)
        }
    };
    let now = state.clock.now();
    let pair = session::refresh(&state, presented, &client, now).await?;
    let owner: Option<nova_domain::db::UserId> =
        sqlx::query_scalar("SELECT user_id FROM identity_sessions WHERE id = $1")
            .bind(pair.session)
            .fetch_optional(state.db.read())
            .await?;
    let user = match owner {
        Some(id) => account::by_id(&state.db, id).await?,
        None => None,
    };
    let user = user.ok_or_else(|| Problem::unauthenticated("the session has ended"))?;
    answer::answer(&state, &user, pair, by_cookie, now).await
}
