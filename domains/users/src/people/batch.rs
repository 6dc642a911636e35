//! GET `/users?ids=`: many profiles at once, for a page that shows many people.

use axum::extract::State as Shared;
use nova_domain::db::{List, UserId};
use nova_domain::http::problem::Details;
use nova_domain::http::{self, Json};
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::profile::{self, Profile};
use crate::refusals::{Guarded, Query};
use crate::state::{LIST, State};

/// Most ids of one request.
const MOST: usize = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Up to 50 ids, with commas between them.
    #[param(pattern = "^[0-9a-fA-F-]{36}(,[0-9a-fA-F-]{36}){0,49}$")]
    ids: String,
}

/// Many profiles
///
/// In no particular order; who is not there, or must not be known, is left out.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "batch_get_profiles",
    tag = "users",
    params(Wanted),
    responses(
        (status = 200, body = List<Profile>),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Query
    )
)]
pub(crate) async fn batch(
    Shared(state): Shared<State>,
    caller: Caller,
    http::Query(wanted): http::Query<Wanted>,
) -> Result<Json<List<Profile>>, Problem> {
    state.limits.check(&LIST, caller.user)?;
    let mut ids = wanted
        .ids
        .split(',')
        .map(str::parse)
        .collect::<Result<Vec<UserId>, _>>()
        .map_err(|_bad| wrong())?;
    ids.sort();
    ids.dedup();
    if ids.len() > MOST {
        return Err(wrong());
    }
    Ok(Json(List {
        items: profile::load(&state.db, &state.base, Some(caller.user), &ids).await?,
        next_cursor: None,
    }))
}

fn wrong() -> Problem {
    Problem::invalid("ids are up to 50 ids with commas between them").field("ids", "must be up to 50 ids")
}
