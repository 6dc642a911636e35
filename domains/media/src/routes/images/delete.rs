use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::show::visible;
use crate::domain::State;
use crate::image;
use crate::routes::done_away;

/// Deletes a picture and its objects. Profiles that show it show it no more. A CDN that can be made to forget does; other caches may keep what they have: an
/// address never leads to another picture. Moderators may delete the pictures of others.
#[utoipa::path(
    delete, path = "/images/{id}", tag = "images", operation_id = "delete_image", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such picture, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = visible(&state, &id, Some(&caller)).await?;
    if !caller.may_moderate(row.owner_user_id) {
        return Err(Problem::forbidden("this picture belongs to somebody else"));
    }
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    if !image::remove(&mut tx, row.id, row.owner_user_id, &row.folder, now).await? {
        return Err(Problem::not_found());
    }
    let what = ("media.image_deleted", "remove_image");
    done_away(tx, (&caller, &client), row.owner_user_id, what, row.id.to_string(), now).await
}
