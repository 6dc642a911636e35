//! GET `/users/me/blocks`.

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
    table: "users_blocks",
    of: "blocker_id",
    listed: "blocked_id",
    hides: false,
};

/// Whom I block
///
/// The newest first.
#[utoipa::path(
    get,
    path = "/users/me/blocks",
    operation_id = "list_blocked",
    tag = "relationships",
    params(PageQuery),
    responses(
        (status = 200, body = List<Card>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Query
    )
)]
pub(crate) async fn blocks(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<Card>>, Problem> {
    let viewer = caller.user.to_string();
    Ok(Json(
        listed::page(&state.db, &state.base, &viewer, caller.user, &EDGES, &page).await?,
    ))
}
