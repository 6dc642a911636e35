//! A person as others see them beside what they did: three columns of the profile.

use std::collections::HashMap;

use nova_domain::accounts::Card;
use nova_domain::db::{Db, Error, Executor, UserId};
use sqlx::FromRow;

/// The columns of a [`CardRow`], of a profile called `p`.
pub(crate) const COLUMNS: &str = "p.user_id, p.username, p.display_name, p.avatar_url";

/// What stands before the paths of pictures: this server's address.
#[derive(Clone, Debug)]
pub(crate) struct Base(std::sync::Arc<str>);

impl Base {
    pub(crate) fn new(public_url: &str) -> Self {
        Self(public_url.into())
    }

    /// The address of a picture that is kept as a path.
    pub(crate) fn url(&self, path: Option<String>) -> Option<String> {
        path.map(|path| format!("{}{path}", self.0))
    }
}

/// A card as it is read.
#[derive(FromRow)]
pub(crate) struct CardRow {
    pub(crate) user_id: UserId,
    username: String,
    display_name: String,
    avatar_url: Option<String>,
}

impl CardRow {
    pub(crate) fn card(self, base: &Base) -> Card {
        Card {
            id: self.user_id,
            display_name: shown(&self.username, self.display_name),
            username: self.username,
            avatar_url: base.url(self.avatar_url),
        }
    }
}

/// The name to show: the username of who chose no other.
pub(crate) fn shown(username: &str, display_name: String) -> String {
    if display_name.is_empty() {
        username.to_owned()
    } else {
        display_name
    }
}

/// The card of `user`.
pub(crate) async fn of(db: &Db, base: &Base, user: UserId) -> Result<Option<Card>, Error> {
    let row: Option<CardRow> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM users_profiles p WHERE p.user_id = $1"
    )))
    .bind(user)
    .fetch_optional(db.read())
    .await?;
    Ok(row.map(|row| row.card(base)))
}

/// The cards of `users`; who is gone is left out.
pub(crate) async fn many(
    on: impl Executor<'_>,
    base: &Base,
    mut users: Vec<UserId>,
) -> Result<HashMap<UserId, Card>, Error> {
    users.sort();
    users.dedup();
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<String> = (1..=users.len()).map(|n| format!("${n}")).collect();
    let mut query = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM users_profiles p WHERE p.user_id IN ({})",
        places.join(", ")
    )));
    for user in users {
        query = query.bind(user);
    }
    let rows: Vec<CardRow> = query.fetch_all(on).await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.card(base))).collect())
}
