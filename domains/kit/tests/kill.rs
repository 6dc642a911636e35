//! A process is killed with SIGKILL again and again while it acts, emits, delivers and works. Nothing is lost and nothing is doubled: neither an
//! event, nor a job that was killed halfway, which another process does when the lease has run out.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::Clock;
use nova_domain::db::{Db, Id};
use nova_domain::http::limit::Limits;
use nova_domain::outbox::{Event, Job, Relay, admin};
use nova_domain::{Context, Domain, testing};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

const CHILD: &str = "NOVA_BIN_KILL_TEST_DATABASE";

#[derive(Serialize, Deserialize)]
struct Acted {
    act: String,
    account: i64,
}

impl Event for Acted {
    const TYPE: &'static str = "test.acted";

    fn key(&self) -> String {
        self.account.to_string()
    }
}

/// Something to do for each act.
#[derive(Serialize, Deserialize)]
struct Work {
    act: String,
    number: i64,
}

impl Job for Work {
    const TYPE: &'static str = "test.work";
}

/// Of so many jobs the process that is killed never ends one: that is halfway when it is killed.
const HALFWAY: i64 = 4;

/// Work leaves a row for each attempt, and at its end one that is there once however often it is done: a job is done at least once, and what makes it
/// once is a key of its own.
async fn work(db: Db, job: Work) -> anyhow::Result<()> {
    let note = async |action: &'static str, id: String| {
        let now = Clock::system().now();
        let mut tx = db.begin().await?;
        sqlx::query("INSERT INTO kit_audit (id, at, action, subject, detail) VALUES ($1, $2, $3, $4, '') ON CONFLICT (id) DO NOTHING")
            .bind(id)
            .bind(now.0)
            .bind(action)
            .bind(job.act.as_str())
            .execute(tx.conn())
            .await?;
        tx.commit().await
    };
    note("begun", Id::<Work>::new(Clock::system().now()).to_string()).await?;
    if std::env::var(CHILD).is_ok() {
        #[expect(clippy::print_stdout, reason = "what the parent reads")]
        {
            println!("begun {}", job.act);
        }
        if job.number % HALFWAY == 0 {
            std::future::pending::<()>().await;
        }
    }
    Ok(note("done", format!("done {}", job.act)).await?)
}

/// Each act is a row; hearing of it adds one to its account's number. Both are in the audit table, the only one at hand with text columns.
fn domain(db: &Db) -> Domain {
    let working = db.clone();
    let domain = Domain::new("a").job::<Work>(move |_leased, job| Box::pin(work(working.clone(), job)));
    domain.on::<Acted>(|tx, envelope| {
        Box::pin(async move {
            sqlx::query("INSERT INTO kit_audit (id, at, action, subject, detail) VALUES ($1, $2, 'heard', $3, '')")
                .bind(Id::<Acted>::new(envelope.at))
                .bind(envelope.at.0)
                .bind(envelope.event.act)
                .execute(tx.conn())
                .await?;
            Ok(())
        })
    })
}

fn join(db: &Db) {
    let context = Context {
        db: db.clone(),
        clock: Clock::system(),
        limits: Limits::new(0),
        public_url: String::new(),
        personal: Arc::default(),
    };
    Domain::join(&[domain(db)], &context);
}

/// The process that is killed: acts as fast as it can, and says each act that is committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let db = Db::connect(&url, 4, Duration::from_secs(5)).await.unwrap();
    join(&db);
    let relay = Relay::new(db.clone(), Clock::system());
    tokio::spawn(relay.run(CancellationToken::new()));
    let clock = Clock::system();
    for n in 0.. {
        let (act, now) = (Id::<Acted>::new(clock.now()).to_string(), clock.now());
        let mut tx = db.begin().await.unwrap();
        sqlx::query("INSERT INTO kit_audit (id, at, action, subject, detail) VALUES ($1, $2, 'acted', $1, '')")
            .bind(act.as_str())
            .bind(now.0)
            .execute(tx.conn())
            .await
            .unwrap();
        tx.emit(
            &Acted {
                act: act.clone(),
                account: n % 5,
            },
            None,
            now,
        )
        .await
        .unwrap();
        let job = Work {
            act: act.clone(),
            number: n,
        };
        tx.enqueue(&job, now, now).await.unwrap();
        tx.commit().await.unwrap();
        #[expect(clippy::print_stdout, reason = "what the parent reads")]
        {
            println!("committed {act}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_any_point_loses_and_doubles_nothing() {
    for db in testing::databases().await {
        let mut told = Vec::new();
        for round in 0_usize..12 {
            let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
                .args(["child", "--exact", "--nocapture"])
                .env(CHILD, &db.url)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // Killed after another number of acts each time, at whatever it is doing then.
            let acts = 3 + round * 7;
            let (mut seen, mut begun, mut killed) = (0, 0, false);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, act)) = line.split_once("committed ") {
                    told.push(act.to_owned());
                    seen += 1;
                }
                begun += usize::from(line.contains("begun "));
                if seen >= acts && begun > 0 && !killed {
                    killed = true;
                    child.start_kill().unwrap();
                }
            }
            child.wait().await.unwrap();
            assert!(seen >= acts, "{:?} round {round}: {seen} of {acts}", db.engine());
        }
        // A new process finds what is left, but what a killed one may be at work on still.
        join(&db.db);
        let rows = |action: &'static str| {
            let pool = db.read().clone();
            async move {
                sqlx::query_scalar::<_, i64>("SELECT CAST(COUNT(*) AS BIGINT) FROM kit_audit WHERE action = $1")
                    .bind(action)
                    .fetch_one(&pool)
                    .await
                    .unwrap()
            }
        };
        Relay::new(db.db.clone(), Clock::system()).drain().await.unwrap();
        let (acted, done) = (rows("acted").await, rows("done").await);
        assert!(
            done < acted,
            "{:?}: {done} of {acted} done, none was halfway",
            db.engine()
        );
        let waiting = admin::counts(&db).await.unwrap().waiting;
        assert!(waiting >= acted - done, "the others wait for their leases to run out");
        // An hour later these have run out.
        let later = Clock::system().now().plus_micros(3_600_000_000);
        Relay::new(db.db.clone(), Clock::manual(later)).drain().await.unwrap();
        assert_eq!(admin::counts(&db).await.unwrap(), admin::Counts { waiting: 0, dead: 0 });
        let acts = |action: &'static str| {
            let pool = db.read().clone();
            async move {
                sqlx::query_scalar::<_, String>("SELECT subject FROM kit_audit WHERE action = $1 ORDER BY subject")
                    .bind(action)
                    .fetch_all(&pool)
                    .await
                    .unwrap()
            }
        };
        let (acted, heard) = (acts("acted").await, acts("heard").await);
        assert_eq!(acted, heard, "{:?}: each act is heard of exactly once", db.engine());
        assert_eq!(
            acted,
            acts("done").await,
            "{:?}: each job is done, and once",
            db.engine()
        );
        assert!(
            acts("begun").await.len() > acted.len(),
            "{:?}: some were begun again",
            db.engine()
        );
        assert!(
            told.iter().all(|act| acted.binary_search(act).is_ok()),
            "what was said to be committed is there"
        );
    }
}
