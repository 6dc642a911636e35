//! Who asks. One layer finds it out for every request; a handler that takes a [`Caller`] is answered 401 for it when nobody is known.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method};
use nova_core::clock::Timestamp;
use nova_core::store::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::db::{SessionId, UserId};

/// The cookie that carries the access token of a browser. `__Host-`: this host only, TLS only, the whole site (RFC 6265bis 4.1.3.2).
pub const ACCESS_COOKIE: &str = "__Host-nova_access";
/// The cookie a page reads and sends back in [`CSRF_HEADER`]: another site can neither read it nor set the header.
pub const CSRF_COOKIE: &str = "__Host-nova_csrf";
/// The header that must repeat [`CSRF_COOKIE`] when a cookie authenticates a request that changes something.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// What somebody may do on the whole server. Each includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everybody with an account.
    Viewer,
    /// May act on reports.
    Moderator,
    /// May do anything.
    Admin,
}

impl Role {
    /// As it stands in the database and in tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }

    /// Reads [`Role::as_str`]; anything else is the least role.
    pub fn parse(text: &str) -> Self {
        match text {
            "moderator" => Self::Moderator,
            "admin" => Self::Admin,
            _ => Self::Viewer,
        }
    }
}

/// How a caller proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The access token of a login.
    Session,
    /// A personal access token, good for these scopes (`read`, `write`, and those of domains).
    Token(Vec<String>),
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub user: UserId,
    /// Their login, or their personal access token.
    pub session: SessionId,
    /// What they may do on the whole server.
    pub role: Role,
    /// How they proved it.
    pub proof: Proof,
    /// When they last proved it with a factor of their own, not with a token kept from before.
    pub authenticated_at: Timestamp,
    /// A suspended person may look, leave, appeal and take their data along.
    pub suspended: bool,
}

impl Caller {
    /// 403 unless the caller has `role` or more.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        // Looking is acting for whoever looks at what others reported.
        if self.role >= role && matches!(self.proof, Proof::Session) && !self.suspended {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this needs the role {}", role.as_str())))
    }

    /// 403 for a personal access token: what guards the account is done by the person.
    pub fn require_session(&self) -> Result<(), Problem> {
        match self.proof {
            Proof::Session => Ok(()),
            Proof::Token(_) => Err(Problem::forbidden("a personal access token may not do this")),
        }
    }

    /// 403 for a personal access token without `scope`.
    pub fn require_scope(&self, scope: &str) -> Result<(), Problem> {
        match &self.proof {
            Proof::Token(scopes) if !scopes.iter().any(|one| one == scope) => Err(Problem::forbidden(format!(
                "this token does not have the scope {scope}"
            ))),
            _ => Ok(()),
        }
    }

    /// True for the owner of something, and for moderators.
    pub fn may_moderate(&self, owner: UserId) -> bool {
        self.user == owner || self.require(Role::Moderator).is_ok()
    }
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not one of ours, or not any more.
    #[error("the token is not valid, or not any more")]
    Invalid,
    /// Whoever knows could not be asked.
    #[error("authentication cannot be checked right now")]
    Unavailable,
}

/// Knows whose token this is.
pub trait Authenticator: Send + Sync {
    /// Answers for one token. Usually from memory.
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, Refused>>;
}

/// What the layer found.
#[derive(Clone)]
enum Found {
    Nobody,
    Somebody(Caller),
    Refused(Problem),
}

/// The layer: finds the caller by `Authorization: Bearer` or by cookie. A token that is shown and not good is remembered as that, so that even
/// a page for everybody tells an app to refresh instead of taking it for a guest.
pub async fn identify(
    State(authenticator): State<Arc<dyn Authenticator>>,
    mut request: Request,
    next: Next,
) -> Response {
    let found = find(authenticator.as_ref(), request.method(), request.headers()).await;
    if let Found::Somebody(caller) = &found
        && let Err(problem) = scope(caller, request.method())
    {
        return problem.into_response();
    }
    request.extensions_mut().insert(found);
    next.run(request).await
}

fn scope(caller: &Caller, method: &Method) -> Result<(), Problem> {
    caller.require_scope(if method.is_safe() { "read" } else { "write" })
}

async fn find(authenticator: &dyn Authenticator, method: &Method, headers: &HeaderMap) -> Found {
    let (token, by_cookie) = match bearer(headers) {
        Some(Ok(token)) => (token, false),
        Some(Err(())) => {
            return Found::Refused(Problem::unauthenticated(
                "the Authorization header is not `Bearer TOKEN`",
            ));
        }
        None => match cookie(headers, ACCESS_COOKIE) {
            Some(token) => (token, true),
            None => return Found::Nobody,
        },
    };
    if by_cookie && !method.is_safe() {
        let shown = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        let known = cookie(headers, CSRF_COOKIE);
        let same_site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
        if !same_site || shown.is_none() || shown != known || shown == Some("") {
            return Found::Refused(Problem::forbidden("the CSRF header is missing or wrong").code("csrf"));
        }
    }
    match authenticator.authenticate(token).await {
        Ok(caller) => Found::Somebody(caller),
        // An old cookie is no reason to refuse what everybody may see: the browser sends it by itself.
        Err(Refused::Invalid) if by_cookie => Found::Nobody,
        Err(Refused::Invalid) => Found::Refused(Problem::unauthenticated(Refused::Invalid.to_string())),
        Err(Refused::Unavailable) => Found::Refused(Problem::of(
            nova_core::error::Kind::Unavailable,
            Refused::Unavailable.to_string(),
        )),
    }
}

fn bearer(headers: &HeaderMap) -> Option<Result<&str, ()>> {
    let value = headers.get(AUTHORIZATION)?;
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    Some(token.filter(|token| !token.is_empty()).ok_or(()))
}

/// The value of the cookie `name`.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Who asks, if that is known; for layers, which refuse nobody.
pub(crate) fn seen(extensions: &http::Extensions) -> Option<Caller> {
    match extensions.get::<Found>() {
        Some(Found::Somebody(caller)) => Some(caller.clone()),
        Some(Found::Nobody | Found::Refused(_)) | None => None,
    }
}

fn found(parts: &Parts) -> Result<Option<Caller>, Problem> {
    match parts.extensions.get::<Found>() {
        Some(Found::Somebody(caller)) => Ok(Some(caller.clone())),
        Some(Found::Refused(problem)) => Err(problem.clone()),
        Some(Found::Nobody) | None => Ok(None),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = found(parts)?.ok_or_else(|| Problem::unauthenticated("log in first"))?;
        if caller.suspended && !parts.method.is_safe() {
            return Err(Problem::forbidden("this account is suspended").code("suspended"));
        }
        Ok(caller)
    }
}

/// Guests are welcome: `Option<Caller>`.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        let caller = found(parts)?;
        match caller {
            Some(caller) if caller.suspended && !parts.method.is_safe() => {
                Err(Problem::forbidden("this account is suspended").code("suspended"))
            }
            caller => Ok(caller),
        }
    }
}

/// A caller who may be suspended: for logging out, appealing, and taking one's data along.
#[derive(Clone, Debug)]
pub struct EvenSuspended(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for EvenSuspended {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        found(parts)?
            .map(Self)
            .ok_or_else(|| Problem::unauthenticated("log in first"))
    }
}

/// Puts a caller into a request as [`identify`] would: for tests of routes without identity.
#[cfg(feature = "testing")]
pub fn known(caller: Caller) -> impl Clone + Send + Sync + 'static {
    Found::Somebody(caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Authenticator for One {
        fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, Refused>> {
            let now = Timestamp(0);
            let answer = match token {
                "good" => Ok(Caller {
                    user: UserId::new(now),
                    session: SessionId::new(now),
                    role: Role::Viewer,
                    proof: Proof::Session,
                    authenticated_at: now,
                    suspended: false,
                }),
                _ => Err(Refused::Invalid),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    async fn status(method: Method, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        match find(&One, &method, &map).await {
            Found::Nobody => 0,
            Found::Somebody(_) => 200,
            Found::Refused(problem) => problem.status().as_u16(),
        }
    }

    #[tokio::test]
    async fn a_token_by_header_or_cookie_says_who_asks() {
        assert_eq!(status(Method::GET, &[]).await, 0);
        assert_eq!(status(Method::GET, &[("authorization", "Bearer good")]).await, 200);
        assert_eq!(status(Method::GET, &[("authorization", "bearer good")]).await, 200);
        assert_eq!(status(Method::GET, &[("authorization", "Bearer bad")]).await, 401);
        assert_eq!(status(Method::GET, &[("authorization", "Basic Zm9v")]).await, 401);
        assert_eq!(
            status(Method::GET, &[("cookie", "a=b; __Host-nova_access=good")]).await,
            200
        );
        assert_eq!(status(Method::GET, &[("cookie", "__Host-nova_access=old")]).await, 0);
    }

    #[tokio::test]
    async fn a_cookie_alone_changes_nothing() {
        let cookies = ("cookie", "__Host-nova_access=good; __Host-nova_csrf=abc");
        assert_eq!(status(Method::POST, &[cookies]).await, 403);
        assert_eq!(status(Method::POST, &[cookies, ("x-csrf-token", "abd")]).await, 403);
        assert_eq!(
            status(
                Method::POST,
                &[("cookie", "__Host-nova_access=good"), ("x-csrf-token", "abc")]
            )
            .await,
            403
        );
        assert_eq!(
            status(
                Method::POST,
                &[
                    ("cookie", "__Host-nova_access=good; __Host-nova_csrf="),
                    ("x-csrf-token", "")
                ]
            )
            .await,
            403
        );
        assert_eq!(
            status(
                Method::POST,
                &[cookies, ("x-csrf-token", "abc"), ("sec-fetch-site", "cross-site")]
            )
            .await,
            403
        );
        assert_eq!(status(Method::POST, &[cookies, ("x-csrf-token", "abc")]).await, 200);
        // A bearer token is not sent by a browser on its own.
        assert_eq!(status(Method::POST, &[("authorization", "Bearer good")]).await, 200);
    }
}
