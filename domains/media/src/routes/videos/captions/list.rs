use axum::extract::State as Shared;
use nova_domain::db::List;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use super::Shown;
use crate::caption;
use crate::domain::State;
use crate::routes::videos::shown;

/// The captions of a video, by language. Players find them in its playlists.
#[utoipa::path(
    get, path = "/videos/{id}/captions", tag = "videos", operation_id = "list_captions",
    params(("id" = String, Path, description = "The video's id")),
    responses(
        (status = 200, description = "All of them", body = List<Shown>),
        (status = 401, description = "The token is not good", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Path(id): Path<String>,
) -> Result<Json<List<Shown>>, Problem> {
    let row = shown::visible(&state, &id, caller.as_ref()).await?;
    let captions = caption::of(&state.db, row.id).await?;
    Ok(Json(List {
        items: captions.into_iter().map(Shown::from).collect(),
        next_cursor: None,
    }))
}
