//! GET `/users/{name}`: somebody's profile, by id or by name.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use nova_domain::db::UserId;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::{Caller, Problem};

use crate::directory;
use crate::profile::{self, Profile};
use crate::refusals::{Guarded, Missing};
use crate::state::State;

/// Somebody's profile
///
/// By id or by name, whatever its case. A name they had before leads to the one they have now, until somebody else takes it. Who blocks the
/// caller, or is blocked by them, is not there.
#[utoipa::path(
    get,
    path = "/users/{name}",
    operation_id = "get_profile",
    tag = "users",
    params(("name" = String, Path, description = "id or name")),
    responses(
        (status = 200, body = Profile),
        (status = 308, description = "they have another name now", headers(("Location" = String, description = "their profile by the name they have now"))),
        (status = 401, body = Details, content_type = "application/problem+json", description = "the token is not valid"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn show(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let viewer = caller.map(|caller| caller.user);
    let (user, moved) = match name.parse::<UserId>() {
        Ok(user) => (user, false),
        Err(_name) => {
            let holder = directory::holder(&state.db, &name)
                .await?
                .ok_or_else(Problem::not_found)?;
            (holder.user, !holder.now)
        }
    };
    let profile = profile::one(&state.db, &state.base, viewer, user)
        .await?
        .ok_or_else(Problem::not_found)?;
    if !moved {
        return Ok(Json(profile).into_response());
    }
    let place = HeaderValue::try_from(format!("/api/v1/users/{}", profile.username))
        .map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::PERMANENT_REDIRECT, [(LOCATION, place)]).into_response())
}
