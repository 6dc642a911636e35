use axum::body::Body;
use axum::extract::State as Shared;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use nova_core::webvtt;
use nova_domain::audit::Act;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path, Query};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Shown, language};
use crate::caption::{self, Caption};
use crate::domain::State;
use crate::invalidation;
use crate::routes::videos::shown;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Words {
    /// What players show in their menus; the tag itself when there is none.
    #[param(min_length = 1, max_length = 60)]
    label: Option<String>,
}

/// Adds captions in a language, or others in their place. The body is WebVTT, read strictly: at most 1 MiB and 10,000 cues, in order, each with an
/// end behind its beginning. Notes, regions and styles are not shown. Players find them within a second.
#[utoipa::path(
    put, path = "/videos/{id}/captions/{language}", tag = "videos", operation_id = "put_captions", security(("bearer" = [])),
    params(("id" = String, Path, description = "The video's id"), ("language" = String, Path, description = "A tag of BCP 47"), Words),
    request_body(content = String, content_type = "text/vtt"),
    responses(
        (status = 200, description = "They are there", body = Shown),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "The video cannot be watched yet, or has captions in too many languages", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not text/vtt", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "No WebVTT, or a parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path((id, tag)): Path<(String, String)>,
    Query(words): Query<Words>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let row = shown::mine(&state, &id, &caller).await?;
    let language = language(&tag)?;
    let label = words.label.as_deref().map_or(language.as_str(), str::trim).to_owned();
    let mut fields = Fields::new();
    fields.text("label", &label, 1, 60);
    fields.check(
        !label.contains(['"', '\n', '\r']),
        "label",
        "is one line without quotes",
    );
    fields.done()?;
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("text/vtt") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is text/vtt"));
    }
    let file = Limited::new(body, webvtt::BYTES_MAX)
        .collect()
        .await
        .map_err(|_error| {
            let most = format!("captions have at most {} bytes", webvtt::BYTES_MAX);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, most)
        })?;
    let cues = webvtt::parse(&file.to_bytes())
        .map_err(|error| Problem::invalid("this is no WebVTT").field("body", error.to_string()))?;
    if row.status != "ready" {
        return Err(Problem::conflict("the video cannot be watched yet"));
    }
    let now = state.clock.now();
    let known = caption::of(&state.db, row.id).await?;
    if known.len() as i64 >= caption::MOST && known.iter().all(|known| known.language != language) {
        let most = format!("at most {} languages: remove one first", caption::MOST);
        return Err(Problem::conflict(most));
    }
    let made = Caption {
        language,
        label,
        cues: i64::try_from(cues.len()).unwrap_or(i64::MAX),
        created_at: now.0,
    };
    let mut tx = state.db.begin().await?;
    sqlx::query(
        "INSERT INTO media_captions (video_id, language, label, body, cues, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (video_id, language) DO UPDATE SET label = excluded.label, body = excluded.body, cues = excluded.cues, \
         created_at = excluded.created_at",
    )
    .bind(row.id)
    .bind(made.language.as_str())
    .bind(made.label.as_str())
    .bind(webvtt::write(&cues, 0, u64::MAX, None))
    .bind(made.cues)
    .bind(made.created_at)
    .execute(tx.conn())
    .await?;
    let act = Act {
        actor: Some(caller.user),
        action: "media.captions_put",
        subject: Some(row.id.to_string()),
        detail: &made.language,
    };
    tx.audit(act, Some(&client), now).await?;
    // Playlists that tell of a new language are made again within seconds; text that was wrong must not be shown any more.
    if known.iter().any(|known| known.language == made.language) {
        let path = invalidation::of_video(row.id);
        invalidation::ask(&state, &mut tx, "captions_replaced", path, now).await?;
    }
    tx.commit().await?;
    Ok(Json(made.into()))
}
