use axum::extract::State as Shared;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::db::{Error, Id};
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Key, Shown};
use crate::domain::State;
use crate::{account, post, session};

/// The caller's passkeys.
#[derive(Serialize, ToSchema)]
#[schema(as = Passkeys)]
pub(crate) struct Keys {
    items: Vec<Shown>,
}

/// The caller's passkeys.
#[utoipa::path(
    get, path = "/auth/passkeys", tag = "auth", operation_id = "list_passkeys", security(("bearer" = [])),
    responses(
        (status = 200, description = "All of them", body = Keys),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Keys>, Problem> {
    caller.require_session()?;
    let rows: Vec<(Id<Key>, String, i64, Option<i64>)> = sqlx::query_as(
        "SELECT id, name, created_at, last_used_at FROM identity_passkeys WHERE user_id = $1 ORDER BY created_at, id",
    )
    .bind(caller.user)
    .fetch_all(state.db.read())
    .await
    .map_err(Error::from)?;
    let items = rows.into_iter().map(|(id, name, created, used)| Shown {
        id,
        name,
        created_at: Timestamp(created),
        last_used_at: used.map(Timestamp),
    });
    Ok(Json(Keys { items: items.collect() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasskeyChange)]
pub(crate) struct Change {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// Calls a passkey something else.
#[utoipa::path(
    patch, path = "/auth/passkeys/{id}", tag = "auth", operation_id = "rename_passkey", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")), request_body = Change,
    responses(
        (status = 204, description = "Renamed"),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such passkey", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rename(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<Id<Key>>,
    Json(body): Json<Change>,
) -> Result<StatusCode, Problem> {
    caller.require_session()?;
    let mut fields = Fields::new();
    fields.text("name", body.name.trim(), 1, 100);
    fields.done()?;
    let mut tx = state.db.begin().await?;
    let renamed = sqlx::query("UPDATE identity_passkeys SET name = $1 WHERE id = $2 AND user_id = $3")
        .bind(body.name.trim())
        .bind(id)
        .bind(caller.user)
        .execute(tx.conn())
        .await
        .map_err(Error::from)?;
    if renamed.rows_affected() == 0 {
        return Err(Problem::not_found());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a passkey away from the account, unless it is the last way in.
#[utoipa::path(
    delete, path = "/auth/passkeys/{id}", tag = "auth", operation_id = "delete_passkey", security(("bearer" = [])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Gone"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such passkey", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "It is the last way into the account", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<Id<Key>>,
) -> Result<StatusCode, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    let mut tx = state.db.begin().await?;
    let user = account::lock(&mut tx, caller.user)
        .await?
        .ok_or_else(Problem::not_found)?;
    let gone = sqlx::query("DELETE FROM identity_passkeys WHERE id = $1 AND user_id = $2")
        .bind(id)
        .bind(caller.user)
        .execute(tx.conn())
        .await
        .map_err(Error::from)?;
    if gone.rows_affected() == 0 {
        return Err(Problem::not_found());
    }
    account::require_way_in(&state, &mut tx, &user).await?;
    let told = ("identity.passkey_removed", "A passkey was taken away from your account");
    post::factor_changed(&state, &mut tx, &client, caller.user, told, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
