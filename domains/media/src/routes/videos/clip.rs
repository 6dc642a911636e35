use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_domain::audit::Act;
use nova_domain::db::Flag;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::policy::Visibility;
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::shown::{self, Shown};
use crate::clip::MakeClip;
use crate::domain::State;
use crate::quota;
use crate::video::{self, VideoId};

const PER_ACCOUNT: Rule = Rule::new("clips.account", 20, 60, Duration::from_secs(3600));
/// Shortest clip, and the longest that anybody asks for.
const LENGTHS_S: (f64, f64) = (1.0, 86_400.0);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewClip)]
pub(crate) struct New {
    /// Seconds from the beginning of the video, as players count them.
    #[schema(minimum = 0, maximum = 604_800)]
    start: f64,
    /// The same; at least one second behind `start`.
    #[schema(minimum = 0, maximum = 604_800)]
    end: f64,
    /// That of the video when there is none.
    #[schema(min_length = 1, max_length = 140)]
    title: Option<String>,
    /// Never wider than that of the video, which it is when there is none.
    visibility: Option<Visibility>,
    /// A short clip with an upright cover, listed among the reels.
    #[serde(default)]
    reel: bool,
    /// The picture that stands for it: seconds from its beginning.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400)]
    cover_at: f64,
}

/// Cuts a part of a video into a video of the caller's own: of a recording, of an upload, or of what is on air and recorded, where `end` may be a
/// little ahead. Whoever may watch a public or unlisted video may, the owner of a private one too. It begins and ends within one picture of
/// the times asked for where the pictures are H.264, and else at the nearest borders of segments around them. It stays when the video is deleted.
#[utoipa::path(
    post, path = "/videos/{id}/clips", tag = "videos", operation_id = "create_clip", security(("bearer" = [])),
    params(("id" = String, Path, description = "The video's id")), request_body = New,
    responses(
        (status = 201, description = "It is being made", body = Shown),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The video is private and somebody else's, or the account is suspended", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such video, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "The video cannot be watched yet, too many clips are being made, or there is no room left for this account", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<New>,
) -> Result<Response, Problem> {
    let source = shown::visible(&state, &id, Some(&caller)).await?;
    let mine = source.owner_user_id == caller.user;
    if !mine && source.visibility() == Visibility::Private {
        return Err(Problem::forbidden("clips of a private video are its owner's"));
    }
    let title = body.title.as_deref().map_or(source.title.as_str(), str::trim);
    let visibility = body.visibility.unwrap_or(source.visibility());
    let (length, most) = (body.end - body.start, longest(&state, &body, mine));
    let mut fields = Fields::new();
    fields.text("title", title, 1, 140);
    fields.check(
        body.start >= 0.0 && body.start <= 604_800.0,
        "start",
        "is within the video",
    );
    fields.check(length >= LENGTHS_S.0, "end", "is at least one second behind the start");
    fields.check(length <= most, "end", format!("makes it longer than {most} seconds"));
    fields.check(
        body.cover_at >= 0.0 && body.cover_at < length.max(f64::MIN_POSITIVE),
        "cover_at",
        "is within the clip",
    );
    let whole = source.status == "ready";
    let micros = |seconds: f64| (seconds * 1e6).round() as i64;
    // Players round a video's length.
    let fits = !whole || micros(body.end) <= source.duration_us + 50_000;
    fields.check(fits, "end", "is behind the end of the video");
    fields.check(
        rank(visibility) >= rank(source.visibility()),
        "visibility",
        "is not wider than that of the video",
    );
    fields.done()?;
    if !whole && source.status != "live" {
        return Err(Problem::conflict("the video cannot be watched yet"));
    }
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let now = state.clock.now();
    let clip = VideoId::new(now);
    // Before the transaction: whoever holds a connection waits for no other.
    let owner = state.directory.card(caller.user).await?;
    let mut tx = state.db.begin().await?;
    let open: i64 = sqlx::query_scalar(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM media_videos WHERE owner_user_id = $1 AND source = 'clip' AND status = 'processing'",
    )
    .bind(caller.user)
    .fetch_one(tx.conn())
    .await?;
    if open >= i64::from(state.config.most_clips) {
        let most = format!(
            "at most {} clips are made at a time: wait for one",
            state.config.most_clips
        );
        return Err(Problem::conflict(most));
    }
    // As much of its bytes as of its time; of what is on air, nothing is known yet.
    let share = length * 1e6 / (source.duration_us.max(1) as f64);
    let bytes = if whole {
        (source.bytes as f64 * share.min(1.0)) as i64
    } else {
        0
    };
    quota::check(&mut tx, &state.config, caller.user, bytes).await?;
    sqlx::query(
        "INSERT INTO media_videos (id, owner_user_id, stream_id, source, folder, title, description, visibility, status, progress, error, \
         duration_us, width, height, bytes, created_at, clip_of, clip_start_us, clip_end_us, reel, cover_us) VALUES ($1, $2, $3, 'clip', $4, $5, '', \
         $6, 'processing', 0, '', 0, 0, 0, 0, $7, $8, $9, $10, $11, $12)",
    )
    .bind(clip)
    .bind(caller.user)
    .bind(source.stream_id.as_deref())
    .bind(video::new_folder('c'))
    .bind(title)
    .bind(visibility.as_str())
    .bind(now.0)
    .bind(source.id)
    .bind(micros(body.start))
    .bind(micros(body.end))
    .bind(Flag(body.reel))
    .bind(micros(body.cover_at))
    .execute(tx.conn())
    .await?;
    tx.enqueue(&MakeClip { video: clip }, now, now).await?;
    let act = Act {
        actor: Some(caller.user),
        action: "media.clip_created",
        subject: Some(clip.to_string()),
        detail: visibility.as_str(),
    };
    tx.audit(act, Some(&client), now).await?;
    let row = video::find(tx.conn(), &clip.to_string())
        .await?
        .ok_or_else(Problem::not_found)?;
    let shown = shown::shown_by(&state, row, owner, Some(&caller));
    Ok(tx.commit_as((StatusCode::CREATED, Json(shown))).await?)
}

/// Seconds of the longest clip that the caller may have of it.
fn longest(state: &State, body: &New, mine: bool) -> f64 {
    let of_others = if mine {
        LENGTHS_S.1
    } else {
        f64::from(state.config.clip_seconds)
    };
    if body.reel {
        of_others.min(f64::from(state.config.reel_seconds))
    } else {
        of_others
    }
}

/// The wider, the lower.
const fn rank(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Public => 0,
        Visibility::Unlisted => 1,
        Visibility::Private => 2,
    }
}
