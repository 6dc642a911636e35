//! GET `/moderation/users/{id}/strikes`.

use axum::extract::State as Shared;
use nova_domain::db::{Cursor, List, PageQuery, UserId};
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use super::act;
use super::strike::{self, Decided};
use crate::refusals::{Guarded, Missing, Query};
use crate::state::State;

/// What was decided about somebody
///
/// For moderators, the newest first.
#[utoipa::path(
    get,
    path = "/moderation/users/{id}/strikes",
    operation_id = "list_strikes",
    tag = "moderation",
    params(("id" = UserId, Path, description = "whose"), PageQuery),
    responses(
        (status = 200, body = List<Decided>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Query
    )
)]
pub(crate) async fn record(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(user): Path<UserId>,
    page: PageQuery,
) -> Result<Json<List<Decided>>, Problem> {
    act::moderator(&caller)?;
    let (at, id) = page.before();
    let rows: Vec<strike::Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "{} WHERE s.user_id = $1 AND (s.created_at, s.id) < ($2, $3) ORDER BY s.created_at DESC, s.id DESC LIMIT $4",
        strike::SELECT
    )))
    .bind(user)
    .bind(at)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.created_at, row.id.to_string()),
        Decided::from,
    )))
}
