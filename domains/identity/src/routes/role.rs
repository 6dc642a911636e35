use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::audit::Act;
use nova_domain::db::UserId;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem, Role};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::State;
use crate::session;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleBody {
    role: Role,
}

/// Gives somebody another role. For admins, with a recent proof; the change has effect at once. Nobody changes their own.
#[utoipa::path(
    put, path = "/auth/users/{id}/role", tag = "auth", security(("bearer" = [])), params(("id" = UserId, Path, description = "The person")),
    request_body = RoleBody,
    responses(
        (status = 204, description = "Changed"),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "Not an admin, or `sudo_required`", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such account", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "Not a role", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(body): Json<RoleBody>,
) -> Result<StatusCode, Problem> {
    caller.require(Role::Admin)?;
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    if id == caller.user {
        return Err(Problem::forbidden("another admin has to change your role"));
    }
    let mut tx = state.db.begin().await?;
    let changed = sqlx::query("UPDATE identity_users SET role = $1 WHERE id = $2")
        .bind(body.role.as_str())
        .bind(id)
        .execute(tx.conn())
        .await?;
    if changed.rows_affected() == 0 {
        return Err(Problem::not_found());
    }
    session::void_access_tokens(&state, &mut tx, id, now).await?;
    let act = Act {
        actor: Some(caller.user),
        action: "identity.role",
        subject: Some(id.to_string()),
        detail: body.role.as_str(),
    };
    tx.audit(act, Some(&client), now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
