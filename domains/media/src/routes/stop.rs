use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::{done_away, shown};
use crate::domain::State;

/// Ends what is on air. Encoders come back by themselves, so the key is refused for some seconds (`domains.media.stop_seconds`); whoever wants to
/// keep it off air rotates the key. Moderators may stop the streams of others.
#[utoipa::path(
    post, path = "/streams/{id}/stop", tag = "streams", security(("bearer" = [])), params(("id" = String, Path, description = "Its id or its name")),
    responses(
        (status = 204, description = "Nothing of it is on air any more"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such stream, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn stop(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = shown::moderated(&state, &id, &caller).await?;
    let own = row.owner_user_id == caller.user;
    let reason = if own {
        "the broadcast was stopped by its owner"
    } else {
        "the broadcast was stopped by a moderator"
    };
    let now = state.clock.now();
    let until = now.plus_micros(i64::from(state.config.stop_seconds) * 1_000_000);
    let mut tx = state.db.begin().await?;
    state.cut(&mut tx, row.id, reason, until, now).await?;
    let what = ("media.stream_stopped", "stop_stream");
    done_away(tx, (&caller, &client), row.owner_user_id, what, row.id.to_string(), now).await
}
