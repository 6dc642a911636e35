use axum::extract::State as Shared;
use nova_domain::db::{Cursor, Error, List, PageQuery};
use nova_domain::http::Json;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem, Role};

use super::{COLUMNS, Row, Shown};
use crate::domain::State;

/// What the CDN had to forget in the last 30 days, and what waits, the newest first. For admins.
#[utoipa::path(
    get, path = "/cdn/invalidations", tag = "videos", operation_id = "list_cdn_invalidations", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, description = "A page", body = List<Shown>),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "Not an admin, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<Shown>>, Problem> {
    caller.require(Role::Admin)?;
    let (at, id) = page.before();
    let sql = format!(
        "SELECT {COLUMNS} WHERE (i.created_at, i.id) < ($1, $2) ORDER BY i.created_at DESC, i.id DESC LIMIT $3"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(at)
        .bind(id)
        .bind(page.fetch())
        .fetch_all(state.db.read())
        .await
        .map_err(Error::from)?;
    let key = |row: &Row| Cursor(row.created_at, row.id.to_string());
    Ok(Json(page.list(rows, key, Shown::from)))
}
