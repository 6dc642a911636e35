//! What a CDN has to forget: asked for in the transaction of the act that makes it so, told the CDN in batches, followed to its end.
//!
//! A batch is written down with its paths before the CDN hears of it, and its id is the reference of the call: whatever is killed when, the call is
//! made again and is the same one for the CDN. One batch at a time is on its way, whichever process has it; what waits meanwhile is gathered. While the CDN
//! refuses or is away everything waits, and is tried again with growing waits, for a day.

use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::Timestamp;
use nova_domain::db::{Engine, Error, Executor, Flag, Id, Tx};
use nova_domain::outbox::Leased;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::State;
use crate::forgetting::{Room, Wish, gather};
use crate::purge::{Purge, Remedy};

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_millis(500);
/// Time between two batches, in which more is gathered.
const APART_MICROS: i64 = 2_000_000;
/// Wishes that are looked at for one batch.
const AT_ONCE: i64 = 1000;
/// Wishes that may wait before no more are taken from people.
pub(crate) const MOST_WAITING: i64 = 10_000;
/// For how long whoever asks the CDN has that to themselves: longer than a call may take.
const LEASE_MICROS: i64 = 15_000_000;
/// The shortest and the longest wait before the CDN is asked how far it is: it takes some minutes.
const ASK_MICROS: (i64, i64) = (5_000_000, 60_000_000);
/// The longest wait after a call that failed; the first is about a second.
const RETRY_MICROS: i64 = 300_000_000;
/// What has come to no end after so long has failed.
const GIVE_UP_MICROS: i64 = 86_400_000_000;
/// How long what came to its end is kept, and how often that is looked at.
const KEPT_MICROS: i64 = 30 * 86_400_000_000;
const SWEEP_MICROS: i64 = 3_600_000_000;

/// Until the origin has stopped giving it out: what it believes of a video, and of a stream, is a second old at most.
pub(crate) const BELIEVED_MICROS: i64 = 2_000_000;

/// A wish: the marker of its id.
pub(crate) enum Invalidation {}

/// The id of a wish.
pub(crate) type InvalidationId = Id<Invalidation>;

/// What is told the CDN in one call: the marker of its id.
enum Batch {}

/// All of a video.
pub(crate) fn of_video(id: impl std::fmt::Display) -> String {
    format!("/vod/{id}/*")
}

/// All of a stream.
pub(crate) fn of_stream(name: &str) -> String {
    format!("/live/{name}/*")
}

/// All sizes of a picture.
pub(crate) fn of_image(folder: &str) -> String {
    format!("/media/images/{folder}/*")
}

/// Has the CDN forget `path`, once this transaction has committed and the origin has stopped giving it out. Where there is no CDN that can be made to
/// forget, nothing is written.
pub(crate) async fn ask(
    state: &State,
    tx: &mut Tx,
    reason: &'static str,
    path: String,
    now: Timestamp,
) -> Result<(), Error> {
    if state.live.purge.is_none() {
        return Ok(());
    }
    let at = now.plus_micros(BELIEVED_MICROS);
    insert(tx, InvalidationId::new(now), reason, &[path], at, now).await
}

/// The same for a job that may run more than once and has, or has not, `removed` what lay there: once if it has, and not a second time for a job that runs
/// again. What cannot be removed for now is forgotten now, and once more when it is.
pub(crate) async fn ask_for_job(
    state: &State,
    leased: Leased,
    reason: &'static str,
    path: String,
    removed: bool,
) -> Result<(), Error> {
    if state.live.purge.is_none() || (!removed && leased.attempt > 1) {
        return Ok(());
    }
    let of_removal = Uuid::from_u128(leased.id.as_u128() ^ 1);
    let id = if removed { of_removal } else { leased.id };
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    insert(&mut tx, Id::from(id), reason, &[path], now, now).await?;
    tx.commit().await
}

/// Writes a wish down; nothing when it is there already.
pub(crate) async fn insert(
    tx: &mut Tx,
    id: InvalidationId,
    reason: &'static str,
    paths: &[String],
    at: Timestamp,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO media_invalidations (id, reason, paths, status, created_at, available_at) VALUES ($1, $2, $3, 'pending', $4, $5) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(reason)
    .bind(written(paths))
    .bind(now.0)
    .bind(at.0)
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn written(paths: &[String]) -> String {
    serde_json::to_string(paths).unwrap_or_default()
}

pub(crate) fn read(paths: &str) -> Vec<String> {
    serde_json::from_str(paths).unwrap_or_default()
}

/// | metric | counts |
/// | --- | --- |
/// | `nova_cdn_invalidations_total` by `outcome` | wishes that came to their end: completed, failed |
/// | `nova_cdn_invalidation_paths_total` | paths the CDN was told, each of which it charges for |
/// | `nova_cdn_invalidation_retries_total` | calls that failed and are made again |
/// | `nova_cdn_invalidations_waiting` | wishes the CDN has not been told of, up to a thousand |
/// | `nova_cdn_invalidation_seconds` | from a batch's making to the CDN's word that it is done |
///
/// The task.
pub(crate) async fn run(state: State, cdn: Arc<dyn Purge>, stop: CancellationToken) {
    let (mut away, mut swept_at) = (false, i64::MIN);
    loop {
        // A call that is broken off is made again, under the same reference.
        let done = tokio::select! {
            done = turn(&state, &*cdn) => done,
            () = stop.cancelled() => return,
        };
        let now = state.clock.now();
        let swept = match &done {
            Ok(_) if now.0.saturating_sub(swept_at) > SWEEP_MICROS => {
                swept_at = now.0;
                sweep(&state, now).await
            }
            _ => Ok(()),
        };
        match done.as_ref().err().or(swept.as_ref().err()) {
            Some(error) if !away => tracing::warn!(%error, "what the CDN has to forget waits for the database"),
            None if away => tracing::info!("the database is back for what the CDN has to forget"),
            _ => {}
        }
        away = done.is_err();
        if !matches!(done, Ok(true)) {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// A batch that has not come to its end.
#[derive(Debug, sqlx::FromRow)]
struct Open {
    id: Id<Batch>,
    paths: String,
    cdn_id: Option<String>,
    attempts: i64,
    next_at: i64,
    created_at: i64,
}

/// Asks the CDN what is due, and makes a batch; true when there is more to do at once.
async fn turn(state: &State, cdn: &dyn Purge) -> Result<bool, Error> {
    let due: Vec<Open> = sqlx::query_as(
        "SELECT id, paths, cdn_id, attempts, next_at, created_at FROM media_invalidation_batches WHERE finished_at IS NULL AND next_at <= $1 \
         ORDER BY next_at LIMIT 20",
    )
    .bind(state.clock.now().0)
    .fetch_all(state.db.read())
    .await?;
    for open in due {
        if take(state, &open).await? {
            follow(state, cdn, &open).await?;
        }
    }
    form(state, cdn).await
}

/// Takes a batch for the time of a call; false when another process was faster.
async fn take(state: &State, open: &Open) -> Result<bool, Error> {
    let mut tx = state.db.begin().await?;
    let taken = sqlx::query(
        "UPDATE media_invalidation_batches SET next_at = $1, attempts = attempts + 1 WHERE id = $2 AND next_at = $3 AND finished_at IS NULL",
    )
    .bind(state.clock.now().0 + LEASE_MICROS)
    .bind(open.id)
    .bind(open.next_at)
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(taken.rows_affected() == 1)
}

/// One call about one batch, and what came of it.
async fn follow(state: &State, cdn: &dyn Purge, open: &Open) -> Result<(), Error> {
    let asked = match &open.cdn_id {
        Some(id) => cdn.is_done(id).await.map(|done| (id.clone(), done)),
        None => {
            let begun = cdn.begin(&open.id.to_string(), &read(&open.paths)).await;
            begun.map(|id| (id, false))
        }
    };
    let now = state.clock.now();
    let is_old = now.0 - open.created_at > GIVE_UP_MICROS;
    match asked {
        Ok((_, true)) => end(state, open, "completed", "", now).await,
        Ok(_) if is_old && open.cdn_id.is_some() => {
            end(state, open, "failed", "the CDN did not end it within a day", now).await
        }
        Ok((id, false)) => goes_on(state, open, &id, now).await,
        Err(error) if error.remedy == Remedy::Nothing && open.cdn_id.is_none() => {
            refused(state, open, &error.why, now).await
        }
        Err(error) if error.remedy == Remedy::Nothing || is_old => end(state, open, "failed", &error.why, now).await,
        Err(error) => {
            tracing::warn!(batch = %open.id, attempt = open.attempts + 1, %error, "the CDN is asked again to forget");
            metrics::counter!("nova_cdn_invalidation_retries_total").increment(1);
            again(state, open, &error.why, now).await
        }
    }
}

/// It is at work.
async fn goes_on(state: &State, open: &Open, cdn_id: &str, now: Timestamp) -> Result<(), Error> {
    let wait = ((now.0 - open.created_at) / 4).clamp(ASK_MICROS.0, ASK_MICROS.1);
    let mut tx = state.db.begin().await?;
    sqlx::query(
        "UPDATE media_invalidation_batches SET status = 'in_progress', cdn_id = $1, attempts = 0, next_at = $2 WHERE id = $3",
    )
    .bind(cdn_id)
    .bind(now.0 + wait)
    .bind(open.id)
    .execute(tx.conn())
    .await?;
    if open.cdn_id.is_none() {
        sqlx::query(
            "UPDATE media_invalidations SET status = 'in_progress', error = '', submitted_at = $1 WHERE batch_id = $2",
        )
        .bind(now.0)
        .bind(open.id)
        .execute(tx.conn())
        .await?;
        let paths = read(&open.paths).len();
        tx.on_commit(move || metrics::counter!("nova_cdn_invalidation_paths_total").increment(paths as u64));
    }
    tx.commit().await
}

/// A call failed that may succeed: it is made again, with a wait that doubles, half of it by chance.
async fn again(state: &State, open: &Open, why: &str, now: Timestamp) -> Result<(), Error> {
    let doublings = u32::try_from(open.attempts.clamp(0, 20)).unwrap_or(0);
    let longest = (1_000_000_i64 << doublings).min(RETRY_MICROS);
    let wait = longest / 2 + fastrand::i64(0..=longest / 2);
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_invalidation_batches SET next_at = $1 WHERE id = $2")
        .bind(now.0 + wait)
        .bind(open.id)
        .execute(tx.conn())
        .await?;
    sqlx::query("UPDATE media_invalidations SET error = $1 WHERE batch_id = $2")
        .bind(short(why))
        .bind(open.id)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

/// The CDN does not take these paths. Of several wishes each goes by itself, so that one cannot take the others with it.
async fn refused(state: &State, open: &Open, why: &str, now: Timestamp) -> Result<(), Error> {
    let wishes: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM media_invalidations WHERE batch_id = $1")
        .bind(open.id)
        .fetch_one(state.db.read())
        .await?;
    if wishes > 1 {
        let mut tx = state.db.begin().await?;
        sqlx::query("UPDATE media_invalidations SET batch_id = NULL, alone = 1, error = $1 WHERE batch_id = $2")
            .bind(short(why))
            .bind(open.id)
            .execute(tx.conn())
            .await?;
        close(&mut tx, open, "failed", now).await?;
        return tx.commit().await;
    }
    end(state, open, "failed", why, now).await
}

/// It has come to its end.
async fn end(state: &State, open: &Open, status: &'static str, why: &str, now: Timestamp) -> Result<(), Error> {
    let mut tx = state.db.begin().await?;
    let wishes = sqlx::query(
        "UPDATE media_invalidations SET status = $1, error = $2, finished_at = $3 WHERE batch_id = $4 AND finished_at IS NULL",
    )
    .bind(status)
    .bind(short(why))
    .bind(now.0)
    .bind(open.id)
    .execute(tx.conn())
    .await?
    .rows_affected();
    close(&mut tx, open, status, now).await?;
    if status == "failed" {
        tracing::error!(batch = %open.id, why, wishes, "the CDN has not forgotten what it was asked to");
    }
    #[expect(clippy::cast_precision_loss, reason = "it takes minutes")]
    let seconds = (now.0 - open.created_at) as f64 / 1e6;
    tx.on_commit(move || {
        metrics::counter!("nova_cdn_invalidations_total", "outcome" => status).increment(wishes);
        metrics::histogram!("nova_cdn_invalidation_seconds").record(seconds);
    });
    tx.commit().await
}

async fn close(tx: &mut Tx, open: &Open, status: &str, now: Timestamp) -> Result<(), Error> {
    sqlx::query("UPDATE media_invalidation_batches SET status = $1, finished_at = $2 WHERE id = $3")
        .bind(status)
        .bind(now.0)
        .bind(open.id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn short(why: &str) -> String {
    why.chars().filter(|letter| *letter != '\0').take(500).collect()
}

/// What the CDN has to do already.
#[derive(Debug, sqlx::FromRow)]
struct AtWork {
    /// Batches it has not taken yet.
    sending: i64,
    files: i64,
    wildcards: i64,
    /// When the newest batch was made.
    newest: i64,
}

impl AtWork {
    fn room(&self, cdn: &dyn Purge) -> Room {
        let (files, patterns) = cdn.most();
        let left = |most: usize, used: i64| most.saturating_sub(usize::try_from(used).unwrap_or(usize::MAX));
        Room {
            files: left(files, self.files),
            patterns: left(patterns, self.wildcards),
        }
    }

    fn lets_another(&self, cdn: &dyn Purge, now: Timestamp) -> bool {
        let room = self.room(cdn);
        self.sending == 0 && now.0 - self.newest >= APART_MICROS && room.files + room.patterns > 0
    }
}

async fn at_work(on: impl Executor<'_>) -> Result<AtWork, Error> {
    Ok(sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(CASE WHEN status = 'sending' THEN 1 ELSE 0 END), 0) AS BIGINT) AS sending, CAST(COALESCE(SUM(files), 0) AS BIGINT) AS \
         files, CAST(COALESCE(SUM(wildcards), 0) AS BIGINT) AS wildcards, (SELECT CAST(COALESCE(MAX(n.created_at), 0) AS BIGINT) FROM \
         media_invalidation_batches n) AS newest FROM media_invalidation_batches WHERE finished_at IS NULL",
    )
    .fetch_one(on)
    .await?)
}

/// Makes a batch of what waits, when there is room for one; true when it did.
async fn form(state: &State, cdn: &dyn Purge) -> Result<bool, Error> {
    let now = state.clock.now();
    // A look first: the writer is not asked for when there is nothing to do.
    let any: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM media_invalidations WHERE batch_id IS NULL AND finished_at IS NULL AND available_at <= $1 LIMIT 1",
    )
    .bind(now.0)
    .fetch_optional(state.db.read())
    .await?;
    if any.is_none() {
        metrics::gauge!("nova_cdn_invalidations_waiting").set(0);
        return Ok(false);
    }
    if !at_work(state.db.read()).await?.lets_another(cdn, now) {
        return Ok(false);
    }
    let mut tx = state.db.begin().await?;
    if tx.engine() == Engine::Postgres {
        // One process at a time: what is at work must be counted together with what is begun.
        let got: i64 = sqlx::query_scalar(
            "SELECT CASE WHEN pg_try_advisory_xact_lock(hashtext('nova invalidations')) THEN 1 ELSE 0 END::bigint",
        )
        .fetch_one(tx.conn())
        .await?;
        if got == 0 {
            return Ok(false);
        }
    }
    let used = at_work(&mut *tx.conn()).await?;
    if !used.lets_another(cdn, now) {
        return Ok(false);
    }
    let waiting: Vec<(InvalidationId, String, String, Flag)> = sqlx::query_as(
        "SELECT id, reason, paths, alone FROM media_invalidations WHERE batch_id IS NULL AND finished_at IS NULL AND available_at <= $1 \
         ORDER BY available_at, id LIMIT $2",
    )
    .bind(now.0)
    .bind(AT_ONCE)
    .fetch_all(tx.conn())
    .await?;
    metrics::gauge!("nova_cdn_invalidations_waiting").set(u32::try_from(waiting.len()).unwrap_or(u32::MAX));
    let waiting: Vec<Wish<InvalidationId>> = waiting
        .into_iter()
        .map(|(id, reason, paths, alone)| Wish {
            id,
            paths: read(&paths),
            alone: alone.0,
            widens: reason != ASKED,
        })
        .collect();
    let Some((taken, paths)) = gather(&waiting, used.room(cdn)) else {
        return Ok(false);
    };
    let (batch, size) = (Id::<Batch>::new(now), paths.room());
    sqlx::query(
        "INSERT INTO media_invalidation_batches (id, paths, files, wildcards, status, next_at, created_at) VALUES ($1, $2, $3, $4, 'sending', $5, $5)",
    )
    .bind(batch)
    .bind(written(&paths.list()))
    .bind(i64::try_from(size.files).unwrap_or(i64::MAX))
    .bind(i64::try_from(size.patterns).unwrap_or(i64::MAX))
    .bind(now.0)
    .execute(tx.conn())
    .await?;
    for id in taken {
        sqlx::query("UPDATE media_invalidations SET batch_id = $1 WHERE id = $2")
            .bind(batch)
            .bind(id)
            .execute(tx.conn())
            .await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// The reason of what an admin asks for.
pub(crate) const ASKED: &str = "asked";

/// Forgets what came to its end long ago.
async fn sweep(state: &State, now: Timestamp) -> Result<(), Error> {
    let mut tx = state.db.begin().await?;
    for statement in [
        "DELETE FROM media_invalidations WHERE finished_at < $1",
        "DELETE FROM media_invalidation_batches WHERE finished_at < $1",
    ] {
        sqlx::query(statement)
            .bind(now.0 - KEPT_MICROS)
            .execute(tx.conn())
            .await?;
    }
    tx.commit().await
}
