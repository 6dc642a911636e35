//! One file an endpoint, or a few that are one thing.

use axum::response::Response;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::audit::Act;
use nova_domain::db::{Tx, UserId};
use nova_domain::events::ModerationAction;
use nova_domain::http::Client;
use nova_domain::{Caller, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::State;

mod create;
mod delete;
mod images;
mod invalidations;
mod key;
mod list;
mod playback;
mod show;
mod shown;
mod signed;
mod stop;
mod update;
mod uploads;
mod videos;

/// Routes below `/api/v1`.
pub(crate) fn router(state: State) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(show::show, update::update, delete::delete))
        .routes(routes!(key::rotate))
        .routes(routes!(stop::stop))
        .routes(routes!(playback::token))
        .routes(routes!(images::list::list, images::create::create))
        .routes(routes!(images::show::show, images::delete::delete))
        .routes(routes!(videos::list::list))
        .routes(routes!(
            videos::show::show,
            videos::update::update,
            videos::delete::delete
        ))
        .routes(routes!(videos::clip::create))
        .routes(routes!(videos::reels::reels))
        .routes(routes!(videos::captions::list::list))
        .routes(routes!(videos::captions::put::put, videos::captions::delete::delete))
        .routes(routes!(videos::playback::token))
        .routes(routes!(videos::storage::storage))
        .routes(routes!(videos::cancel::cancel))
        .routes(routes!(videos::retry::retry))
        .routes(routes!(signed::sign))
        .routes(routes!(invalidations::list::list, invalidations::create::create))
        .routes(routes!(invalidations::show::show))
        .routes(routes!(uploads::options::options, uploads::create::create))
        .routes(routes!(
            uploads::show::show,
            uploads::write::write,
            uploads::terminate::terminate
        ))
        .with_state(state)
}

/// Writes into the log that the owner of something, or a moderator, did away with it; of what a moderator does, others hear as well. `what` is the
/// word of the event, as `remove_video`. Then it is certain.
async fn done_away(
    mut tx: Tx,
    (caller, client): (&Caller, &Client),
    owner: UserId,
    (action, what): (&str, &str),
    subject: String,
    now: Timestamp,
) -> Result<Response, Problem> {
    let own = caller.user == owner;
    let act = Act {
        actor: Some(caller.user),
        action,
        subject: Some(subject),
        detail: if own { "owner" } else { "moderator" },
    };
    tx.audit(act, Some(client), now).await?;
    if !own {
        let event = ModerationAction {
            user: owner,
            action: what.to_owned(),
        };
        tx.emit(&event, Some(caller.user), now).await?;
    }
    Ok(tx.commit_as(StatusCode::NO_CONTENT).await?)
}

/// Whose things a list is asked for: an id, `me`, or everybody's.
fn owner_of(asked: Option<&str>, caller: Option<&Caller>) -> Result<Option<UserId>, Problem> {
    match (asked, caller) {
        (None, _) => Ok(None),
        (Some("me"), Some(caller)) => Ok(Some(caller.user)),
        (Some("me"), None) => Err(Problem::unauthenticated("log in first")),
        (Some(id), _) => id
            .parse()
            .map(Some)
            .map_err(|_bad| Problem::invalid("owner is an id, or `me`").field("owner", "is no id")),
    }
}
