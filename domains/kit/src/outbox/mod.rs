//! Events and jobs: written in the transaction of the business act, delivered afterwards.
//!
//! - An **event** ([`Event`]) says what happened. Each domain that listens gets a row of its own, so one that fails holds up nobody else. Its
//!   handler changes the database through the transaction it is given, and the row is deleted in that same transaction: whatever is killed
//!   when, the change is made exactly once. Handlers do nothing but that; what takes time or leaves the machine is a job.
//! - A **job** ([`Job`]) is work to do: a mail, a transcode. It is leased, runs outside any transaction, and is deleted when it is done: at
//!   least once. A job that must not act twice carries the key by which the other side knows it ([`Leased::id`]).
//!
//! Rows with the same key are delivered to a consumer in the order they were written, provided that whoever writes two events of one thing
//! holds that thing's row lock, as one does anyway. A failed delivery waits longer each time and holds back its key; after
//! [`ATTEMPTS`] it is dead: kept, counted, shown by `nova admin jobs`, and its key goes on.
//!
//! The pair of consumer and event id is unique: an event that comes a second time, from a bus for instance, is written once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nova_core::clock::Timestamp;
use nova_core::store::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::db::{Error, Id, Tx, UserId};

pub mod admin;
mod relay;

pub use self::relay::{Relay, backoff};

/// Deliveries of one row before it is dead: about two days, see [`backoff`].
pub const ATTEMPTS: i64 = 16;

/// One delivery: the marker of its id.
pub enum Delivery {}

/// Something that happened. The type's fields are the payload; they only ever grow, and new ones have defaults.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name in the catalogue, for example `user.deleted`.
    const TYPE: &'static str;
    /// Raised when the meaning of the payload changes.
    const VERSION: u32 = 1;

    /// What it is about: events with the same key are delivered in order.
    fn key(&self) -> String;
}

/// Work to do.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name, for example `mail.send`.
    const TYPE: &'static str;
    /// How long one run may take before another process may start it again; a running job keeps its lease.
    const LEASE: Duration = Duration::from_secs(60);

    /// Jobs with the same key run one after the other. `None`: in any order, at once.
    fn key(&self) -> Option<String> {
        None
    }
}

/// An event as it arrives.
#[derive(Clone, Debug)]
pub struct Envelope<E> {
    /// The event's own id, the same for all who listen.
    pub id: Uuid,
    /// Who caused it; `None` for the server itself.
    pub actor: Option<UserId>,
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    pub event: E,
}

/// A job at work.
#[derive(Clone, Copy, Debug)]
pub struct Leased {
    /// The same at every attempt.
    pub id: Uuid,
    /// 1 at the first.
    pub attempt: i64,
}

type EventHandler = Arc<dyn for<'a> Fn(&'a mut Tx, Raw) -> BoxFuture<'a, anyhow::Result<()>> + Send + Sync>;
type JobHandler = Arc<dyn Fn(Raw) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// A row as the relay reads it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Raw {
    pub(crate) id: Id<Delivery>,
    pub(crate) consumer: String,
    pub(crate) event_id: String,
    pub(crate) ordering_key: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) payload: String,
    pub(crate) created_at: i64,
    pub(crate) attempts: i64,
}

/// Who listens to what, and who does which job.
#[derive(Clone, Default)]
pub struct Subscriptions {
    /// Event type to consumers, in the order of the domains.
    listeners: HashMap<&'static str, Vec<String>>,
    pub(crate) events: HashMap<String, EventHandler>,
    pub(crate) jobs: HashMap<String, (Duration, JobHandler)>,
}

impl Subscriptions {
    /// `domain` hears every `E`.
    pub fn on<E: Event>(
        &mut self,
        domain: &str,
        handle: impl for<'a> Fn(&'a mut Tx, Envelope<E>) -> BoxFuture<'a, anyhow::Result<()>> + Send + Sync + 'static,
    ) {
        let consumer = format!("{domain}:{}", E::TYPE);
        self.listeners.entry(E::TYPE).or_default().push(consumer.clone());
        let handler: EventHandler = Arc::new(move |tx, raw| match read::<E>(&raw) {
            Ok(envelope) => handle(tx, envelope),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        });
        self.events.insert(consumer, handler);
    }

    /// `J` is done by `run`.
    pub fn job<J: Job>(
        &mut self,
        run: impl Fn(Leased, J) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync + 'static,
    ) {
        let handler: JobHandler = Arc::new(move |raw| {
            let parsed = serde_json::from_str::<J>(&raw.payload).context("the payload is not what it was");
            let id = Uuid::parse_str(&raw.event_id).context("the id is no UUID");
            match (parsed, id) {
                (Ok(job), Ok(id)) => run(
                    Leased {
                        id,
                        attempt: raw.attempts,
                    },
                    job,
                ),
                (Err(error), _) | (_, Err(error)) => Box::pin(std::future::ready(Err(error))),
            }
        });
        self.jobs.insert(J::TYPE.to_owned(), (J::LEASE, handler));
    }

    /// Adds another's.
    pub fn merge(&mut self, other: Self) {
        for (kind, consumers) in other.listeners {
            self.listeners.entry(kind).or_default().extend(consumers);
        }
        self.events.extend(other.events);
        self.jobs.extend(other.jobs);
    }
}

fn read<E: Event>(raw: &Raw) -> anyhow::Result<Envelope<E>> {
    Ok(Envelope {
        id: Uuid::parse_str(&raw.event_id).context("the event's id is no UUID")?,
        actor: raw
            .actor
            .as_deref()
            .map(str::parse)
            .transpose()
            .context("the actor is no UUID")?,
        at: Timestamp(raw.created_at),
        event: serde_json::from_str(&raw.payload).context("the payload is not what it was")?,
    })
}

const INSERT: &str = "INSERT INTO kit_outbox (id, lane, consumer, event_id, kind, version, ordering_key, actor, payload, created_at, available_at) VALUES \
                      ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (consumer, event_id) DO NOTHING";

impl Tx {
    /// Says that `event` happened, if and when this transaction commits. Nobody listening costs nothing.
    pub async fn emit<E: Event>(&mut self, event: &E, actor: Option<UserId>, now: Timestamp) -> Result<(), Error> {
        let consumers = self
            .listeners()
            .and_then(|known| known.listeners.get(E::TYPE))
            .cloned()
            .unwrap_or_default();
        if consumers.is_empty() {
            return Ok(());
        }
        let (id, payload) = (Id::<Delivery>::new(now), payload(event)?);
        for consumer in consumers {
            sqlx::query(INSERT)
                .bind(Id::<Delivery>::new(now))
                .bind("event")
                .bind(consumer)
                .bind(id)
                .bind(E::TYPE)
                .bind(i64::from(E::VERSION))
                .bind(event.key())
                .bind(actor)
                .bind(payload.as_str())
                .bind(now.0)
                .bind(now.0)
                .execute(self.conn())
                .await?;
        }
        self.will_deliver();
        Ok(())
    }

    /// Has `job` done, not before `at`, if and when this transaction commits.
    pub async fn enqueue<J: Job>(&mut self, job: &J, at: Timestamp, now: Timestamp) -> Result<(), Error> {
        let id = Id::<Delivery>::new(now);
        sqlx::query(INSERT)
            .bind(id)
            .bind("job")
            .bind(J::TYPE)
            .bind(id)
            .bind(J::TYPE)
            .bind(1_i64)
            .bind(job.key())
            .bind(None::<String>)
            .bind(payload(job)?)
            .bind(now.0)
            .bind(at.0.max(now.0))
            .execute(self.conn())
            .await?;
        self.will_deliver();
        Ok(())
    }
}

fn payload(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Statement(sqlx::Error::Encode(Box::new(error))))
}
