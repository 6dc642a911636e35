use axum::extract::State as Shared;
use nova_domain::audit::Act;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::policy::Visibility;
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::shown::{self, Shown};
use crate::domain::State;
use crate::{invalidation, video};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VideoChange)]
pub(crate) struct Change {
    #[schema(min_length = 1, max_length = 140)]
    title: Option<String>,
    #[schema(max_length = 5000)]
    description: Option<String>,
    visibility: Option<Visibility>,
}

/// Changes what is sent and leaves the rest. Playlists of a video that has become private are refused within a second.
#[utoipa::path(
    patch, path = "/videos/{id}", tag = "videos", operation_id = "update_video", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")), request_body = Change,
    responses(
        (status = 200, description = "Changed", body = Shown),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<Change>,
) -> Result<Json<Shown>, Problem> {
    let mut fields = Fields::new();
    if let Some(title) = &body.title {
        fields.text("title", title.trim(), 1, 140);
    }
    if let Some(description) = &body.description {
        fields.text("description", description, 0, 5000);
    }
    fields.done()?;
    let row = shown::mine(&state, &id, &caller).await?;
    let was = row.visibility();
    let visibility = body.visibility.unwrap_or(was);
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_videos SET title = $1, description = $2, visibility = $3 WHERE id = $4")
        .bind(body.title.as_deref().map_or(row.title.as_str(), str::trim))
        .bind(body.description.unwrap_or(row.description))
        .bind(visibility.as_str())
        .bind(row.id)
        .execute(tx.conn())
        .await?;
    let act = Act {
        actor: Some(caller.user),
        action: "media.video_changed",
        subject: Some(row.id.to_string()),
        detail: visibility.as_str(),
    };
    tx.audit(act, Some(&client), now).await?;
    if visibility == Visibility::Private && was != Visibility::Private {
        let path = invalidation::of_video(row.id);
        invalidation::ask(&state, &mut tx, "video_private", path, now).await?;
    }
    tx.commit().await?;
    let row = video::find(state.db.read(), &row.id.to_string())
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok(Json(shown::shown(&state, row, Some(&caller)).await?))
}
