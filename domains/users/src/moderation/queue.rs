//! GET `/moderation/reports`.

use axum::extract::State as Shared;
use nova_domain::db::{Cursor, List, PageQuery};
use nova_domain::http::problem::Details;
use nova_domain::http::{self, Json};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use super::act;
use super::report::{self, COLUMNS, Report, ReportStatus, word};
use crate::refusals::{Guarded, Query};
use crate::state::State;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// `open` when it is left out.
    #[param(inline)]
    status: Option<ReportStatus>,
}

/// Reports
///
/// For moderators, the oldest first. What is reported about oneself is not listed.
#[utoipa::path(
    get,
    path = "/moderation/reports",
    operation_id = "list_reports",
    tag = "moderation",
    params(Wanted, PageQuery),
    responses(
        (status = 200, body = List<Report>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Query
    )
)]
pub(crate) async fn queue(
    Shared(state): Shared<State>,
    caller: Caller,
    http::Query(wanted): http::Query<Wanted>,
    page: PageQuery,
) -> Result<Json<List<Report>>, Problem> {
    act::moderator(&caller)?;
    let (at, id) = page.after();
    let rows: Vec<report::Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM users_reports r WHERE r.status = $1 AND (r.created_at, r.id) > ($2, $3) AND (r.subject_id IS NULL OR r.subject_id <> $4) \
         ORDER BY r.created_at, r.id LIMIT $5"
    )))
    .bind(word(wanted.status.unwrap_or_default()))
    .bind(at)
    .bind(id)
    .bind(caller.user)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    let list = page.list(rows, |row| Cursor(row.created_at, row.id.to_string()), |row| row);
    Ok(Json(List {
        items: report::told(state.db.read(), &state.base, list.items, state.clock.now()).await?,
        next_cursor: list.next_cursor,
    }))
}
