use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use nova_core::error::Kind;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path, Query};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Begun, COOKIE, flow_id, keep};
use crate::domain::State;
use crate::oidc;
use crate::session;

const PER_IP: Rule = Rule::new("oauth.ip", 30, 30, Duration::from_secs(60));

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StartQuery {
    /// A page of this site to go to afterwards.
    #[param(max_length = 500)]
    return_to: Option<String>,
    /// Adds the identity to the account that is logged in, whose proof must be recent.
    #[serde(default)]
    link: bool,
}

/// Sends the browser to a provider.
#[utoipa::path(
    get, path = "/auth/oauth/{provider}/start", tag = "auth", operation_id = "oauth_start",
    params(("provider" = String, Path, description = "Its name"), StartQuery),
    responses(
        (status = 303, description = "To the provider"),
        (status = 401, description = "Nobody is logged in whom it could be added to", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The proof is not recent (`code` `sudo_required`), or a token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such provider", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "The provider does not answer", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn start(
    Shared(state): Shared<State>,
    client: Client,
    caller: Option<Caller>,
    Path(name): Path<String>,
    Query(query): Query<StartQuery>,
) -> Result<Response, Problem> {
    let provider = state.providers.get(&name).ok_or_else(Problem::not_found)?;
    let add_to = match (query.link, caller) {
        (false, _) => None,
        (true, None) => return Err(Problem::unauthenticated("log in first")),
        (true, Some(caller)) => {
            session::require_recent(&state, &caller, state.clock.now())?;
            Some(caller.user)
        }
    };
    state.limits.check(&PER_IP, client.network())?;
    let now = state.clock.now();
    let away = |error: oidc::Error| {
        tracing::warn!(provider = name, %error, "sign-in cannot begin");
        Problem::of(
            Kind::Unavailable,
            "this provider does not answer, try again or log in another way",
        )
    };
    let discovered = state.providers.discover(provider, now, false).await.map_err(away)?;
    let (url, flow) = oidc::start(provider, &discovered, now, &state.random).map_err(away)?;
    let secret = flow.state.clone();
    let begun = Begun {
        flow,
        return_to: query
            .return_to
            .filter(|path| is_own_page(path))
            .unwrap_or_else(|| "/account".to_owned()),
        add_to,
    };
    let mut tx = state.db.begin().await?;
    keep(&state, &mut tx, &flow_id(&secret), &begun, now).await?;
    tx.commit().await?;
    // A callback that is posted from another site brings no Lax cookie along.
    let same_site = if provider.posts_callback() { "None" } else { "Lax" };
    let cookie = format!(
        "{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={}",
        oidc::LIFETIME.as_secs()
    );
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [(LOCATION, url), (SET_COOKIE, cookie)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// A path of this site: no other host can hide in it.
fn is_own_page(path: &str) -> bool {
    path.len() <= 500
        && path.starts_with('/')
        && !path.starts_with("//")
        && path
            .bytes()
            .all(|byte| (0x21..0x7f).contains(&byte) && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>'))
}

#[cfg(test)]
mod tests {
    use super::is_own_page;

    #[test]
    fn only_pages_of_this_site_are_gone_to() {
        for good in ["/", "/account", "/watch/v/1?t=3"] {
            assert!(is_own_page(good), "{good}");
        }
        for bad in [
            "",
            "account",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/a#b",
            "/ä",
        ] {
            assert!(!is_own_page(bad), "{bad}");
        }
    }
}
