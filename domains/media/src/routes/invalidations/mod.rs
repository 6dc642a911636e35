//! What the CDN has to forget, for admins.

use nova_core::clock::Timestamp;
use nova_domain::db::Error;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::State;
use crate::invalidation::{InvalidationId, read};

pub(super) mod create;
pub(super) mod list;
pub(super) mod show;

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = InvalidationStatus)]
enum Status {
    Pending,
    InProgress,
    Completed,
    Failed,
}

/// Something that the CDN has to forget.
#[derive(Serialize, ToSchema)]
#[schema(as = Invalidation)]
pub(crate) struct Shown {
    #[schema(value_type = String, format = Uuid)]
    id: InvalidationId,
    status: Status,
    /// `asked` by an admin, or what happened by which it became necessary.
    #[schema(example = "video_deleted")]
    reason: String,
    paths: Vec<String>,
    /// Why it failed, or why it has not been done yet.
    error: Option<String>,
    /// The CDN's own id of what it was told; others' wishes may have been told with it.
    cdn_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the CDN took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    submitted_at: Option<Timestamp>,
    /// When it was done everywhere, or given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: InvalidationId,
    status: String,
    reason: String,
    paths: String,
    error: String,
    cdn_id: Option<String>,
    created_at: i64,
    submitted_at: Option<i64>,
    finished_at: Option<i64>,
}

/// The columns of a [`Row`].
const COLUMNS: &str = "i.id, i.status, i.reason, i.paths, i.error, b.cdn_id, i.created_at, i.submitted_at, i.finished_at FROM media_invalidations i \
                       LEFT JOIN media_invalidation_batches b ON b.id = i.batch_id";

impl From<Row> for Shown {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            status: match row.status.as_str() {
                "in_progress" => Status::InProgress,
                "completed" => Status::Completed,
                "failed" => Status::Failed,
                _ => Status::Pending,
            },
            reason: row.reason,
            paths: read(&row.paths),
            error: Some(row.error).filter(|error| !error.is_empty()),
            cdn_id: row.cdn_id,
            created_at: Timestamp(row.created_at),
            submitted_at: row.submitted_at.map(Timestamp),
            finished_at: row.finished_at.map(Timestamp),
        }
    }
}

async fn find(state: &State, id: InvalidationId) -> Result<Option<Shown>, Error> {
    let sql = format!("SELECT {COLUMNS} WHERE i.id = $1");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(state.db.read())
        .await?;
    Ok(row.map(Shown::from))
}
