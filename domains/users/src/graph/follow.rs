//! PUT and DELETE `/users/{id}/follow`.

use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::db::UserId;
use nova_domain::events::FollowRequested;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use super::edges;
use crate::profile::Privacy;
use crate::refusals::{Conflict, Guarded, Missing, Query};
use crate::relationship::{self, Relationship};
use crate::state::{FOLLOW, State};

/// Follow
///
/// Whoever approves their followers is asked instead: `requested` is true then. Doing it twice changes nothing.
#[utoipa::path(
    put,
    path = "/users/{id}/follow",
    operation_id = "follow_user",
    tag = "relationships",
    params(("id" = UserId, Path, description = "whom")),
    responses(
        (status = 200, body = Relationship),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Conflict,
        Query
    )
)]
pub(crate) async fn follow(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<Relationship>, Problem> {
    let (me, now) = (caller.user, state.clock.now());
    state.limits.check(&FOLLOW, me)?;
    if id == me {
        return Err(Problem::invalid("nobody follows themselves"));
    }
    let mut tx = state.db.begin().await?;
    relationship::lock(&mut tx, me, id).await?;
    let other = relationship::meet_on(tx.conn(), &me.to_string(), id)
        .await?
        .ok_or_else(Problem::not_found)?;
    if !other.follows {
        if Privacy::parse(&other.privacy) == Privacy::Private {
            let asked = sqlx::query(
                "INSERT INTO users_follow_requests (follower_id, followee_id, created_at) VALUES ($1, $2, $3) ON CONFLICT (follower_id, followee_id) DO \
                 NOTHING",
            )
            .bind(me)
            .bind(id)
            .bind(now.0)
            .execute(tx.conn())
            .await?
            .rows_affected();
            if asked == 1 {
                let event = FollowRequested {
                    follower: me,
                    followee: id,
                };
                tx.emit(&event, Some(me), now).await?;
            }
        } else {
            edges::begin(&state, &mut tx, (me, id), me, now).await?;
        }
    }
    let relationship = relationship::between(tx.conn(), me, id).await?;
    tx.commit().await?;
    Ok(Json(relationship))
}

/// Unfollow
///
/// Takes back a request as well. Doing it twice changes nothing.
#[utoipa::path(
    delete,
    path = "/users/{id}/follow",
    operation_id = "unfollow_user",
    tag = "relationships",
    params(("id" = UserId, Path, description = "whom")),
    responses(
        (status = 204, description = "not followed any more"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn unfollow(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    let (me, now) = (caller.user, state.clock.now());
    state.limits.check(&FOLLOW, me)?;
    let mut tx = state.db.begin().await?;
    relationship::lock(&mut tx, me, id).await?;
    edges::end(&mut tx, me, id, me, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
