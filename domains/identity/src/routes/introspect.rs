use std::time::Duration;

use axum::extract::State as Shared;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use nova_domain::{Authenticator, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::State;
use crate::secret::{Purpose, Secret};

const PER_IP: Rule = Rule::new("introspect.ip", 600, 6000, Duration::from_secs(60));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntrospectBody {
    /// An access token or a personal access token.
    #[schema(max_length = 4096)]
    token: String,
}

/// What a token says (RFC 7662 section 2.2). All but `active` are left out when it is not.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Introspection {
    /// True when it is one of ours, in force and not revoked.
    active: bool,
    /// The user's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The session's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// When it ends, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When it was made, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

/// Says whether a token is in force, and whose it is (RFC 7662). Whoever shows a token has it, so nothing more is asked for.
#[utoipa::path(
    post, path = "/auth/introspect", tag = "auth", request_body = IntrospectBody,
    responses(
        (status = 200, description = "What the token says", body = Introspection),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn introspect(
    Shared(state): Shared<State>,
    client: Client,
    Json(body): Json<IntrospectBody>,
) -> Result<Json<Introspection>, Problem> {
    state.limits.check(&PER_IP, client.network())?;
    if Secret::parse(Purpose::PersonalAccess, &body.token).is_some() {
        let known = state.gatekeeper.authenticate(&body.token).await.ok();
        return Ok(Json(known.map_or_else(Introspection::default, |caller| {
            Introspection {
                active: true,
                sub: Some(caller.user.to_string()),
                sid: Some(caller.session.to_string()),
                role: Some(caller.role.as_str().to_owned()),
                token_type: Some("Bearer"),
                ..Introspection::default()
            }
        })));
    }
    let claims = state.tokens.check(&body.token, state.clock.now());
    Ok(Json(claims.map_or_else(
        |_refused| Introspection::default(),
        |claims| Introspection {
            active: true,
            sub: Some(claims.sub.clone()),
            sid: Some(claims.sid.clone()),
            iss: Some(claims.iss.clone()),
            aud: Some(claims.aud.clone()),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            jti: Some(claims.jti.clone()),
            scope: Some(claims.scope.clone()),
            role: Some(claims.role.clone()),
            token_type: Some("Bearer"),
        },
    )))
}
