use std::io::ErrorKind;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use nova_domain::http::Path;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};
use ring::digest;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::{answer, expires, mine, number, speaks_tus};
use crate::domain::State;
use crate::upload::{self, Row};

/// A client that says nothing for so long has gone; it may come back.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes written to the file at once.
const BUFFER: usize = 256 << 10;

/// Appends a piece of the file. With `Upload-Checksum` the piece is kept whole or not at all.
#[utoipa::path(
    patch, path = "/uploads/{id}", tag = "videos", operation_id = "write_upload", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "Its id"),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "Where it goes on: what HEAD says"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1` or `sha256`, and the digest in base64"),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "Taken: Upload-Offset says how much is here"),
        (status = 400, description = "The checksum's algorithm is not known", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such upload, or its time is over, or it is whole", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "The offset is another one", body = Details, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "More than the file's length", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another type", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A header is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 423, description = "Another request writes it", body = Details, content_type = "application/problem+json"),
        (status = 460, description = "The checksum does not fit", body = Details, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn write(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    speaks_tus(&headers)?;
    is_a_piece(&headers)?;
    let offset = number(&headers, "upload-offset")?
        .ok_or_else(|| Problem::invalid("Upload-Offset is a number of bytes").field("upload-offset", "is missing"))?;
    let row = mine(&state, &id, &caller).await?;
    let offset = append(&state, &row, offset, &headers, body).await?;
    let told = [
        ("upload-offset", HeaderValue::from(offset)),
        ("upload-expires", expires(&row)),
    ];
    Ok(answer(StatusCode::NO_CONTENT, &told))
}

/// A body that is a piece of a file says so.
pub(super) fn is_a_piece(headers: &HeaderMap) -> Result<(), Problem> {
    if headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/offset+octet-stream")
    {
        return Ok(());
    }
    let what = "a piece of a file is application/offset+octet-stream";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what))
}

/// The digest a piece must have, and how it is made.
fn checksum(headers: &HeaderMap) -> Result<Option<(digest::Context, Vec<u8>)>, Problem> {
    let Some(text) = headers.get("upload-checksum") else {
        return Ok(None);
    };
    let parts = text.to_str().ok().and_then(|text| text.split_once(' '));
    let algorithm = match parts {
        Some(("sha1", _)) => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Some(("sha256", _)) => &digest::SHA256,
        _ => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "Upload-Checksum is by sha1 or sha256",
            ));
        }
    };
    let wanted = parts.and_then(|(_, value)| BASE64.decode(value.trim()).ok());
    let wanted = wanted.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "Upload-Checksum is in base64"))?;
    Ok(Some((digest::Context::new(algorithm), wanted)))
}

/// Appends the body to the file at `offset`; how much is here then. What came before a connection broke is kept.
pub(super) async fn append(
    state: &State,
    row: &Row,
    offset: u64,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<u64, Problem> {
    let Some(_writing) = state.files.lock(row.id) else {
        return Err(Problem::new(StatusCode::LOCKED, "another request writes it"));
    };
    let mut checksum = checksum(headers)?;
    let here = state
        .files
        .offset(row.id)
        .await
        .map_err(|error| Problem::internal(&error))?;
    if here != offset {
        return Err(Problem::conflict(format!("{here} bytes are here: go on from there")));
    }
    let length = u64::try_from(row.length).unwrap_or(0);
    let said = number(headers, "content-length")?.unwrap_or(0);
    let too_much = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the file has {length} bytes"));
    if offset.saturating_add(said) > length {
        return Err(too_much());
    }
    let path = state.files.path(row.id);
    let opened = tokio::fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .await;
    let mut file = opened.map_err(|error| disk(&error))?;
    file.seek(std::io::SeekFrom::Start(offset))
        .await
        .map_err(|error| disk(&error))?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let mut end = offset;
    let broken = loop {
        let frame = match tokio::time::timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break None,
            // The connection broke, or stands still: what came stays, and the client goes on from there.
            Ok(Some(Err(_))) | Err(_) => break Some(Problem::new(StatusCode::REQUEST_TIMEOUT, "the piece broke off")),
        };
        let Ok(piece) = frame.into_data() else { continue };
        if end + piece.len() as u64 > length {
            break Some(too_much());
        }
        if let Some((context, _)) = &mut checksum {
            context.update(&piece);
        }
        if let Err(error) = out.write_all(&piece).await {
            break Some(disk(&error));
        }
        end += piece.len() as u64;
    };
    let flushed = out.flush().await;
    let file = out.into_inner();
    let fits = match checksum {
        Some((context, wanted)) => broken.is_none() && context.finish().as_ref() == wanted,
        None => true,
    };
    if !fits {
        let _best_effort = file.set_len(offset).await;
        let mismatch = || StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
        return Err(broken.unwrap_or_else(|| Problem::new(mismatch(), "the checksum does not fit")));
    }
    flushed.map_err(|error| disk(&error))?;
    if let Some(broken) = broken {
        return Err(broken);
    }
    if end == length {
        // What the answer promises is on the disk, whatever happens next.
        file.sync_data().await.map_err(|error| disk(&error))?;
        let mut tx = state.db.begin().await?;
        upload::complete(&mut tx, row, state.clock.now()).await?;
        tx.commit().await?;
    }
    Ok(end)
}

fn disk(error: &std::io::Error) -> Problem {
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        tracing::error!(%error, "the disk is full: uploads wait");
        return Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "there is no space left on this server",
        )
        .retry_after(Duration::from_secs(60));
    }
    Problem::internal(error)
}
