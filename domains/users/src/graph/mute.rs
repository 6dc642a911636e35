//! PUT and DELETE `/users/{id}/mute`.

use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::db::UserId;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use crate::refusals::{Guarded, Missing, Query};
use crate::relationship::{self, Relationship};
use crate::state::{RELATE, State};

/// Mute
///
/// The caller hears no more of them; they do not notice, and a follow stays.
#[utoipa::path(
    put,
    path = "/users/{id}/mute",
    operation_id = "mute_user",
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
pub(crate) async fn mute(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<Relationship>, Problem> {
    let me = caller.user;
    state.limits.check(&RELATE, me)?;
    if id == me {
        return Err(Problem::invalid("nobody mutes themselves"));
    }
    let mut tx = state.db.begin().await?;
    relationship::meet_on(tx.conn(), &me.to_string(), id)
        .await?
        .ok_or_else(Problem::not_found)?;
    sqlx::query(
        "INSERT INTO users_mutes (muter_id, muted_id, created_at) VALUES ($1, $2, $3) ON CONFLICT (muter_id, muted_id) DO NOTHING",
    )
    .bind(me)
    .bind(id)
    .bind(state.clock.now().0)
    .execute(tx.conn())
    .await?;
    let relationship = relationship::between(tx.conn(), me, id).await?;
    tx.commit().await?;
    Ok(Json(relationship))
}

/// Unmute
#[utoipa::path(
    delete,
    path = "/users/{id}/mute",
    operation_id = "unmute_user",
    tag = "relationships",
    params(("id" = UserId, Path, description = "whom")),
    responses(
        (status = 204, description = "not muted any more"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn unmute(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    state.limits.check(&RELATE, caller.user)?;
    let mut tx = state.db.begin().await?;
    sqlx::query("DELETE FROM users_mutes WHERE muter_id = $1 AND muted_id = $2")
        .bind(caller.user)
        .bind(id)
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
