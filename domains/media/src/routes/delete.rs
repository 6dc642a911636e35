use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::{done_away, shown};
use crate::domain::State;
use crate::invalidation;

/// Deletes a stream. What is on air of it ends. Moderators may delete the streams of others.
#[utoipa::path(
    delete, path = "/streams/{id}", tag = "streams", security(("bearer" = [])), params(("id" = String, Path, description = "Its id or its name")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such stream, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = shown::moderated(&state, &id, &caller).await?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    sqlx::query("DELETE FROM media_streams WHERE id = $1")
        .bind(row.id)
        .execute(tx.conn())
        .await?;
    state.stop_at_commit(&mut tx, row.id, "the stream was deleted");
    let path = invalidation::of_stream(&row.name);
    invalidation::ask(&state, &mut tx, "stream_deleted", path, now).await?;
    let what = ("media.stream_deleted", "remove_stream");
    done_away(tx, (&caller, &client), row.owner_user_id, what, row.id.to_string(), now).await
}
