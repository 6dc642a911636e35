//! What this domain keeps about a person: how they take it along, and how it is gone.
//!
//! Export tells what the person wrote, did and was told. It does not tell who blocked or muted them, who reported them, or what moderators
//! noted: that is other people's.

use nova_core::clock::Clock;
use nova_domain::db::{Db, Engine, Error, Tx, UserId};
use nova_domain::personal::{Personal, Table};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{Column, Row, TypeInfo, ValueRef};

use crate::config::{Config, days};
use crate::{counts, preferences};

/// Every table with somebody's id in it.
const TABLES: &[Table] = &[
    Table::new("users_names", &["user_id"]),
    Table::new("users_profiles", &["user_id"]),
    Table::new("users_preferences", &["user_id"]),
    Table::new("users_follows", &["follower_id", "followee_id"]),
    Table::new("users_follow_requests", &["follower_id", "followee_id"]),
    Table::new("users_blocks", &["blocker_id", "blocked_id"]),
    Table::new("users_mutes", &["muter_id", "muted_id"]),
    Table::new("users_counts", &["user_id"]),
    Table::new("users_count_deltas", &["user_id"]),
    Table::new(
        "users_reports",
        &["reporter_id", "subject_id", "claimed_by", "resolved_by", "target_id"],
    ),
    Table::new("users_strikes", &["user_id", "moderator_id"]),
    Table::new("users_appeals", &["user_id", "decided_by"]),
];

/// What export says, and from which rows.
const EXPORTED: &[(&str, &str)] = &[
    (
        "names",
        "SELECT name, kept_until FROM users_names WHERE user_id = $1 ORDER BY name",
    ),
    (
        "following",
        "SELECT followee_id AS user_id, created_at FROM users_follows WHERE follower_id = $1 ORDER BY created_at, followee_id",
    ),
    (
        "followers",
        "SELECT follower_id AS user_id, created_at FROM users_follows WHERE followee_id = $1 ORDER BY created_at, follower_id",
    ),
    (
        "follow_requests_sent",
        "SELECT followee_id AS user_id, created_at FROM users_follow_requests WHERE follower_id = $1 ORDER BY created_at, followee_id",
    ),
    (
        "follow_requests_received",
        "SELECT follower_id AS user_id, created_at FROM users_follow_requests WHERE followee_id = $1 ORDER BY created_at, follower_id",
    ),
    (
        "blocks",
        "SELECT blocked_id AS user_id, created_at FROM users_blocks WHERE blocker_id = $1 ORDER BY created_at, blocked_id",
    ),
    (
        "mutes",
        "SELECT muted_id AS user_id, created_at FROM users_mutes WHERE muter_id = $1 ORDER BY created_at, muted_id",
    ),
    (
        "reports",
        "SELECT id, target_type, target_id, reason, detail, times, status, created_at, resolved_at FROM users_reports WHERE reporter_id = $1 ORDER BY \
         created_at, id",
    ),
    (
        "strikes",
        "SELECT id, action, statement, created_at, suspended_until, lifted_at FROM users_strikes WHERE user_id = $1 ORDER BY created_at, id",
    ),
    (
        "appeals",
        "SELECT id, strike_id, text, status, answer, created_at, decided_at FROM users_appeals WHERE user_id = $1 ORDER BY created_at, id",
    ),
];

pub(crate) fn personal(clock: Clock, config: Config) -> Personal {
    Personal::new(
        TABLES,
        |db, user| Box::pin(export(db, user)),
        move |tx, user| {
            let (clock, config) = (clock.clone(), config.clone());
            Box::pin(async move { Ok(erase(tx, user, &clock, &config).await?) })
        },
    )
}

async fn export(db: Db, user: UserId) -> anyhow::Result<Value> {
    let profile = sqlx::query(
        "SELECT username, display_name, bio, location, pronouns, links, avatar_url, banner_url, created_at, updated_at, renamed_at FROM users_profiles WHERE user_id \
         = $1",
    )
    .bind(user)
    .fetch_optional(db.read())
    .await?;
    let mut profile = match profile {
        Some(row) => object(&row)?,
        None => Value::Null,
    };
    if let Some(links) = profile.get("links").and_then(Value::as_str) {
        profile["links"] = serde_json::from_str(links)?;
    }
    let mut all = json!({ "profile": profile, "preferences": preferences::of(&db, user).await? });
    for (name, sql) in EXPORTED {
        let rows = sqlx::query(*sql).bind(user).fetch_all(db.read()).await?;
        all[*name] = rows.iter().map(object).collect::<Result<_, _>>()?;
    }
    Ok(all)
}

/// A row as JSON; columns whose names end in `_at` or `_until` are times.
fn object(row: &AnyRow) -> Result<Value, sqlx::Error> {
    let mut out = serde_json::Map::new();
    for column in row.columns() {
        let (name, index) = (column.name(), column.ordinal());
        let raw = row.try_get_raw(index)?;
        let value = if raw.is_null() {
            Value::Null
        } else if raw.type_info().name() == "TEXT" {
            row.try_get::<String, _>(index)?.into()
        } else {
            let number: i64 = row.try_get(index)?;
            if name.ends_with("_at") || name.ends_with("_until") {
                json!(nova_core::clock::Timestamp(number))
            } else {
                number.into()
            }
        };
        out.insert(name.to_owned(), value);
    }
    Ok(Value::Object(out))
}

/// What leaves no trace of somebody. Names stay nobody's for a while, without saying whose they were: who takes one at once could be taken for
/// its former owner. Reports they made stay without them, since they are about others; everything that refers to their profile goes with it.
const ERASURE: &[&str] = &[
    "UPDATE users_reports SET reporter_id = NULL WHERE reporter_id = $1",
    "UPDATE users_reports SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = $1",
    "UPDATE users_reports SET resolved_by = NULL WHERE resolved_by = $1",
    "DELETE FROM users_reports WHERE subject_id = $1",
    "UPDATE users_strikes SET moderator_id = NULL WHERE moderator_id = $1",
    "UPDATE users_appeals SET decided_by = NULL WHERE decided_by = $1",
    "DELETE FROM users_profiles WHERE user_id = $1",
];

async fn erase(tx: &mut Tx, user: UserId, clock: &Clock, config: &Config) -> Result<(), Error> {
    let now = clock.now();
    if tx.engine() == Engine::Postgres {
        // Nobody begins to follow them between the counting and the end. SQLite has one writer at a time anyway.
        sqlx::query("SELECT user_id FROM users_profiles WHERE user_id = $1 FOR UPDATE")
            .bind(user)
            .execute(tx.conn())
            .await?;
    }
    counts::forget(tx, user, now).await?;
    sqlx::query("UPDATE users_names SET user_id = NULL, kept_until = $1 WHERE user_id = $2")
        .bind(now.0 + days(config.name_kept_days))
        .bind(user)
        .execute(tx.conn())
        .await?;
    for sql in ERASURE {
        sqlx::query(*sql).bind(user).execute(tx.conn()).await?;
    }
    Ok(())
}
