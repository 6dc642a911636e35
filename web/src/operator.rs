//! `nova admin …` and `nova db …`: what an operator does beside a running server, or without one.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use nova_core::clock::Clock;
use nova_core::config::Config;
use nova_core::live::{Hub, HubConfig, SecondPublisher};
use nova_domain::db::{Db, copy, migrate};
use nova_domain::outbox::admin;
use nova_media::Live;

use crate::platform::{self, Platform};

/// How long a database server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Make an account. It has no password: the link that is printed sets one, once, within a day.
    CreateUser {
        /// Its e-mail address; it counts as proved.
        #[arg(long)]
        email: String,
        /// The name everybody sees: 3 to 30 letters, digits and '_', beginning with a letter.
        #[arg(long)]
        username: String,
        /// It may do anything.
        #[arg(long)]
        admin: bool,
    },
    /// Events and jobs that were given up.
    Jobs {
        #[command(subcommand)]
        act: Option<Jobs>,
    },
    /// The audit log as lines of JSON, oldest first.
    Audit {
        /// Entries after this id only.
        #[arg(long, default_value = "")]
        after: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// List them (also without a word).
    List,
    /// Try again: all of them, or one.
    Retry {
        /// Its id.
        id: Option<String>,
    },
    /// Forget one.
    Forget {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Database {
    /// Bring the database to the schema of this program; `nova serve` does it by itself.
    Migrate,
    /// Copy a whole database to an empty one, for example from SQLite to PostgreSQL, and verify it. Stop the server first.
    Copy {
        /// Where everything is: sqlite://PATH or postgres://…
        #[arg(long)]
        from: String,
        /// Where it shall be.
        #[arg(long)]
        to: String,
    },
}

pub(crate) fn admin(config: &Config, act: Admin) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut out = std::io::stdout();
        match act {
            Admin::CreateUser { email, username, admin } => {
                let public_url = if config.public_url.is_empty() {
                    format!("http://localhost:{}", config.http.addr.port())
                } else {
                    config.public_url.clone()
                };
                let clock = Clock::system();
                let nothing_on_air = Live {
                    hub: Hub::new(clock.clone(), HubConfig { reconnect: Duration::ZERO, second_publisher: SecondPublisher::TakeOver }).0,
                    look: Arc::new(|_| None),
                    library: Arc::new(nova_media::Nowhere),
                    pictures: Arc::new(nova_media::Nowhere),
                    store: Arc::new(nova_media::Nowhere),
                    ingest_url: String::new(),
                    media_url: String::new(),
                    sign: None,
                    purge: None,
                };
                let platform = Platform::build(config, &clock, &public_url, nothing_on_air).await?;
                let (id, token) = platform.identity.create_user(&email, &username, admin).await?;
                writeln!(out, "created {username} ({id})")?;
                writeln!(out, "set the password within a day: {public_url}/reset-password#{token}")?;
                writeln!(
                    out,
                    "or: curl {public_url}/api/v1/auth/password-reset/confirm -H 'content-type: application/json' -d '{{\"token\":\"{token}\",\"password\":\"…\"}}'"
                )?;
                platform.db.close().await;
            }
            Admin::Jobs { act } => {
                let db = platform::open(config).await?;
                jobs(&db, act.unwrap_or(Jobs::List), &mut out).await?;
                db.close().await;
            }
            Admin::Audit { after } => {
                let db = platform::open(config).await?;
                audit(&db, after, &mut out).await?;
                db.close().await;
            }
        }
        Ok(())
    })
}

async fn jobs(db: &Db, act: Jobs, out: &mut impl Write) -> anyhow::Result<()> {
    match act {
        Jobs::List => {
            let counts = admin::counts(db).await?;
            writeln!(out, "{} waiting, {} given up", counts.waiting, counts.dead)?;
            for dead in admin::dead(db, 1000).await? {
                let at = nova_core::clock::Timestamp(dead.dead_at).to_rfc3339_millis();
                writeln!(
                    out,
                    "{}  {at}  {}  after {} attempts: {}",
                    dead.id,
                    dead.consumer,
                    dead.attempts,
                    dead.last_error.unwrap_or_default()
                )?;
            }
        }
        Jobs::Retry { id } => {
            let tried = admin::retry(db, id.as_deref(), Clock::system().now()).await?;
            anyhow::ensure!(tried > 0 || id.is_none(), "nothing was given up under this id");
            writeln!(out, "{tried} will be tried again")?;
        }
        Jobs::Forget { id } => {
            anyhow::ensure!(admin::forget(db, &id).await?, "nothing was given up under this id");
            writeln!(out, "forgotten")?;
        }
    }
    Ok(())
}

async fn audit(db: &Db, mut after: String, out: &mut impl Write) -> anyhow::Result<()> {
    loop {
        let page = nova_domain::audit::page(db, &after, 500).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for entry in &page {
            writeln!(out, "{}", serde_json::to_string(entry)?)?;
        }
    }
}

pub(crate) fn database(config: &Config, act: Database) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut out = std::io::stdout();
        match act {
            Database::Migrate => {
                let db = Db::connect(&platform::database_url(config), 1, PATIENCE)
                    .await
                    .context("database")?;
                let applied = migrate::run(&db).await?;
                for name in &applied.now {
                    writeln!(out, "applied {name}")?;
                }
                writeln!(out, "{} applied now, {} before", applied.now.len(), applied.before)?;
                db.close().await;
            }
            Database::Copy { from, to } => {
                let from = Db::open(&from, 2, PATIENCE).await.context("--from")?;
                let to = Db::open(&to, 2, PATIENCE).await.context("--to")?;
                let copied = copy::run(&from, &to).await?;
                for (table, rows) in &copied.tables {
                    writeln!(out, "{rows:>10}  {table}")?;
                }
                let rows: i64 = copied.tables.iter().map(|(_, rows)| rows).sum();
                writeln!(
                    out,
                    "{rows:>10}  rows copied and verified; bring {{data_dir}}/keys along"
                )?;
                from.close().await;
                to.close().await;
            }
        }
        Ok(())
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
