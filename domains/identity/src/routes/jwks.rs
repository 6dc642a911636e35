use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use nova_domain::Problem;
use nova_domain::http::problem::Details;

use crate::domain::State;
use crate::token::Keyring;

/// The public keys of access tokens (RFC 7517): the one in use, the next one, and those whose tokens may still be about.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth",
    responses(
        (status = 200, description = "A JWK Set", body = serde_json::Value, content_type = "application/json"),
        (status = 503, description = "The database is away", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn jwks(Shared(state): Shared<State>) -> Result<Response, Problem> {
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM identity_keys WHERE name = 'signing'")
        .fetch_one(state.db.read())
        .await?;
    let bytes = state.sealer.open(&sealed).unwrap_or_default();
    let keys = Keyring::from_bytes(&bytes).map_err(|error| Problem::internal(&error))?;
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    Ok((headers, keys.jwks().to_string()).into_response())
}
