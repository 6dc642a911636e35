//! POST `/moderation/reports/{id}/claim`.

use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::audit::Act;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};

use super::act;
use super::report::{self, Report, ReportId};
use crate::config::minutes;
use crate::refusals::{Conflict, Guarded, Missing};
use crate::state::State;

/// Claim a report
///
/// For moderators: nobody else decides about it for some minutes. Claiming it again makes them anew.
#[utoipa::path(
    post,
    path = "/moderation/reports/{id}/claim",
    operation_id = "claim_report",
    tag = "moderation",
    params(("id" = String, Path, format = Uuid, description = "which report")),
    responses(
        (status = 200, body = Report),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Conflict
    )
)]
pub(crate) async fn claim(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(id): Path<ReportId>,
) -> Result<Response, Problem> {
    act::moderator(&caller)?;
    let (me, now) = (caller.user, state.clock.now());
    let known = report::one(state.db.read(), id).await?.ok_or_else(Problem::not_found)?;
    if known.subject_id == Some(me) {
        return Err(Problem::forbidden("this is about you"));
    }
    let mut tx = state.db.begin().await?;
    let mine = sqlx::query(
        "UPDATE users_reports SET claimed_by = $1, claimed_until = $2, updated_at = $3 WHERE id = $4 AND status = 'open' AND (claimed_by IS NULL OR \
         claimed_by = $1 OR claimed_until <= $3)",
    )
    .bind(me)
    .bind(now.0 + minutes(state.config.claim_minutes))
    .bind(now.0)
    .bind(id)
    .execute(tx.conn())
    .await?
    .rows_affected();
    if mine == 0 {
        return Err(taken(&known.status));
    }
    let act = Act {
        actor: Some(me),
        action: "users.report.claim",
        subject: Some(id.to_string()),
        detail: "",
    };
    tx.audit(act, Some(&client), now).await?;
    let row = report::one(tx.conn(), id).await?.ok_or_else(Problem::not_found)?;
    let mut told = report::told(tx.conn(), &state.base, vec![row], now).await?;
    let report = told.pop().ok_or_else(Problem::not_found)?;
    Ok(tx.commit_as(Json(report)).await?)
}

/// Why a report cannot be had or decided.
pub(super) fn taken(status: &str) -> Problem {
    if status == "resolved" {
        Problem::conflict("it was decided already").code("resolved")
    } else {
        Problem::conflict("another moderator is at work on it").code("claimed")
    }
}
