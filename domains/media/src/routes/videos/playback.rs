use axum::extract::State as Shared;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::policy::Visibility;
use nova_domain::{Caller, Problem};

use super::shown;
use crate::domain::State;
use crate::routes::playback::PlaybackToken;

/// What a viewer needs to watch. A private video is watched by its owner, and by moderators, with a token that ends.
#[utoipa::path(
    post, path = "/videos/{id}/playback-token", tag = "videos", operation_id = "video_token", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "What a player is given", body = PlaybackToken),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn token(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<PlaybackToken>, Problem> {
    let row = shown::visible(&state, &id, Some(&caller)).await?;
    let private = row.visibility() == Visibility::Private;
    let token = private.then(|| shown::playback_token(&state, &row, &caller));
    let base = format!("{}/vod/{}", state.media_url, row.id);
    Ok(Json(PlaybackToken::new(&base, token)))
}
