//! One database, two engines: SQLite (embedded) and PostgreSQL, from one SQL text.
//!
//! Reads go to [`Db::read`], every change through [`Db::begin`]. SQLite has exactly one writer connection: writers queue for it in the pool,
//! in order and with a bound, instead of meeting each other as `SQLITE_BUSY`. PostgreSQL is one pool for both.
//!
//! SQL stands next to its use, with `$1` placeholders, bound values of type `i64`, text and bytes only, and row structs that derive
//! [`sqlx::FromRow`]. What both engines accept is listed in `migrations/README.md`. A value that is a time is bound as `timestamp.0`.
//!
//! A wait for a connection is bounded ([`WAIT`]); past it a caller gets [`Error::Busy`], which becomes 503 with `Retry-After`. Connections are
//! made anew when the database comes back; nothing has to be restarted.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use nova_core::error::Kind;
use sqlx::ConnectOptions;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use tokio::sync::Notify;

use crate::http::idempotency;
use crate::outbox::Subscriptions;

pub mod copy;
pub mod migrate;
mod page;
mod value;

pub use self::page::{Cursor, List, PageQuery};
pub use self::value::{Flag, Id, Session, SessionId, User, UserId};

/// A pool of connections: what a read is executed on.
pub type Pool = sqlx::AnyPool;
/// What a read is executed on, a pool or a transaction's connection.
pub use sqlx::AnyExecutor as Executor;
/// One connection: what a statement inside a transaction is executed on.
pub type Connection = sqlx::AnyConnection;

/// Longest wait for a connection. A person waits about this long before pressing the button again.
pub const WAIT: Duration = Duration::from_secs(3);
/// Longest run of one statement on PostgreSQL; SQLite's are bounded by the request.
const STATEMENT_LIMIT_MS: u32 = 15_000;
/// A connection to a server that lay unused for longer is tried before it is used. One that was used a moment ago was tried when it was given back, and
/// asking again would be a round trip for every statement. After a restart of the server, callers within this time are told that it is busy.
const TRIED_AFTER: Duration = Duration::from_secs(1);

/// Which engine a [`Db`] runs on: for the few named places with a line per engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The embedded one.
    Sqlite,
    /// A server.
    Postgres,
}

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection was free, or none could be made, within [`WAIT`]; or the server went away in the middle.
    #[error("the database is busy or away")]
    Busy(#[source] sqlx::Error),
    /// A row with this unique value exists; carries the constraint or, on SQLite, the columns as `table.column`.
    #[error("{0} is taken")]
    Taken(String),
    /// The request took so long that it was taken for lost, and another attempt at it has begun: this one is undone.
    #[error("another attempt at this request has begun")]
    Superseded,
    /// A defect: SQL that does not run, a row that cannot be read.
    #[error("the database refused a statement")]
    Statement(#[source] sqlx::Error),
    /// The URL is not one of a database Nova knows.
    #[error("a database URL begins with sqlite:// or postgres://")]
    Url,
    /// A migration cannot be applied.
    #[error("migration {name}: {why}")]
    Migration {
        /// File name without extension.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The database file's folder cannot be made.
    #[error("cannot make the folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Busy(_) => Kind::Unavailable,
            Self::Taken(_) | Self::Superseded => Kind::Conflict,
            _ => Kind::Internal,
        }
    }

    /// True when the unique value that is taken is `table.column`. Both engines name the table and the column in what they report, when the
    /// index is called `<table>_<column>` or made by `UNIQUE` in the table.
    pub fn is_taken(&self, table: &str, column: &str) -> bool {
        let Self::Taken(what) = self else { return false };
        what.split(", ").any(|one| {
            one == format!("{table}.{column}")
                || one == format!("{table}_{column}")
                || one == format!("{table}_{column}_key")
                || one == format!("{table}_pkey")
        })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => {
                // PostgreSQL names the constraint, SQLite lists the columns in its text.
                let message = cause.message();
                let listed = message.rsplit_once("failed: ").map_or(message, |(_, columns)| columns);
                Self::Taken(cause.constraint().unwrap_or(listed).to_owned())
            }
            // 57014 query_canceled (statement time-out), 57Pxx going down, 55000 not accepting connections, 53xxx out of resources, 40xxx
            // serialisation and deadlock, 08xxx connection; SQLite 5 and 6 are BUSY and LOCKED, 13 is FULL.
            sqlx::Error::Database(cause)
                if cause.code().is_some_and(|code| {
                    ["57", "53", "40", "08"]
                        .iter()
                        .any(|class| code.len() == 5 && code.starts_with(class))
                        || ["55000", "5", "6", "13", "261", "262", "517"].contains(&code.as_ref())
                }) =>
            {
                Self::Busy(error)
            }
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::WorkerCrashed => Self::Busy(error),
            _ => Self::Statement(error),
        }
    }
}

/// The database. Clones share its pools.
#[derive(Clone)]
pub struct Db {
    read: Pool,
    write: Pool,
    engine: Engine,
    wake: Arc<Notify>,
    /// Something was committed for delivery that other processes have not been told of yet.
    untold: Arc<AtomicBool>,
    subscriptions: Arc<OnceLock<Subscriptions>>,
}

/// Where a database is, from its URL.
enum Place {
    File(PathBuf),
    Server(String),
}

fn place(url: &str) -> Result<Place, Error> {
    if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        if path.is_empty() || path.starts_with(":memory:") {
            return Err(Error::Url);
        }
        return Ok(Place::File(PathBuf::from(path)));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Place::Server(url.to_owned()));
    }
    Err(Error::Url)
}

/// `text` as it may stand in the path of a URL.
fn url_path(path: &Path) -> String {
    let mut out = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Db {
    /// Opens the database at `url`, makes it when it is an SQLite file that is not there yet, and applies the migrations that are missing.
    /// A server that is away, or a disk that is slow, is waited for, up to `patience`.
    pub async fn open(url: &str, connections: u32, patience: Duration) -> Result<Self, Error> {
        let db = Self::connect(url, connections, patience).await?;
        migrate::run(&db).await?;
        Ok(db)
    }

    /// As [`Db::open`], without the migrations.
    pub async fn connect(url: &str, connections: u32, patience: Duration) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let pool = |max: u32| {
            AnyPoolOptions::new()
                .max_connections(max.max(1))
                .acquire_timeout(WAIT)
                .test_before_acquire(false)
        };
        let parse = |url: &str| {
            AnyConnectOptions::from_str(url)
                .map(ConnectOptions::disable_statement_logging)
                .map_err(|_bad| Error::Url)
        };
        let (read, write, engine) = match place(url)? {
            Place::File(path) => {
                let path = std::path::absolute(&path).map_err(|_bad| Error::Url)?;
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder).map_err(|source| Error::Folder {
                        path: folder.to_owned(),
                        source,
                    })?;
                }
                let url = format!("sqlite://{}?mode=rwc", url_path(&path));
                let write = pool(1)
                    .after_connect(|connection, _| Box::pin(prepare_sqlite(connection, false)))
                    .connect_lazy_with(parse(&url)?);
                let read = pool(connections)
                    .after_connect(|connection, _| Box::pin(prepare_sqlite(connection, true)))
                    .connect_lazy_with(parse(&url)?);
                (read, write, Engine::Sqlite)
            }
            Place::Server(url) => {
                let one = pool(connections)
                    .before_acquire(|connection, meta| {
                        Box::pin(async move {
                            if meta.idle_for > TRIED_AFTER {
                                sqlx::Connection::ping(connection).await?;
                            }
                            Ok(true)
                        })
                    })
                    .after_connect(|connection, _| Box::pin(prepare_postgres(connection)))
                    .connect_lazy_with(parse(&url)?);
                (one.clone(), one, Engine::Postgres)
            }
        };
        // Once, so that a wrong password or a folder that cannot be written is told at the start and not at the first request. Making an
        // SQLite file syncs it, and a disk that is busy elsewhere takes seconds for that.
        let reachable = async {
            while let Err(error) = write.acquire().await {
                match Error::from(error) {
                    Error::Busy(cause) => tracing::warn!(%cause, "waiting for the database"),
                    other => return Err(other),
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        };
        tokio::time::timeout(patience, reachable)
            .await
            .map_err(|_elapsed| Error::Busy(sqlx::Error::PoolTimedOut))??;
        Ok(Self {
            read,
            write,
            engine,
            wake: Arc::new(Notify::new()),
            untold: Arc::new(AtomicBool::new(false)),
            subscriptions: Arc::new(OnceLock::new()),
        })
    }

    /// For statements that change nothing.
    pub fn read(&self) -> &Pool {
        &self.read
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Begins a transaction that may write. On SQLite it waits for its turn as the one writer.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let inner = match self.engine {
            Engine::Sqlite => self.write.begin_with("BEGIN IMMEDIATE").await?,
            Engine::Postgres => self.write.begin().await?,
        };
        Ok(Tx {
            inner,
            db: self.clone(),
            delivers: false,
            prepares: false,
            after: Vec::new(),
        })
    }

    /// True when a statement runs: for readiness.
    pub async fn is_reachable(&self) -> bool {
        sqlx::query("SELECT 1").execute(&self.read).await.is_ok()
    }

    /// Waits until a transaction of this process has committed an event or a job.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Wakes whoever waits for deliveries.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Tells the relays of other processes that there may be work for them, when this one has committed any since it told them last; `who` tells this
    /// process's own hint from theirs. Once for many commits and outside of them: PostgreSQL takes transactions that notify one at a time. A hint that
    /// is lost with its process is made up for by the others' next look.
    pub(crate) async fn tell(&self, who: &str) -> Result<(), Error> {
        if self.engine == Engine::Postgres && self.untold.swap(false, Ordering::AcqRel) {
            sqlx::query("SELECT pg_notify('nova_outbox', $1)")
                .bind(who)
                .execute(&self.write)
                .await?;
        }
        Ok(())
    }

    /// Who listens to which event. Set once, when the domains are known.
    pub(crate) fn subscriptions(&self) -> &OnceLock<Subscriptions> {
        &self.subscriptions
    }

    /// Closes every connection once those in use are given back.
    pub async fn close(&self) {
        self.write.close().await;
        self.read.close().await;
    }
}

async fn prepare_sqlite(connection: &mut Connection, read_only: bool) -> Result<(), sqlx::Error> {
    // WAL lets readers go on beside the writer. NORMAL syncs at checkpoints: a killed process loses nothing, a power failure at most the last
    // moment, never the file's consistency. The time-out covers other processes (`nova admin`); within this one, writers queue in the pool.
    sqlx::raw_sql(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA \
         cache_size = -8000; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 268435456;",
    )
    .execute(&mut *connection)
    .await?;
    if read_only {
        sqlx::raw_sql("PRAGMA query_only = ON").execute(connection).await?;
    }
    Ok(())
}

async fn prepare_postgres(connection: &mut Connection) -> Result<(), sqlx::Error> {
    let limits = format!(
        "SET statement_timeout = {STATEMENT_LIMIT_MS}; SET idle_in_transaction_session_timeout = {}; SET lock_timeout = {}",
        2 * STATEMENT_LIMIT_MS,
        STATEMENT_LIMIT_MS / 2
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(limits)).execute(connection).await?;
    Ok(())
}

/// What a [`Tx`] runs once its commit is known.
type AfterCommit = Box<dyn FnOnce() + Send>;

/// A transaction that may write. Dropped without [`Tx::commit`], it leaves nothing behind.
pub struct Tx {
    inner: sqlx::Transaction<'static, sqlx::Any>,
    db: Db,
    delivers: bool,
    prepares: bool,
    after: Vec<AfterCommit>,
}

impl Tx {
    /// What statements are executed on.
    pub fn conn(&mut self) -> &mut Connection {
        &mut self.inner
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        self.db.engine
    }

    /// Runs `act` once the commit has succeeded: for what lives in this process's memory. Lost when the process is killed in between, so it
    /// may only hasten what the database says anyway.
    pub fn on_commit(&mut self, act: impl FnOnce() + Send + 'static) {
        self.after.push(Box::new(act));
    }

    /// This transaction is not the act of its request: it prepares one, and what it writes is cleared up when no act follows; or it takes one back. The
    /// request may be sent again under its `Idempotency-Key`.
    pub fn prepares(&mut self) {
        self.prepares = true;
    }

    /// The commit will wake the relay.
    pub(crate) fn will_deliver(&mut self) {
        self.delivers = true;
    }

    /// Who listens to which event.
    pub(crate) fn listeners(&self) -> Option<&Subscriptions> {
        self.db.subscriptions.get()
    }

    /// Makes everything done in it permanent, all or nothing.
    pub async fn commit(mut self) -> Result<(), Error> {
        idempotency::mark(&mut self.inner, !self.prepares).await?;
        self.end().await
    }

    /// The same, and `answer` with it: whoever sends the request again under its `Idempotency-Key` is answered this, whatever is killed from here on.
    pub async fn commit_as(mut self, answer: impl IntoResponse) -> Result<Response, Error> {
        let answer = idempotency::keep(&mut self.inner, answer.into_response()).await?;
        self.end().await?;
        idempotency::kept();
        Ok(answer)
    }

    async fn end(self) -> Result<(), Error> {
        self.inner.commit().await?;
        if self.delivers {
            self.db.untold.store(true, Ordering::Release);
            self.db.wake();
        }
        for act in self.after {
            act();
        }
        Ok(())
    }

    /// Undoes everything done in it. Dropping does the same, a moment later.
    pub async fn rollback(self) -> Result<(), Error> {
        Ok(self.inner.rollback().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test(flavor = "multi_thread")]
    async fn two_hundred_writers_at_once_all_get_their_turn() {
        for db in testing::databases().await {
            sqlx::raw_sql("CREATE TABLE counter (id TEXT PRIMARY KEY, n BIGINT NOT NULL)")
                .execute(&db.write)
                .await
                .unwrap();
            sqlx::query("INSERT INTO counter (id, n) VALUES ('a', 0)")
                .execute(&db.write)
                .await
                .unwrap();
            let writers: Vec<_> = (0..200)
                .map(|_| {
                    let db = db.db.clone();
                    tokio::spawn(async move {
                        let mut tx = db.begin().await?;
                        sqlx::query("UPDATE counter SET n = n + 1 WHERE id = $1")
                            .bind("a")
                            .execute(tx.conn())
                            .await?;
                        tx.commit().await
                    })
                })
                .collect();
            for writer in writers {
                writer.await.unwrap().unwrap();
            }
            let n: i64 = sqlx::query_scalar("SELECT n FROM counter")
                .fetch_one(db.read())
                .await
                .unwrap();
            assert_eq!(n, 200, "{:?}", db.engine());
        }
    }

    #[tokio::test]
    async fn a_unique_violation_names_what_is_taken_on_both_engines() {
        for db in testing::databases().await {
            sqlx::raw_sql("CREATE TABLE things (id TEXT PRIMARY KEY, name TEXT NOT NULL, other TEXT UNIQUE); CREATE UNIQUE INDEX things_name ON things (name)")
                .execute(&db.write)
                .await
                .unwrap();
            let insert = |id: &'static str, name: &'static str, other: &'static str| {
                let pool = db.write.clone();
                async move {
                    sqlx::query("INSERT INTO things (id, name, other) VALUES ($1, $2, $3)")
                        .bind(id)
                        .bind(name)
                        .bind(other)
                        .execute(&pool)
                        .await
                        .map_err(Error::from)
                }
            };
            insert("1", "a", "x").await.unwrap();
            let error = insert("2", "a", "y").await.unwrap_err();
            assert!(
                error.is_taken("things", "name") && !error.is_taken("things", "other"),
                "{error}"
            );
            let error = insert("2", "b", "x").await.unwrap_err();
            assert!(error.is_taken("things", "other"), "{error}");
            assert_eq!(error.kind(), Kind::Conflict);
        }
    }

    #[tokio::test]
    async fn a_dropped_transaction_leaves_nothing_and_does_not_run_what_waits_for_its_commit() {
        for db in testing::databases().await {
            let ran = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let mut tx = db.begin().await.unwrap();
            let told = Arc::clone(&ran);
            tx.on_commit(move || told.store(true, std::sync::atomic::Ordering::Relaxed));
            sqlx::query("INSERT INTO kit_audit (id, at, action, detail) VALUES ('1', 1, 'a', '')")
                .execute(tx.conn())
                .await
                .unwrap();
            drop(tx);
            let n: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM kit_audit")
                .fetch_one(db.read())
                .await
                .unwrap();
            assert_eq!(n, 0);
            assert!(!ran.load(std::sync::atomic::Ordering::Relaxed));
        }
    }

    #[tokio::test]
    async fn a_database_that_is_away_answers_busy_in_bounded_time_and_works_again_when_it_is_back() {
        let db = testing::sqlite().await;
        let held = db.begin().await.unwrap();
        tokio::time::pause();
        let waiting = tokio::spawn({
            let db = db.db.clone();
            async move { db.begin().await.map(drop) }
        });
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        tokio::time::resume();
        held.rollback().await.unwrap();
        db.begin().await.unwrap().commit().await.unwrap();
    }

    #[test]
    fn only_files_and_servers_are_places_of_a_database() {
        assert!(
            matches!(place("sqlite:///var/lib/nova.db"), Ok(Place::File(path)) if path == Path::new("/var/lib/nova.db"))
        );
        assert!(
            matches!(place("sqlite://./data/nova.db?mode=ro"), Ok(Place::File(path)) if path == Path::new("./data/nova.db"))
        );
        assert!(matches!(place("postgres://u:p@h/d"), Ok(Place::Server(_))));
        for bad in ["", "mysql://h/d", "sqlite://", "sqlite::memory:", "/var/lib/nova.db"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
