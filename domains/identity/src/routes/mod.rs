//! One file an endpoint, or a few that are one thing.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::State;

mod account;
mod answer;
mod introspect;
mod jwks;
mod login;
mod logout;
pub(crate) mod oauth;
pub(crate) mod passkeys;
mod password;
mod refresh;
mod register;
mod reset;
mod role;
mod sessions;
mod sudo;
mod tokens;
mod totp;
mod verify;

/// Routes below `/api/v1`.
pub(crate) fn router(state: State) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(verify::verify_email))
        .routes(routes!(login::login))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
        .routes(routes!(reset::request))
        .routes(routes!(reset::confirm))
        .routes(routes!(introspect::introspect))
        .routes(routes!(sudo::ways, sudo::sudo))
        .routes(routes!(password::change))
        .routes(routes!(sessions::list, sessions::end_others))
        .routes(routes!(sessions::end, sessions::rename))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(totp::begin, totp::remove))
        .routes(routes!(totp::confirm))
        .routes(routes!(totp::recovery_codes))
        .routes(routes!(account::show, account::delete))
        .routes(routes!(account::restore))
        .routes(routes!(account::change_email))
        .routes(routes!(account::logins))
        .routes(routes!(account::request_export, account::exports))
        .routes(routes!(account::download))
        .routes(routes!(role::set))
        .routes(routes!(oauth::providers::list))
        .routes(routes!(oauth::start::start))
        .routes(routes!(oauth::start::link))
        .routes(routes!(oauth::start::sudo))
        .routes(routes!(oauth::callback::callback, oauth::callback::posted))
        .routes(routes!(oauth::complete::complete))
        .routes(routes!(oauth::notices::events))
        .routes(routes!(oauth::notices::deletion))
        .routes(routes!(oauth::notices::deletion_status))
        .routes(routes!(oauth::links::list))
        .routes(routes!(oauth::links::delete))
        .routes(routes!(passkeys::list::list))
        .routes(routes!(passkeys::list::rename, passkeys::list::delete))
        .routes(routes!(passkeys::register::begin))
        .routes(routes!(passkeys::register::finish))
        .routes(routes!(passkeys::login::begin))
        .routes(routes!(passkeys::login::finish))
        .routes(routes!(passkeys::sudo::begin))
        .routes(routes!(passkeys::sudo::finish))
        .with_state(state)
}

/// Routes at the root.
pub(crate) fn well_known(state: State) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(jwks::jwks)).with_state(state)
}
