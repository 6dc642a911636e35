use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use nova_core::error::Kind as Failure;
use nova_core::store::StoreError;
use nova_domain::audit::Act;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json, Query};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::file;
use super::shown::{self, Shown};
use crate::domain::State;
use crate::image::{self, ImageId};
use crate::pictures::{PictureError, PictureKind};
use crate::quota;

const PER_ACCOUNT: Rule = Rule::new("images.account", 40, 120, Duration::from_secs(3600));

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// What it is for; `post` when left out.
    #[serde(default)]
    #[param(inline)]
    kind: PictureKind,
}

/// A form with a picture in it.
#[derive(ToSchema)]
#[schema(as = ImageForm)]
#[expect(dead_code, reason = "describes what is read in pieces")]
pub(crate) struct Form {
    /// JPEG, PNG, WebP, or GIF, of which the first picture is taken.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Uploads a picture: JPEG, PNG, WebP, or the first picture of a GIF, as a form with the part `file`, or as the body itself. It is turned upright,
/// freed of everything that is not seen, and made in the sizes of its kind, none larger than itself.
#[utoipa::path(
    post, path = "/images", tag = "images", operation_id = "create_image", security(("bearer" = [])), params(Wanted),
    request_body(
        content(
            (Form = "multipart/form-data"),
            (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/gif"), (Vec<u8> = "application/octet-stream"),
        )
    ),
    responses(
        (status = 201, description = "Made", body = Shown),
        (status = 400, description = "The body cannot be read", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "Too many are there, or there is no room left for this account", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "No picture of a kind that is taken", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "Damaged, or too many pixels, or a parameter is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "Too many pictures wait, try again", body = Details, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let has: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM media_images WHERE owner_user_id = $1")
        .bind(caller.user)
        .fetch_one(state.db.read())
        .await?;
    if has >= i64::from(state.config.most_images) {
        let most = state.config.most_images;
        return Err(Problem::conflict(format!(
            "a person has at most {most} pictures: delete one first"
        )));
    }
    let file = file::read(&headers, body, state.config.image_max_bytes).await?;
    let making = state
        .live
        .pictures
        .make(file, wanted.kind, state.config.image_max_pixels);
    let made = making.await.map_err(refused)?;
    let now = state.clock.now();
    let id = ImageId::new(now);
    let mut tx = state.db.begin().await?;
    let bytes: usize = made.files.iter().map(|file| file.bytes.len()).sum();
    quota::check(
        &mut tx,
        &state.config,
        caller.user,
        i64::try_from(bytes).unwrap_or(i64::MAX),
    )
    .await?;
    let folder = image::begin(&mut tx, id, caller.user, wanted.kind, &made, now).await?;
    tx.prepares();
    tx.commit().await?;
    if let Err(error) = image::store(&state, &folder, made).await {
        let mut tx = state.db.begin().await?;
        image::remove(&mut tx, id, caller.user, &folder, now).await?;
        tx.prepares();
        tx.commit().await?;
        return Err(away(&error));
    }
    let mut tx = state.db.begin().await?;
    if !image::finish(&mut tx, id).await? {
        return Err(Problem::of(Failure::Unavailable, "it took too long, try again"));
    }
    let act = Act {
        actor: Some(caller.user),
        action: "media.image_created",
        subject: Some(id.to_string()),
        detail: wanted.kind.as_str(),
    };
    tx.audit(act, Some(&client), now).await?;
    let row = image::find(tx.conn(), &id.to_string())
        .await?
        .ok_or_else(Problem::not_found)?;
    let place = [(LOCATION, format!("/api/v1/images/{id}"))];
    let shown = shown::shown(&state, &row, Some(&caller));
    Ok(tx.commit_as((StatusCode::CREATED, place, Json(shown))).await?)
}

fn refused(error: PictureError) -> Problem {
    match error {
        PictureError::Unknown(why) => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why),
        PictureError::Refused(why) => Problem::invalid(why),
        PictureError::Busy => Problem::of(Failure::Unavailable, "too many pictures wait for their turn, try again"),
    }
}

fn away(error: &StoreError) -> Problem {
    match error {
        StoreError::Full { .. } => {
            tracing::error!(%error, "the disk is full: pictures are refused");
            Problem::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "there is no space left on this server",
            )
            .retry_after(Duration::from_secs(60))
        }
        other => Problem::internal(other),
    }
}
