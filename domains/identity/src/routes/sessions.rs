use axum::extract::State as Shared;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::db::{Cursor, Flag, List, PageQuery, SessionId};
use nova_domain::http::caller::EvenSuspended;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::State;
use crate::session;

/// One login on one device.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    id: SessionId,
    /// What the person calls the device; empty when they gave it no name.
    device_name: String,
    /// What the program calls itself.
    user_agent: String,
    /// Where it was last used from; forgotten after 30 days.
    ip: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// True for the session that asks.
    current: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: SessionId,
    device_name: String,
    user_agent: String,
    ip: Option<String>,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    current: Flag,
}

/// The caller's open sessions, newest first.
#[utoipa::path(
    get, path = "/auth/sessions", tag = "auth", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, description = "A page", body = List<Session>),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<Session>>, Problem> {
    caller.require_session()?;
    let (at, id) = page.before();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, device_name, user_agent, ip, created_at, last_seen_at, expires_at, CASE WHEN id = $1 THEN 1 ELSE 0 END AS current FROM \
         identity_sessions WHERE user_id = $2 AND ended_at IS NULL AND expires_at > $3 AND (created_at, id) < ($4, $5) ORDER BY created_at DESC, id DESC \
         LIMIT $6",
    )
    .bind(caller.session)
    .bind(caller.user)
    .bind(state.clock.now().0)
    .bind(at)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.created_at, row.id.to_string()),
        |row| Session {
            id: row.id,
            device_name: row.device_name,
            user_agent: row.user_agent,
            ip: row.ip,
            created_at: Timestamp(row.created_at),
            last_seen_at: Timestamp(row.last_seen_at),
            expires_at: Timestamp(row.expires_at),
            current: row.current.0,
        },
    )))
}

/// Ends one of the caller's sessions, with its sockets.
#[utoipa::path(
    delete, path = "/auth/sessions/{id}", tag = "auth", security(("bearer" = [])), params(("id" = SessionId, Path, description = "The session")),
    responses(
        (status = 204, description = "Ended"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "The caller has no such session", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
    Path(id): Path<SessionId>,
) -> Result<StatusCode, Problem> {
    caller.require_session()?;
    let mut tx = state.db.begin().await?;
    let there: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM identity_sessions WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
    )
    .bind(id)
    .bind(caller.user)
    .fetch_optional(tx.conn())
    .await?;
    if there.is_none() {
        return Err(Problem::not_found());
    }
    session::end(&state, &mut tx, caller.user, &[id], state.clock.now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends every session of the caller but this one.
#[utoipa::path(
    delete, path = "/auth/sessions", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204, description = "Ended"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end_others(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
) -> Result<StatusCode, Problem> {
    caller.require_session()?;
    let mut tx = state.db.begin().await?;
    session::end_others(&state, &mut tx, caller.user, Some(caller.session), state.clock.now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameSessionBody {
    #[schema(max_length = 100)]
    device_name: String,
}

/// Gives a session another name.
#[utoipa::path(
    patch, path = "/auth/sessions/{id}", tag = "auth", security(("bearer" = [])), params(("id" = SessionId, Path, description = "The session")),
    request_body = RenameSessionBody,
    responses(
        (status = 204, description = "Renamed"),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "The caller has no such session", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rename(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<SessionId>,
    Json(body): Json<RenameSessionBody>,
) -> Result<StatusCode, Problem> {
    caller.require_session()?;
    let mut fields = Fields::new();
    fields.text("device_name", &body.device_name, 0, 100);
    fields.done()?;
    let mut tx = state.db.begin().await?;
    let renamed = sqlx::query(
        "UPDATE identity_sessions SET device_name = $1 WHERE id = $2 AND user_id = $3 AND ended_at IS NULL",
    )
    .bind(body.device_name)
    .bind(id)
    .bind(caller.user)
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    if renamed.rows_affected() == 0 {
        return Err(Problem::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}
