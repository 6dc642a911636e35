//! Databases for tests: every repository test runs on both engines.
//!
//! ```ignore
//! for db in testing::databases().await { … }
//! ```
//!
//! PostgreSQL is a real server that the first test starts and all tests of a run share; each test gets a database of its own, cloned from a
//! template that has the schema. A missing PostgreSQL fails the test.

use std::fs::File;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nova_core::clock::Timestamp;
use nova_core::store::BoxFuture;
use sha2::{Digest, Sha256};
use sqlx::{Connection as _, PgConnection};

use crate::accounts::{Card, ClaimError, Directory};
use crate::db::{Db, Error, Tx, UserId};

/// A database with the schema in it, gone with this value.
pub struct TestDb {
    /// The handle, for what must be cloned into a task.
    pub db: Db,
    /// What [`Db::connect`] was given.
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

/// One database of each engine.
pub async fn databases() -> [TestDb; 2] {
    [sqlite().await, postgres().await]
}

/// Longest wait for a database of a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// An SQLite database in a folder of its own, in memory where the system has such folders: many tests at once are no load for the disk.
pub async fn sqlite() -> TestDb {
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_none| tempfile::tempdir())
        .expect("a temporary folder");
    let url = format!("sqlite://{}", folder.path().join("nova.db").display());
    let db = Db::open(&url, 4, PATIENCE).await.expect("an SQLite database");
    TestDb {
        db,
        url,
        _folder: Some(folder),
    }
}

/// A PostgreSQL database of its own.
pub async fn postgres() -> TestDb {
    let url = postgres_url().await;
    let db = Db::open(&url, 8, PATIENCE).await.expect("a PostgreSQL database");
    TestDb { db, url, _folder: None }
}

/// The URL of a PostgreSQL database with the schema in it that nothing else uses.
pub async fn postgres_url() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = Server::get().await;
    let name = format!("t_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut admin = server.connect("postgres").await.expect("the test server");
    run(
        &mut admin,
        &format!("CREATE DATABASE {name} TEMPLATE {}", server.template),
    )
    .await;
    server.url(&name)
}

struct Server {
    folder: PathBuf,
    template: String,
    /// Held as long as this process lives; the server ends some time after nobody holds one.
    _in_use: File,
}

impl Server {
    async fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        if let Some(server) = SERVER.get() {
            return server;
        }
        let started = Self::start().await;
        SERVER.get_or_init(|| started)
    }

    async fn start() -> Self {
        let user = std::fs::metadata("/proc/self").map_or(0, |me| std::os::unix::fs::MetadataExt::uid(&me));
        // A short path: a Unix socket's is limited to some hundred bytes.
        let folder = PathBuf::from(format!("/tmp/nova-test-postgres-{user}"));
        std::fs::create_dir_all(&folder).expect("a folder for PostgreSQL");
        let open = |name: &str| {
            File::options()
                .create(true)
                .append(true)
                .open(folder.join(name))
                .expect("a lock file")
        };
        let (in_use, starting) = (open("users"), open("starting"));
        in_use.lock_shared().expect("a lock");
        starting.lock().expect("a lock");
        let mut server = Self {
            folder,
            template: String::new(),
            _in_use: in_use,
        };
        let mut admin = match server.connect("postgres").await {
            Ok(connection) => connection,
            Err(_not_running) => server.spawn().await,
        };
        // A template for each state of the schema: two checkouts may test at once.
        let schema = include!(concat!(env!("OUT_DIR"), "/migrations.rs")) as &[(&str, &str)];
        let digest = schema.iter().fold(Sha256::new(), |digest, (name, text)| {
            digest.chain_update(name).chain_update(text)
        });
        let digest: String = digest
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        server.template = format!("schema_{digest}");
        server.clear_up(&mut admin).await;
        let there: Option<String> = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname = $1")
            .bind(&server.template)
            .fetch_optional(&mut admin)
            .await
            .expect("a list of databases");
        if there.is_none() {
            run(&mut admin, "DROP DATABASE IF EXISTS making").await;
            run(&mut admin, "CREATE DATABASE making TEMPLATE template0").await;
            let db = Db::open(&server.url("making"), 1, PATIENCE)
                .await
                .expect("the schema on PostgreSQL");
            db.close().await;
            run(
                &mut admin,
                &format!("ALTER DATABASE making RENAME TO {}", server.template),
            )
            .await;
        }
        drop(starting);
        server
    }

    async fn spawn(&self) -> PgConnection {
        let script = self.folder.join("postgres.sh");
        std::fs::write(&script, include_str!("postgres.sh")).expect("the script");
        let log = File::create(self.folder.join("log")).expect("a log file");
        #[expect(clippy::zombie_processes, reason = "it outlives this process on purpose")]
        let mut child = Command::new("setsid")
            .arg("bash")
            .arg(&script)
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .current_dir("/")
            .spawn()
            .expect("setsid runs");
        loop {
            if let Ok(connection) = self.connect("postgres").await {
                return connection;
            }
            if let Ok(Some(status)) = child.try_wait() {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                panic!("PostgreSQL did not start: {status}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url(database)).await
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://nova@localhost/{database}?host={}", self.folder.display())
    }

    /// Drops what tests left that are not running any more.
    async fn clear_up(&self, admin: &mut PgConnection) {
        let names: Vec<String> = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 't\\_%'")
            .fetch_all(&mut *admin)
            .await
            .expect("a list of databases");
        for name in names {
            let process = name.split('_').nth(1).unwrap_or_default();
            if !PathBuf::from(format!("/proc/{process}")).exists() {
                run(admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
            }
        }
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    // Another test clones the same template, or drops the same leftover, at this moment: PostgreSQL refuses instead of waiting.
    for _ in 0..200 {
        match sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut *connection)
            .await
        {
            Ok(_) => return,
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| code == "55006" || code == "XX000") =>
            {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }
    panic!("{sql}: still in use");
}

/// Names and cards in a table of its own, for tests of domains that need a [`Directory`] and may not know the users domain.
pub struct Names(pub Db);

impl Names {
    /// Makes its table.
    pub async fn new(db: Db) -> std::sync::Arc<Self> {
        let mut tx = db.begin().await.expect("a transaction");
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS test_names (folded TEXT PRIMARY KEY, name TEXT NOT NULL, user_id TEXT NOT NULL)")
            .execute(tx.conn())
            .await
            .expect("a table");
        tx.commit().await.expect("a commit");
        std::sync::Arc::new(Self(db))
    }
}

impl Directory for Names {
    fn claim<'a>(
        &'a self,
        tx: &'a mut Tx,
        user: UserId,
        name: &'a str,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(async move {
            if name.eq_ignore_ascii_case("support") {
                return Err(ClaimError::Reserved);
            }
            let made = sqlx::query(
                "INSERT INTO test_names (folded, name, user_id) VALUES ($1, $2, $3) ON CONFLICT (folded) DO NOTHING",
            )
            .bind(name.to_lowercase())
            .bind(name)
            .bind(user)
            .execute(tx.conn())
            .await
            .map_err(Error::from)?;
            if made.rows_affected() == 1 {
                Ok(())
            } else {
                Err(ClaimError::Taken)
            }
        })
    }

    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<UserId>, Error>> {
        Box::pin(async move {
            Ok(sqlx::query_scalar("SELECT user_id FROM test_names WHERE folded = $1")
                .bind(name.to_lowercase())
                .fetch_optional(self.0.read())
                .await?)
        })
    }

    fn card(&self, user: UserId) -> BoxFuture<'_, Result<Option<Card>, Error>> {
        Box::pin(async move {
            let name: Option<String> = sqlx::query_scalar("SELECT name FROM test_names WHERE user_id = $1")
                .bind(user)
                .fetch_optional(self.0.read())
                .await?;
            Ok(name.map(|name| Card {
                id: user,
                username: name.clone(),
                display_name: name,
                avatar_url: None,
            }))
        })
    }
}
