use axum::extract::State as Shared;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use super::shown::{self, Shown};
use crate::domain::State;

/// One video.
#[utoipa::path(
    get, path = "/videos/{id}", tag = "videos", operation_id = "show_video", params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The video", body = Shown),
        (status = 401, description = "The token is not good", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let row = shown::visible(&state, &id, caller.as_ref()).await?;
    Ok(Json(shown::shown(&state, row, caller.as_ref()).await?))
}
