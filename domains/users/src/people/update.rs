//! PATCH `/users/me`: what others see of the caller.

use std::time::Duration;

use axum::extract::State as Shared;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::accounts::ClaimError;
use nova_domain::audit::Act;
use nova_domain::db::{Tx, UserId};
use nova_domain::events::{ImageDeleted, ProfileUpdated};
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use nova_domain::outbox::Envelope;
use nova_domain::{Caller, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::days;
use crate::link::{self, Link};
use crate::profile::{self, Profile};
use crate::refusals::{Body, Conflict, Guarded, Missing};
use crate::state::{EDIT, State};
use crate::{bio, directory, name};

/// What to change; what is left out, or `null`, stays as it is. An empty text takes it away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = ProfileChange)]
pub(crate) struct Change {
    /// 3 to 30 letters, digits and `_`, a letter first. It can be changed every two weeks; the old one leads here for a while.
    #[schema(min_length = 3, max_length = 30, pattern = "^[A-Za-z][A-Za-z0-9_]{2,29}$")]
    username: Option<String>,
    /// The name to show.
    #[schema(max_length = 50)]
    display_name: Option<String>,
    /// A small part of Markdown: emphasis, code, lists, quotes, links.
    #[schema(max_length = 1000)]
    bio: Option<String>,
    /// Where they are, in words.
    #[schema(max_length = 60)]
    location: Option<String>,
    /// How to speak of them.
    #[schema(max_length = 40)]
    pronouns: Option<String>,
    /// A picture of theirs, of the kind `avatar`, by its id.
    #[schema(max_length = 36)]
    avatar_image_id: Option<String>,
    /// A picture of theirs, of the kind `banner`, by its id.
    #[schema(max_length = 36)]
    banner_image_id: Option<String>,
    /// All of them anew, up to 5.
    #[schema(max_items = 5)]
    links: Option<Vec<Link>>,
}

impl Change {
    fn check(&self) -> Result<(), Problem> {
        let mut fields = Fields::new();
        for (field, text, most) in [
            ("display_name", &self.display_name, 50),
            ("bio", &self.bio, bio::LONGEST),
            ("location", &self.location, 60),
            ("pronouns", &self.pronouns, 40),
        ] {
            if let Some(text) = text {
                fields.text(field, text, 0, most);
                // A name in another direction of writing could run over what stands beside it.
                fields.check(
                    field == "bio" || !text.chars().any(turns),
                    field,
                    "must not have line breaks or characters that turn the direction of writing",
                );
            }
        }
        if let Some(links) = &self.links {
            link::check(&mut fields, links);
        }
        if let Some(Err(refused)) = self.username.as_deref().map(name::check) {
            fields.check(false, "username", refused.to_string());
        }
        fields.done()
    }
}

/// Line breaks, and the marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX 9).
fn turns(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Change my profile
#[utoipa::path(
    patch,
    path = "/users/me",
    operation_id = "update_profile",
    tag = "users",
    request_body = Change,
    responses(
        (status = 200, body = Profile),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Body,
        Conflict,
        Missing
    )
)]
pub(crate) async fn update(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    Json(change): Json<Change>,
) -> Result<Json<Profile>, Problem> {
    state.limits.check(&EDIT, caller.user)?;
    change.check()?;
    let (me, now) = (caller.user, state.clock.now());
    let mut tx = state.db.begin().await?;
    // The change comes first, so that the row is this transaction's until it ends: two changes at once come one after the other.
    let before: Option<(String, i64)> =
        sqlx::query_as("UPDATE users_profiles SET updated_at = $1 WHERE user_id = $2 RETURNING username, renamed_at")
            .bind(now.0)
            .bind(me)
            .fetch_optional(tx.conn())
            .await?;
    let (username, renamed_at) = before.ok_or_else(Problem::not_found)?;
    if let Some(wanted) = change.username.as_deref().filter(|wanted| *wanted != username) {
        rename(&state, &mut tx, me, (&username, renamed_at), wanted, now).await?;
        let act = Act {
            actor: Some(me),
            action: "users.rename",
            subject: Some(me.to_string()),
            detail: "",
        };
        tx.audit(act, Some(&client), now).await?;
    }
    let links = change.links.as_ref().map(serde_json::to_string).transpose();
    sqlx::query(
        "UPDATE users_profiles SET display_name = COALESCE($1, display_name), bio = COALESCE($2, bio), location = COALESCE($3, location), pronouns = \
         COALESCE($4, pronouns), links = COALESCE($5, links) WHERE user_id = $6",
    )
    .bind(change.display_name.as_deref().map(str::trim))
    .bind(change.bio.as_deref().map(str::trim))
    .bind(change.location.as_deref().map(str::trim))
    .bind(change.pronouns.as_deref().map(str::trim))
    .bind(links.map_err(|error| Problem::internal(&error))?)
    .bind(me)
    .execute(tx.conn())
    .await?;
    for (field, kind, statement, id) in [
        ("avatar_image_id", "avatar", AVATAR, &change.avatar_image_id),
        ("banner_image_id", "banner", BANNER, &change.banner_image_id),
    ] {
        let Some(id) = id else { continue };
        let path = if id.is_empty() {
            None
        } else {
            let path = state.images.path(&mut tx, me, kind, id).await?;
            let none = || {
                Problem::invalid("some fields are not as they must be")
                    .field(field, format!("you have no picture of the kind {kind} with this id"))
            };
            Some(path.ok_or_else(none)?)
        };
        sqlx::query(statement)
            .bind(id.to_lowercase())
            .bind(path)
            .bind(me)
            .execute(tx.conn())
            .await?;
    }
    tx.emit(&ProfileUpdated { user: me }, Some(me), now).await?;
    tx.commit().await?;
    let profile = profile::one(&state.db, &state.base, Some(me), me).await?;
    Ok(Json(profile.ok_or_else(Problem::not_found)?))
}

const AVATAR: &str = "UPDATE users_profiles SET avatar_image = $1, avatar_url = $2 WHERE user_id = $3";
const BANNER: &str = "UPDATE users_profiles SET banner_image = $1, banner_url = $2 WHERE user_id = $3";

/// A picture is gone: whoever showed themselves by it does so no more.
pub(crate) async fn image_gone(tx: &mut Tx, envelope: Envelope<ImageDeleted>) -> anyhow::Result<()> {
    let ImageDeleted { image, owner } = envelope.event;
    let avatar =
        "UPDATE users_profiles SET avatar_image = '', avatar_url = NULL WHERE user_id = $1 AND avatar_image = $2";
    let banner =
        "UPDATE users_profiles SET banner_image = '', banner_url = NULL WHERE user_id = $1 AND banner_image = $2";
    let mut changed = 0;
    for statement in [avatar, banner] {
        let done = sqlx::query(statement)
            .bind(owner)
            .bind(image.as_str())
            .execute(tx.conn())
            .await?;
        changed += done.rows_affected();
    }
    if changed > 0 {
        tx.emit(&ProfileUpdated { user: owner }, None, envelope.at).await?;
    }
    Ok(())
}

/// Gives the person another name. The one they had stays theirs for a while, so that nobody steps into their shoes the moment they leave them.
async fn rename(
    state: &State,
    tx: &mut Tx,
    me: UserId,
    (username, renamed_at): (&str, i64),
    wanted: &str,
    now: Timestamp,
) -> Result<(), Problem> {
    let (old, new) = (name::fold(username), name::fold(wanted));
    let mut since = renamed_at;
    if old != new {
        let wait = renamed_at + days(state.config.rename_days) - now.0;
        if renamed_at > 0 && wait > 0 {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("a name can be changed every {} days", state.config.rename_days),
            )
            .code("rename_cooldown")
            .retry_after(Duration::from_micros(wait.unsigned_abs())));
        }
        directory::take(tx, me, wanted, now).await.map_err(refused)?;
        sqlx::query("UPDATE users_names SET kept_until = $1 WHERE name = $2 AND user_id = $3")
            .bind(now.0 + days(state.config.name_kept_days))
            .bind(old)
            .bind(me)
            .execute(tx.conn())
            .await?;
        since = now.0;
    }
    sqlx::query("UPDATE users_profiles SET username = $1, renamed_at = $2 WHERE user_id = $3")
        .bind(wanted)
        .bind(since)
        .bind(me)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn refused(error: ClaimError) -> Problem {
    match error {
        ClaimError::Taken => Problem::conflict("this name is taken").code("username_taken"),
        ClaimError::Database(error) => error.into(),
        other => Problem::invalid("some fields are not as they must be").field("username", other.to_string()),
    }
}
