//! POST `/reports`.

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::db::UserId;
use nova_domain::events::ReportCreated;
use nova_domain::http::Json;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::reports::Exhibit;
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::report::{Reason, ReportId, ReportStatus, TargetType, word};
use crate::profile;
use crate::refusals::{Body, Guarded, Missing};
use crate::state::{REPORT, State};

/// Longest evidence that is kept, in characters.
const LONGEST_EVIDENCE: usize = 20_000;

/// What is wrong with what.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewReport {
    /// What kind of thing it is.
    target_type: TargetType,
    /// Which one.
    #[schema(min_length = 1, max_length = 64)]
    target_id: String,
    /// What is wrong with it.
    reason: Reason,
    /// In one's own words.
    #[serde(default)]
    #[schema(max_length = 2000)]
    detail: String,
}

/// What whoever reported something is told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportReceipt)]
pub(crate) struct Receipt {
    /// Which report.
    #[schema(value_type = String, format = Uuid)]
    id: ReportId,
    /// Where it stands.
    status: ReportStatus,
    /// When it was reported first.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Report something
///
/// Keeps how it looks now, for it may be changed or deleted. The same thing reported again by the same person, before anybody has decided,
/// is the same report. Who is blocked can report and be reported.
#[utoipa::path(
    post,
    path = "/reports",
    operation_id = "create_report",
    tag = "moderation",
    request_body = NewReport,
    responses(
        (status = 201, body = Receipt, description = "reported"),
        (status = 200, body = Receipt, description = "reported before"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Body,
        Missing
    )
)]
pub(crate) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(new): Json<NewReport>,
) -> Result<Response, Problem> {
    let (me, now) = (caller.user, state.clock.now());
    let mut fields = Fields::new();
    fields.text("target_id", &new.target_id, 1, 64);
    fields.text("detail", &new.detail, 0, 2000);
    fields.done()?;
    state.limits.check(&REPORT, me)?;
    let exhibit = exhibit(&state, me, &new).await?;
    if exhibit.owner == Some(me) {
        return Err(Problem::invalid("nobody reports themselves"));
    }
    let mut tx = state.db.begin().await?;
    let (id, times, created_at): (ReportId, i64, i64) = sqlx::query_as(
        "INSERT INTO users_reports (id, reporter_id, target_type, target_id, subject_id, reason, detail, evidence, status, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'open', $9, $9) ON CONFLICT (reporter_id, target_type, target_id) WHERE status = 'open' DO UPDATE SET \
         times = users_reports.times + 1, updated_at = excluded.updated_at, reason = excluded.reason, detail = CASE WHEN excluded.detail = '' THEN \
         users_reports.detail ELSE excluded.detail END RETURNING id, times, created_at",
    )
    .bind(ReportId::new(now))
    .bind(me)
    .bind(word(new.target_type))
    .bind(&new.target_id)
    .bind(exhibit.owner)
    .bind(word(new.reason))
    .bind(new.detail.trim())
    .bind(exhibit.text.chars().take(LONGEST_EVIDENCE).collect::<String>())
    .bind(now.0)
    .fetch_one(tx.conn())
    .await?;
    if times == 1 {
        let event = ReportCreated { report: id.to_string() };
        tx.emit(&event, Some(me), now).await?;
    }
    let status = if times == 1 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let receipt = Receipt {
        id,
        status: ReportStatus::Open,
        created_at: Timestamp(created_at),
    };
    Ok(tx.commit_as((status, Json(receipt))).await?)
}

/// How the thing looks now, and whose it is. 404 when there is no such thing; nothing when no domain of this server keeps such things.
async fn exhibit(state: &State, me: UserId, new: &NewReport) -> Result<Exhibit, Problem> {
    if new.target_type == TargetType::User {
        let user: UserId = new.target_id.parse().map_err(|_bad| Problem::not_found())?;
        // As they show themselves to themselves: a block, or a profile for followers only, is no hiding place.
        let profile = profile::one(&state.db, &state.base, Some(user), user)
            .await?
            .ok_or_else(Problem::not_found)?;
        let text = json!({
            "username": profile.username, "display_name": profile.display_name, "avatar_url": profile.avatar_url, "bio": profile.bio,
            "location": profile.location, "pronouns": profile.pronouns, "links": profile.links,
        });
        return Ok(Exhibit {
            owner: Some(user),
            text: text.to_string(),
        });
    }
    let kind = word(new.target_type);
    for reportable in state.reportables.iter() {
        if reportable.kinds().contains(&kind.as_str()) {
            let exhibit = reportable.exhibit(me, &kind, &new.target_id).await?;
            return exhibit.ok_or_else(Problem::not_found);
        }
    }
    Ok(Exhibit {
        owner: None,
        text: String::new(),
    })
}
