//! Brings a database to the schema of this binary: the files of `migrations/`, in order, each once.

use nova_core::clock::Clock;
use sha2::{Digest, Sha256};

use super::{Connection, Db, Engine, Error};

/// Name and text of every migration this binary carries.
const MIGRATIONS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Names applied now.
    pub now: Vec<&'static str>,
    /// How many were there already.
    pub before: usize,
}

/// Applies what is missing. Several processes may start at once: one applies, the others wait.
pub async fn run(db: &Db) -> Result<Applied, Error> {
    apply(db, MIGRATIONS).await
}

async fn apply(db: &Db, migrations: &'static [(&'static str, &'static str)]) -> Result<Applied, Error> {
    let mut applied = Applied {
        now: Vec::new(),
        before: 0,
    };
    // All in one transaction: a schema is there whole or not at all, and whoever comes second waits at the lock.
    let mut tx = db.begin().await?;
    if db.engine() == Engine::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock(7237128)")
            .execute(tx.conn())
            .await?;
    }
    let known = known(tx.conn()).await?;
    for (name, checksum) in &known {
        match migrations.iter().find(|(one, _)| one == name) {
            Some((_, text)) if sum(text) != *checksum => {
                return Err(Error::Migration {
                    name: name.clone(),
                    why: "it was applied with other text; a migration is never edited".into(),
                });
            }
            Some(_) => applied.before += 1,
            None => tracing::warn!(migration = %name, "the database is newer than this binary"),
        }
    }
    for (name, text) in migrations {
        if known.iter().any(|(one, _)| one == name) {
            continue;
        }
        let sql = match db.engine() {
            Engine::Sqlite => (*text).to_owned(),
            Engine::Postgres => for_postgres(text),
        };
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(tx.conn())
            .await
            .map_err(|error| Error::Migration {
                name: (*name).to_owned(),
                why: error.to_string(),
            })?;
        sqlx::query("INSERT INTO kit_migrations (name, checksum, applied_at) VALUES ($1, $2, $3)")
            .bind(*name)
            .bind(sum(text))
            .bind(Clock::system().now().0)
            .execute(tx.conn())
            .await?;
        applied.now.push(name);
    }
    tx.commit().await?;
    Ok(applied)
}

async fn known(connection: &mut Connection) -> Result<Vec<(String, String)>, Error> {
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS kit_migrations (name TEXT PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)")
        .execute(&mut *connection)
        .await?;
    Ok(
        sqlx::query_as("SELECT name, checksum FROM kit_migrations ORDER BY name")
            .fetch_all(connection)
            .await?,
    )
}

fn sum(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one difference between the engines' column types: `BLOB` is `BYTEA`.
fn for_postgres(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let (code, comment) = line
            .split_once("--")
            .map_or((line, None), |(code, comment)| (code, Some(comment)));
        for (number, word) in code.split(' ').enumerate() {
            if number > 0 {
                out.push(' ');
            }
            let bare = word.trim_end_matches([',', ')', ';']);
            if bare == "BLOB" {
                out.push_str("BYTEA");
                out.push_str(&word[bare.len()..]);
            } else {
                out.push_str(word);
            }
        }
        if let Some(comment) = comment {
            out.push_str("--");
            out.push_str(comment);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn only_the_type_blob_is_changed_for_postgres() {
        assert_eq!(
            for_postgres("a BLOB NOT NULL, b BLOB, -- a BLOB\nc TEXT -- x\n"),
            "a BYTEA NOT NULL, b BYTEA, -- a BLOB\nc TEXT -- x\n"
        );
    }

    #[tokio::test]
    async fn applying_again_changes_nothing() {
        for db in testing::databases().await {
            let again = run(&db).await.unwrap();
            assert_eq!((again.now.len(), again.before), (0, MIGRATIONS.len()));
        }
    }

    #[tokio::test]
    async fn an_edited_migration_is_refused() {
        for db in testing::databases().await {
            let mut tx = db.begin().await.unwrap();
            sqlx::query("UPDATE kit_migrations SET checksum = 'other'")
                .execute(tx.conn())
                .await
                .unwrap();
            tx.commit().await.unwrap();
            assert!(matches!(run(&db).await, Err(Error::Migration { .. })));
        }
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_no_trace() {
        const BROKEN: &[(&str, &str)] = &[
            ("99990101000000_x_good", "CREATE TABLE x_good (id TEXT)"),
            ("99990101000001_x_bad", "CREATE NONSENSE"),
        ];
        for db in testing::databases().await {
            let error = apply(&db, BROKEN).await.unwrap_err();
            assert!(
                matches!(&error, Error::Migration { name, .. } if name == "99990101000001_x_bad"),
                "{error}"
            );
            assert!(sqlx::query("SELECT id FROM x_good").execute(db.read()).await.is_err());
        }
    }

    #[tokio::test]
    async fn processes_that_start_together_apply_each_migration_once() {
        for db in testing::databases().await {
            let runs: Vec<_> = (0..8)
                .map(|_| {
                    let db = db.db.clone();
                    tokio::spawn(async move { run(&db).await })
                })
                .collect();
            for one in runs {
                assert!(one.await.unwrap().unwrap().now.is_empty());
            }
        }
    }
}
