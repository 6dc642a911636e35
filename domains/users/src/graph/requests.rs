//! GET `/users/me/follow-requests`.

use axum::extract::State as Shared;
use nova_domain::accounts::Card;
use nova_domain::db::{List, PageQuery};
use nova_domain::http::Json;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use super::listed::{self, Edges};
use crate::refusals::{Guarded, Query};
use crate::state::State;

const EDGES: Edges = Edges {
    table: "users_follow_requests",
    of: "followee_id",
    listed: "follower_id",
    hides: true,
};

/// Who asks to follow me
///
/// The newest first.
#[utoipa::path(
    get,
    path = "/users/me/follow-requests",
    operation_id = "list_follow_requests",
    tag = "relationships",
    params(PageQuery),
    responses(
        (status = 200, body = List<Card>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Query
    )
)]
pub(crate) async fn requests(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<Card>>, Problem> {
    let viewer = caller.user.to_string();
    Ok(Json(
        listed::page(&state.db, &state.base, &viewer, caller.user, &EDGES, &page).await?,
    ))
}
