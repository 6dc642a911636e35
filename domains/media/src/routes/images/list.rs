use axum::extract::State as Shared;
use nova_domain::db::{Cursor, List, PageQuery};
use nova_domain::http::Json;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use super::shown::{self, Shown};
use crate::domain::State;
use crate::image::{COLUMNS, Row};

/// The caller's own pictures, the newest first.
#[utoipa::path(
    get, path = "/images", tag = "images", operation_id = "list_images", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, description = "A page", body = List<Shown>),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<Shown>>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM media_images i WHERE i.owner_user_id = $1 AND i.ready = 1 AND (i.created_at, i.id) < ($2, $3) ORDER BY i.created_at DESC, \
         i.id DESC LIMIT $4"
    );
    let (at, id) = page.before();
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(caller.user)
        .bind(at)
        .bind(id)
        .bind(page.fetch())
        .fetch_all(state.db.read())
        .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.created_at, row.id.to_string()),
        |row| shown::shown(&state, &row, Some(&caller)),
    )))
}
