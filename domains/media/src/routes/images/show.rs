use axum::extract::State as Shared;
use nova_domain::http::problem::Details;
use nova_domain::http::{Json, Path};
use nova_domain::policy::not_hidden;
use nova_domain::{Caller, Problem};

use super::shown::{self, Shown};
use crate::domain::State;
use crate::image::{self, Row};

/// One picture, for whoever knows its id.
#[utoipa::path(
    get, path = "/images/{id}", tag = "images", operation_id = "show_image", params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The picture", body = Shown),
        (status = 401, description = "The token is not good", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such picture, or not to be known", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    Shared(state): Shared<State>,
    caller: Option<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let row = visible(&state, &id, caller.as_ref()).await?;
    Ok(Json(shown::shown(&state, &row, caller.as_ref())))
}

/// The picture, unless its owner and the caller do not want to meet.
pub(super) async fn visible(state: &State, id: &str, caller: Option<&Caller>) -> Result<Row, Problem> {
    let row = image::find(state.db.read(), id).await?.ok_or_else(Problem::not_found)?;
    if caller.is_some_and(|caller| caller.may_moderate(row.owner_user_id)) {
        return Ok(row);
    }
    let sql = format!(
        "SELECT CAST(1 AS BIGINT) FROM media_images i WHERE i.id = $1 AND {}",
        not_hidden("i.owner_user_id", "$2")
    );
    let met: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(row.id)
        .bind(caller.map(|caller| caller.user.to_string()).unwrap_or_default())
        .fetch_optional(state.db.read())
        .await?;
    met.map(|_| row).ok_or_else(Problem::not_found)
}
