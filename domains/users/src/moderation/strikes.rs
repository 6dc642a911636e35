//! GET `/users/me/strikes`.

use axum::extract::State as Shared;
use nova_domain::db::{Cursor, List, PageQuery};
use nova_domain::http::Json;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use super::strike::{self, Strike};
use crate::refusals::{Guarded, Query};
use crate::state::State;

/// What was decided about me
///
/// The newest first, each with its reasons, and with what became of an appeal.
#[utoipa::path(
    get,
    path = "/users/me/strikes",
    operation_id = "list_my_strikes",
    tag = "moderation",
    params(PageQuery),
    responses(
        (status = 200, body = List<Strike>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Query
    )
)]
pub(crate) async fn strikes(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<Strike>>, Problem> {
    let (at, id) = page.before();
    let rows: Vec<strike::Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "{} WHERE s.user_id = $1 AND (s.created_at, s.id) < ($2, $3) ORDER BY s.created_at DESC, s.id DESC LIMIT $4",
        strike::SELECT
    )))
    .bind(caller.user)
    .bind(at)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.created_at, row.id.to_string()),
        Strike::from,
    )))
}
