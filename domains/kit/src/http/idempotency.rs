//! `Idempotency-Key`: a request sent twice, because its answer was lost, is done once and answered twice.
//!
//! The answer is kept for a day, encrypted with a key derived from the header's value, which the database does not have: it may hold a stream
//! key. The value should be a UUID. The same value with another request is 422, with a request still at work 409
//! (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! The act's own transaction notes that it was done ([`mark`], at every commit under a key), so that no act is done twice whatever is killed when.
//! Where it is committed as its answer ([`crate::db::Tx::commit_as`]), the answer is in that transaction as well, and a process that is killed after it has
//! answered all the same. Other acts keep theirs in a transaction of its own after it. A process that is killed between the two
//! leaves an act that is done without an answer: the same request is then 409 with the code `answer_lost` for a day, and the client looks at what is
//! there. So it is where the act was committed and a failure is answered. A process that is killed before the commit leaves nothing, and the same request is done anew after a minute. An attempt that was taken
//! for lost and comes to its commit after all is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::response::Parts;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use nova_core::clock::{Clock, Timestamp};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use super::problem::Problem;
use crate::db::{Connection, Db, Error, Flag};
use crate::secret::Sealer;

/// How long an answer is kept.
const KEPT_MICROS: i64 = 24 * 3_600_000_000;
/// A request that has not answered for this long was lost with its process; the next one may try again.
const ABANDONED_MICROS: i64 = 60_000_000;
/// Largest request and answer, where [`Kept::larger`] says nothing else. Still larger requests (uploads) have a resumption of their own.
const LARGEST: usize = 256 << 10;

/// What the layer needs.
#[derive(Clone)]
pub struct Kept {
    /// Where answers lie.
    pub db: Db,
    /// For their age.
    pub clock: Clock,
    /// Paths whose requests may be larger, and how large.
    pub larger: &'static [(&'static str, usize)],
}

/// The layer, for callers that are known; it runs inside [`super::caller::identify`].
pub async fn once(State(kept): State<Kept>, request: Request, next: Next) -> Response {
    // A token that is not good is for the route to refuse, if it asks for one.
    let caller = super::caller::seen(request.extensions());
    let key = match (request.method(), request.headers().get("idempotency-key"), caller) {
        (&Method::POST, Some(key), Some(caller)) => (key.clone(), caller),
        _ => return next.run(request).await,
    };
    match answer(&kept, key.0, &key.1, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn answer(
    kept: &Kept,
    key: HeaderValue,
    caller: &Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !(8..=255).contains(&key.len()) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "an Idempotency-Key has 8 to 255 characters; a UUID is good",
        ));
    }
    let (parts, body) = request.into_parts();
    let larger = kept.larger.iter().find(|(path, _)| *path == parts.uri.path());
    let largest = larger.map_or(LARGEST, |(_, bytes)| *bytes);
    let body = http_body_util::Limited::new(body, largest)
        .collect()
        .await
        .map_err(|_large| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too large for a request with an Idempotency-Key",
            )
        })?
        .to_bytes();
    let named = [caller.user.to_string().as_bytes(), b"\0", key.as_bytes()].concat();
    let sealer = Sealer::from_secret(&named, b"idempotency");
    let key_hash = hex(&Sha256::digest(&named));
    let request_hash = hex(&Sha256::new()
        .chain_update(parts.uri.to_string())
        .chain_update([0])
        .chain_update(&body)
        .finalize());
    let now = kept.clock.now();
    match begin(&kept.db, &key_hash, &request_hash, now).await? {
        Begun::First => {}
        Begun::OtherRequest => return Err(Problem::invalid("this Idempotency-Key was used for another request")),
        Begun::AtWork => {
            return Err(
                Problem::conflict("the first request with this Idempotency-Key is still at work")
                    .retry_after(std::time::Duration::from_secs(1)),
            );
        }
        Begun::AnswerLost => {
            return Err(Problem::conflict(
                "the first request with this Idempotency-Key was done, and its answer is lost: look at what is there",
            )
            .code("answer_lost"));
        }
        Begun::Answered(status, sealed) => {
            let plain = sealed.and_then(|sealed| sealer.open(&sealed)).unwrap_or_default();
            return Ok(replay(status, &plain));
        }
    }
    let attempt = Attempt {
        key_hash: key_hash.as_str().into(),
        begun: now,
        sealer,
        kept: Arc::default(),
    };
    let response = ATTEMPT
        .scope(attempt.clone(), next.run(Request::from_parts(parts, Body::from(body))))
        .await;
    if attempt.kept.load(Ordering::Acquire) {
        return Ok(response);
    }
    let (head, body) = in_memory(response).await;
    // A failure of ours, or a refusal for now, is not the answer: the same request may succeed in a moment. If the act is done nevertheless, what is
    // lost is the answer.
    let lasting =
        !head.status.is_server_error() && head.status != StatusCode::TOO_MANY_REQUESTS && body.len() <= LARGEST;
    let mut tx = kept.db.begin().await?;
    if lasting {
        sqlx::query("UPDATE kit_idempotency SET status = $1, answer = $2 WHERE key_hash = $3 AND created_at = $4")
            .bind(i64::from(head.status.as_u16()))
            .bind(attempt.seal(&head, &body))
            .bind(&key_hash)
            .bind(now.0)
            .execute(tx.conn())
            .await?;
    } else {
        sqlx::query("DELETE FROM kit_idempotency WHERE key_hash = $1 AND created_at = $2 AND done = 0")
            .bind(&key_hash)
            .bind(now.0)
            .execute(tx.conn())
            .await?;
    }
    tx.commit().await?;
    Ok(Response::from_parts(head, Body::from(body)))
}

tokio::task_local! {
    /// The key under which this task works.
    static ATTEMPT: Attempt;
}

/// One attempt at a request.
#[derive(Clone)]
struct Attempt {
    key_hash: Arc<str>,
    begun: Timestamp,
    sealer: Sealer,
    /// Its answer was committed together with its act.
    kept: Arc<AtomicBool>,
}

impl Attempt {
    /// An answer as it is kept.
    fn seal(&self, head: &Parts, body: &[u8]) -> Vec<u8> {
        let header = |name| head.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        self.sealer
            .seal(&[header(CONTENT_TYPE), b"\0", header(LOCATION), b"\0", body].concat())
    }
}

/// Notes in an act's transaction that the act is done, or that it is taken back. Fails when the attempt was taken for lost and another has taken its place.
pub(crate) async fn mark(connection: &mut Connection, done: bool) -> Result<(), Error> {
    let Ok(attempt) = ATTEMPT.try_with(Attempt::clone) else {
        return Ok(());
    };
    let sql = if done {
        "UPDATE kit_idempotency SET done = $1 WHERE key_hash = $2 AND created_at = $3"
    } else {
        attempt.kept.store(false, Ordering::Release);
        "UPDATE kit_idempotency SET done = $1, status = NULL, answer = NULL WHERE key_hash = $2 AND created_at = $3"
    };
    let marked = sqlx::query(sql)
        .bind(Flag(done))
        .bind(&*attempt.key_hash)
        .bind(attempt.begun.0)
        .execute(connection)
        .await?;
    if marked.rows_affected() == 1 {
        Ok(())
    } else {
        Err(Error::Superseded)
    }
}

/// Notes in an act's transaction that the act is done and what is answered, which is given back. Fails as [`mark`] does.
pub(crate) async fn keep(connection: &mut Connection, answer: Response) -> Result<Response, Error> {
    let Ok(attempt) = ATTEMPT.try_with(Attempt::clone) else {
        return Ok(answer);
    };
    let (head, body) = in_memory(answer).await;
    let kept = sqlx::query(
        "UPDATE kit_idempotency SET done = 1, status = $1, answer = $2 WHERE key_hash = $3 AND created_at = $4",
    )
    .bind(i64::from(head.status.as_u16()))
    .bind(attempt.seal(&head, &body))
    .bind(&*attempt.key_hash)
    .bind(attempt.begun.0)
    .execute(connection)
    .await?;
    if kept.rows_affected() != 1 {
        return Err(Error::Superseded);
    }
    Ok(Response::from_parts(head, Body::from(body)))
}

/// What [`keep`] noted is committed.
pub(crate) fn kept() {
    let _no_attempt = ATTEMPT.try_with(|attempt| attempt.kept.store(true, Ordering::Release));
}

/// An answer with its body read: handlers make it in memory.
async fn in_memory(answer: Response) -> (Parts, Bytes) {
    let (head, body) = answer.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    (head, body)
}

enum Begun {
    First,
    AtWork,
    AnswerLost,
    OtherRequest,
    Answered(u16, Option<Vec<u8>>),
}

async fn begin(db: &Db, key_hash: &str, request_hash: &str, now: Timestamp) -> Result<Begun, Error> {
    let mut tx = db.begin().await?;
    let made = sqlx::query(
        "INSERT INTO kit_idempotency (key_hash, request_hash, created_at) VALUES ($1, $2, $3) ON CONFLICT (key_hash) DO UPDATE SET request_hash = \
         excluded.request_hash, created_at = excluded.created_at, status = NULL, answer = NULL, done = 0 WHERE kit_idempotency.created_at < $4 OR \
         (kit_idempotency.status IS NULL AND kit_idempotency.done = 0 AND kit_idempotency.created_at < $5)",
    )
    .bind(key_hash)
    .bind(request_hash)
    .bind(now.0)
    .bind(now.0 - KEPT_MICROS)
    .bind(now.0 - ABANDONED_MICROS)
    .execute(tx.conn())
    .await?
    .rows_affected();
    let begun = if made == 1 {
        Begun::First
    } else {
        let (known, status, answer, done, begun): (String, Option<i64>, Option<Vec<u8>>, Flag, i64) = sqlx::query_as(
            "SELECT request_hash, status, answer, done, created_at FROM kit_idempotency WHERE key_hash = $1",
        )
        .bind(key_hash)
        .fetch_one(tx.conn())
        .await?;
        match status.and_then(|status| u16::try_from(status).ok()) {
            _ if known != request_hash => Begun::OtherRequest,
            None if done.0 && begun < now.0 - ABANDONED_MICROS => Begun::AnswerLost,
            None => Begun::AtWork,
            Some(status) => Begun::Answered(status, answer),
        }
    };
    tx.commit().await?;
    Ok(begun)
}

fn replay(status: u16, plain: &[u8]) -> Response {
    let mut pieces = plain.splitn(3, |byte| *byte == 0);
    let mut piece = || pieces.next().unwrap_or_default();
    let (kind, location, body) = (piece(), piece(), piece());
    let mut response = Response::new(Body::from(Bytes::copy_from_slice(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in [(CONTENT_TYPE, kind), (LOCATION, location)] {
        if let Ok(value) = HeaderValue::from_bytes(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

/// Forgets what is older than a day.
pub async fn sweep(kept: &Kept) -> Result<(), Error> {
    let mut tx = kept.db.begin().await?;
    sqlx::query("DELETE FROM kit_idempotency WHERE created_at < $1")
        .bind(kept.clock.now().0 - KEPT_MICROS)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
