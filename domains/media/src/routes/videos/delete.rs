use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::shown;
use crate::domain::State;
use crate::routes::done_away;
use crate::video::{self, RemoveObjects};

/// Deletes a video and all of its objects. The recording of what is on air is kept on being made until the broadcast ends: end it first.
/// Moderators may delete the videos of others.
#[utoipa::path(
    delete, path = "/videos/{id}", tag = "videos", operation_id = "delete_video", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "It is on air", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = shown::visible(&state, &id, Some(&caller)).await?;
    if !caller.may_moderate(row.owner_user_id) {
        return Err(Problem::forbidden("this video belongs to somebody else"));
    }
    if row.status == "live" {
        return Err(Problem::conflict("it is on air: end the broadcast first"));
    }
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    video::forget(&mut tx, &row.folder).await?;
    sqlx::query("DELETE FROM media_uploads WHERE video_id = $1")
        .bind(row.id)
        .execute(tx.conn())
        .await?;
    let removal = RemoveObjects {
        folder: row.folder,
        upload: row.upload_id,
        watched: (row.status == "ready").then_some(row.id),
    };
    tx.enqueue(&removal, now, now).await?;
    let what = ("media.video_deleted", "remove_video");
    done_away(tx, (&caller, &client), row.owner_user_id, what, row.id.to_string(), now).await
}
