//! How many follow somebody and how many they follow, exact at every moment and without a row that everybody waits for.
//!
//! A follow adds two small rows; whoever reads adds what is there. A task folds them into one row a person, some seconds later and in
//! whichever process comes first: rows are taken by deleting them, so none is counted twice.

use std::collections::BTreeMap;
use std::time::Duration;

use nova_core::clock::Timestamp;
use nova_domain::db::{Db, Error, Id, Tx, UserId};
use tokio_util::sync::CancellationToken;

/// Rows folded in one transaction, so that other writers get their turn on SQLite.
const BATCH: i64 = 500;
/// How often the task looks.
const EVERY: Duration = Duration::from_secs(5);

/// One change of two counts: the marker of its id.
enum Delta {}

/// The columns `followers_count` and `following_count` of a profile called `p`.
pub(crate) fn columns() -> String {
    ["followers", "following"]
        .map(|what| {
            format!(
                "CAST(COALESCE((SELECT c.{what} FROM users_counts c WHERE c.user_id = p.user_id), 0) + COALESCE((SELECT SUM(d.{what}) FROM \
                 users_count_deltas d WHERE d.user_id = p.user_id), 0) AS BIGINT) AS {what}_count"
            )
        })
        .join(", ")
}

/// Counts one follow more (`1`) or less (`-1`).
pub(crate) async fn note(
    tx: &mut Tx,
    follower: UserId,
    followee: UserId,
    by: i64,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO users_count_deltas (id, user_id, followers, following) VALUES ($1, $2, 0, $5), ($3, $4, $5, 0)",
    )
    .bind(Id::<Delta>::new(now))
    .bind(follower)
    .bind(Id::<Delta>::new(now))
    .bind(followee)
    .bind(by)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes somebody who goes out of the counts of all they follow and are followed by.
pub(crate) async fn forget(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), Error> {
    for (mine, theirs, followers, following) in [
        ("follower_id", "followee_id", -1_i64, 0_i64),
        ("followee_id", "follower_id", 0, -1),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "INSERT INTO users_count_deltas (id, user_id, followers, following) SELECT $1 || f.{theirs}, f.{theirs}, {followers}, {following} FROM \
             users_follows f WHERE f.{mine} = $2"
        )))
        .bind(Id::<Delta>::new(now))
        .bind(user)
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// How many `user` follows.
pub(crate) async fn following(tx: &mut Tx, user: UserId) -> Result<i64, Error> {
    Ok(sqlx::query_scalar(
        "SELECT CAST(COALESCE((SELECT c.following FROM users_counts c WHERE c.user_id = $1), 0) + COALESCE((SELECT SUM(d.following) FROM \
         users_count_deltas d WHERE d.user_id = $1), 0) AS BIGINT)",
    )
    .bind(user)
    .fetch_one(tx.conn())
    .await?)
}

/// Folds one batch; true when there may be more.
pub(crate) async fn fold(db: &Db) -> Result<bool, Error> {
    let waiting: Option<String> = sqlx::query_scalar("SELECT id FROM users_count_deltas LIMIT 1")
        .fetch_optional(db.read())
        .await?;
    if waiting.is_none() {
        return Ok(false);
    }
    let mut tx = db.begin().await?;
    let rows: Vec<(UserId, i64, i64)> = sqlx::query_as(
        "DELETE FROM users_count_deltas WHERE id IN (SELECT id FROM users_count_deltas ORDER BY id LIMIT $1) RETURNING user_id, followers, following",
    )
    .bind(BATCH)
    .fetch_all(tx.conn())
    .await?;
    // In the order of ids, as every process does it: two that fold at once wait for each other and never in a circle.
    let mut sums: BTreeMap<UserId, (i64, i64)> = BTreeMap::new();
    for (user, followers, following) in &rows {
        let sum = sums.entry(*user).or_default();
        sum.0 += followers;
        sum.1 += following;
    }
    for (user, (followers, following)) in sums {
        sqlx::query(
            "INSERT INTO users_counts (user_id, followers, following) VALUES ($1, $2, $3) ON CONFLICT (user_id) DO UPDATE SET followers = \
             users_counts.followers + excluded.followers, following = users_counts.following + excluded.following",
        )
        .bind(user)
        .bind(followers)
        .bind(following)
        .execute(tx.conn())
        .await?;
    }
    tx.commit().await?;
    Ok(i64::try_from(rows.len()).unwrap_or(i64::MAX) == BATCH)
}

/// Folds until `stop`.
pub(crate) async fn run(db: Db, stop: CancellationToken) {
    loop {
        loop {
            match fold(&db).await {
                Ok(true) if !stop.is_cancelled() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "counts of followers are folded later");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
