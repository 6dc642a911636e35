use axum::extract::State as Shared;
use nova_domain::db::{List, PageQuery};
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Query};
use nova_domain::{Caller, Problem};

use super::list::{Filter, page_of};
use super::shown::Shown;
use crate::domain::State;
use crate::routes::owner_of;

/// Public reels, the newest first: short clips whose picture is upright. The pictures of the film itself have the shape of the video it was cut from;
/// who shows reels upright takes the middle of it.
#[utoipa::path(
    get, path = "/reels", tag = "videos", operation_id = "list_reels", params(Filter, PageQuery),
    responses(
        (status = 200, description = "A page", body = List<Shown>),
        (status = 401, description = "The token is not good", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reels(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Query(filter): Query<Filter>,
    page: PageQuery,
) -> Result<Json<List<Shown>>, Problem> {
    let owner = owner_of(filter.owner.as_deref(), caller.as_ref())?;
    let which = "v.reel = 1 AND v.status = 'ready' AND v.visibility = 'public'";
    page_of(&state, caller.as_ref(), owner, which, page).await
}
