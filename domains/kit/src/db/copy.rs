//! Moves a whole installation from one database to another, usually from SQLite to PostgreSQL, and verifies it.
//!
//! Both sides are brought to the same schema; the target must be empty. Tables are copied in the order of their foreign keys, page by page,
//! in one transaction of the target: it has everything or nothing. Verification reads both sides again and compares the number of rows and a
//! checksum over every value of every row. The server must not write meanwhile.

use sha2::{Digest, Sha256};
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{Column, Row, TypeInfo, ValueRef};

use super::{Connection, Db, Engine, Error};

/// Rows of one statement.
const PAGE: i64 = 500;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Table and rows, in the order they were copied.
    pub tables: Vec<(String, i64)>,
}

/// Why a copy was given up.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target has rows.
    #[error("the target is not empty: {0} has rows")]
    NotEmpty(String),
    /// The two sides differ after the copy.
    #[error("{table} differs after the copy: {from} rows there, {to} rows here")]
    Differs {
        /// Which table.
        table: String,
        /// Rows of the source.
        from: i64,
        /// Rows of the target; the same number means that a value differs.
        to: i64,
    },
    /// Either side failed.
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Copies everything from `from` to `to`; both have been opened with [`Db::open`].
pub async fn run(from: &Db, to: &Db) -> Result<Copied, CopyError> {
    let tables = tables(from).await?;
    for table in &tables {
        if count(to, &table.name).await? > 0 {
            return Err(CopyError::NotEmpty(table.name.clone()));
        }
    }
    let mut tx = to.begin().await?;
    let mut copied = Copied { tables: Vec::new() };
    for table in &tables {
        let rows = copy(from, tx.conn(), table).await?;
        copied.tables.push((table.name.clone(), rows));
    }
    tx.commit().await?;
    for (table, (name, rows)) in tables.iter().zip(&copied.tables) {
        let (there, here) = (digest(from, table).await?, digest(to, table).await?);
        if there != here {
            return Err(CopyError::Differs {
                table: name.clone(),
                from: *rows,
                to: count(to, name).await?,
            });
        }
    }
    Ok(copied)
}

struct Table {
    name: String,
    columns: Vec<String>,
    /// The primary key: the order both engines agree on.
    key: Vec<String>,
}

/// Nova's tables, those that others refer to first. Asked of SQLite or PostgreSQL in their own words.
async fn tables(db: &Db) -> Result<Vec<Table>, Error> {
    let names: Vec<String> = match db.engine() {
        Engine::Sqlite => {
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'kit_migrations' ORDER BY name")
                .fetch_all(db.read())
                .await?
        }
        Engine::Postgres => {
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'kit_migrations' ORDER BY tablename")
                .fetch_all(db.read())
                .await?
        }
    };
    let mut left = Vec::new();
    for name in names {
        let (columns, key, parents): (Vec<String>, Vec<String>, Vec<String>) = match db.engine() {
            Engine::Sqlite => (
                sqlx::query_scalar("SELECT name FROM pragma_table_info($1) ORDER BY cid").bind(name.as_str()).fetch_all(db.read()).await?,
                sqlx::query_scalar("SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk").bind(name.as_str()).fetch_all(db.read()).await?,
                sqlx::query_scalar("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)").bind(name.as_str()).fetch_all(db.read()).await?,
            ),
            Engine::Postgres => (
                sqlx::query_scalar(
                    "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
                )
                .bind(name.as_str())
                .fetch_all(db.read())
                .await?,
                sqlx::query_scalar(
                    "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) WHERE i.indrelid = \
                     $1::regclass AND i.indisprimary ORDER BY array_position(i.indkey, a.attnum)",
                )
                .bind(name.as_str())
                .fetch_all(db.read())
                .await?,
                sqlx::query_scalar("SELECT DISTINCT c.relname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid WHERE k.conrelid = $1::regclass AND k.contype = 'f'")
                    .bind(name.as_str())
                    .fetch_all(db.read())
                    .await?,
            ),
        };
        left.push((Table { name, columns, key }, parents));
    }
    let mut ordered: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let ready = left.iter().position(|(table, parents)| {
            parents
                .iter()
                .all(|parent| *parent == table.name || ordered.iter().any(|done| done.name == *parent))
        });
        // A circle of references cannot be copied row by row; there is none, and a new one shows here.
        ordered.push(left.remove(ready.unwrap_or(0)).0);
    }
    Ok(ordered)
}

async fn count(db: &Db, table: &str) -> Result<i64, Error> {
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM {table}"
    )))
    .fetch_one(db.read())
    .await?)
}

/// One page of a table in the order of its key.
async fn page(db: &Db, table: &Table, number: i64) -> Result<Vec<AnyRow>, Error> {
    // By offset, for once: nobody writes meanwhile, and keys are of any type.
    let sql = format!(
        "SELECT {} FROM {} ORDER BY {} LIMIT {PAGE} OFFSET {}",
        table.columns.join(", "),
        table.name,
        // Both engines compare bytes: PostgreSQL is told to.
        table
            .key
            .iter()
            .map(|column| match db.engine() {
                Engine::Sqlite => column.clone(),
                Engine::Postgres => format!("{column}::text COLLATE \"C\""),
            })
            .collect::<Vec<_>>()
            .join(", "),
        number * PAGE
    );
    Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(db.read()).await?)
}

async fn copy(from: &Db, to: &mut Connection, table: &Table) -> Result<i64, Error> {
    let places: Vec<String> = (1..=table.columns.len()).map(|n| format!("${n}")).collect();
    let insert = format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name,
        table.columns.join(", "),
        places.join(", ")
    );
    let mut rows = 0;
    for number in 0.. {
        let page = page(from, table, number).await?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            let mut statement = sqlx::query(sqlx::AssertSqlSafe(insert.clone()));
            for index in 0..row.columns().len() {
                statement = match value(row, index)? {
                    Value::Null(AnyTypeInfoKind::Blob) => statement.bind(None::<Vec<u8>>),
                    Value::Null(kind) if kind.is_integer() => statement.bind(None::<i64>),
                    Value::Null(_) => statement.bind(None::<String>),
                    Value::Integer(n) => statement.bind(n),
                    Value::Real(n) => statement.bind(n),
                    Value::Text(text) => statement.bind(text),
                    Value::Bytes(bytes) => statement.bind(bytes),
                };
            }
            statement.execute(&mut *to).await?;
            rows += 1;
        }
    }
    Ok(rows)
}

enum Value {
    /// Of a column of this kind: PostgreSQL wants to know.
    Null(AnyTypeInfoKind),
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

fn value(row: &AnyRow, index: usize) -> Result<Value, Error> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(Value::Null(row.column(index).type_info().kind()));
    }
    Ok(match raw.type_info().kind() {
        AnyTypeInfoKind::Text => Value::Text(row.try_get(index)?),
        AnyTypeInfoKind::Blob => Value::Bytes(row.try_get(index)?),
        AnyTypeInfoKind::Real | AnyTypeInfoKind::Double => Value::Real(row.try_get(index)?),
        kind if kind.is_integer() => Value::Integer(row.try_get(index)?),
        _ => {
            return Err(Error::Statement(sqlx::Error::Decode(
                format!(
                    "{} has a type that is not among Nova's: {}",
                    row.column(index).name(),
                    raw.type_info().name()
                )
                .into(),
            )));
        }
    })
}

/// A checksum over every value of every row, whatever the engine's order of rows: each row's own digest, added up.
async fn digest(db: &Db, table: &Table) -> Result<[u64; 4], Error> {
    let mut sum = [0_u64; 4];
    for number in 0.. {
        let page = page(db, table, number).await?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            let mut hash = Sha256::new();
            for index in 0..row.columns().len() {
                let (tag, bytes) = match value(row, index)? {
                    Value::Null(_) => (0_u8, Vec::new()),
                    Value::Integer(n) => (1, n.to_be_bytes().to_vec()),
                    Value::Real(n) => (2, n.to_be_bytes().to_vec()),
                    Value::Text(text) => (3, text.into_bytes()),
                    Value::Bytes(bytes) => (4, bytes),
                };
                hash.update([tag]);
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
            for (total, chunk) in sum.iter_mut().zip(hash.finalize().chunks_exact(8)) {
                *total = total.wrapping_add(u64::from_be_bytes(chunk.try_into().unwrap_or_default()));
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    async fn fill(db: &Db) {
        let mut tx = db.begin().await.unwrap();
        for n in 0..1203_i64 {
            sqlx::query("INSERT INTO kit_idempotency (key_hash, request_hash, status, answer, created_at) VALUES ($1, $2, $3, $4, $5)")
                .bind(format!("k{n}"))
                .bind("äöü \u{1F600}")
                .bind((n % 2 == 0).then_some(n))
                .bind((n % 3 == 0).then(|| vec![0_u8, 255, 7]))
                .bind(n * 1_000_000_007)
                .execute(tx.conn())
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn everything_arrives_on_the_other_engine_and_is_verified() {
        let [sqlite, postgres] = testing::databases().await;
        fill(&sqlite).await;
        let copied = run(&sqlite, &postgres).await.unwrap();
        assert!(copied.tables.contains(&("kit_idempotency".into(), 1203)), "{copied:?}");
        // And back, into an empty one.
        let back = testing::sqlite().await;
        assert_eq!(run(&postgres, &back).await.unwrap().tables.len(), copied.tables.len());
        assert!(matches!(run(&sqlite, &postgres).await, Err(CopyError::NotEmpty(_))));
    }

    #[tokio::test]
    async fn a_value_that_differs_is_noticed() {
        let [sqlite, postgres] = testing::databases().await;
        fill(&sqlite).await;
        run(&sqlite, &postgres).await.unwrap();
        let tables = tables(&sqlite).await.unwrap();
        let table = tables.iter().find(|table| table.name == "kit_idempotency").unwrap();
        assert_eq!(
            digest(&sqlite, table).await.unwrap(),
            digest(&postgres, table).await.unwrap()
        );
        let mut tx = postgres.begin().await.unwrap();
        sqlx::query("UPDATE kit_idempotency SET created_at = created_at + 1 WHERE key_hash = 'k7'")
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_ne!(
            digest(&sqlite, table).await.unwrap(),
            digest(&postgres, table).await.unwrap()
        );
    }
}
