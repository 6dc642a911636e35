//! DELETE `/users/me/followers/{id}`.

use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::db::UserId;
use nova_domain::http::Path;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use super::edges;
use crate::refusals::{Guarded, Missing};
use crate::relationship;
use crate::state::{RELATE, State};

/// Remove a follower
///
/// They are not told, and may follow again.
#[utoipa::path(
    delete,
    path = "/users/me/followers/{id}",
    operation_id = "remove_follower",
    tag = "relationships",
    params(("id" = UserId, Path, description = "whom")),
    responses(
        (status = 204, description = "they do not follow any more"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn remove(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    let (me, now) = (caller.user, state.clock.now());
    state.limits.check(&RELATE, me)?;
    let mut tx = state.db.begin().await?;
    relationship::lock(&mut tx, me, id).await?;
    edges::end(&mut tx, id, me, me, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
