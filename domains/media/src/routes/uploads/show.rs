use axum::extract::State as Shared;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};
use nova_domain::http::Path;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use super::{answer, expires, mine, speaks_tus};
use crate::domain::State;

/// How much of a file is here.
#[utoipa::path(
    head, path = "/uploads/{id}", tag = "videos", operation_id = "show_upload", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id"), ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses(
        (status = 200, description = "Told in Upload-Offset and Upload-Length"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such upload, or its time is over, or it is whole", body = Details, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    speaks_tus(&headers)?;
    let row = mine(&state, &id, &caller).await?;
    let offset = state
        .files
        .offset(row.id)
        .await
        .map_err(|error| Problem::internal(&error))?;
    let mut told = vec![
        ("upload-offset", HeaderValue::from(offset)),
        ("upload-length", HeaderValue::from(row.length)),
        ("upload-expires", expires(&row)),
    ];
    if let Ok(metadata) = HeaderValue::from_str(&row.metadata)
        && !row.metadata.is_empty()
    {
        told.push(("upload-metadata", metadata));
    }
    Ok(answer(StatusCode::OK, &told))
}
