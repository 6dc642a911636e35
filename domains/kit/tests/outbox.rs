//! Events and jobs arrive: in order, once, again after failure, and not for ever.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nova_core::clock::{Clock, Timestamp};
use nova_domain::db::{Db, UserId};
use nova_domain::http::limit::Limits;
use nova_domain::outbox::{ATTEMPTS, Event, Job, Relay, admin, backoff};
use nova_domain::{Context, Domain, testing};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Counted {
    thing: String,
    n: i64,
}

impl Event for Counted {
    const TYPE: &'static str = "test.counted";

    fn key(&self) -> String {
        self.thing.clone()
    }
}

#[derive(Serialize, Deserialize)]
struct Work {
    n: i64,
    key: Option<String>,
}

impl Job for Work {
    const TYPE: &'static str = "test.work";

    fn key(&self) -> Option<String> {
        self.key.clone()
    }
}

fn start() -> Timestamp {
    Timestamp(1_795_478_399_000_000)
}

struct House {
    db: Db,
    clock: Clock,
    relay: Arc<Relay>,
}

fn house(db: &Db, domains: &[Domain]) -> House {
    let clock = Clock::manual(start());
    let context = Context {
        db: db.clone(),
        clock: clock.clone(),
        limits: Limits::new(0),
        public_url: String::new(),
        personal: Arc::default(),
    };
    Domain::join(domains, &context);
    House {
        relay: Relay::new(db.clone(), clock.clone()),
        db: db.clone(),
        clock,
    }
}

impl House {
    async fn emit(&self, thing: &str, n: i64) {
        let mut tx = self.db.begin().await.unwrap();
        let event = Counted { thing: thing.into(), n };
        tx.emit(&event, Some(UserId::new(start())), self.clock.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn enqueue(&self, n: i64, key: Option<&str>) {
        let mut tx = self.db.begin().await.unwrap();
        let job = Work {
            n,
            key: key.map(str::to_owned),
        };
        tx.enqueue(&job, self.clock.now(), self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// A handler that notes what it hears and fails for numbers that `bad` names.
fn listener(
    name: &'static str,
    heard: &Arc<Mutex<Vec<(String, i64)>>>,
    bad: &'static (dyn Fn(i64) -> bool + Sync),
) -> Domain {
    let heard = Arc::clone(heard);
    Domain::new(name).on::<Counted>(move |_tx, envelope| {
        let heard = Arc::clone(&heard);
        Box::pin(async move {
            let event = envelope.event;
            anyhow::ensure!(!bad(event.n), "cannot do {}", event.n);
            heard.lock().unwrap().push((event.thing, event.n));
            Ok(())
        })
    })
}

#[tokio::test]
async fn every_domain_that_listens_hears_every_event_once_and_in_order() {
    for db in testing::databases().await {
        let (a, b) = (Arc::default(), Arc::default());
        let house = house(&db, &[listener("a", &a, &|_| false), listener("b", &b, &|_| false)]);
        for n in 0..300 {
            house.emit("x", n).await;
        }
        house.relay.drain().await.unwrap();
        house.relay.drain().await.unwrap();
        let expected: Vec<_> = (0..300).map(|n| ("x".to_owned(), n)).collect();
        assert_eq!(*a.lock().unwrap(), expected);
        assert_eq!(*b.lock().unwrap(), expected);
        assert_eq!(admin::counts(&db).await.unwrap().waiting, 0);
    }
}

#[tokio::test]
async fn an_event_of_a_transaction_that_is_undone_was_never_there() {
    for db in testing::databases().await {
        let heard = Arc::default();
        let house = house(&db, &[listener("a", &heard, &|_| false)]);
        let mut tx = house.db.begin().await.unwrap();
        tx.emit(
            &Counted {
                thing: "x".into(),
                n: 1,
            },
            None,
            house.clock.now(),
        )
        .await
        .unwrap();
        tx.rollback().await.unwrap();
        house.relay.drain().await.unwrap();
        assert!(heard.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_failing_delivery_holds_back_its_own_key_and_nothing_else() {
    static FAILING: AtomicI64 = AtomicI64::new(1);
    for db in testing::databases().await {
        FAILING.store(1, Ordering::Relaxed);
        let (bad, good) = (Arc::default(), Arc::default());
        let house = house(
            &db,
            &[
                listener("bad", &bad, &|n| n == FAILING.load(Ordering::Relaxed)),
                listener("good", &good, &|_| false),
            ],
        );
        for (thing, n) in [("x", 0), ("x", 1), ("y", 10), ("x", 2), ("y", 11)] {
            house.emit(thing, n).await;
        }
        house.relay.drain().await.unwrap();
        let of =
            |heard: &Arc<Mutex<Vec<(String, i64)>>>| heard.lock().unwrap().iter().map(|(_, n)| *n).collect::<Vec<_>>();
        let heard = of(&bad);
        assert!(heard.ends_with(&[0, 10, 11]) && !heard.contains(&2), "{heard:?}");
        assert_eq!(of(&good).last(), Some(&11));
        // Mended, and its time has come.
        FAILING.store(-1, Ordering::Relaxed);
        house.clock.advance(backoff(1));
        house.relay.drain().await.unwrap();
        assert!(of(&bad).ends_with(&[1, 2]), "{:?}", of(&bad));
    }
}

#[tokio::test]
async fn what_a_failing_handler_did_halfway_is_undone() {
    for db in testing::databases().await {
        let domain = Domain::new("a").on::<Counted>(|tx, envelope| {
            Box::pin(async move {
                sqlx::query("INSERT INTO kit_audit (id, at, action, detail) VALUES ($1, 0, 'x', '')")
                    .bind(envelope.id.to_string())
                    .execute(tx.conn())
                    .await?;
                anyhow::ensure!(envelope.event.n != 1, "halfway");
                assert_ne!(envelope.event.n, 2, "a panic is a failure like others");
                Ok(())
            })
        });
        let house = house(&db, &[domain]);
        for n in 0..4 {
            house.emit(&n.to_string(), n).await;
        }
        house.relay.drain().await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM kit_audit")
            .fetch_one(db.read())
            .await
            .unwrap();
        assert_eq!(rows, 2, "0 and 3");
        assert_eq!(admin::counts(&db).await.unwrap().waiting, 2);
    }
}

#[tokio::test]
async fn a_delivery_that_always_fails_ends_as_a_dead_letter_and_can_be_tried_again() {
    for db in testing::databases().await {
        static BAD: AtomicI64 = AtomicI64::new(0);
        BAD.store(0, Ordering::Relaxed);
        let heard = Arc::default();
        let house = house(&db, &[listener("a", &heard, &|n| n == BAD.load(Ordering::Relaxed))]);
        house.emit("x", 0).await;
        house.emit("x", 1).await;
        for attempt in 1..=ATTEMPTS {
            house.relay.drain().await.unwrap();
            house.clock.advance(backoff(attempt));
        }
        house.relay.drain().await.unwrap();
        let dead = admin::dead(&db, 10).await.unwrap();
        assert_eq!(
            (dead.len(), dead[0].attempts, dead[0].last_error.as_deref()),
            (1, ATTEMPTS, Some("cannot do 0"))
        );
        assert_eq!(heard.lock().unwrap().len(), 1, "its key goes on without it");
        BAD.store(-1, Ordering::Relaxed);
        assert_eq!(
            admin::retry(&db, Some(&dead[0].id), house.clock.now()).await.unwrap(),
            1
        );
        house.relay.drain().await.unwrap();
        assert_eq!(heard.lock().unwrap().len(), 2);
    }
}

fn worker(done: &Arc<Mutex<Vec<i64>>>) -> Domain {
    let done = Arc::clone(done);
    Domain::new("w").job::<Work>(move |_leased, work| {
        let done = Arc::clone(&done);
        Box::pin(async move {
            done.lock().unwrap().push(work.n);
            Ok(())
        })
    })
}

#[tokio::test]
async fn jobs_are_done_and_those_of_one_key_one_after_the_other() {
    for db in testing::databases().await {
        let done = Arc::default();
        let house = house(&db, &[worker(&done)]);
        for n in 0..40 {
            house.enqueue(n, Some("k")).await;
            house.enqueue(100 + n, None).await;
        }
        house.relay.drain().await.unwrap();
        let done = done.lock().unwrap();
        assert_eq!(done.len(), 80);
        assert!(done.iter().filter(|n| **n < 100).is_sorted());
    }
}

#[tokio::test]
async fn a_job_whose_worker_died_is_done_by_another_when_its_lease_has_run_out() {
    for db in testing::databases().await {
        let started = Arc::new(tokio::sync::Notify::new());
        let runs = Arc::new(AtomicI64::new(0));
        let (tell, count) = (Arc::clone(&started), Arc::clone(&runs));
        let domain = Domain::new("w").job::<Work>(move |_, _| {
            let (tell, first) = (Arc::clone(&tell), count.fetch_add(1, Ordering::Relaxed) == 0);
            Box::pin(async move {
                tell.notify_one();
                if first {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        });
        let house = house(&db, &[domain]);
        house.enqueue(1, None).await;
        house.relay.turn().await.unwrap();
        started.notified().await;
        // The first one hangs for ever and, since this clock stands still, never renews. Another process looks:
        let other = Relay::new(house.db.clone(), house.clock.clone());
        assert!(!other.turn().await.unwrap(), "it is leased");
        house.clock.advance(Work::LEASE + Duration::from_secs(1));
        other.drain().await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        assert_eq!(admin::counts(&db).await.unwrap().waiting, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn relays_of_several_processes_share_the_work_and_keep_the_order() {
    let db = testing::postgres().await;
    let heard = Arc::default();
    let house = house(&db, &[listener("a", &heard, &|_| false)]);
    for n in 0..400 {
        house.emit(if n % 2 == 0 { "even" } else { "odd" }, n).await;
    }
    let relays: Vec<_> = (0..4)
        .map(|_| {
            let relay = Relay::new(house.db.clone(), house.clock.clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    relay.turn().await.unwrap();
                }
            })
        })
        .collect();
    for relay in relays {
        relay.await.unwrap();
    }
    house.relay.drain().await.unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 400);
    for thing in ["even", "odd"] {
        assert!(
            heard.iter().filter(|(one, _)| one == thing).map(|(_, n)| n).is_sorted(),
            "{thing}"
        );
    }
}

#[tokio::test]
async fn jobs_that_nobody_knows_here_wait_and_hold_up_no_others() {
    for db in testing::databases().await {
        let done = Arc::default();
        let house = house(&db, &[worker(&done)]);
        for n in 0..20 {
            house.enqueue(n, None).await;
        }
        let mut tx = db.begin().await.unwrap();
        sqlx::query("UPDATE kit_outbox SET consumer = 'of.another'")
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        house.enqueue(100, None).await;
        house.relay.drain().await.unwrap();
        assert_eq!(*done.lock().unwrap(), [100]);
        assert_eq!(
            admin::counts(&db).await.unwrap(),
            admin::Counts { waiting: 20, dead: 0 }
        );
    }
}
