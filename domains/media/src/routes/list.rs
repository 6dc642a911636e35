use axum::extract::State as Shared;
use nova_domain::db::{Cursor, List, PageQuery};
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Query};
use nova_domain::policy::not_hidden;
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use super::owner_of;
use super::shown::{self, Shown, Status};
use crate::domain::State;
use crate::stream::{COLUMNS, Row};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Those that stand so; `live` includes those whose publisher is expected back.
    status: Option<Status>,
    /// Those of one person, by id; `me` is the caller.
    #[param(
        max_length = 36,
        pattern = "^(me|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$"
    )]
    owner: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    row: Row,
    sorted_at: i64,
}

/// Public streams, and the caller's own, the newest first; those on air by when they went on air. On a server with open publishing what
/// is on air and nobody owns stands on the first page.
#[utoipa::path(
    get, path = "/streams", tag = "streams", params(Filter, PageQuery),
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
    let on_air = "EXISTS (SELECT 1 FROM media_broadcasts b WHERE b.stream_id = s.id AND b.ended_at IS NULL)";
    let (sorted, from, wanted) = match filter.status {
        Some(Status::Live | Status::Reconnecting | Status::Starting) => (
            "b.started_at",
            "media_streams s JOIN media_broadcasts b ON b.stream_id = s.id AND b.ended_at IS NULL",
            String::new(),
        ),
        Some(_) => ("s.created_at", "media_streams s", format!(" AND NOT {on_air}")),
        None => ("s.created_at", "media_streams s", String::new()),
    };
    let sql = format!(
        "SELECT {COLUMNS}, {sorted} AS sorted_at FROM {from} WHERE (s.visibility = 'public' OR s.owner_user_id = $1) AND ($2 = '' OR s.owner_user_id = $2) \
         AND ({sorted}, s.id) < ($3, $4) AND {}{wanted} ORDER BY {sorted} DESC, s.id DESC LIMIT $5",
        not_hidden("s.owner_user_id", "$1")
    );
    let (at, id) = page.before();
    let rows: Vec<Listed> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(
            caller
                .as_ref()
                .map(|caller| caller.user.to_string())
                .unwrap_or_default(),
        )
        .bind(owner.map(|owner| owner.to_string()).unwrap_or_default())
        .bind(at)
        .bind(id)
        .bind(page.fetch())
        .fetch_all(state.db.read())
        .await?;
    let rows = page.list(rows, |row| Cursor(row.sorted_at, row.row.id.to_string()), |row| row.row);
    let mut items = Vec::with_capacity(rows.items.len());
    let first = at == i64::MAX;
    if first && owner.is_none() {
        let mut open: Vec<Shown> = state
            .live
            .hub
            .list()
            .iter()
            .filter_map(|broadcast| shown::open(&state, broadcast))
            .collect();
        open.retain(|stream| match filter.status {
            None => true,
            // A broadcaster's blip does not take a stream off the list.
            Some(Status::Live) => matches!(stream.status, Status::Live | Status::Reconnecting),
            Some(status) => stream.status == status,
        });
        open.sort_by(|a, b| a.name.cmp(&b.name));
        open.truncate(100);
        items.extend(open);
    }
    for row in rows.items {
        items.push(shown::owned(&state, row, caller.as_ref()).await?);
    }
    Ok(Json(List {
        items,
        next_cursor: rows.next_cursor,
    }))
}
