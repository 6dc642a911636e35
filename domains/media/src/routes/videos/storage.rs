use axum::extract::State as Shared;
use nova_domain::http::Json;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::State;

/// What the caller's videos take.
#[derive(Serialize, ToSchema)]
pub(crate) struct Storage {
    videos: i64,
    /// Bytes in the store; of what is on air, nothing before it is whole.
    bytes: i64,
}

/// What the caller's videos take in the store.
#[utoipa::path(
    get, path = "/storage", tag = "videos", operation_id = "storage", security(("bearer" = [])),
    responses(
        (status = 200, description = "What they take", body = Storage),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn storage(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Storage>, Problem> {
    let (videos, bytes): (i64, i64) = sqlx::query_as(
        "SELECT CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM media_videos WHERE owner_user_id = $1",
    )
    .bind(caller.user)
    .fetch_one(state.db.read())
    .await?;
    Ok(Json(Storage { videos, bytes }))
}
