//! GET `/moderation/appeals`.

use axum::extract::State as Shared;
use nova_core::clock::Timestamp;
use nova_domain::accounts::Card;
use nova_domain::db::{Cursor, List, PageQuery, UserId};
use nova_domain::http::problem::Details;
use nova_domain::http::{self, Json};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};

use super::act;
use super::strike::{Appeal, AppealId, AppealStatus, StrikeId};
use crate::card;
use crate::refusals::{Guarded, Query};
use crate::state::State;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// `open` when it is left out.
    #[param(inline)]
    status: Option<AppealStatus>,
}

/// An appeal, and who makes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingAppeal)]
pub(crate) struct Pending {
    /// What they say.
    appeal: Appeal,
    /// Who.
    user: Option<Card>,
    /// Who decided about it.
    decided_by: Option<UserId>,
}

#[derive(FromRow)]
struct Row {
    id: AppealId,
    strike_id: StrikeId,
    user_id: UserId,
    text: String,
    status: String,
    answer: String,
    created_at: i64,
    decided_by: Option<UserId>,
    decided_at: Option<i64>,
}

/// Appeals
///
/// For moderators, the oldest first.
#[utoipa::path(
    get,
    path = "/moderation/appeals",
    operation_id = "list_appeals",
    tag = "moderation",
    params(Wanted, PageQuery),
    responses(
        (status = 200, body = List<Pending>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Query
    )
)]
pub(crate) async fn appeals(
    Shared(state): Shared<State>,
    caller: Caller,
    http::Query(wanted): http::Query<Wanted>,
    page: PageQuery,
) -> Result<Json<List<Pending>>, Problem> {
    act::moderator(&caller)?;
    let (at, id) = page.after();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, strike_id, user_id, text, status, answer, created_at, decided_by, decided_at FROM users_appeals WHERE status = $1 AND (created_at, id) \
         > ($2, $3) ORDER BY created_at, id LIMIT $4",
    )
    .bind(wanted.status.unwrap_or_default().as_str())
    .bind(at)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    let cards = card::many(
        state.db.read(),
        &state.base,
        rows.iter().map(|row| row.user_id).collect(),
    )
    .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.created_at, row.id.to_string()),
        |row| Pending {
            user: cards.get(&row.user_id).cloned(),
            decided_by: row.decided_by,
            appeal: Appeal {
                id: row.id,
                strike_id: row.strike_id,
                text: row.text,
                status: AppealStatus::parse(&row.status),
                answer: row.answer,
                created_at: Timestamp(row.created_at),
                decided_at: row.decided_at.map(Timestamp),
            },
        },
    )))
}
