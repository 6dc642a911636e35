//! Pages of people on one side of an edge, the newest first.

use nova_domain::accounts::Card;
use nova_domain::db::{Cursor, Db, Error, List, PageQuery, UserId};
use nova_domain::policy;
use nova_domain::{Caller, Problem};
use sqlx::FromRow;

use crate::card::{self, CardRow};
use crate::profile::{self, Privacy};
use crate::relationship;
use crate::state::{LIST, State};

/// Which edges, and which of their ends.
pub(super) struct Edges {
    /// The table.
    pub(super) table: &'static str,
    /// The end that is asked about.
    pub(super) of: &'static str,
    /// The end that is listed.
    pub(super) listed: &'static str,
    /// People who do not want to meet the viewer are left out; a list of blocked people is one of just these.
    pub(super) hides: bool,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    card: CardRow,
    at: i64,
}

/// A page of `edges` of `user`, for `viewer`: an id, or an empty text for a guest.
pub(super) async fn page(
    db: &Db,
    base: &card::Base,
    viewer: &str,
    user: UserId,
    edges: &Edges,
    page: &PageQuery,
) -> Result<List<Card>, Error> {
    let Edges {
        table,
        of,
        listed,
        hides,
        ..
    } = edges;
    let hidden = if *hides {
        policy::not_hidden(&format!("e.{listed}"), "$1")
    } else {
        // The viewer is bound all the same; PostgreSQL wants to know as what.
        "CAST($1 AS TEXT) IS NOT NULL".into()
    };
    let sql = format!(
        "SELECT {}, e.created_at AS at FROM {table} e JOIN users_profiles p ON p.user_id = e.{listed} WHERE e.{of} = $2 AND (e.created_at, e.{listed}) \
         < ($3, $4) AND {hidden} ORDER BY e.created_at DESC, e.{listed} DESC LIMIT $5",
        card::COLUMNS
    );
    let (at, id) = page.before();
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(viewer)
        .bind(user)
        .bind(at)
        .bind(id)
        .bind(page.fetch())
        .fetch_all(db.read())
        .await?;
    Ok(page.list(
        rows,
        |row| Cursor(row.at, row.card.user_id.to_string()),
        |row| row.card.card(base),
    ))
}

/// Says who looks, when they may see the lists of `user`: 404 when they do not meet, 403 when the lists are for followers.
pub(super) async fn may_see(state: &State, caller: Option<Caller>, user: UserId) -> Result<Option<UserId>, Problem> {
    let viewer = caller.map(|caller| caller.user);
    if let Some(viewer) = viewer {
        state.limits.check(&LIST, viewer)?;
    }
    let other = relationship::meet(&state.db, &profile::viewer(viewer), user)
        .await?
        .ok_or_else(Problem::not_found)?;
    if Privacy::parse(&other.privacy).hides() && !other.follows && viewer != Some(user) {
        return Err(Problem::forbidden("only followers see this"));
    }
    Ok(viewer)
}
