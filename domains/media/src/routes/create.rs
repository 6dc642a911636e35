use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use http::header::LOCATION;
use nova_domain::audit::Act;
use nova_domain::db::{Error, Flag};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use nova_domain::policy::Visibility;
use nova_domain::secret::random;
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::shown::{self, Shown};
use crate::domain::State;
use crate::key;
use crate::stream::{self, StreamId};

const PER_ACCOUNT: Rule = Rule::new("streams.account", 10, 30, Duration::from_secs(3600));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StreamCreation)]
pub(crate) struct Create {
    #[schema(min_length = 1, max_length = 140)]
    title: String,
    #[serde(default)]
    #[schema(max_length = 5000)]
    description: String,
    /// `public` when left out.
    #[serde(default)]
    visibility: Visibility,
    /// Keeps what is broadcast.
    #[serde(default)]
    record: bool,
}

/// Makes a stream. Its key is in this answer and in no other.
#[utoipa::path(
    post, path = "/streams", tag = "streams", security(("bearer" = [])), request_body = Create,
    responses(
        (status = 201, description = "Made", body = Shown),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The account is suspended, or the token has no scope for it", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "There are too many", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Json(body): Json<Create>,
) -> Result<Response, Problem> {
    let mut fields = Fields::new();
    fields.text("title", body.title.trim(), 1, 140);
    fields.text("description", &body.description, 0, 5000);
    fields.done()?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let now = state.clock.now();
    let (id, key) = (StreamId::new(now), key::generate());
    // Before the transaction: whoever holds a connection waits for no other.
    let owner = state.directory.card(caller.user).await?;
    let mut tx = state.db.begin().await?;
    let have: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM media_streams WHERE owner_user_id = $1")
        .bind(caller.user)
        .fetch_one(tx.conn())
        .await?;
    if have >= i64::from(state.config.most_streams) {
        return Err(Problem::conflict(format!(
            "a person has at most {} streams: delete one first",
            state.config.most_streams
        )));
    }
    let name = name_for(&body.title);
    sqlx::query(
        "INSERT INTO media_streams (id, owner_user_id, name, name_folded, title, description, visibility, record, key_hash, cut_at, cut_reason, \
         refused_until, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '', 0, $10)",
    )
    .bind(id)
    .bind(caller.user)
    .bind(name.as_str())
    .bind(name.to_lowercase())
    .bind(body.title.trim())
    .bind(body.description)
    .bind(body.visibility.as_str())
    .bind(Flag(body.record))
    .bind(key::hash(&key))
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(Error::from)?;
    let act = Act {
        actor: Some(caller.user),
        action: "media.stream_created",
        subject: Some(id.to_string()),
        detail: body.visibility.as_str(),
    };
    tx.audit(act, Some(&client), now).await?;
    let row = stream::find(tx.conn(), &id.to_string())
        .await?
        .ok_or_else(Problem::not_found)?;
    let mut shown = shown::owned_by(&state, row, owner, Some(&caller));
    shown.stream_key = Some(key);
    let place = [(LOCATION, format!("/api/v1/streams/{id}"))];
    Ok(tx.commit_as((StatusCode::CREATED, place, Json(shown))).await?)
}

/// A name for addresses: what of the title can stand in one, and a tail that makes it unlike any other.
fn name_for(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if slug.len() >= 40 {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "stream" } else { slug };
    let tail: String = random::<8>()
        .iter()
        .map(|byte| char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[usize::from(byte % 32)]))
        .collect();
    format!("{slug}-{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_stand_in_addresses_whatever_the_title() {
        for title in ["My first show!", "日本語", "--", "a", &"very long ".repeat(30)] {
            let name = name_for(title);
            assert!(nova_core::publish::is_stream_name(&name), "{name}");
            assert_ne!(name, name_for(title));
        }
        assert!(name_for("My first show!").starts_with("my-first-show-"));
    }
}
