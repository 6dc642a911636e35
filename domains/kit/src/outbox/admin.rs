//! Looking at deliveries from outside: what waits, what is dead, once more.

use nova_core::clock::Timestamp;
use serde::Serialize;

use crate::db::{Db, Error};

/// One delivery that was given up.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
pub struct Dead {
    /// The delivery's id.
    pub id: String,
    /// Whose it was.
    pub consumer: String,
    /// What it is about.
    pub ordering_key: Option<String>,
    /// How often it was tried.
    pub attempts: i64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was given up.
    pub dead_at: i64,
}

/// How many deliveries there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Counts {
    /// Not done yet.
    pub waiting: i64,
    /// Given up.
    pub dead: i64,
}

/// Counts what is there.
pub async fn counts(db: &Db) -> Result<Counts, Error> {
    Ok(sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(CASE WHEN dead_at IS NULL THEN 1 ELSE 0 END), 0) AS BIGINT) AS waiting, CAST(COALESCE(SUM(CASE WHEN dead_at IS \
         NULL THEN 0 ELSE 1 END), 0) AS BIGINT) AS dead FROM kit_outbox",
    )
    .fetch_one(db.read())
    .await?)
}

/// The newest that were given up.
pub async fn dead(db: &Db, limit: i64) -> Result<Vec<Dead>, Error> {
    Ok(sqlx::query_as(
        "SELECT id, consumer, ordering_key, attempts, last_error, dead_at FROM kit_outbox WHERE dead_at IS NOT NULL ORDER BY dead_at DESC, id DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db.read())
    .await?)
}

/// Tries dead deliveries again, all or one; returns how many.
pub async fn retry(db: &Db, id: Option<&str>, now: Timestamp) -> Result<u64, Error> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query(
        "UPDATE kit_outbox SET dead_at = NULL, attempts = 0, available_at = $1, lease_until = 0 WHERE dead_at IS NOT NULL AND ($2 = '' OR id = $2)",
    )
    .bind(now.0)
    .bind(id.unwrap_or_default())
    .execute(tx.conn())
    .await?
    .rows_affected();
    tx.will_deliver();
    tx.commit().await?;
    Ok(rows)
}

/// Forgets one dead delivery; false when there is none with this id.
pub async fn forget(db: &Db, id: &str) -> Result<bool, Error> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query("DELETE FROM kit_outbox WHERE dead_at IS NOT NULL AND id = $1")
        .bind(id)
        .execute(tx.conn())
        .await?
        .rows_affected();
    tx.commit().await?;
    Ok(rows == 1)
}
