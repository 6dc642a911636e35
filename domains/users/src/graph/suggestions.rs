//! GET `/users/suggestions`: people who are followed by those the caller follows.

use axum::extract::State as Shared;
use nova_domain::accounts::Card;
use nova_domain::db::List;
use nova_domain::http::problem::Details;
use nova_domain::http::{self, Json};
use nova_domain::{Caller, Problem, policy};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};

use crate::card::{self, CardRow};
use crate::refusals::{Guarded, Query};
use crate::state::{LIST, State};

/// Newest follows of the caller that are looked at.
const NEAR: u32 = 200;
/// Follows of those that are looked at: the bound of the work, whoever asks.
const FAR: u32 = 20_000;
/// Best candidates that the finer rules are applied to.
const CANDIDATES: u32 = 300;

/// Somebody the caller may want to follow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserSuggestion)]
pub(crate) struct Suggestion {
    /// Who.
    user: Card,
    /// How many of those the caller follows follow them.
    #[schema(minimum = 1)]
    shared: i64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// How many, 1 to 50.
    #[param(minimum = 1, maximum = 50, default = 20)]
    limit: Option<u32>,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    card: CardRow,
    shared: i64,
}

/// Whom to follow
///
/// Those whom most of the people the caller follows follow too. Nobody who is followed, asked, muted or blocked already, and nobody who does
/// not want to be discovered.
#[utoipa::path(
    get,
    path = "/users/suggestions",
    operation_id = "suggest_users",
    tag = "relationships",
    params(Wanted),
    responses(
        (status = 200, body = List<Suggestion>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Query
    )
)]
pub(crate) async fn suggestions(
    Shared(state): Shared<State>,
    caller: Caller,
    http::Query(wanted): http::Query<Wanted>,
) -> Result<Json<List<Suggestion>>, Problem> {
    state.limits.check(&LIST, caller.user)?;
    let limit = wanted.limit.unwrap_or(20);
    if !(1..=50).contains(&limit) {
        return Err(Problem::invalid("limit is a number from 1 to 50").field("limit", "must be 1 to 50"));
    }
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql()))
        .bind(caller.user)
        .bind(i64::from(limit))
        .fetch_all(state.db.read())
        .await?;
    let items = rows
        .into_iter()
        .map(|row| Suggestion {
            user: row.card.card(&state.base),
            shared: row.shared,
        })
        .collect();
    Ok(Json(List {
        items,
        next_cursor: None,
    }))
}

/// The two hops, both bounded, both answered by the index `users_follows_following` alone.
fn sql() -> String {
    format!(
        "SELECT {}, c.shared FROM (SELECT t.followee_id, COUNT(*) AS shared FROM (SELECT far.followee_id FROM (SELECT followee_id FROM users_follows \
         WHERE follower_id = $1 ORDER BY created_at DESC LIMIT {NEAR}) near JOIN users_follows far ON far.follower_id = near.followee_id LIMIT {FAR}) t \
         WHERE t.followee_id <> $1 AND NOT EXISTS (SELECT 1 FROM users_follows f WHERE f.follower_id = $1 AND f.followee_id = t.followee_id) GROUP BY \
         t.followee_id ORDER BY shared DESC, t.followee_id LIMIT {CANDIDATES}) c JOIN users_profiles p ON p.user_id = c.followee_id WHERE \
         p.discoverable = 1 AND NOT EXISTS (SELECT 1 FROM users_follow_requests r WHERE r.follower_id = $1 AND r.followee_id = p.user_id) AND NOT \
         EXISTS (SELECT 1 FROM users_mutes m WHERE m.muter_id = $1 AND m.muted_id = p.user_id) AND {} ORDER BY c.shared DESC, p.user_id LIMIT $2",
        card::COLUMNS,
        policy::not_hidden("p.user_id", "$1")
    )
}
