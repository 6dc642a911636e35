use axum::extract::State as Shared;
use nova_domain::http::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::State;

/// Whom this server takes a sign-in from.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProviderNames {
    /// For the paths below `/auth/oauth/`.
    providers: Vec<String>,
}

/// The providers that one can sign in through.
#[utoipa::path(
    get, path = "/auth/oauth", tag = "auth", operation_id = "oauth_providers",
    responses((status = 200, description = "Their names", body = ProviderNames))
)]
pub(crate) async fn list(Shared(state): Shared<State>) -> Json<ProviderNames> {
    let providers = state.providers.names().map(str::to_owned).collect();
    Json(ProviderNames { providers })
}
