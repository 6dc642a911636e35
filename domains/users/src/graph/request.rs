//! PUT and DELETE `/users/me/follow-requests/{id}`: let somebody in, or not.

use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::db::UserId;
use nova_domain::http::Path;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use super::edges;
use crate::refusals::{Conflict, Guarded, Missing};
use crate::relationship;
use crate::state::{RELATE, State};

/// Approve a follower
///
/// 404 when they do not ask, or took it back.
#[utoipa::path(
    put,
    path = "/users/me/follow-requests/{id}",
    operation_id = "approve_follow",
    tag = "relationships",
    params(("id" = UserId, Path, description = "who asks")),
    responses(
        (status = 204, description = "they follow now"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Conflict
    )
)]
pub(crate) async fn approve(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    let (me, now) = (caller.user, state.clock.now());
    state.limits.check(&RELATE, me)?;
    let mut tx = state.db.begin().await?;
    relationship::lock(&mut tx, me, id).await?;
    if edges::ask_no_more(&mut tx, id, me).await? {
        edges::begin(&state, &mut tx, (id, me), me, now).await?;
    } else if !relationship::between(tx.conn(), me, id).await?.followed_by.0 {
        return Err(Problem::not_found());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reject a follower
///
/// They are not told, and may ask again.
#[utoipa::path(
    delete,
    path = "/users/me/follow-requests/{id}",
    operation_id = "reject_follow",
    tag = "relationships",
    params(("id" = UserId, Path, description = "who asks")),
    responses(
        (status = 204, description = "they do not ask any more"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn reject(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    state.limits.check(&RELATE, caller.user)?;
    let mut tx = state.db.begin().await?;
    edges::ask_no_more(&mut tx, id, caller.user).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
