//! POST `/users/me/appeals`.

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_domain::Problem;
use nova_domain::db::Error;
use nova_domain::http::Json;
use nova_domain::http::caller::EvenSuspended;
use nova_domain::http::problem::{Details, Fields};
use serde::Deserialize;
use utoipa::ToSchema;

use super::strike::{Appeal, AppealId, AppealStatus, StrikeId};
use crate::config::days;
use crate::refusals::{Body, Conflict, Guarded, Missing};
use crate::state::{APPEAL, State};

/// Why a decision is wrong.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewAppeal {
    /// Which decision.
    #[schema(value_type = String, format = Uuid)]
    strike_id: StrikeId,
    /// Why.
    #[schema(min_length = 1, max_length = 4000)]
    text: String,
}

/// Appeal a decision
///
/// Once, within half a year, by suspended people as well. Another look is taken, and it is answered.
#[utoipa::path(
    post,
    path = "/users/me/appeals",
    operation_id = "create_appeal",
    tag = "moderation",
    request_body = NewAppeal,
    responses(
        (status = 201, body = Appeal),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Body,
        Missing,
        Conflict
    )
)]
pub(crate) async fn appeal(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
    Json(new): Json<NewAppeal>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    let (me, now) = (caller.user, state.clock.now());
    let mut fields = Fields::new();
    fields.text("text", new.text.trim(), 1, 4000);
    fields.done()?;
    state.limits.check(&APPEAL, me)?;
    let strike: Option<(i64, Option<i64>)> =
        sqlx::query_as("SELECT created_at, lifted_at FROM users_strikes WHERE id = $1 AND user_id = $2")
            .bind(new.strike_id)
            .bind(me)
            .fetch_optional(state.db.read())
            .await?;
    let (created_at, lifted_at) = strike.ok_or_else(Problem::not_found)?;
    if lifted_at.is_some() {
        return Err(Problem::conflict("it was taken back already").code("lifted"));
    }
    if created_at + days(state.config.appeal_days) < now.0 {
        return Err(Problem::conflict("the time to appeal is over").code("too_late"));
    }
    let appeal = Appeal {
        id: AppealId::new(now),
        strike_id: new.strike_id,
        text: new.text.trim().to_owned(),
        status: AppealStatus::Open,
        answer: String::new(),
        created_at: now,
        decided_at: None,
    };
    let mut tx = state.db.begin().await?;
    sqlx::query("INSERT INTO users_appeals (id, strike_id, user_id, text, status, created_at) VALUES ($1, $2, $3, $4, 'open', $5)")
        .bind(appeal.id)
        .bind(appeal.strike_id)
        .bind(me)
        .bind(&appeal.text)
        .bind(now.0)
        .execute(tx.conn())
        .await
        .map_err(|error| match Error::from(error) {
            taken if taken.is_taken("users_appeals", "strike_id") => {
                Problem::conflict("it was appealed already").code("appealed")
            }
            other => other.into(),
        })?;
    Ok(tx.commit_as((StatusCode::CREATED, Json(appeal))).await?)
}
