//! What is kept about a person: their streams, when they were on air, their videos and pictures.

use nova_core::clock::Timestamp;
use nova_core::store::BoxFuture;
use nova_domain::db::{Db, Tx, UserId};
use nova_domain::personal::Table;
use serde_json::{Value, json};

use crate::domain::{State, cut_all};
use crate::image::{self, ImageId};
use crate::invalidation;
use crate::video::{RemoveObjects, VideoId};

/// How long the last segments of a broadcast may be on their way to the store.
const SETTLE_MICROS: i64 = 15_000_000;

/// Every table with a user's id in it.
pub(crate) const TABLES: &[Table] = &[
    Table::new("media_streams", &["owner_user_id"]),
    Table::new("media_broadcasts", &["owner_user_id"]),
    Table::new("media_videos", &["owner_user_id"]),
    Table::new("media_uploads", &["owner_user_id"]),
    Table::new("media_images", &["owner_user_id"]),
];

/// Streams and broadcasts, without keys.
pub(crate) fn export(db: Db, user: UserId) -> BoxFuture<'static, anyhow::Result<Value>> {
    Box::pin(async move {
        let streams: Vec<(String, String, String, String, String, i64)> = sqlx::query_as(
            "SELECT id, name, title, description, visibility, created_at FROM media_streams WHERE owner_user_id = $1 ORDER BY created_at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let broadcasts: Vec<(String, i64, Option<i64>, i64)> = sqlx::query_as(
            "SELECT stream_id, started_at, ended_at, peak_viewers FROM media_broadcasts WHERE owner_user_id = $1 ORDER BY started_at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let videos: Vec<(String, String, String, String, String, i64, i64)> = sqlx::query_as(
            "SELECT id, source, title, description, visibility, duration_us, created_at FROM media_videos WHERE owner_user_id = $1 ORDER BY created_at",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let captions: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT c.video_id, c.language, c.body FROM media_captions c JOIN media_videos v ON v.id = c.video_id WHERE v.owner_user_id = $1 \
             ORDER BY c.video_id, c.language",
        )
        .bind(user)
        .fetch_all(db.read())
        .await?;
        let images: Vec<image::Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {} FROM media_images i WHERE i.owner_user_id = $1 ORDER BY i.created_at, i.id",
            image::COLUMNS
        )))
        .bind(user)
        .fetch_all(db.read())
        .await?;
        Ok(json!({
            "images": images.iter().map(|row| json!({
                "id": row.id, "kind": row.kind(), "created_at": Timestamp(row.created_at),
                "paths": row.variants().iter().map(|variant| row.path(variant)).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "videos": videos.into_iter().map(|(id, source, title, description, visibility, duration, created)| json!({
                "id": id, "source": source, "title": title, "description": description, "visibility": visibility,
                "duration_ms": duration / 1000, "created_at": Timestamp(created),
            })).collect::<Vec<_>>(),
            "captions": captions.into_iter().map(|(video, language, body)| json!({
                "video_id": video, "language": language, "webvtt": body,
            })).collect::<Vec<_>>(),
            "streams": streams.into_iter().map(|(id, name, title, description, visibility, created)| json!({
                "id": id, "name": name, "title": title, "description": description, "visibility": visibility, "created_at": Timestamp(created),
            })).collect::<Vec<_>>(),
            "broadcasts": broadcasts.into_iter().map(|(stream, started, ended, peak)| json!({
                "stream_id": stream, "started_at": Timestamp(started), "ended_at": ended.map(Timestamp), "peak_viewers": peak,
            })).collect::<Vec<_>>(),
        }))
    })
}

/// Ends what is on air and removes all of it.
pub(crate) async fn erase(state: &State, tx: &mut Tx, user: UserId) -> anyhow::Result<()> {
    cut_all(state, tx, user, "this account is gone").await?;
    let videos: Vec<(VideoId, String, Option<String>, String)> =
        sqlx::query_as("SELECT id, folder, upload_id, status FROM media_videos WHERE owner_user_id = $1")
            .bind(user)
            .fetch_all(tx.conn())
            .await?;
    let now = state.clock.now();
    for (id, folder, upload, status) in videos {
        let watched = matches!(status.as_str(), "live" | "ready").then_some(id);
        let removal = RemoveObjects {
            folder,
            upload,
            watched,
        };
        // What is on air is cut now, and its last segments may still be on their way.
        tx.enqueue(&removal, now.plus_micros(SETTLE_MICROS), now).await?;
    }
    let images: Vec<(ImageId, String)> = sqlx::query_as("SELECT id, folder FROM media_images WHERE owner_user_id = $1")
        .bind(user)
        .fetch_all(tx.conn())
        .await?;
    for (id, folder) in images {
        image::remove(tx, id, user, &folder, now).await?;
    }
    let streams: Vec<String> = sqlx::query_scalar("SELECT name FROM media_streams WHERE owner_user_id = $1")
        .bind(user)
        .fetch_all(tx.conn())
        .await?;
    for name in streams {
        invalidation::ask(state, tx, "stream_deleted", invalidation::of_stream(&name), now).await?;
    }
    for statement in [
        "DELETE FROM media_uploads WHERE owner_user_id = $1",
        "DELETE FROM media_captions WHERE video_id IN (SELECT id FROM media_videos WHERE owner_user_id = $1)",
        "DELETE FROM media_videos WHERE owner_user_id = $1",
        "DELETE FROM media_broadcasts WHERE owner_user_id = $1",
        "DELETE FROM media_streams WHERE owner_user_id = $1",
    ] {
        sqlx::query(statement).bind(user).execute(tx.conn()).await?;
    }
    Ok(())
}
