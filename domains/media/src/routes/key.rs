use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use nova_core::clock::Timestamp;
use nova_domain::audit::Act;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::shown::{self, Ingest};
use crate::domain::State;
use crate::key;

const PER_ACCOUNT: Rule = Rule::new("stream_key.account", 10, 20, Duration::from_secs(3600));

/// A new key, shown here and never again.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamKey)]
pub(crate) struct NewKey {
    stream_key: String,
    ingest: Ingest,
}

/// Gives the stream a new key. The old one is refused from that moment, and what is on air with it ends within a second.
#[utoipa::path(
    post, path = "/streams/{id}/key", tag = "streams", security(("bearer" = [])), params(("id" = String, Path, description = "Its id or its name")),
    responses(
        (status = 200, description = "The new key", body = NewKey),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such stream, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rotate(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = shown::mine(&state, &id, &caller).await?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let now = state.clock.now();
    let key = key::generate();
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE media_streams SET key_hash = $1 WHERE id = $2")
        .bind(key::hash(&key))
        .bind(row.id)
        .execute(tx.conn())
        .await?;
    state
        .cut(&mut tx, row.id, "the stream key was changed", Timestamp(0), now)
        .await?;
    let act = Act {
        actor: Some(caller.user),
        action: "media.stream_key_rotated",
        subject: Some(row.id.to_string()),
        detail: "",
    };
    tx.audit(act, Some(&client), now).await?;
    Ok(tx
        .commit_as(Json(NewKey {
            stream_key: key,
            ingest: Ingest {
                rtmp_url: state.live.ingest_url.clone(),
            },
        }))
        .await?)
}
