//! One file an endpoint, or a few that are one thing.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::State;

mod create;
mod delete;
mod key;
mod list;
mod playback;
mod show;
mod shown;
mod stop;
mod update;

/// Routes below `/api/v1`.
pub(crate) fn router(state: State) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(key::rotate))
        .routes(routes!(stop::stop))
        .routes(routes!(playback::token))
        .with_state(state)
}
