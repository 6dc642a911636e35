//! POST `/moderation/users/{id}/unsuspend`.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use nova_domain::db::UserId;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path};
use nova_domain::{Caller, Problem};

use super::act;
use crate::refusals::{Guarded, Missing};
use crate::state::State;

/// End a suspension
///
/// For moderators. The decisions it goes back to are taken back.
#[utoipa::path(
    post,
    path = "/moderation/users/{id}/unsuspend",
    operation_id = "unsuspend_user",
    tag = "moderation",
    params(("id" = UserId, Path, description = "whom")),
    responses(
        (status = 204, description = "not suspended any more"),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn unsuspend(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(user): Path<UserId>,
) -> Result<Response, Problem> {
    let standing = act::allow(&state, &caller, user).await?;
    let now = state.clock.now();
    if standing.suspended_until.is_none_or(|until| until <= now) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut tx = state.db.begin().await?;
    sqlx::query(
        "UPDATE users_strikes SET lifted_at = $1 WHERE user_id = $2 AND action = 'suspend' AND lifted_at IS NULL AND suspended_until > $1",
    )
    .bind(now.0)
    .bind(user)
    .execute(tx.conn())
    .await?;
    state.accounts.suspend(&mut tx, user, None, now).await?;
    act::say(&mut tx, (&caller, &client), user, "unsuspend", now).await?;
    Ok(tx.commit_as(StatusCode::NO_CONTENT).await?)
}
