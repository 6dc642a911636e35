use axum::extract::State as Shared;
use nova_domain::db::{Cursor, List, PageQuery, UserId};
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Query};
use nova_domain::policy::not_hidden;
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use super::shown::{self, Shown};
use crate::domain::State;
use crate::routes::owner_of;
use crate::video::{COLUMNS, Row};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Those of one person, by id; `me` is the caller.
    #[param(
        max_length = 36,
        pattern = "^(me|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$"
    )]
    pub(super) owner: Option<String>,
}

/// Public videos that can be watched, and all of the caller's own, the newest first.
#[utoipa::path(
    get, path = "/videos", tag = "videos", operation_id = "list_videos", params(Filter, PageQuery),
    responses(
        (status = 200, description = "A page", body = List<Shown>),
        (status = 401, description = "The token is not good", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Query(filter): Query<Filter>,
    page: PageQuery,
) -> Result<Json<List<Shown>>, Problem> {
    let owner = owner_of(filter.owner.as_deref(), caller.as_ref())?;
    let which = "v.owner_user_id = $1 OR v.visibility = 'public' AND v.status IN ('live', 'ready')";
    page_of(&state, caller.as_ref(), owner, which, page).await
}

/// A page of those for which `which` holds, the caller being `$1`.
pub(super) async fn page_of(
    state: &State,
    caller: Option<&Caller>,
    owner: Option<UserId>,
    which: &str,
    page: PageQuery,
) -> Result<Json<List<Shown>>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM media_videos v WHERE ({which}) AND ($2 = '' OR v.owner_user_id = $2) AND (v.created_at, v.id) < ($3, $4) AND {} ORDER BY v.created_at DESC, v.id DESC LIMIT $5",
        not_hidden("v.owner_user_id", "$1")
    );
    let (at, id) = page.before();
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(caller.map(|caller| caller.user.to_string()).unwrap_or_default())
        .bind(owner.map(|owner| owner.to_string()).unwrap_or_default())
        .bind(at)
        .bind(id)
        .bind(page.fetch())
        .fetch_all(state.db.read())
        .await?;
    let rows = page.list(rows, |row| Cursor(row.created_at, row.id.to_string()), |row| row);
    let mut items = Vec::with_capacity(rows.items.len());
    for row in rows.items {
        items.push(shown::shown(state, row, caller).await?);
    }
    Ok(Json(List {
        items,
        next_cursor: rows.next_cursor,
    }))
}
