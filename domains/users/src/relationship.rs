//! What is between two people.

use nova_domain::db::{Connection, Db, Engine, Error, Flag, Tx, UserId};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

/// What is between the caller and somebody, seen from the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema, FromRow)]
pub(crate) struct Relationship {
    /// The caller follows them.
    #[schema(value_type = bool)]
    pub(crate) following: Flag,
    /// The caller asked to follow them and waits.
    #[schema(value_type = bool)]
    pub(crate) requested: Flag,
    /// They follow the caller.
    #[schema(value_type = bool)]
    pub(crate) followed_by: Flag,
    /// The caller blocks them.
    #[schema(value_type = bool)]
    pub(crate) blocked: Flag,
    /// The caller does not want to hear of them.
    #[schema(value_type = bool)]
    pub(crate) muted: Flag,
}

/// The columns of a [`Relationship`] between the viewer in `$1` and the person in `other`.
pub(crate) fn columns(other: &str) -> String {
    [
        ("following", "users_follows", "follower_id = $1 AND r.followee_id"),
        (
            "requested",
            "users_follow_requests",
            "follower_id = $1 AND r.followee_id",
        ),
        ("followed_by", "users_follows", "followee_id = $1 AND r.follower_id"),
        ("blocked", "users_blocks", "blocker_id = $1 AND r.blocked_id"),
        ("muted", "users_mutes", "muter_id = $1 AND r.muted_id"),
    ]
    .map(|(name, table, of)| {
        format!("CASE WHEN EXISTS (SELECT 1 FROM {table} r WHERE r.{of} = {other}) THEN 1 ELSE 0 END AS {name}")
    })
    .join(", ")
}

/// What is between `viewer` and `other`.
pub(crate) async fn between(connection: &mut Connection, viewer: UserId, other: UserId) -> Result<Relationship, Error> {
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {}", columns("$2"))))
        .bind(viewer)
        .bind(other)
        .fetch_one(connection)
        .await?)
}

/// Nobody else changes what is between `a` and `b` until the transaction ends: a follow and a block of the same two, at the same moment, come
/// one after the other. The lock is the pair's own, so a popular person's row is not waited for.
pub(crate) async fn lock(tx: &mut Tx, a: UserId, b: UserId) -> Result<(), Error> {
    // SQLite has one writer at a time anyway.
    if tx.engine() == Engine::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 7237129))")
            .bind(format!("{}{}", a.min(b), a.max(b)))
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// Who somebody is to a viewer, as far as a decision about them needs it.
pub(crate) struct Other {
    pub(crate) privacy: String,
    pub(crate) follows: bool,
}

const OTHER: &str = "SELECT p.privacy, CASE WHEN EXISTS (SELECT 1 FROM users_follows f WHERE f.follower_id = $1 AND f.followee_id = p.user_id) THEN 1 ELSE 0 END FROM users_profiles p WHERE p.user_id = $2";

/// `other` as `viewer` (an id, or an empty text for a guest) meets them; `None` when they are gone, or do not want to meet.
pub(crate) async fn meet(db: &Db, viewer: &str, other: UserId) -> Result<Option<Other>, Error> {
    let mut connection = db.read().acquire().await?;
    meet_on(&mut connection, viewer, other).await
}

/// As [`meet`], in a transaction.
pub(crate) async fn meet_on(connection: &mut Connection, viewer: &str, other: UserId) -> Result<Option<Other>, Error> {
    let row: Option<(String, Flag)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "{OTHER} AND {}",
        nova_domain::policy::not_hidden("p.user_id", "$1")
    )))
    .bind(viewer)
    .bind(other)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(privacy, Flag(follows))| Other { privacy, follows }))
}
