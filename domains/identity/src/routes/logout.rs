use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use nova_domain::Problem;
use nova_domain::http::caller::EvenSuspended;
use nova_domain::http::problem::Details;

use super::answer;
use crate::domain::State;
use crate::session;

/// Ends this session: its refresh tokens, its access tokens and its sockets.
#[utoipa::path(
    post, path = "/auth/logout", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204, description = "Ended"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn logout(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
) -> Result<Response, Problem> {
    caller.require_session()?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    session::end(&state, &mut tx, caller.user, &[caller.session], now).await?;
    tx.commit().await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    answer::clear_cookies(&mut response);
    // ASVS 14.3.1.
    response.headers_mut().insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static("\"cookies\", \"storage\""),
    );
    Ok(response)
}
