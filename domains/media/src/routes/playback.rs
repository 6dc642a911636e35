use axum::extract::State as Shared;
use nova_core::clock::Timestamp;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::policy::Visibility;
use nova_domain::{Caller, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::shown;
use crate::domain::State;

/// What opens the playlists of a private stream or video.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlaybackToken {
    /// For the query of `master.m3u8` and `manifest.mpd`; `null` when none is needed.
    token: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    hls_url: String,
    dash_url: String,
}

impl PlaybackToken {
    /// For what lies behind `base`; with a token and its end where one is needed.
    pub(crate) fn new(base: &str, token: Option<(String, Timestamp)>) -> Self {
        let query = token
            .as_ref()
            .map(|(token, _)| format!("?token={token}"))
            .unwrap_or_default();
        let (token, expires_at) = token.unzip();
        Self {
            hls_url: format!("{base}/master.m3u8{query}"),
            dash_url: format!("{base}/manifest.mpd{query}"),
            token,
            expires_at,
        }
    }
}

/// What a viewer needs to watch. A private stream is watched by its owner, and by moderators, with a token that ends.
#[utoipa::path(
    post, path = "/streams/{id}/playback-token", tag = "streams", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id or its name")),
    responses(
        (status = 200, description = "What a player is given", body = PlaybackToken),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such stream, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn token(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<PlaybackToken>, Problem> {
    let row = shown::visible(&state, &id, Some(&caller)).await?;
    let private = row.visibility() == Visibility::Private;
    let token = private.then(|| shown::playback_token(&state, &row, caller.user));
    let base = format!("{}/live/{}", state.media_url, row.name);
    Ok(Json(PlaybackToken::new(&base, token)))
}
