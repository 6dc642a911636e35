//! POST `/moderation/reports/{id}/resolve`.

use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::audit::Act;
use nova_domain::events::ReportResolved;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::act::{self, Decision};
use super::claim::taken;
use super::report::{self, Outcome, Report, ReportId, word};
use super::strike::Action;
use crate::refusals::{Body, Conflict, Guarded, Missing};
use crate::state::State;

/// What is decided.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ReportResolution)]
pub(crate) struct Resolution {
    /// What is done to whoever it is about.
    action: Outcome,
    /// Days of a suspension; left out: without end.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
    /// What moderators tell each other.
    #[serde(default)]
    #[schema(max_length = 2000)]
    note: String,
    /// What the person is told; needed for a warning and a suspension.
    #[serde(default)]
    #[schema(max_length = 2000)]
    statement: String,
}

/// Decide about a report
///
/// For moderators, unless another has claimed it.
#[utoipa::path(
    post,
    path = "/moderation/reports/{id}/resolve",
    operation_id = "resolve_report",
    tag = "moderation",
    params(("id" = String, Path, format = Uuid, description = "which report")),
    request_body = Resolution,
    responses(
        (status = 200, body = Report),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Body,
        Conflict
    )
)]
pub(crate) async fn resolve(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(id): Path<ReportId>,
    Json(wanted): Json<Resolution>,
) -> Result<Response, Problem> {
    act::moderator(&caller)?;
    let (me, now) = (caller.user, state.clock.now());
    let action = match wanted.action {
        Outcome::None => None,
        Outcome::Warn => Some(Action::Warn),
        Outcome::Suspend => Some(Action::Suspend),
    };
    let mut fields = Fields::new();
    act::check(
        &mut fields,
        wanted.days,
        &wanted.statement,
        &wanted.note,
        action.is_some(),
    );
    fields.done()?;
    let known = report::one(state.db.read(), id).await?.ok_or_else(Problem::not_found)?;
    if known.subject_id == Some(me) {
        return Err(Problem::forbidden("this is about you"));
    }
    let decision = match (action, known.subject_id) {
        (None, _) => None,
        (Some(_), None) => {
            return Err(
                Problem::conflict("nobody knows whose it is; warn or suspend the account itself").code("no_subject"),
            );
        }
        (Some(action), Some(user)) => {
            act::allow(&state, &caller, user).await?;
            Some(Decision {
                user,
                action,
                days: wanted.days,
                statement: &wanted.statement,
                note: &wanted.note,
                report: Some(id),
            })
        }
    };
    let mut tx = state.db.begin().await?;
    let mine = sqlx::query(
        "UPDATE users_reports SET status = 'resolved', resolved_by = $1, resolved_at = $2, updated_at = $2, action = $3, note = $4, claimed_by = NULL, \
         claimed_until = 0 WHERE id = $5 AND status = 'open' AND (claimed_by IS NULL OR claimed_by = $1 OR claimed_until <= $2)",
    )
    .bind(me)
    .bind(now.0)
    .bind(word(wanted.action))
    .bind(&wanted.note)
    .bind(id)
    .execute(tx.conn())
    .await?
    .rows_affected();
    if mine == 0 {
        return Err(taken(&known.status));
    }
    if let Some(decision) = decision {
        act::strike(&state, &mut tx, (&caller, &client), decision, now).await?;
    }
    let log = Act {
        actor: Some(me),
        action: "users.report.resolve",
        subject: Some(id.to_string()),
        detail: &word(wanted.action),
    };
    tx.audit(log, Some(&client), now).await?;
    let event = ReportResolved {
        report: id.to_string(),
        moderator: me,
    };
    tx.emit(&event, Some(me), now).await?;
    let row = report::one(tx.conn(), id).await?.ok_or_else(Problem::not_found)?;
    let mut told = report::told(tx.conn(), &state.base, vec![row], now).await?;
    let report = told.pop().ok_or_else(Problem::not_found)?;
    Ok(tx.commit_as(Json(report)).await?)
}
