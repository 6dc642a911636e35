use axum::extract::State as Shared;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use super::shown::{self, Shown};
use crate::domain::State;

/// One stream, by its id or its name.
#[utoipa::path(
    get, path = "/streams/{id}", tag = "streams", params(("id" = String, Path, description = "Its id or its name")),
    responses(
        (status = 200, description = "The stream", body = Shown),
        (status = 401, description = "The token is not good", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such stream, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    match shown::visible(&state, &id, caller.as_ref()).await {
        Ok(row) => Ok(Json(shown::owned(&state, row, caller.as_ref()).await?)),
        Err(problem) => {
            // A stream of open publishing is in no database, and shown while one is away.
            let broadcast = state.live.hub.get(&id);
            let open = match broadcast {
                Some(broadcast) => shown::open(&state, &broadcast),
                None => shown::open_named(&state, &id),
            };
            open.map(Json).ok_or(problem)
        }
    }
}
