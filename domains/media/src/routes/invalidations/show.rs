use axum::extract::State as Shared;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem, Role};

use super::{Shown, find};
use crate::domain::State;
use crate::invalidation::InvalidationId;

/// How far the CDN is with forgetting something. For admins; what came to its end is kept for 30 days.
#[utoipa::path(
    get, path = "/cdn/invalidations/{id}", tag = "videos", operation_id = "get_cdn_invalidation", security(("bearer" = [])),
    params(("id" = InvalidationId, Path, description = "Its id")),
    responses(
        (status = 200, description = "Where it stands", body = Shown),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "Not an admin, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such id", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<InvalidationId>,
) -> Result<Json<Shown>, Problem> {
    caller.require(Role::Admin)?;
    find(&state, id).await?.map(Json).ok_or_else(Problem::not_found)
}
