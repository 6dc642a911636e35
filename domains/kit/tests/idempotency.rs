//! A request that is sent twice, because its answer was lost, is done once and answered twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::post;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use nova_core::clock::{Clock, Timestamp};
use nova_domain::db::{Db, Id, SessionId, UserId};
use nova_domain::http::caller::{Caller, Proof, known};
use nova_domain::http::idempotency::{Kept, once, sweep};
use nova_domain::testing::{self, TestDb};
use nova_domain::{Problem, Role};
use tokio::sync::Notify;
use tower::ServiceExt;

struct House {
    db: TestDb,
    clock: Clock,
    router: Router,
    done: Arc<AtomicU64>,
    /// The route `/slow` answers when this is told.
    go: Arc<Notify>,
}

async fn houses() -> Vec<House> {
    testing::databases().await.map(house).into()
}

/// Takes the act `id` back, and how that is answered.
async fn undo(db: &Db, id: Id<House>) -> Result<Problem, Problem> {
    let mut tx = db.begin().await?;
    sqlx::query("DELETE FROM kit_audit WHERE id = $1")
        .bind(id)
        .execute(tx.conn())
        .await?;
    tx.prepares();
    tx.commit().await?;
    Ok(Problem::of(nova_core::error::Kind::Unavailable, "not now"))
}

fn house(db: TestDb) -> House {
    let clock = Clock::manual(Timestamp(1_795_478_399_000_000));
    let (done, go) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let kept = Kept {
        db: db.db.clone(),
        clock: clock.clone(),
        larger: &[("/large", 1 << 20)],
    };
    let (acting, before) = (db.db.clone(), Arc::clone(&go));
    let (made, slow, wait) = (Arc::clone(&done), Arc::clone(&done), Arc::clone(&go));
    let late = Arc::clone(&done);
    let router = Router::new()
        .route(
            "/things",
            post(move |body: String| async move {
                let n = made.fetch_add(1, Ordering::Relaxed);
                match body.as_str() {
                    "fail" => Err(Problem::of(nova_core::error::Kind::Unavailable, "not now")),
                    _ => Ok((
                        StatusCode::CREATED,
                        [("location", "/things/1")],
                        format!("secret of {body} {n}"),
                    )),
                }
            }),
        )
        .route(
            "/large",
            post(|body: axum::body::Bytes| async move { body.len().to_string() })
                .layer(axum::extract::DefaultBodyLimit::disable()),
        )
        .route(
            "/slow",
            post(move || async move {
                wait.notified().await;
                slow.fetch_add(1, Ordering::Relaxed).to_string()
            }),
        )
        .route(
            "/acts",
            post(move |body: String| async move {
                let mut tx = acting.begin().await?;
                let id = Id::<House>::new(Timestamp(1));
                sqlx::query("INSERT INTO kit_audit (id, at, action, detail) VALUES ($1, 1, 'test.act', '')")
                    .bind(id)
                    .execute(tx.conn())
                    .await?;
                if body == "lost before" {
                    // The writer of SQLite is one: it is not kept from whoever comes meanwhile.
                    tx.rollback().await?;
                    std::future::pending::<()>().await;
                    return Err(Problem::not_found());
                }
                if body == "late" {
                    late.fetch_add(1, Ordering::Relaxed);
                    before.notified().await;
                }
                if body.starts_with("as") {
                    let answer = (
                        StatusCode::CREATED,
                        [("location", "/acts/1")],
                        format!("secret of {id}"),
                    );
                    let answer = tx.commit_as(answer).await?;
                    if body == "as, and lost" {
                        std::future::pending::<()>().await;
                    }
                    if body == "as, and undo" {
                        return Err(undo(&acting, id).await?);
                    }
                    return Ok(answer);
                }
                tx.commit().await?;
                match body.as_str() {
                    "lost after" => std::future::pending::<()>().await,
                    "fail after" => return Err(Problem::of(nova_core::error::Kind::Unavailable, "not now")),
                    "undo" => return Err(undo(&acting, id).await?),
                    _ => {}
                }
                Ok(StatusCode::CREATED.into_response())
            }),
        )
        .layer(middleware::from_fn_with_state(kept, once));
    House {
        db,
        clock,
        router,
        done,
        go,
    }
}

fn caller() -> Caller {
    let now = Timestamp(1_795_478_399_000_000);
    Caller {
        user: UserId::new(now),
        session: SessionId::new(now),
        role: Role::Viewer,
        proof: Proof::Session,
        authenticated_at: now,
        suspended: false,
    }
}

async fn send(router: &Router, who: Option<&Caller>, path: &str, key: Option<&str>, body: &str) -> (u16, String, bool) {
    let mut request = Request::post(path);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    if let Some(who) = who {
        let found = known(who.clone());
        insert(&mut request, found);
    }
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, replayed) = (
        response.status().as_u16(),
        response.headers().contains_key("idempotency-replayed"),
    );
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap(), replayed)
}

fn insert<T: Clone + Send + Sync + 'static>(request: &mut Request<Body>, extension: T) {
    request.extensions_mut().insert(extension);
}

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

#[tokio::test]
async fn the_second_of_two_equal_requests_is_answered_as_the_first_was() {
    for house in houses().await {
        let (ada, eve) = (caller(), caller());
        let first = send(&house.router, Some(&ada), "/things", Some(KEY), "a").await;
        assert_eq!(first, (201, "secret of a 0".into(), false));
        assert_eq!(
            send(&house.router, Some(&ada), "/things", Some(KEY), "a").await,
            (201, "secret of a 0".into(), true)
        );
        assert_eq!(house.done.load(Ordering::Relaxed), 1);
        // Another request under the same key, another caller's key, no key, a key that is none.
        assert_eq!(send(&house.router, Some(&ada), "/things", Some(KEY), "b").await.0, 422);
        assert_eq!(
            send(&house.router, Some(&eve), "/things", Some(KEY), "a").await.1,
            "secret of a 1"
        );
        assert_eq!(
            send(&house.router, Some(&ada), "/things", None, "a").await.1,
            "secret of a 2"
        );
        assert_eq!(
            send(&house.router, None, "/things", Some(KEY), "a").await.1,
            "secret of a 3"
        );
        assert_eq!(
            send(&house.router, Some(&ada), "/things", Some("short"), "a").await.0,
            400
        );
        // The database cannot read what it keeps.
        let kept: Vec<Option<Vec<u8>>> = sqlx::query_scalar("SELECT answer FROM kit_idempotency")
            .fetch_all(house.db.read())
            .await
            .unwrap();
        assert_eq!(kept.len(), 2);
        assert!(
            kept.iter()
                .flatten()
                .all(|answer| !answer.windows(6).any(|bytes| bytes == b"secret"))
        );
    }
}

#[tokio::test]
async fn a_failure_is_not_the_answer_and_the_same_request_may_succeed_later() {
    for house in houses().await {
        let ada = caller();
        assert_eq!(
            send(&house.router, Some(&ada), "/things", Some(KEY), "fail").await.0,
            503
        );
        assert_eq!(
            send(&house.router, Some(&ada), "/things", Some(KEY), "fail").await.0,
            503
        );
        assert_eq!(house.done.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn while_the_first_is_at_work_the_second_is_told_so_and_a_lost_one_is_forgotten() {
    for house in houses().await {
        let ada = caller();
        let first = tokio::spawn({
            let (router, ada) = (house.router.clone(), ada.clone());
            async move { send(&router, Some(&ada), "/slow", Some(KEY), "").await }
        });
        let status = loop {
            let rows: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM kit_idempotency")
                .fetch_one(house.db.read())
                .await
                .unwrap();
            if rows == 1 {
                break send(&house.router, Some(&ada), "/slow", Some(KEY), "").await.0;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(status, 409);
        // As if its process had been killed.
        first.abort();
        house.clock.advance(Duration::from_secs(61));
        house.go.notify_one();
        assert_eq!(send(&house.router, Some(&ada), "/slow", Some(KEY), "").await.0, 200);
    }
}

#[tokio::test]
async fn answers_are_kept_for_a_day() {
    for house in houses().await {
        let ada = caller();
        send(&house.router, Some(&ada), "/things", Some(KEY), "a").await;
        house.clock.advance(Duration::from_secs(24 * 3600 + 1));
        assert_eq!(
            send(&house.router, Some(&ada), "/things", Some(KEY), "other").await.0,
            201
        );
        house.clock.advance(Duration::from_secs(24 * 3600 + 1));
        let kept = Kept {
            db: house.db.db.clone(),
            clock: house.clock.clone(),
            larger: &[],
        };
        sweep(&kept).await.unwrap();
        let rows: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM kit_idempotency")
            .fetch_one(house.db.read())
            .await
            .unwrap();
        assert_eq!(rows, 0);
    }
}

#[tokio::test]
async fn a_request_may_be_as_large_as_its_path_allows() {
    for house in houses().await {
        let ada = caller();
        for (path, kib, status) in [("/things", 257, 413), ("/large", 1024, 200), ("/large", 1025, 413)] {
            let body = "x".repeat(kib << 10);
            let key = format!("{path}-{kib}-key");
            assert_eq!(send(&house.router, Some(&ada), path, Some(&key), &body).await.0, status);
        }
    }
}

/// How often the act was done.
async fn acts(house: &House) -> i64 {
    sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM kit_audit WHERE action = 'test.act'")
        .fetch_one(house.db.read())
        .await
        .unwrap()
}

/// Sends a request whose process is gone before it answers.
async fn lose(house: &House, who: &Caller, body: &str, at_work: impl AsyncFn() -> bool) {
    let mut sending = Box::pin(send(&house.router, Some(who), "/acts", Some(KEY), body));
    loop {
        tokio::select! {
            biased;
            answer = &mut sending => panic!("it was answered: {answer:?}"),
            seen = at_work() => if seen { return },
        }
    }
}

#[tokio::test]
async fn what_was_done_before_its_process_was_lost_is_not_done_again() {
    for house in houses().await {
        let ada = caller();
        lose(&house, &ada, "lost after", async || acts(&house).await == 1).await;
        let again = async |seconds| {
            house.clock.advance(Duration::from_secs(seconds));
            send(&house.router, Some(&ada), "/acts", Some(KEY), "lost after").await
        };
        let (status, problem, _) = again(1).await;
        assert!(
            status == 409 && !problem.contains("answer_lost"),
            "it may be at work still: {problem}"
        );
        for _ in 0..2 {
            let (status, problem, _) = again(61).await;
            assert!(status == 409 && problem.contains("answer_lost"), "{status} {problem}");
        }
        assert_eq!(acts(&house).await, 1, "{:?}", house.db.engine());
        // Another key is another request.
        let (status, ..) = send(&house.router, Some(&ada), "/acts", Some("another-key"), "").await;
        assert_eq!((status, acts(&house).await), (201, 2));
    }
}

#[tokio::test]
async fn what_is_committed_as_its_answer_is_answered_although_its_process_was_lost() {
    for house in houses().await {
        let ada = caller();
        let act = async |key: &str, body: &str| send(&house.router, Some(&ada), "/acts", Some(key), body).await;
        lose(&house, &ada, "as, and lost", async || acts(&house).await == 1).await;
        // At once: nobody has to wait until the first is taken for lost.
        let (status, secret, replayed) = act(KEY, "as, and lost").await;
        assert!(
            status == 201 && secret.starts_with("secret of ") && replayed,
            "{status} {secret}"
        );
        assert_eq!(act(KEY, "as, and lost").await, (201, secret, true));
        assert_eq!(acts(&house).await, 1, "{:?}", house.db.engine());
        // One that is answered is answered alike the second time, and the database cannot read it.
        let first = act("another-key", "as").await;
        assert_eq!(act("another-key", "as").await, (201, first.1, true));
        let kept: Vec<Vec<u8>> = sqlx::query_scalar("SELECT answer FROM kit_idempotency")
            .fetch_all(house.db.read())
            .await
            .unwrap();
        assert_eq!(kept.len(), 2);
        assert!(
            kept.iter()
                .all(|answer| !answer.windows(6).any(|bytes| bytes == b"secret"))
        );
        // What was taken back is no answer.
        for _ in 0..2 {
            assert_eq!(act("a-third-key", "as, and undo").await.0, 503);
            assert_eq!(acts(&house).await, 2);
        }
    }
}

#[tokio::test]
async fn what_was_done_before_a_failure_is_not_done_again_and_what_was_undone_is() {
    for house in houses().await {
        let ada = caller();
        let act = async |key: &str, body: &str| send(&house.router, Some(&ada), "/acts", Some(key), body).await;
        assert_eq!(act(KEY, "fail after").await.0, 503);
        house.clock.advance(Duration::from_secs(61));
        let (status, problem, _) = act(KEY, "fail after").await;
        assert!(status == 409 && problem.contains("answer_lost"), "{status} {problem}");
        assert_eq!(acts(&house).await, 1);
        for _ in 0..2 {
            assert_eq!(act("another-key", "undo").await.0, 503);
            assert_eq!(acts(&house).await, 1);
        }
    }
}

#[tokio::test]
async fn what_was_lost_before_it_was_done_is_done_by_the_next_request() {
    for house in houses().await {
        let ada = caller();
        let begun = async || {
            let rows: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM kit_idempotency")
                .fetch_one(house.db.read())
                .await
                .unwrap();
            rows == 1
        };
        lose(&house, &ada, "lost before", begun).await;
        house.clock.advance(Duration::from_secs(61));
        lose(&house, &ada, "lost before", begun).await;
        assert_eq!(acts(&house).await, 0);
        sqlx::query_scalar::<_, i64>("SELECT CAST(done AS BIGINT) FROM kit_idempotency")
            .fetch_one(house.db.read())
            .await
            .map(|done| assert_eq!(done, 0))
            .unwrap();
    }
}

#[tokio::test]
async fn an_attempt_that_was_taken_for_lost_undoes_what_it_did() {
    // On PostgreSQL: the one writer of SQLite keeps the second attempt waiting until the first is through.
    let [_, db] = testing::databases().await;
    let house = house(db);
    let ada = caller();
    let first = tokio::spawn({
        let (router, ada) = (house.router.clone(), ada.clone());
        async move { send(&router, Some(&ada), "/acts", Some(KEY), "late").await }
    });
    // Each is at its act, with its key noted.
    let acting = async |attempts| {
        while house.done.load(Ordering::Relaxed) < attempts {
            tokio::task::yield_now().await;
        }
    };
    acting(1).await;
    house.clock.advance(Duration::from_secs(61));
    let second = tokio::spawn({
        let (router, ada) = (house.router.clone(), ada.clone());
        async move { send(&router, Some(&ada), "/acts", Some(KEY), "late").await }
    });
    acting(2).await;
    while !first.is_finished() || !second.is_finished() {
        house.go.notify_waiters();
        tokio::task::yield_now().await;
    }
    let answers = (first.await.unwrap().0, second.await.unwrap().0);
    assert_eq!((answers, acts(&house).await), ((409, 201), 1));
    let again = send(&house.router, Some(&ada), "/acts", Some(KEY), "late").await;
    assert_eq!((again.0, again.2), (201, true), "the answer of the second");
    assert_eq!(acts(&house).await, 1);
}
