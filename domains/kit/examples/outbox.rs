//! How many events a second go from a business transaction to their handler's committed change, on SQLite in a file.
//!
//! `cargo run --release -p nova-domain --features testing --example outbox`. Each event is written in a transaction of its own, as handlers of
//! the API do it, while the relay delivers; the clock stops when the last one has been heard.
#![expect(clippy::print_stdout, reason = "the figure is what it is for")]

use std::sync::Arc;

use nova_core::clock::Clock;
use nova_domain::db::UserId;
use nova_domain::events::ProfileUpdated;
use nova_domain::http::limit::Limits;
use nova_domain::outbox::{Relay, admin};
use nova_domain::{Context, Domain, testing};
use tokio_util::sync::CancellationToken;

const EVENTS: usize = 40_000;
const WRITERS: usize = 32;

#[tokio::main(worker_threads = 2)]
async fn main() {
    for db in [testing::sqlite().await, testing::postgres().await] {
        let clock = Clock::system();
        let context = Context {
            db: db.db.clone(),
            clock: clock.clone(),
            limits: Limits::new(0),
            public_url: String::new(),
            personal: Arc::default(),
        };
        let domain = Domain::new("a").on::<ProfileUpdated>(|tx, envelope| {
            Box::pin(async move {
                sqlx::query("INSERT INTO kit_audit (id, at, action, detail) VALUES ($1, 0, 'heard', '')")
                    .bind(envelope.id.to_string())
                    .execute(tx.conn())
                    .await?;
                Ok(())
            })
        });
        Domain::join(&[domain], &context);
        let stop = CancellationToken::new();
        let relay = tokio::spawn(Relay::new(db.db.clone(), clock.clone()).run(stop.clone()));
        let from = clock.monotonic_micros();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (db, clock) = (db.db.clone(), clock.clone());
                tokio::spawn(async move {
                    for _ in 0..EVENTS / WRITERS {
                        let now = clock.now();
                        let mut tx = db.begin().await.expect("a transaction");
                        let event = ProfileUpdated { user: UserId::new(now) };
                        tx.emit(&event, None, now).await.expect("written");
                        tx.commit().await.expect("committed");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.expect("a writer");
        }
        let written = clock.monotonic_micros() - from;
        while admin::counts(&db).await.expect("a count").waiting > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let heard = clock.monotonic_micros() - from;
        let rate = |micros: i64| i64::try_from(EVENTS).unwrap_or(0) * 1_000_000 / micros.max(1);
        println!(
            "{:?}: {} events/s written, {} events/s written and heard",
            db.engine(),
            rate(written),
            rate(heard)
        );
        stop.cancel();
        relay.await.expect("the relay");
    }
}
