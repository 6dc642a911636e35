//! GET `/users/me`: the caller's own profile.

use axum::extract::State as Shared;
use nova_domain::http::Json;
use nova_domain::http::problem::Details;
use nova_domain::{Caller, Problem};

use crate::profile::{self, Profile};
use crate::refusals::{Guarded, Missing};
use crate::state::State;

/// My profile
///
/// All of it, whatever others may see.
#[utoipa::path(
    get,
    path = "/users/me",
    operation_id = "get_my_profile",
    tag = "users",
    responses(
        (status = 200, body = Profile),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn me(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Profile>, Problem> {
    let profile = profile::one(&state.db, &state.base, Some(caller.user), caller.user).await?;
    Ok(Json(profile.ok_or_else(Problem::not_found)?))
}
