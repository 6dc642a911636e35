//! The file in a request: its body, or the one part of a form that is a file. Never more of it in memory than is allowed.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use multer::Multipart;
use nova_domain::Problem;

/// Bytes of a form around its file.
const FORM: u64 = 64 << 10;
/// What a body without a form may be called. What it is, its first bytes say.
const TYPES: [&str; 5] = [
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "application/octet-stream",
];

fn too_large(most: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("a picture has at most {most} bytes"),
    )
}

fn broken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "the body cannot be read")
}

/// Reads it.
pub(super) async fn read(headers: &HeaderMap, body: Body, most: u64) -> Result<Bytes, Problem> {
    let said = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if said.is_some_and(|said: u64| said > most.saturating_add(FORM)) {
        return Err(too_large(most));
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .map_or(Ok(""), HeaderValue::to_str)
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let file = if essence == "multipart/form-data" {
        let boundary = multer::parse_boundary(kind)
            .map_err(|_none| Problem::new(StatusCode::BAD_REQUEST, "the form has no boundary"))?;
        form(body, boundary, most).await?
    } else if TYPES.contains(&essence.as_str()) {
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        let collected = Limited::new(body, limit).collect().await;
        collected
            .map_err(|error| {
                if error.is::<http_body_util::LengthLimitError>() {
                    too_large(most)
                } else {
                    broken()
                }
            })?
            .to_bytes()
    } else {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send multipart/form-data, or the picture itself with its type",
        ));
    };
    if file.is_empty() {
        return Err(Problem::invalid("there is no picture in the request").field("file", "is missing"));
    }
    Ok(file)
}

async fn form(body: Body, boundary: String, most: u64) -> Result<Bytes, Problem> {
    let limits = multer::SizeLimit::new().whole_stream(most.saturating_add(FORM));
    let constraints = multer::Constraints::new().size_limit(limits);
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    while let Some(mut part) = form.next_field().await.map_err(|error| refused(&error, most))? {
        if part.name() != Some("file") && part.file_name().is_none() {
            continue;
        }
        let mut file = BytesMut::new();
        while let Some(piece) = part.chunk().await.map_err(|error| refused(&error, most))? {
            if (file.len() + piece.len()) as u64 > most {
                return Err(too_large(most));
            }
            file.extend_from_slice(&piece);
        }
        return Ok(file.freeze());
    }
    Ok(Bytes::new())
}

fn refused(error: &multer::Error, most: u64) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => too_large(most),
        _ => broken(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_as(kind: &str, body: &[u8]) -> Result<Bytes, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        read(&headers, Body::from(body.to_vec()), 10)
            .await
            .map_err(|problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn a_file_is_the_body_or_the_part_of_a_form_that_is_one() {
        assert_eq!(read_as("image/png", b"0123456789").await.unwrap(), "0123456789");
        let form = "--x\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\nignored\r\n--x\r\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"../../a.svg\"\r\nContent-Type: image/png\r\n\r\n01234\r\n--x--\r\n";
        let kind = "multipart/form-data; boundary=x";
        assert_eq!(read_as(kind, form.as_bytes()).await.unwrap(), "01234");
        assert_eq!(
            read_as(kind, form.replace("01234", "01234567890").as_bytes()).await,
            Err(413)
        );
        assert_eq!(read_as(kind, b"--x--\r\n").await, Err(422));
        assert_eq!(read_as(kind, &form.as_bytes()[..form.len() - 12]).await, Err(400));
        assert_eq!(read_as("multipart/form-data", form.as_bytes()).await, Err(400));
        assert_eq!(read_as("image/png", b"01234567890").await, Err(413));
        assert_eq!(read_as("image/png", b"").await, Err(422));
        assert_eq!(read_as("image/svg+xml", b"<svg/>").await, Err(415));
        assert_eq!(read_as("", b"x").await, Err(415));
    }
}
