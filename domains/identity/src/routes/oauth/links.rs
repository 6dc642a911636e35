use axum::extract::State as Shared;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::db::Id;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use super::revoke;
use crate::account;
use crate::domain::State;
use crate::oidc::Link;
use crate::{post, session};

/// An identity at a provider that opens this account.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentityLink)]
pub(crate) struct Linked {
    #[schema(value_type = String, format = Uuid)]
    id: String,
    provider: String,
    /// The address it had when it was added.
    email: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// The identities that open the caller's account.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentityLinks)]
pub(crate) struct LinkList {
    items: Vec<Linked>,
}

/// The identities at providers that open the caller's account.
#[utoipa::path(
    get, path = "/auth/links", tag = "auth", operation_id = "list_links", security(("bearer" = [])),
    responses(
        (status = 200, description = "All of them", body = LinkList),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or a token may not do this", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(Shared(state): Shared<State>, caller: Caller) -> Result<Json<LinkList>, Problem> {
    caller.require_session()?;
    let rows: Vec<(String, String, Option<String>, i64)> = sqlx::query_as(
        "SELECT id, provider, email, created_at FROM identity_links WHERE user_id = $1 ORDER BY created_at, id LIMIT 100",
    )
    .bind(caller.user)
    .fetch_all(state.db.read())
    .await
    .map_err(nova_domain::db::Error::from)?;
    let items = rows.into_iter().map(|(id, provider, email, created)| Linked {
        id,
        provider,
        email,
        created_at: Timestamp(created),
    });
    Ok(Json(LinkList { items: items.collect() }))
}

/// Takes an identity away from the account, unless it is the last way in.
#[utoipa::path(
    delete, path = "/auth/links/{id}", tag = "auth", operation_id = "delete_link", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Gone"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The proof is not recent (`code` `sudo_required`), or a token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such identity", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "It is the last way into the account", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    session::require_recent(&state, &caller, state.clock.now())?;
    let id: Id<Link> = id.parse().map_err(|_bad| Problem::not_found())?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let user = account::lock(&mut tx, caller.user)
        .await?
        .ok_or_else(Problem::not_found)?;
    revoke::give_back(&mut tx, caller.user, Some(&id.to_string()), now).await?;
    let gone = sqlx::query("DELETE FROM identity_links WHERE id = $1 AND user_id = $2")
        .bind(id)
        .bind(caller.user)
        .execute(tx.conn())
        .await
        .map_err(nova_domain::db::Error::from)?;
    if gone.rows_affected() == 0 {
        return Err(Problem::not_found());
    }
    account::require_way_in(&state, &mut tx, &user).await?;
    let told = (
        "identity.link_removed",
        "A sign-in through another was taken away from your account",
    );
    post::factor_changed(&state, &mut tx, &client, caller.user, told, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
