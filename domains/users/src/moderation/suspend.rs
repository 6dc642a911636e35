//! POST `/moderation/users/{id}/suspend`.

use axum::extract::State as Shared;
use axum::response::Response;
use nova_domain::db::UserId;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::act::{self, Decision};
use super::strike::{Action, Decided};
use crate::card;
use crate::refusals::{Body, Guarded, Missing};
use crate::state::State;

/// A suspension.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Suspension {
    /// For how many days; left out: without end.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
    /// What the person is told.
    #[schema(min_length = 1, max_length = 2000)]
    statement: String,
    /// What moderators tell each other.
    #[serde(default)]
    #[schema(max_length = 2000)]
    note: String,
}

/// Suspend somebody
///
/// For moderators; about everybody but admins and oneself.
#[utoipa::path(
    post,
    path = "/moderation/users/{id}/suspend",
    operation_id = "suspend_user",
    tag = "moderation",
    params(("id" = UserId, Path, description = "whom")),
    request_body = Suspension,
    responses(
        (status = 200, body = Decided),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing,
        Body
    )
)]
pub(crate) async fn suspend(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Path(user): Path<UserId>,
    Json(wanted): Json<Suspension>,
) -> Result<Response, Problem> {
    act::moderator(&caller)?;
    let mut fields = Fields::new();
    act::check(&mut fields, wanted.days, &wanted.statement, &wanted.note, true);
    fields.done()?;
    act::allow(&state, &caller, user).await?;
    card::of(&state.db, &state.base, user)
        .await?
        .ok_or_else(Problem::not_found)?;
    let now = state.clock.now();
    let decision = Decision {
        user,
        action: Action::Suspend,
        days: wanted.days,
        statement: &wanted.statement,
        note: &wanted.note,
        report: None,
    };
    let mut tx = state.db.begin().await?;
    let strike = act::strike(&state, &mut tx, (&caller, &client), decision, now).await?;
    let decided = act::decided(&mut tx, strike).await?;
    Ok(tx.commit_as(Json(decided)).await?)
}
