//! Uploads by tus 1.0 (<https://tus.io/protocols/resumable-upload>): a file comes in pieces, and goes on where it stopped, whatever happened.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use nova_domain::{Caller, Problem};

use crate::domain::State;
use crate::upload::{self, Row};

pub(super) mod create;
pub(super) mod options;
pub(super) mod show;
pub(super) mod terminate;
pub(super) mod write;

/// The version this speaks.
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
/// What it can beside the core protocol.
const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,termination,expiration,checksum");
const CHECKSUMS: HeaderValue = HeaderValue::from_static("sha1,sha256");

/// The version that every request names.
fn speaks_tus(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get("tus-resumable") == Some(&VERSION) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "this is tus 1.0: send Tus-Resumable: 1.0.0",
    ))
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value
        .to_str()
        .ok()
        .filter(|text| text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()));
    match number.and_then(|text| text.parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(Problem::invalid(format!("{name} is a number of bytes")).field(name, "is no number")),
    }
}

/// The upload, when it is the caller's own and not over.
async fn mine(state: &State, id: &str, caller: &Caller) -> Result<Row, Problem> {
    let row = upload::find(&state.db, id).await?;
    row.filter(|row| row.owner_user_id == caller.user && row.expires_at > state.clock.now().0)
        .ok_or_else(Problem::not_found)
}

/// An answer with the headers every answer has.
fn answer(status: StatusCode, headers: &[(&'static str, HeaderValue)]) -> Response {
    let mut response = status.into_response();
    let out = response.headers_mut();
    out.insert("tus-resumable", VERSION);
    out.insert("cache-control", HeaderValue::from_static("no-store"));
    for (name, value) in headers {
        out.insert(*name, value.clone());
    }
    response
}

/// RFC 9110 5.6.7, as `Upload-Expires` has it.
fn expires(row: &Row) -> HeaderValue {
    let seconds = u64::try_from(row.expires_at / 1_000_000).unwrap_or(0);
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    HeaderValue::try_from(httpdate::fmt_http_date(at)).unwrap_or(HeaderValue::from_static(""))
}
