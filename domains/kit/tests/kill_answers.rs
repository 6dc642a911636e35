//! A process is killed with SIGKILL again and again while it answers requests with an `Idempotency-Key`. Each request that is sent again, whether it was
//! answered or not, is answered with what its act was, and has acted once.

use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::{Router, middleware, routing::post};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use nova_core::clock::{Clock, Timestamp};
use nova_domain::db::{Db, Id, SessionId, UserId};
use nova_domain::http::caller::{Caller, Proof, known};
use nova_domain::http::idempotency::{Kept, once};
use nova_domain::{Problem, Role, testing};
use tokio::io::{AsyncBufReadExt, BufReader};
use tower::ServiceExt;

const CHILD: &str = "NOVA_BIN_KILL_TEST_ANSWERS";
const NOW: Timestamp = Timestamp(1_795_478_399_000_000);
/// Of so many requests the process that is killed never answers one, whose act is committed: that is halfway when it is killed.
const HALFWAY: u64 = 3;

fn caller() -> Caller {
    Caller {
        // The same in every process.
        user: "0198a5c2-7f3e-7b2a-9c4d-000000000001".parse::<UserId>().unwrap(),
        session: SessionId::new(NOW),
        role: Role::Viewer,
        proof: Proof::Session,
        authenticated_at: NOW,
        suspended: false,
    }
}

/// Each act is a row, and its answer says which.
fn router(db: &Db, clock: Clock) -> Router {
    let kept = Kept {
        db: db.clone(),
        clock,
        larger: &[],
    };
    let db = db.clone();
    let act = post(move |body: String| async move {
        let mut tx = db.begin().await?;
        let id = Id::<Kept>::new(Clock::system().now());
        sqlx::query("INSERT INTO kit_audit (id, at, action, subject, detail) VALUES ($1, 1, 'test.act', $2, '')")
            .bind(id)
            .bind(body.as_str())
            .execute(tx.conn())
            .await?;
        let answer = tx.commit_as((StatusCode::CREATED, id.to_string())).await?;
        if std::env::var(CHILD).is_ok() && body.parse::<u64>().is_ok_and(|number| number % HALFWAY == 0) {
            std::future::pending::<()>().await;
        }
        Ok::<_, Problem>(answer)
    });
    Router::new()
        .route("/acts", act)
        .layer(middleware::from_fn_with_state(kept, once))
}

/// A request that acts, under the key that its number is.
async fn send(router: &Router, number: u64) -> (StatusCode, String) {
    let mut request = Request::post("/acts")
        .header("idempotency-key", format!("request-{number:06}"))
        .body(Body::from(number.to_string()))
        .unwrap();
    request.extensions_mut().insert(known(caller()));
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The process that is killed: it asks itself as fast as it can from the number on that it is given, and says what it was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (from, url) = told.split_once(' ').unwrap();
    let from: u64 = from.parse().unwrap();
    let db = Db::connect(url, 4, Duration::from_secs(5)).await.unwrap();
    let router = router(&db, Clock::manual(NOW));
    for number in from.. {
        let router = router.clone();
        #[expect(clippy::print_stdout, reason = "what the parent reads")]
        let asking = async move {
            println!("asked {number}");
            let (status, body) = send(&router, number).await;
            println!("answered {number} {} {body}", status.as_u16());
        };
        if number % HALFWAY == 0 {
            tokio::spawn(asking);
        } else {
            asking.await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_answered_with_what_it_did_whenever_its_process_is_killed() {
    for db in testing::databases().await {
        let (mut next, mut told) = (1_u64, Vec::new());
        for round in 0_usize..12 {
            let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
                .args(["child", "--exact", "--nocapture"])
                .env(CHILD, format!("{next} {}", db.url))
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // Killed after another number of answers each time, at whatever it is doing then.
            let (answers, mut seen) = (3 + round * 5, 0);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some((_, number)) = line.split_once("asked ") {
                    next = next.max(number.parse::<u64>().unwrap() + 1);
                }
                if let Some((_, answer)) = line.split_once("answered ") {
                    let mut words = answer.split(' ');
                    let number: u64 = words.next().unwrap().parse().unwrap();
                    assert_eq!(words.next(), Some("201"), "{line}");
                    told.push((number, words.next().unwrap().to_owned()));
                    seen += 1;
                    if seen == answers {
                        child.start_kill().unwrap();
                    }
                }
            }
            child.wait().await.unwrap();
            assert!(seen >= answers, "{:?} round {round}: {seen} of {answers}", db.engine());
        }
        let acts = async || {
            sqlx::query_as::<_, (String, String)>("SELECT subject, id FROM kit_audit WHERE action = 'test.act'")
                .fetch_all(db.read())
                .await
                .unwrap()
        };
        let before = acts().await;
        let unanswered = |number: u64| told.iter().all(|(answered, _)| *answered != number);
        let halfway = before.iter().filter(|(number, _)| unanswered(number.parse().unwrap()));
        assert!(halfway.count() > 0, "{:?}: every act was answered", db.engine());
        // Two minutes later, what had not acted yet is taken for lost. Sent again, what had acted is answered with what it did then.
        let router = router(&db, Clock::manual(NOW.plus_micros(120_000_000)));
        for number in 1..next {
            let (status, id) = send(&router, number).await;
            assert_eq!(status, StatusCode::CREATED, "{:?} {number}: {id}", db.engine());
            for (_, first) in told.iter().filter(|(answered, _)| *answered == number) {
                assert_eq!(&id, first, "{:?} {number}", db.engine());
            }
            for (_, first) in before.iter().filter(|(acted, _)| *acted == number.to_string()) {
                assert_eq!(&id, first, "{:?} {number}", db.engine());
            }
        }
        let mut acted: Vec<u64> = acts().await.iter().map(|(number, _)| number.parse().unwrap()).collect();
        acted.sort_unstable();
        assert_eq!(
            acted,
            (1..next).collect::<Vec<_>>(),
            "{:?}: each acts once",
            db.engine()
        );
    }
}
