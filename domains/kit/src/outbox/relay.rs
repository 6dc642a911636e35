//! Delivers what the outbox holds. Every process runs one relay; they share the work.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use nova_core::clock::Clock;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ATTEMPTS, Raw, Subscriptions};
use crate::db::{Db, Engine, Error, Tx};

/// Events of one transaction.
const BATCH: i64 = 128;
/// A transaction of events is committed after this long: soon on SQLite, where the API's writers wait for it; on PostgreSQL, where they do not, only
/// handlers that are slow are cut short.
const fn batch_time_micros(engine: Engine) -> i64 {
    match engine {
        Engine::Sqlite => 8_000,
        Engine::Postgres => 30_000,
    }
}
/// Longest run of one event handler.
const HANDLER_LIMIT: Duration = Duration::from_secs(10);
/// Jobs of this process at once.
const JOBS: usize = 8;
/// How long a job that nobody here knows is left alone.
const STRANGE: Duration = Duration::from_secs(60);
/// How often the table is looked at although nobody woke us: for other processes' work, and what waits for its time.
const POLL: Duration = Duration::from_secs(1);

/// How long a delivery that failed `attempts` times waits: 1 s, doubling, at most 6 h. With 16 attempts that is about two days.
pub fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 16) - 1).unwrap_or(0);
    Duration::from_secs(1 << doublings).min(Duration::from_secs(6 * 3600))
}

/// The delivering side of the outbox.
pub struct Relay {
    db: Db,
    clock: Clock,
    /// Names this process in leases.
    owner: String,
    jobs: Arc<Semaphore>,
    running: TaskTracker,
}

impl Relay {
    /// A relay for this process. [`Db`]'s subscriptions must have been set.
    pub fn new(db: Db, clock: Clock) -> Arc<Self> {
        let owner = crate::db::Id::<Self>::new(clock.now()).to_string();
        Arc::new(Self {
            db,
            clock,
            owner,
            jobs: Arc::new(Semaphore::new(JOBS)),
            running: TaskTracker::new(),
        })
    }

    /// Delivers until `stop`; then jobs at work are given the time that is left of shutting down.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let listener = (self.db.engine() == Engine::Postgres).then(|| {
            let relay = Arc::clone(&self);
            tokio::spawn(async move { relay.listen().await })
        });
        loop {
            let busy = match self.turn().await {
                Ok(busy) => busy,
                Err(error) => {
                    tracing::warn!(%error, "events and jobs wait for the database");
                    false
                }
            };
            if stop.is_cancelled() {
                break;
            }
            if !busy {
                tokio::select! {
                    () = self.db.woken() => {}
                    () = tokio::time::sleep(POLL) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        if let Some(listener) = listener {
            listener.abort();
        }
        self.running.close();
        self.running.wait().await;
    }

    /// PostgreSQL tells when another process has written; a lost hint is made up for by the next poll.
    async fn listen(&self) {
        // Any has no LISTEN; the pool's options are those of a URL, so a native connection is made from the same one.
        let url = self.db.read().connect_options().database_url.to_string();
        loop {
            if let Ok(mut listener) = sqlx::postgres::PgListener::connect(&url).await
                && listener.listen("nova_outbox").await.is_ok()
            {
                while let Ok(hint) = listener.recv().await {
                    if hint.payload() != self.owner {
                        self.db.wake();
                    }
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Delivers what is due; true when there may be more at once.
    pub async fn turn(self: &Arc<Self>) -> Result<bool, Error> {
        let Some(subscriptions) = self.db.subscriptions().get() else {
            return Ok(false);
        };
        let events = self.events(subscriptions).await?;
        self.db.tell(&self.owner).await?;
        let jobs = self.lease(subscriptions).await?;
        Ok(events || jobs)
    }

    /// Delivers everything that is due now, and waits for it. For tests and for `nova admin`.
    pub async fn drain(self: &Arc<Self>) -> Result<(), Error> {
        loop {
            // A job that ends after the look may have held back others of its key: what counts is a look while none was at work.
            let idle = self.jobs.available_permits() == JOBS;
            if !self.turn().await? && idle {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    async fn events(&self, subscriptions: &Subscriptions) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        if !self.take_turn(&mut tx, "events").await? {
            return Ok(false);
        }
        let due = self.due(&mut tx, "event", BATCH).await?;
        if due.is_empty() {
            // Not left to the drop: the turn is given back now, not a moment later.
            tx.rollback().await?;
            return Ok(false);
        }
        let started = self.clock.monotonic_micros();
        let full = i64::try_from(due.len()).unwrap_or(0) == BATCH;
        let mut done = Vec::with_capacity(due.len());
        let (mut failed, mut cut) = (false, false);
        for raw in &due {
            if let Err(error) = deliver(subscriptions, &mut tx, raw).await {
                tracing::debug!(consumer = %raw.consumer, %error, "an event's handler failed");
                failed = true;
                break;
            }
            done.push(raw);
            if self.clock.monotonic_micros() - started > batch_time_micros(self.db.engine()) {
                cut = true;
                break;
            }
        }
        if failed {
            // What it did halfway is undone, and that of the others in the batch with it. They are done again, each by itself.
            tx.rollback().await?;
            return self.one_by_one(subscriptions, due).await.map(|()| true);
        }
        let ids: Vec<String> = done.iter().map(|raw| raw.id.to_string()).collect();
        delete(&mut tx, &ids).await?;
        tx.commit().await?;
        metrics::counter!("nova_outbox_delivered_total", "lane" => "event").increment(ids.len() as u64);
        Ok(full || cut)
    }

    async fn one_by_one(&self, subscriptions: &Subscriptions, due: Vec<Raw>) -> Result<(), Error> {
        let mut held: HashSet<(String, String)> = HashSet::new();
        for raw in due {
            let key = raw.ordering_key.clone().map(|key| (raw.consumer.clone(), key));
            if key.as_ref().is_some_and(|key| held.contains(key)) {
                continue;
            }
            let mut tx = self.db.begin().await?;
            if !self.take_turn(&mut tx, "events").await? {
                return Ok(());
            }
            // Another relay may have delivered it since.
            if delete(&mut tx, &[raw.id.to_string()]).await? == 0 {
                tx.rollback().await?;
                continue;
            }
            match deliver(subscriptions, &mut tx, &raw).await {
                Ok(()) => tx.commit().await?,
                Err(error) => {
                    tx.rollback().await?;
                    held.extend(key);
                    self.failed(&raw, raw.attempts + 1, &error).await?;
                }
            }
        }
        Ok(())
    }

    /// On PostgreSQL only one relay at a time picks rows, or two could take events of one key out of order. On SQLite the writer is one anyway.
    async fn take_turn(&self, tx: &mut Tx, what: &str) -> Result<bool, Error> {
        if self.db.engine() == Engine::Sqlite {
            return Ok(true);
        }
        let got: i64 =
            sqlx::query_scalar("SELECT CASE WHEN pg_try_advisory_xact_lock(hashtext($1)) THEN 1 ELSE 0 END::bigint")
                .bind(format!("nova outbox {what}"))
                .fetch_one(tx.conn())
                .await?;
        Ok(got == 1)
    }

    /// The rows of `lane` that may be delivered now, oldest first. A row waits while an earlier one of its key is leased or held back.
    async fn due(&self, tx: &mut Tx, lane: &str, limit: i64) -> Result<Vec<Raw>, Error> {
        Ok(sqlx::query_as(
            "SELECT o.id, o.consumer, o.event_id, o.ordering_key, o.actor, o.payload, o.created_at, o.attempts FROM kit_outbox o WHERE o.lane = $1 \
             AND o.dead_at IS NULL AND o.available_at <= $2 AND o.lease_until <= $2 AND (o.ordering_key IS NULL OR NOT EXISTS (SELECT 1 FROM \
             kit_outbox p WHERE p.consumer = o.consumer AND p.ordering_key = o.ordering_key AND p.id < o.id AND p.dead_at IS NULL AND p.ordering_key \
             IS NOT NULL AND (p.available_at > $2 OR p.lease_until > $2))) ORDER BY o.id LIMIT $3",
        )
        .bind(lane)
        .bind(self.clock.now().0)
        .bind(limit)
        .fetch_all(tx.conn())
        .await?)
    }

    async fn lease(self: &Arc<Self>, subscriptions: &Subscriptions) -> Result<bool, Error> {
        let free = i64::try_from(self.jobs.available_permits()).unwrap_or(0);
        if free == 0 {
            return Ok(false);
        }
        // A look first: the writer is not asked for when there is nothing to do.
        let any: Option<i64> = sqlx::query_scalar(
            "SELECT CAST(1 AS BIGINT) FROM kit_outbox WHERE lane = 'job' AND dead_at IS NULL AND available_at <= $1 AND lease_until <= $1 LIMIT 1",
        )
        .bind(self.clock.now().0)
        .fetch_optional(self.db.read())
        .await?;
        if any.is_none() {
            return Ok(false);
        }
        let mut tx = self.db.begin().await?;
        if !self.take_turn(&mut tx, "jobs").await? {
            return Ok(false);
        }
        let mut taken = Vec::new();
        let mut keys: HashSet<(String, String)> = HashSet::new();
        let due = self.due(&mut tx, "job", free).await?;
        let any = !due.is_empty();
        for mut raw in due {
            let Some((lease, _)) = subscriptions.jobs.get(&raw.consumer) else {
                // Its domain is switched off here. It waits for a process that knows it, and takes no other's place meanwhile.
                sqlx::query("UPDATE kit_outbox SET available_at = $1 WHERE id = $2")
                    .bind(self.clock.now().0 + micros(STRANGE))
                    .bind(raw.id)
                    .execute(tx.conn())
                    .await?;
                continue;
            };
            if let Some(key) = &raw.ordering_key
                && !keys.insert((raw.consumer.clone(), key.clone()))
            {
                continue;
            }
            sqlx::query(
                "UPDATE kit_outbox SET lease_owner = $1, lease_until = $2, attempts = attempts + 1 WHERE id = $3",
            )
            .bind(self.owner.as_str())
            .bind(self.clock.now().0 + micros(*lease))
            .bind(raw.id)
            .execute(tx.conn())
            .await?;
            raw.attempts += 1;
            taken.push(raw);
        }
        tx.commit().await?;
        for raw in taken {
            let Ok(permit) = Arc::clone(&self.jobs).try_acquire_owned() else {
                break;
            };
            let relay = Arc::clone(self);
            self.running.spawn(async move {
                relay.job(raw).await;
                drop(permit);
                relay.db.wake();
            });
        }
        Ok(any)
    }

    /// Runs one job, keeping its lease, and books the outcome.
    async fn job(&self, raw: Raw) {
        let Some((lease, handler)) = self
            .db
            .subscriptions()
            .get()
            .and_then(|known| known.jobs.get(&raw.consumer))
        else {
            return;
        };
        let mut work = AssertUnwindSafe(handler(raw.clone())).catch_unwind();
        let mut renew = tokio::time::interval(*lease / 3);
        renew.tick().await;
        let outcome = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = renew.tick() => {
                    let renewed = self.renew(&raw, *lease).await;
                    if matches!(renewed, Ok(false)) {
                        tracing::warn!(job = %raw.consumer, "the lease was lost, another process has the job");
                        return;
                    }
                }
            }
        };
        let booked = match outcome {
            Ok(Ok(())) => self.finished(&raw).await,
            Ok(Err(error)) => self.failed(&raw, raw.attempts, &error).await,
            Err(_panic) => self.failed(&raw, raw.attempts, &anyhow::anyhow!("it panicked")).await,
        };
        if let Err(error) = booked {
            // The lease runs out and the job runs again: at least once.
            tracing::warn!(job = %raw.consumer, %error, "a job's end could not be written");
        }
    }

    async fn renew(&self, raw: &Raw, lease: Duration) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let rows = sqlx::query("UPDATE kit_outbox SET lease_until = $1 WHERE id = $2 AND lease_owner = $3")
            .bind(self.clock.now().0 + micros(lease))
            .bind(raw.id)
            .bind(self.owner.as_str())
            .execute(tx.conn())
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(rows == 1)
    }

    async fn finished(&self, raw: &Raw) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        sqlx::query("DELETE FROM kit_outbox WHERE id = $1 AND lease_owner = $2")
            .bind(raw.id)
            .bind(self.owner.as_str())
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        metrics::counter!("nova_outbox_delivered_total", "lane" => "job").increment(1);
        Ok(())
    }

    /// Lets it wait longer, or calls it dead.
    async fn failed(&self, raw: &Raw, attempts: i64, error: &anyhow::Error) -> Result<(), Error> {
        let now = self.clock.now().0;
        let dead = attempts >= ATTEMPTS;
        let text: String = format!("{error:#}").chars().take(500).filter(|c| *c != '\0').collect();
        if dead {
            tracing::error!(consumer = %raw.consumer, id = %raw.event_id, error = %text, "given up after {attempts} attempts; see `nova admin jobs`");
            metrics::counter!("nova_outbox_dead_total").increment(1);
        } else {
            tracing::warn!(consumer = %raw.consumer, id = %raw.event_id, attempts, error = %text, "a delivery failed and is tried again");
        }
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "UPDATE kit_outbox SET attempts = $1, available_at = $2, lease_until = 0, lease_owner = NULL, last_error = $3, dead_at = $4 WHERE id = $5",
        )
        .bind(attempts)
        .bind(now + micros(backoff(attempts)))
        .bind(text)
        .bind(dead.then_some(now))
        .bind(raw.id)
        .execute(tx.conn())
        .await?;
        tx.commit().await
    }
}

async fn deliver(subscriptions: &Subscriptions, tx: &mut Tx, raw: &Raw) -> anyhow::Result<()> {
    let Some(handler) = subscriptions.events.get(&raw.consumer) else {
        // Its domain is switched off, or gone: nobody will ever want it.
        tracing::warn!(consumer = %raw.consumer, "nobody listens any more");
        return Ok(());
    };
    let work = AssertUnwindSafe(handler(tx, raw.clone())).catch_unwind();
    match tokio::time::timeout(HANDLER_LIMIT, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(anyhow::anyhow!("it panicked")),
        Err(_elapsed) => Err(anyhow::anyhow!("it took longer than {} s", HANDLER_LIMIT.as_secs())),
    }
}

/// Lengths of the lists in [`delete`]: few, so that a connection knows every such statement already.
const LISTS: [usize; 4] = [1, 8, 32, 128];

/// Deletes rows by id, many in a statement; a list that is too short says its last id again.
async fn delete(tx: &mut Tx, ids: &[String]) -> Result<u64, Error> {
    let mut deleted = 0;
    for some in ids.chunks(LISTS[3]) {
        let length = LISTS
            .into_iter()
            .find(|length| *length >= some.len())
            .unwrap_or(LISTS[3]);
        let places: Vec<String> = (1..=length).map(|n| format!("${n}")).collect();
        let sql = format!("DELETE FROM kit_outbox WHERE id IN ({})", places.join(", "));
        let mut statement = sqlx::query(sqlx::AssertSqlSafe(sql));
        for id in some.iter().chain(some.last().into_iter().cycle()).take(length) {
            statement = statement.bind(id.as_str());
        }
        deleted += statement.execute(tx.conn()).await?.rows_affected();
    }
    Ok(deleted)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
