use axum::extract::State as Shared;
use nova_core::publish::is_stream_name;
use nova_domain::audit::Act;
use nova_domain::db::{Error, Flag};
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::policy::Visibility;
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::shown::{self, Shown};
use crate::domain::State;
use crate::{invalidation, stream};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StreamChange)]
pub(crate) struct Change {
    #[schema(min_length = 1, max_length = 140)]
    title: Option<String>,
    #[schema(max_length = 5000)]
    description: Option<String>,
    visibility: Option<Visibility>,
    record: Option<bool>,
    /// The name in addresses: letters, digits, `-` and `_`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-]{1,64}$")]
    name: Option<String>,
}

/// Changes what is sent and leaves the rest. A change of visibility has effect on what is on air at once.
#[utoipa::path(
    patch, path = "/streams/{id}", tag = "streams", security(("bearer" = [])), params(("id" = String, Path, description = "Its id or its name")),
    request_body = Change,
    responses(
        (status = 200, description = "Changed", body = Shown),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "It belongs to somebody else", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "No such stream, or not to be known", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<Change>,
) -> Result<Json<Shown>, Problem> {
    let mut fields = Fields::new();
    if let Some(title) = &body.title {
        fields.text("title", title.trim(), 1, 140);
    }
    if let Some(description) = &body.description {
        fields.text("description", description, 0, 5000);
    }
    if let Some(name) = &body.name {
        fields.check(
            is_stream_name(name),
            "name",
            "must have 1 to 64 letters, digits, '-' or '_'",
        );
        // A name that looks like an id would be taken for one.
        fields.check(uuid::Uuid::parse_str(name).is_err(), "name", "must not be an id");
    }
    fields.done()?;
    let id = shown::mine(&state, &id, &caller).await?.id;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let row = stream::lock(&mut tx, id).await?.ok_or_else(Problem::not_found)?;
    let (was, was_called) = (row.visibility(), row.name.clone());
    let name = body.name.unwrap_or(row.name.clone());
    let visibility = body.visibility.unwrap_or(row.visibility());
    let changed = sqlx::query(
        "UPDATE media_streams SET title = $1, description = $2, visibility = $3, record = $4, name = $5, name_folded = $6 WHERE id = $7",
    )
    .bind(body.title.as_deref().map_or(row.title.as_str(), str::trim))
    .bind(body.description.unwrap_or(row.description))
    .bind(visibility.as_str())
    .bind(Flag(body.record.unwrap_or(row.record.0)))
    .bind(name.as_str())
    .bind(name.to_lowercase())
    .bind(id)
    .execute(tx.conn())
    .await
    .map_err(Error::from);
    match changed {
        Ok(_) => {}
        Err(error) if error.is_taken("media_streams", "name_folded") => {
            return Err(Problem::conflict("this name is taken").field("name", "is taken"));
        }
        Err(error) => return Err(error.into()),
    }
    let act = Act {
        actor: Some(caller.user),
        action: "media.stream_changed",
        subject: Some(id.to_string()),
        detail: visibility.as_str(),
    };
    tx.audit(act, Some(&client), now).await?;
    if visibility == Visibility::Private && was != Visibility::Private {
        let path = invalidation::of_stream(&was_called);
        invalidation::ask(&state, &mut tx, "stream_private", path, now).await?;
    }
    let gate = std::sync::Arc::clone(&state.gate);
    tx.on_commit(move || gate.change(id, &name, visibility));
    tx.commit().await?;
    let row = stream::find(state.db.read(), &id.to_string())
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok(Json(shown::owned(&state, row, Some(&caller)).await?))
}
