use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_domain::audit::Act;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::shown;
use crate::clip::MakeClip;
use crate::domain::State;
use crate::upload::MakeVideo;

/// Makes a video again that failed, or was given up, as long as its file is here, or what it was cut from.
#[utoipa::path(
    post, path = "/videos/{id}/retry", tag = "videos", operation_id = "retry_video", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 202, description = "It will be"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "It is being made, or its file is gone", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = shown::mine(&state, &id, &caller).await?;
    let upload = row.upload_id.as_deref().and_then(|upload| upload.parse().ok());
    if upload.is_none() && row.clip_of.is_none() {
        return Err(Problem::conflict("its file is gone: upload it again"));
    }
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let changed = sqlx::query(
        "UPDATE media_videos SET status = 'processing', progress = 0, error = '' WHERE id = $1 AND status IN ('failed', 'cancelled')",
    )
    .bind(row.id)
    .execute(tx.conn())
    .await?;
    if changed.rows_affected() == 0 {
        return Err(Problem::conflict("it is being made, or it is ready"));
    }
    match upload {
        Some(upload) => tx.enqueue(&MakeVideo { video: row.id, upload }, now, now).await?,
        None => tx.enqueue(&MakeClip { video: row.id }, now, now).await?,
    }
    let act = Act {
        actor: Some(caller.user),
        action: "media.video_retried",
        subject: Some(row.id.to_string()),
        detail: "",
    };
    tx.audit(act, Some(&client), now).await?;
    Ok(tx.commit_as(StatusCode::ACCEPTED).await?)
}
