use std::time::Duration;

use axum::extract::State as Shared;
use nova_core::clock::Timestamp;
use nova_core::error::Kind;
use nova_domain::http::Json;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::policy::Visibility;
use nova_domain::{Caller, Problem, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{shown, videos};
use crate::domain::State;

const PER_ACCOUNT: Rule = Rule::new("cdn.account", 120, 1200, Duration::from_secs(3600));

/// What is to be watched: a video or a stream.
#[derive(Deserialize, ToSchema)]
#[schema(as = SignedUrlRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// The id of a video.
    #[serde(default)]
    video_id: Option<String>,
    /// The id or the name of a stream.
    #[serde(default)]
    stream_id: Option<String>,
    /// How long it is good; at most what a playback token is.
    #[serde(default)]
    #[schema(minimum = 1)]
    minutes: Option<u32>,
}

/// A cookie for the CDN's host, `Secure` and `HttpOnly`.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedCookie)]
pub(crate) struct Cookie {
    name: &'static str,
    value: String,
}

/// What the CDN lets through.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedUrls)]
pub(crate) struct Signed {
    hls_url: String,
    dash_url: String,
    /// What is signed; `*` stands for everything. A player whose every request carries the cookies needs no signature in an address, so that a
    /// segment is one object of the CDN's cache for all viewers.
    resource: String,
    cookies: Vec<Cookie>,
    /// For the query of any address that `resource` matches.
    query: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Addresses and cookies that a CDN which checks signatures lets through, for the owner of a video or a stream, and for admins. Of a private one
/// the addresses carry a playback token as well. A CDN that checks tokens in paths needs neither cookies nor a query: what playlists lead to lies behind
/// the same token.
#[utoipa::path(
    post, path = "/cdn/signed-urls", tag = "videos", operation_id = "generate_signed_url", security(("bearer" = [])), request_body = Asked,
    responses(
        (status = 200, description = "Signed", body = Signed),
        (status = 400, description = "The body cannot be read", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else, the account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video or stream, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "No CDN that checks signatures is configured", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sign(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(asked): Json<Asked>,
) -> Result<Json<Signed>, Problem> {
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let longest = state.config.playback_minutes;
    let minutes = asked.minutes.unwrap_or(longest);
    let mut fields = Fields::new();
    fields.check(
        (1..=longest).contains(&minutes),
        "minutes",
        format!("is not within 1 and {longest}"),
    );
    fields.check(
        asked.video_id.is_some() != asked.stream_id.is_some(),
        "video_id",
        "either this or stream_id says what is to be watched",
    );
    fields.done()?;
    let (place, owner, token) = if let Some(id) = &asked.video_id {
        let row = videos::shown::visible(&state, id, Some(&caller)).await?;
        let private = row.visibility() == Visibility::Private;
        let token = private.then(|| videos::shown::playback_token(&state, &row, &caller).0);
        (format!("/vod/{}/", row.id), row.owner_user_id, token)
    } else {
        let id = asked.stream_id.as_deref().unwrap_or_default();
        let row = shown::visible(&state, id, Some(&caller)).await?;
        let private = row.visibility() == Visibility::Private;
        let token = private.then(|| shown::playback_token(&state, &row, caller.user).0);
        (format!("/live/{}/", row.name), row.owner_user_id, token)
    };
    if caller.user != owner {
        caller.require(Role::Admin)?;
    }
    let Some(sign) = &state.live.sign else {
        return Err(Problem::conflict("no CDN that checks signatures is configured"));
    };
    let expires_at = state.clock.now().plus_micros(i64::from(minutes) * 60_000_000);
    // Whole seconds: it must not be good for longer than is said.
    let signature = sign(&state.media_url, &place, expires_at.0.div_euclid(1_000_000))
        .ok_or_else(|| Problem::of(Kind::Unavailable, "the signature could not be made"))?;
    let token = token.map(|token| format!("token={token}"));
    let queries = [token.as_deref().unwrap_or_default(), &signature.query];
    let queries: Vec<&str> = queries.into_iter().filter(|query| !query.is_empty()).collect();
    let mark = if queries.is_empty() { "" } else { "?" };
    let url = |name: &str| format!("{}{name}{mark}{}", signature.base, queries.join("&"));
    Ok(Json(Signed {
        hls_url: url("master.m3u8"),
        dash_url: url("manifest.mpd"),
        resource: format!("{}*", signature.base),
        query: signature.query.clone(),
        cookies: signature
            .cookies
            .into_iter()
            .map(|(name, value)| Cookie { name, value })
            .collect(),
        expires_at,
    }))
}
