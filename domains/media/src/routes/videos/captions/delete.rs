use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::audit::Act;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::language;
use crate::domain::State;
use crate::invalidation;
use crate::routes::videos::shown;

/// Removes the captions of one language.
#[utoipa::path(
    delete, path = "/videos/{id}/captions/{language}", tag = "videos", operation_id = "delete_captions", security(("bearer" = [])),
    params(("id" = String, Path, description = "The video's id"), ("language" = String, Path, description = "A tag of BCP 47")),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video or no such captions", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "No language tag", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path((id, tag)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let row = shown::mine(&state, &id, &caller).await?;
    let language = language(&tag)?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let gone = sqlx::query("DELETE FROM media_captions WHERE video_id = $1 AND language = $2")
        .bind(row.id)
        .bind(language.as_str())
        .execute(tx.conn())
        .await?;
    if gone.rows_affected() == 0 {
        return Err(Problem::not_found());
    }
    let act = Act {
        actor: Some(caller.user),
        action: "media.captions_deleted",
        subject: Some(row.id.to_string()),
        detail: &language,
    };
    tx.audit(act, Some(&client), now).await?;
    let path = invalidation::of_video(row.id);
    invalidation::ask(&state, &mut tx, "captions_deleted", path, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
