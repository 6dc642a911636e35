//! GET `/users/{id}/following`.

use axum::extract::State as Shared;
use nova_domain::accounts::Card;
use nova_domain::db::{List, PageQuery, UserId};
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use super::listed::{self, Edges};
use crate::profile::viewer;
use crate::refusals::{Guarded, Missing, Query};
use crate::state::State;

const EDGES: Edges = Edges {
    table: "users_follows",
    of: "follower_id",
    listed: "followee_id",
    hides: true,
};

/// Following
///
/// The newest first. Of somebody who is not public: for themselves and their followers.
#[utoipa::path(
    get,
    path = "/users/{id}/following",
    operation_id = "list_following",
    tag = "relationships",
    params(("id" = UserId, Path, description = "whose"), PageQuery),
    responses(
        (status = 200, body = List<Card>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "the token is not valid"),
        Guarded,
        Missing,
        Query
    )
)]
pub(crate) async fn following(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Path(id): Path<UserId>,
    page: PageQuery,
) -> Result<Json<List<Card>>, Problem> {
    let viewer = viewer(listed::may_see(&state, caller, id).await?);
    Ok(Json(
        listed::page(&state.db, &state.base, &viewer, id, &EDGES, &page).await?,
    ))
}
