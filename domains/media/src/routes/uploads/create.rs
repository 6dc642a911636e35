use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue, StatusCode};
use nova_domain::audit::Act;
use nova_domain::http::Client;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::policy::Visibility;
use nova_domain::{Caller, Problem};

use super::{answer, expires, number, speaks_tus, write};
use crate::domain::State;
use crate::quota;
use crate::upload::{Row, UploadId};
use crate::video::{self, VideoId};

const PER_ACCOUNT: Rule = Rule::new("uploads.account", 20, 60, Duration::from_secs(3600));
/// Longest `Upload-Metadata`.
const METADATA_MAX: usize = 16_384;

/// Begins an upload. `Upload-Metadata` may tell `title` (or `filename`), `description` and `visibility` of the video that it becomes, which exists
/// from now on. With a body of `application/offset+octet-stream`, that is the file's beginning.
#[utoipa::path(
    post, path = "/uploads", tag = "videos", operation_id = "create_upload", security(("bearer" = [])),
    params(
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Length" = u64, Header, description = "Bytes of the file"),
        ("Upload-Metadata" = Option<String>, Header, description = "Names and base64 values"),
    ),
    responses(
        (status = 201, description = "Begun: its address is in Location, the video's id in Nova-Video"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "Too many are open, or there is no room left for this account", body = Details, content_type = "application/problem+json"),
        (status = 412, description = "Another version of tus", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "The body is of another type", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A header is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    speaks_tus(&headers)?;
    let length = number(&headers, "upload-length")?
        .filter(|length| *length > 0)
        .ok_or_else(|| Problem::invalid("Upload-Length is a number of bytes").field("upload-length", "is missing"))?;
    if length > state.config.upload_max_bytes {
        let most = format!("an upload has at most {} bytes", state.config.upload_max_bytes);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, most));
    }
    let text = headers.get("upload-metadata").map_or(Ok(""), HeaderValue::to_str);
    let text = text.ok().filter(|text| text.len() <= METADATA_MAX);
    let metadata = text.and_then(metadata).ok_or_else(|| {
        Problem::invalid("Upload-Metadata holds names and base64 values").field("upload-metadata", "cannot be read")
    })?;
    let named = |name: &str| {
        metadata
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    };
    let title: String = named("title")
        .or_else(|| named("filename"))
        .unwrap_or("Untitled")
        .chars()
        .take(140)
        .collect();
    let description = named("description").unwrap_or_default();
    let mut fields = Fields::new();
    fields.text("title", &title, 1, 140);
    fields.text("description", description, 0, 5000);
    let visibility = match named("visibility") {
        None | Some("public") => Visibility::Public,
        Some("unlisted") => Visibility::Unlisted,
        Some("private") => Visibility::Private,
        Some(_) => {
            fields.check(false, "visibility", "is public, unlisted or private");
            Visibility::Private
        }
    };
    fields.done()?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let now = state.clock.now();
    let row = Row {
        id: UploadId::new(now),
        owner_user_id: caller.user,
        video_id: VideoId::new(now),
        length: i64::try_from(length).unwrap_or(i64::MAX),
        metadata: text.unwrap_or_default().to_owned(),
        expires_at: now.0 + i64::from(state.config.upload_hours) * 3_600_000_000,
    };
    let mut tx = state.db.begin().await?;
    let open: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM media_uploads WHERE owner_user_id = $1")
        .bind(caller.user)
        .fetch_one(tx.conn())
        .await?;
    if open >= i64::from(state.config.most_uploads) {
        let most = format!(
            "at most {} uploads at a time: finish or delete one first",
            state.config.most_uploads
        );
        return Err(Problem::conflict(most));
    }
    quota::check(&mut tx, &state.config, caller.user, row.length).await?;
    sqlx::query(
        "INSERT INTO media_videos (id, owner_user_id, stream_id, source, folder, title, description, visibility, status, progress, error, \
         duration_us, width, height, bytes, upload_id, created_at) VALUES ($1, $2, NULL, 'upload', $3, $4, $5, $6, 'uploading', 0, '', 0, 0, 0, 0, $7, $8)",
    )
    .bind(row.video_id)
    .bind(caller.user)
    .bind(video::new_folder('u'))
    .bind(title)
    .bind(description)
    .bind(visibility.as_str())
    .bind(row.id)
    .bind(now.0)
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "INSERT INTO media_uploads (id, owner_user_id, video_id, length, metadata, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(row.id)
    .bind(caller.user)
    .bind(row.video_id)
    .bind(row.length)
    .bind(row.metadata.as_str())
    .bind(row.expires_at)
    .bind(now.0)
    .execute(tx.conn())
    .await?;
    let act = Act {
        actor: Some(caller.user),
        action: "media.upload_created",
        subject: Some(row.video_id.to_string()),
        detail: visibility.as_str(),
    };
    tx.audit(act, Some(&client), now).await?;
    let mut told = vec![
        ("location", value(format!("/api/v1/uploads/{}", row.id))),
        ("nova-video", value(row.video_id.to_string())),
        ("upload-expires", expires(&row)),
    ];
    if !headers.contains_key("content-type") {
        return Ok(tx.commit_as(answer(StatusCode::CREATED, &told)).await?);
    }
    tx.commit().await?;
    write::is_a_piece(&headers)?;
    let offset = write::append(&state, &row, 0, &headers, body).await?;
    told.push(("upload-offset", HeaderValue::from(offset)));
    Ok(answer(StatusCode::CREATED, &told))
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// `Upload-Metadata`: names and base64 values, separated by commas.
fn metadata(text: &str) -> Option<HashMap<String, String>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = String::from_utf8(BASE64.decode(value.trim()).ok()?).ok()?;
            (!value.contains('\0')).then(|| (name.to_owned(), value))
        })
        .take(64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_names_and_base64_values() {
        let read = metadata("filename d29ybGQuYXZp, is_confidential,title SGVsbG8=").unwrap();
        assert_eq!(
            (read["filename"].as_str(), read["title"].as_str()),
            ("world.avi", "Hello")
        );
        assert_eq!(read["is_confidential"], "");
        assert_eq!(metadata("").unwrap().len(), 0);
        for bad in ["title !!", "title /w==", "title AA=="] {
            assert!(metadata(bad).is_none(), "{bad}");
        }
    }
}
