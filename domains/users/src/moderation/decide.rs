//! POST `/moderation/appeals/{id}/decide`.

use axum::extract::State as Shared;
use axum::response::Response;
use nova_core::clock::Timestamp;
use nova_domain::audit::Act;
use nova_domain::db::{Tx, UserId};
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::act;
use super::strike::{AppealId, AppealStatus, Decided, StrikeId};
use crate::refusals::{Body, Conflict, Guarded, Missing};
use crate::state::State;

/// What becomes of an appeal.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AppealRuling)]
pub(crate) struct Ruling {
    /// True: the decision is taken back.
    grant: bool,
    /// What the person is answered.
    #[schema(min_length = 1, max_length = 2000)]
    answer: String,
}

/// Decide about an appeal
///
/// For moderators. A suspension that is taken back ends at once, unless another one goes on.
#[utoipa::path(
    post,
    path = "/moderation/appeals/{id}/decide",
    operation_id = "decide_appeal",
    tag = "moderation",
    params(("id" = String, Path, format = Uuid, description = "which appeal")),
    request_body = Ruling,
    responses(
        (status = 200, body = Decided),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Body,
        Conflict
    )
)]
pub(crate) async fn decide(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(id): Path<AppealId>,
    Json(ruling): Json<Ruling>,
) -> Result<Response, Problem> {
    act::moderator(&caller)?;
    let now = state.clock.now();
    let mut fields = Fields::new();
    fields.text("answer", ruling.answer.trim(), 1, 2000);
    fields.done()?;
    let known: Option<(StrikeId, UserId)> =
        sqlx::query_as("SELECT strike_id, user_id FROM users_appeals WHERE id = $1")
            .bind(id)
            .fetch_optional(state.db.read())
            .await?;
    let (strike, user) = known.ok_or_else(Problem::not_found)?;
    act::allow(&state, &caller, user).await?;
    let status = if ruling.grant {
        AppealStatus::Granted
    } else {
        AppealStatus::Refused
    };
    let mut tx = state.db.begin().await?;
    let mine = sqlx::query(
        "UPDATE users_appeals SET status = $1, answer = $2, decided_by = $3, decided_at = $4 WHERE id = $5 AND status = 'open'",
    )
    .bind(status.as_str())
    .bind(ruling.answer.trim())
    .bind(caller.user)
    .bind(now.0)
    .bind(id)
    .execute(tx.conn())
    .await?
    .rows_affected();
    if mine == 0 {
        return Err(Problem::conflict("it was decided already").code("resolved"));
    }
    let log = Act {
        actor: Some(caller.user),
        action: "users.appeal.decide",
        subject: Some(id.to_string()),
        detail: status.as_str(),
    };
    tx.audit(log, Some(&client), now).await?;
    if ruling.grant {
        lift(&state, &mut tx, (&caller, &client), (strike, user), now).await?;
    }
    let decided = act::decided(&mut tx, strike).await?;
    Ok(tx.commit_as(Json(decided)).await?)
}

/// Takes a decision back.
async fn lift(
    state: &State,
    tx: &mut Tx,
    by: (&Caller, &Client),
    (strike, user): (StrikeId, UserId),
    now: Timestamp,
) -> Result<(), Problem> {
    let lifted: Option<(Option<i64>,)> = sqlx::query_as(
        "UPDATE users_strikes SET lifted_at = $1 WHERE id = $2 AND lifted_at IS NULL RETURNING suspended_until",
    )
    .bind(now.0)
    .bind(strike)
    .fetch_optional(tx.conn())
    .await?;
    let Some((suspended_until,)) = lifted else {
        return Ok(());
    };
    if suspended_until.is_none_or(|until| until <= now.0) {
        return act::say(tx, by, user, "lift", now).await;
    }
    // Another suspension may still run.
    let (other,): (Option<i64>,) = sqlx::query_as(
        "SELECT MAX(suspended_until) FROM users_strikes WHERE user_id = $1 AND lifted_at IS NULL AND suspended_until > $2",
    )
    .bind(user)
    .bind(now.0)
    .fetch_one(tx.conn())
    .await?;
    state.accounts.suspend(tx, user, other.map(Timestamp), now).await?;
    act::say(tx, by, user, if other.is_some() { "lift" } else { "unsuspend" }, now).await
}
