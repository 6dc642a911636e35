//! Taking one's data along, deleting the account, and forgetting what is old.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use anyhow::Context as _;
use nova_core::clock::Timestamp;
use nova_core::store::BoxFuture;
use nova_domain::audit::Act;
use nova_domain::db::{Db, Id, Tx, UserId};
use nova_domain::events::{ExportReady, UserDeleted};
use nova_domain::outbox::Job;
use nova_domain::personal::Table;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::domain::State;
use crate::mail::Message;
use crate::routes::oauth::revoke;
use crate::{account, post, session};

/// Every table of identity with a user's id in it.
pub(crate) const TABLES: &[Table] = &[
    Table::new("identity_users", &["id"]),
    Table::new("identity_recovery_codes", &["user_id"]),
    Table::new("identity_sessions", &["user_id"]),
    Table::new("identity_flows", &["user_id"]),
    Table::new("identity_logins", &["user_id"]),
    Table::new("identity_access_tokens", &["user_id"]),
    Table::new("identity_links", &["user_id"]),
    Table::new("identity_passkeys", &["user_id"]),
    Table::new("identity_exports", &["user_id"]),
    Table::kept(
        "identity_token_revocations",
        &["user_id"],
        "keeps tokens of the account void until they have expired, minutes later",
    ),
    Table::kept(
        "kit_outbox",
        &["actor"],
        "an event that is under way; it is gone once delivered, within two days at most",
    ),
    Table::kept(
        "kit_audit",
        &["actor_id"],
        "who did what must stay accountable; it holds ids and no content",
    ),
];

/// Gathers everything of one person.
#[derive(Serialize, Deserialize)]
pub(crate) struct Export {
    pub(crate) export: String,
    pub(crate) user: UserId,
}

impl Job for Export {
    const TYPE: &'static str = "identity.export";
}

/// Removes an account and everything of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Erase {
    pub(crate) user: UserId,
}

impl Job for Erase {
    const TYPE: &'static str = "identity.erase";

    fn key(&self) -> Option<String> {
        Some(self.user.to_string())
    }
}

/// How long an archive is kept.
const ARCHIVE_MICROS: i64 = 7 * DAY;
const DAY: i64 = 86_400_000_000;

/// The job: one JSON file with what every domain knows.
pub(crate) async fn export(state: &State, job: Export) -> anyhow::Result<()> {
    let Some(user) = account::by_id(&state.db, job.user).await? else {
        return Ok(());
    };
    let mut all = serde_json::Map::new();
    for (name, personal) in state.personal.get().map(Vec::as_slice).unwrap_or_default() {
        let one = (personal.export)(state.db.clone(), job.user)
            .await
            .with_context(|| format!("export of {name}"))?;
        all.insert((*name).to_owned(), one);
    }
    let now = state.clock.now();
    let archive = json!({ "exported_at": now, "user_id": job.user, "data": all });
    let folder = state.data_dir.join("exports");
    let path = folder.join(format!("{}.json", job.export));
    let bytes = serde_json::to_vec_pretty(&archive)?;
    tokio::task::spawn_blocking({
        let path = path.clone();
        move || -> std::io::Result<()> {
            std::fs::create_dir_all(&folder)?;
            let temporary = path.with_extension("new");
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(temporary, path)
        }
    })
    .await?
    .context("write the archive")?;
    let until = now.plus_micros(ARCHIVE_MICROS);
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE identity_exports SET path = $1, ready_at = $2, expires_at = $3 WHERE id = $4")
        .bind(path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .bind(now.0)
        .bind(until.0)
        .bind(job.export)
        .execute(tx.conn())
        .await?;
    tx.emit(&ExportReady { user: job.user }, Some(job.user), now).await?;
    let message = Message::ExportReady {
        link: state.page("/account/export", ""),
        until,
    };
    post::enqueue(state, &mut tx, &user.email, &message, now).await?;
    Ok(tx.commit().await?)
}

/// The job: every domain forgets the person in one transaction, and the last mail says so.
pub(crate) async fn erase_account(state: &State, job: Erase) -> anyhow::Result<()> {
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let Some(user) = account::lock(&mut tx, job.user).await? else {
        return Ok(());
    };
    // They have come back in time.
    if user.delete_at.is_none_or(|at| at > now.0) {
        return Ok(());
    }
    session::end_others(state, &mut tx, job.user, None, now).await?;
    session::void_access_tokens(state, &mut tx, job.user, now).await?;
    let archives: Vec<Option<String>> = sqlx::query_scalar("SELECT path FROM identity_exports WHERE user_id = $1")
        .bind(job.user)
        .fetch_all(tx.conn())
        .await?;
    revoke::give_back(&mut tx, job.user, None, now).await?;
    // Identity last: others may still ask who it was.
    let all = state.personal.get().map(Vec::as_slice).unwrap_or_default();
    for (name, personal) in all
        .iter()
        .filter(|(name, _)| *name != "identity")
        .chain(all.iter().filter(|(name, _)| *name == "identity"))
    {
        (personal.erase)(&mut tx, job.user)
            .await
            .with_context(|| format!("erasure by {name}"))?;
    }
    tx.emit(&UserDeleted { user: job.user }, None, now).await?;
    let act = Act {
        actor: Some(job.user),
        action: "identity.deleted",
        subject: Some(job.user.to_string()),
        detail: "",
    };
    tx.audit(act, None, now).await?;
    post::enqueue(state, &mut tx, &user.email, &Message::AccountDeleted { at: now }, now).await?;
    tx.commit().await?;
    for name in archives.into_iter().flatten() {
        remove(state, name).await;
    }
    Ok(())
}

async fn remove(state: &State, name: String) {
    let path = state.data_dir.join("exports").join(name);
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
    if let Ok(Err(error)) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an archive cannot be removed");
    }
}

/// What identity knows of a person, without secrets.
pub(crate) fn export_identity(db: Db, user: UserId) -> BoxFuture<'static, anyhow::Result<Value>> {
    Box::pin(async move {
        let account = account::by_id(&db, user).await?;
        let sessions: Vec<(String, String, String, Option<String>, i64, i64)> = sqlx::query_as(
            "SELECT id, device_name, user_agent, ip, created_at, last_seen_at FROM identity_sessions WHERE user_id = $1 ORDER BY created_at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let logins: Vec<(i64, String, Option<String>, String, i64)> = sqlx::query_as(
            "SELECT success, reason, ip, user_agent, at FROM identity_logins WHERE user_id = $1 ORDER BY at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let tokens: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT name, scopes, created_at FROM identity_access_tokens WHERE user_id = $1 ORDER BY created_at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let links: Vec<(String, Option<String>, i64)> = sqlx::query_as(
            "SELECT provider, email, created_at FROM identity_links WHERE user_id = $1 ORDER BY created_at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let passkeys: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT name, created_at, last_used_at FROM identity_passkeys WHERE user_id = $1 ORDER BY created_at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        Ok(json!({
            "passkeys": passkeys.into_iter().map(|(name, created, used)| json!({
                "name": name, "created_at": Timestamp(created), "last_used_at": used.map(Timestamp),
            })).collect::<Vec<_>>(),
            "account": account.map(|user| json!({
                "email": user.email, "role": user.role(), "created_at": Timestamp(user.created_at), "second_factor": user.totp_secret.is_some(),
            })),
            "sessions": sessions.into_iter().map(|(id, device, agent, ip, created, seen)| json!({
                "id": id, "device_name": device, "user_agent": agent, "ip": ip, "created_at": Timestamp(created), "last_seen_at": Timestamp(seen),
            })).collect::<Vec<_>>(),
            "logins": logins.into_iter().map(|(success, how, ip, agent, at)| json!({
                "success": success == 1, "how": how, "ip": ip, "user_agent": agent, "at": Timestamp(at),
            })).collect::<Vec<_>>(),
            "access_tokens": tokens.into_iter().map(|(name, scopes, created)| json!({
                "name": name, "scopes": scopes, "created_at": Timestamp(created),
            })).collect::<Vec<_>>(),
            "linked_accounts": links.into_iter().map(|(provider, email, created)| json!({
                "provider": provider, "email": email, "created_at": Timestamp(created),
            })).collect::<Vec<_>>(),
        }))
    })
}

/// Removes what identity knows of a person.
pub(crate) fn erase_identity(tx: &mut Tx, user: UserId) -> BoxFuture<'_, anyhow::Result<()>> {
    Box::pin(async move {
        let email: Option<String> = sqlx::query_scalar("SELECT email_folded FROM identity_users WHERE id = $1")
            .bind(user)
            .fetch_optional(tx.conn())
            .await?;
        sqlx::query("DELETE FROM identity_flows WHERE user_id = $1 OR email_folded = $2")
            .bind(user)
            .bind(email.unwrap_or_default())
            .execute(tx.conn())
            .await?;
        sqlx::query("DELETE FROM identity_refresh_tokens WHERE session_id IN (SELECT id FROM identity_sessions WHERE user_id = $1)")
            .bind(user)
            .execute(tx.conn())
            .await?;
        for statement in [
            "DELETE FROM identity_sessions WHERE user_id = $1",
            "DELETE FROM identity_recovery_codes WHERE user_id = $1",
            "DELETE FROM identity_logins WHERE user_id = $1",
            "DELETE FROM identity_access_tokens WHERE user_id = $1",
            "DELETE FROM identity_links WHERE user_id = $1",
            "DELETE FROM identity_passkeys WHERE user_id = $1",
            "DELETE FROM identity_exports WHERE user_id = $1",
            "DELETE FROM identity_users WHERE id = $1",
        ] {
            sqlx::query(statement).bind(user).execute(tx.conn()).await?;
        }
        Ok(())
    })
}

/// Forgets what has been kept long enough, every hour: addresses of clients after 30 days, ended sessions after 30, flows after 7, logins after
/// a year. Starts the deletions whose time has come.
pub(crate) async fn sweep(state: State, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep_once(&state).await {
            tracing::warn!(%error, "what is old could not be forgotten");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
            () = stop.cancelled() => return,
        }
    }
}

pub(crate) async fn sweep_once(state: &State) -> anyhow::Result<()> {
    let now = state.clock.now();
    let before = |days: i64| now.0 - days * DAY;
    for (statement, bound) in [
        ("DELETE FROM identity_flows WHERE created_at < $1", before(7)),
        ("DELETE FROM identity_oauth_flows WHERE created_at < $1", before(1)),
        // Longer than a notice is taken, and as long as a person may ask what became of theirs.
        ("DELETE FROM identity_notices WHERE at < $1", before(90)),
        (
            "UPDATE identity_logins SET ip = NULL WHERE at < $1 AND ip IS NOT NULL",
            before(30),
        ),
        // Longer: it tells a login from a known place from one that is news, and names no single line.
        (
            "UPDATE identity_logins SET network = NULL WHERE at < $1 AND network IS NOT NULL",
            before(90),
        ),
        ("DELETE FROM identity_logins WHERE at < $1", before(365)),
        (
            "UPDATE identity_sessions SET ip = NULL WHERE last_seen_at < $1 AND ip IS NOT NULL",
            before(30),
        ),
        (
            "DELETE FROM identity_refresh_tokens WHERE session_id IN (SELECT id FROM identity_sessions WHERE ended_at < $1 OR expires_at < $1)",
            before(30),
        ),
        (
            "DELETE FROM identity_sessions WHERE ended_at < $1 OR expires_at < $1",
            before(30),
        ),
        ("DELETE FROM identity_token_revocations WHERE forget_at < $1", before(1)),
        ("DELETE FROM identity_access_tokens WHERE expires_at < $1", before(30)),
        (
            "UPDATE kit_audit SET ip = NULL WHERE at < $1 AND ip IS NOT NULL",
            before(365),
        ),
    ] {
        let mut tx = state.db.begin().await?;
        sqlx::query(statement).bind(bound).execute(tx.conn()).await?;
        tx.commit().await?;
    }
    let old: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT id, path FROM identity_exports WHERE expires_at < $1")
            .bind(now.0)
            .fetch_all(state.db.read())
            .await?;
    for (id, path) in old {
        let mut tx = state.db.begin().await?;
        sqlx::query("DELETE FROM identity_exports WHERE id = $1")
            .bind(id)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        if let Some(path) = path {
            remove(state, path).await;
        }
    }
    let due: Vec<UserId> = sqlx::query_scalar("SELECT id FROM identity_users WHERE delete_at <= $1")
        .bind(now.0)
        .fetch_all(state.db.read())
        .await?;
    for user in due {
        let mut tx = state.db.begin().await?;
        tx.enqueue(&Erase { user }, now, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Asks for an archive, if and when the transaction commits.
pub(crate) async fn request(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<String, nova_domain::db::Error> {
    let id = Id::<Export>::new(now).to_string();
    sqlx::query("INSERT INTO identity_exports (id, user_id, created_at) VALUES ($1, $2, $3)")
        .bind(id.as_str())
        .bind(user)
        .bind(now.0)
        .execute(tx.conn())
        .await?;
    let job = Export {
        export: id.clone(),
        user,
    };
    tx.enqueue(&job, now, now).await?;
    Ok(id)
}
