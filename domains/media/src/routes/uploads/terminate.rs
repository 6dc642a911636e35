use axum::extract::State as Shared;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use nova_domain::http::Path;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use super::{answer, mine, speaks_tus};
use crate::domain::State;
use crate::upload;

/// Gives an upload up. Its video is gone with it.
#[utoipa::path(
    delete, path = "/uploads/{id}", tag = "videos", operation_id = "delete_upload", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id"), ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses(
        (status = 204, description = "Gone"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such upload, or its time is over, or it is whole", body = Details, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Details, content_type = "application/problem+json"),
        (status = 423, description = "It is being written", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn terminate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    speaks_tus(&headers)?;
    let row = mine(&state, &id, &caller).await?;
    let Some(_writing) = state.files.lock(row.id) else {
        return Err(Problem::new(StatusCode::LOCKED, "it is being written"));
    };
    let mut tx = state.db.begin().await?;
    upload::give_up(&mut tx, &row).await?;
    tx.commit().await?;
    state
        .files
        .remove(row.id)
        .await
        .map_err(|error| Problem::internal(&error))?;
    Ok(answer(StatusCode::NO_CONTENT, &[]))
}
