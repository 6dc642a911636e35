//! PUT and DELETE `/users/{id}/block`.

use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::db::UserId;
use nova_domain::events::BlockCreated;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use super::edges;
use crate::card;
use crate::refusals::{Guarded, Missing, Query};
use crate::relationship::{self, Relationship};
use crate::state::{RELATE, State};

/// Block
///
/// Both disappear from each other at once: follows and requests end in both directions, and neither finds the other any more. Who is blocked
/// can be blocked back.
#[utoipa::path(
    put,
    path = "/users/{id}/block",
    operation_id = "block_user",
    tag = "relationships",
    params(("id" = UserId, Path, description = "whom")),
    responses(
        (status = 200, body = Relationship),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Query
    )
)]
pub(crate) async fn block(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<Relationship>, Problem> {
    let (me, now) = (caller.user, state.clock.now());
    state.limits.check(&RELATE, me)?;
    if id == me {
        return Err(Problem::invalid("nobody blocks themselves"));
    }
    card::of(&state.db, &state.base, id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let mut tx = state.db.begin().await?;
    relationship::lock(&mut tx, me, id).await?;
    let made = sqlx::query(
        "INSERT INTO users_blocks (blocker_id, blocked_id, created_at) VALUES ($1, $2, $3) ON CONFLICT (blocker_id, blocked_id) DO NOTHING",
    )
    .bind(me)
    .bind(id)
    .bind(now.0)
    .execute(tx.conn())
    .await?
    .rows_affected();
    if made == 1 {
        edges::end(&mut tx, me, id, me, now).await?;
        edges::end(&mut tx, id, me, me, now).await?;
        let event = BlockCreated {
            blocker: me,
            blocked: id,
        };
        tx.emit(&event, Some(me), now).await?;
    }
    let relationship = relationship::between(tx.conn(), me, id).await?;
    tx.commit().await?;
    Ok(Json(relationship))
}

/// Unblock
///
/// What was between them before does not come back.
#[utoipa::path(
    delete,
    path = "/users/{id}/block",
    operation_id = "unblock_user",
    tag = "relationships",
    params(("id" = UserId, Path, description = "whom")),
    responses(
        (status = 204, description = "not blocked any more"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn unblock(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    state.limits.check(&RELATE, caller.user)?;
    let mut tx = state.db.begin().await?;
    sqlx::query("DELETE FROM users_blocks WHERE blocker_id = $1 AND blocked_id = $2")
        .bind(caller.user)
        .bind(id)
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
