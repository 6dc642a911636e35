use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_domain::audit::Act;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::shown;
use crate::domain::State;

/// Gives up making a video; it stays in the list, and nothing of it can be watched.
#[utoipa::path(
    post, path = "/videos/{id}/cancel", tag = "videos", operation_id = "cancel_video", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 202, description = "It will be"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "It is not being made", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = shown::mine(&state, &id, &caller).await?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let changed = sqlx::query(
        "UPDATE media_videos SET status = 'cancelled' WHERE id = $1 AND status IN ('uploading', 'processing')",
    )
    .bind(row.id)
    .execute(tx.conn())
    .await?;
    if changed.rows_affected() == 0 {
        return Err(Problem::conflict("it is not being made"));
    }
    let act = Act {
        actor: Some(caller.user),
        action: "media.video_cancelled",
        subject: Some(row.id.to_string()),
        detail: "",
    };
    tx.audit(act, Some(&client), now).await?;
    Ok(tx.commit_as(StatusCode::ACCEPTED).await?)
}
