use axum::extract::State as Shared;
use nova_domain::http::Json;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::State;

/// What the caller's videos and pictures take.
#[derive(Serialize, ToSchema)]
pub(crate) struct Storage {
    videos: i64,
    images: i64,
    /// Bytes in the store; of what is on air, nothing before it is whole.
    bytes: i64,
    /// Bytes that may be there; `null` when there is no bound.
    limit: Option<u64>,
}

/// What the caller's videos and pictures take in the store.
#[utoipa::path(
    get, path = "/storage", tag = "videos", operation_id = "storage", security(("bearer" = [])),
    responses(
        (status = 200, description = "What they take", body = Storage),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn storage(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Storage>, Problem> {
    let mut sums = [(0_i64, 0_i64); 2];
    for (sum, table) in sums.iter_mut().zip(["media_videos", "media_images"]) {
        let sql = format!(
            "SELECT CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM {table} WHERE owner_user_id = $1"
        );
        *sum = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(caller.user)
            .fetch_one(state.db.read())
            .await?;
    }
    let [(videos, of_videos), (images, of_images)] = sums;
    Ok(Json(Storage {
        videos,
        images,
        bytes: of_videos.saturating_add(of_images),
        limit: Some(state.config.storage_bytes).filter(|most| *most > 0),
    }))
}
