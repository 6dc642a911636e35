use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use nova_core::error::Kind;
use nova_domain::http::caller::EvenSuspended;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json, Path, Query};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Asker, Begun, COOKIE, Purpose, flow_id, keep};
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
}

/// Sends the browser to a provider.
#[utoipa::path(
    get, path = "/auth/oauth/{provider}/start", tag = "auth", operation_id = "oauth_start",
    params(("provider" = String, Path, description = "Its name"), StartQuery),
    responses(
        (status = 303, description = "To the provider"),
        (status = 404, description = "No such provider", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "The provider does not answer", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn start(
    Shared(state): Shared<State>,
    client: Client,
    Path(name): Path<String>,
    Query(query): Query<StartQuery>,
) -> Result<Response, Problem> {
    let (url, cookie) = begin(&state, &client, &name, query.return_to, Purpose::LogIn).await?;
    let headers = [
        (CACHE_CONTROL, "no-store".to_owned()),
        (LOCATION, url),
        (SET_COOKIE, cookie),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OAuthLinking)]
pub(crate) struct LinkBody {
    /// A page of this site to go to afterwards.
    #[schema(max_length = 500)]
    return_to: Option<String>,
}

/// Where the browser goes to add an identity.
#[derive(Serialize, ToSchema)]
#[schema(as = OAuthAway)]
pub(crate) struct Away {
    /// The provider's page.
    location: String,
}

/// Begins to add an identity at a provider to the caller's account. A page asks for it, and then goes where the answer says: an address that
/// would begin it by itself could be opened by any site, and join that site's identity to the account of whoever looks at it.
#[utoipa::path(
    post, path = "/auth/oauth/{provider}/link", tag = "auth", operation_id = "oauth_link", security(("bearer" = [])), request_body = LinkBody,
    params(("provider" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "Go there; a cookie binds it to this browser", body = Away),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The proof is not recent (`code` `sudo_required`), the CSRF header is missing, or a token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such provider", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "The provider does not answer", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn link(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<LinkBody>,
) -> Result<Response, Problem> {
    session::require_recent(&state, &caller, state.clock.now())?;
    go_away(&state, &client, &name, body, Purpose::Add(asker(&caller))).await
}

/// Begins to prove once more who the caller is, by a fresh sign-in at a provider whose identity opens the account. The page that the callback leads to
/// has a ticket for `POST /auth/sudo` in its fragment, as `sudo`.
#[utoipa::path(
    post, path = "/auth/oauth/{provider}/sudo", tag = "auth", operation_id = "oauth_sudo", security(("bearer" = [])), request_body = LinkBody,
    params(("provider" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "Go there; a cookie binds it to this browser", body = Away),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The CSRF header is missing, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such provider, or none that opens this account", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "This provider does not say when somebody signed in", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "The provider does not answer", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sudo(
    Shared(state): Shared<State>,
    client: Client,
    EvenSuspended(caller): EvenSuspended,
    Path(name): Path<String>,
    Json(body): Json<LinkBody>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    let provider = state.providers.get(&name).ok_or_else(Problem::not_found)?;
    let linked: Option<String> =
        sqlx::query_scalar("SELECT id FROM identity_links WHERE user_id = $1 AND provider = $2 LIMIT 1")
            .bind(caller.user)
            .bind(name.as_str())
            .fetch_optional(state.db.read())
            .await?;
    if linked.is_none() {
        return Err(Problem::not_found());
    }
    if !provider.tells_time() {
        return Err(Problem::conflict(
            "this provider does not say when somebody signed in: prove it in another way",
        ));
    }
    go_away(&state, &client, &name, body, Purpose::Prove(asker(&caller))).await
}

fn asker(caller: &Caller) -> Asker {
    Asker {
        user: caller.user,
        session: caller.session,
    }
}

/// Tells a page where to go.
async fn go_away(
    state: &State,
    client: &Client,
    name: &str,
    body: LinkBody,
    purpose: Purpose,
) -> Result<Response, Problem> {
    let (location, cookie) = begin(state, client, name, body.return_to, purpose).await?;
    let headers = [(CACHE_CONTROL, "no-store".to_owned()), (SET_COOKIE, cookie)];
    Ok((headers, Json(Away { location })).into_response())
}

/// The provider's page, and the cookie that binds what comes back from it to this browser.
async fn begin(
    state: &State,
    client: &Client,
    name: &str,
    return_to: Option<String>,
    purpose: Purpose,
) -> Result<(String, String), Problem> {
    let provider = state.providers.get(name).ok_or_else(Problem::not_found)?;
    state.limits.check(&PER_IP, client.network())?;
    let now = state.clock.now();
    let away = |error: oidc::Error| {
        tracing::warn!(provider = name, %error, "sign-in cannot begin");
        Problem::of(
            Kind::Unavailable,
            "this provider does not answer, try again or log in another way",
        )
    };
    let discovered = state.providers.discover(provider, now).await.map_err(away)?;
    let fresh = matches!(purpose, Purpose::Prove(_));
    let (url, flow) = oidc::start(provider, &discovered, fresh, now, &state.random).map_err(away)?;
    let secret = flow.state.clone();
    let begun = Begun {
        flow,
        return_to: return_to
            .filter(|path| is_own_page(path))
            .unwrap_or_else(|| "/account".to_owned()),
        purpose,
    };
    let mut tx = state.db.begin().await?;
    keep(state, &mut tx, &flow_id(&secret), &begun, now).await?;
    tx.commit().await?;
    // A callback that is posted from another site brings no Lax cookie along.
    let same_site = if provider.posts_callback() { "None" } else { "Lax" };
    let cookie = format!(
        "{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={}",
        oidc::LIFETIME.as_secs()
    );
    Ok((url, cookie))
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
