//! GET and PUT `/users/me/preferences`: what a person wants, and who may reach them.
//!
//! The defaults are those of a person who has not looked: what leaves the server or lets strangers in is off.

use axum::extract::State as Shared;
use nova_domain::db::{Db, Error, Flag, UserId};
use nova_domain::events::ProfileUpdated;
use nova_domain::http::Json;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::profile::Privacy;
use crate::refusals::{Body, Guarded, Missing};
use crate::state::{EDIT, State};

/// Who may begin a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MessagesFrom)]
pub(crate) enum Messages {
    /// Everybody.
    Everyone,
    /// Whom the person follows.
    #[default]
    Following,
    /// Nobody.
    Nobody,
}

/// What happens with media marked as sensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SensitiveMedia)]
pub(crate) enum Sensitive {
    /// It is shown like any other.
    Show,
    /// It is blurred until it is asked for.
    #[default]
    Blur,
    /// It is left out.
    Hide,
}

/// Where a kind of notification goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = NotificationChannels)]
pub(crate) struct Channels {
    /// On the site.
    pub(crate) web: bool,
    /// By mail.
    pub(crate) mail: bool,
    /// To the person's devices.
    pub(crate) push: bool,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            web: true,
            mail: false,
            push: false,
        }
    }
}

impl Channels {
    const LOUD: Self = Self {
        web: true,
        mail: false,
        push: true,
    };
    const LETTER: Self = Self {
        web: true,
        mail: true,
        push: true,
    };
}

/// Every kind of notification, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = NotificationGrid)]
pub(crate) struct Notifications {
    /// Somebody follows.
    pub(crate) follow: Channels,
    /// Somebody asks to follow.
    pub(crate) follow_request: Channels,
    /// Somebody names the person.
    pub(crate) mention: Channels,
    /// Somebody comments on something of theirs, or answers.
    pub(crate) comment: Channels,
    /// Somebody likes something of theirs.
    pub(crate) like: Channels,
    /// Somebody shares something of theirs.
    pub(crate) share: Channels,
    /// Somebody they follow goes live.
    pub(crate) live: Channels,
    /// Somebody writes to them.
    pub(crate) message: Channels,
    /// A moderator decided something about them, or about what they reported.
    pub(crate) moderation: Channels,
}

impl Default for Notifications {
    fn default() -> Self {
        Self {
            follow: Channels::default(),
            follow_request: Channels::LOUD,
            mention: Channels::LOUD,
            comment: Channels::default(),
            like: Channels::default(),
            share: Channels::default(),
            live: Channels::LOUD,
            message: Channels::LOUD,
            moderation: Channels::LETTER,
        }
    }
}

/// Hours of a day without pushes. `from` after `to` goes over midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct QuietHours {
    /// The first minute.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "22:00")]
    pub(crate) from: String,
    /// The first minute after.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "07:00")]
    pub(crate) to: String,
    /// Whose day: a name of the IANA time zone database.
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_+/-]{0,63}$", example = "Europe/Berlin")]
    pub(crate) time_zone: String,
}

/// What a person wants. What is left out when it is written becomes the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Preferences {
    /// Who sees the profile and the lists, and who may follow.
    pub(crate) privacy_level: Privacy,
    /// They are suggested to others and found by search on this server.
    pub(crate) discoverable: bool,
    /// Search engines may list what they publish.
    pub(crate) indexable: bool,
    /// Who may begin a conversation with them.
    pub(crate) messages_from: Messages,
    /// What they see of sensitive media.
    pub(crate) sensitive_media: Sensitive,
    /// False: no notifications at all but those on the site.
    pub(crate) notification_enabled: bool,
    /// Which notification goes where.
    pub(crate) notifications: Notifications,
    /// When not to push.
    pub(crate) quiet_hours: Option<QuietHours>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            privacy_level: Privacy::Public,
            discoverable: true,
            indexable: false,
            messages_from: Messages::default(),
            sensitive_media: Sensitive::default(),
            notification_enabled: true,
            notifications: Notifications::default(),
            quiet_hours: None,
        }
    }
}

impl Preferences {
    fn check(&self) -> Result<(), Problem> {
        let mut fields = Fields::new();
        if let Some(quiet) = &self.quiet_hours {
            for (field, time) in [("quiet_hours.from", &quiet.from), ("quiet_hours.to", &quiet.to)] {
                fields.check(is_time(time), field, "must be a time of the day as 22:00");
            }
            fields.check(
                quiet.from != quiet.to,
                "quiet_hours.to",
                "must differ from the beginning",
            );
            fields.check(
                is_zone(&quiet.time_zone),
                "quiet_hours.time_zone",
                "must be the name of a time zone as Europe/Berlin",
            );
        }
        fields.done()
    }
}

fn is_time(text: &str) -> bool {
    let Some((hours, minutes)) = text.split_once(':') else {
        return false;
    };
    let number = |text: &str, below: u8| {
        text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse().is_ok_and(|n: u8| n < below)
    };
    number(hours, 24) && number(minutes, 60)
}

fn is_zone(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+/-".contains(&byte))
}

/// The preferences of `user`; `None` when they are gone.
pub(crate) async fn of(db: &Db, user: UserId) -> Result<Option<Preferences>, Error> {
    let row: Option<(Option<String>, String, Flag, Flag)> = sqlx::query_as(
        "SELECT s.settings, p.privacy, p.discoverable, p.indexable FROM users_profiles p LEFT JOIN users_preferences s ON s.user_id = p.user_id WHERE \
         p.user_id = $1",
    )
    .bind(user)
    .fetch_optional(db.read())
    .await?;
    Ok(row.map(|(settings, privacy, discoverable, indexable)| {
        let rest: Preferences = settings
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        Preferences {
            privacy_level: Privacy::parse(&privacy),
            discoverable: discoverable.0,
            indexable: indexable.0,
            ..rest
        }
    }))
}

/// My preferences
#[utoipa::path(
    get,
    path = "/users/me/preferences",
    operation_id = "get_preferences",
    tag = "users",
    responses(
        (status = 200, body = Preferences),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Missing
    )
)]
pub(crate) async fn read(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Preferences>, Problem> {
    let preferences = of(&state.db, caller.user).await?;
    Ok(Json(preferences.ok_or_else(Problem::not_found)?))
}

/// Change my preferences
///
/// All of them: what is left out becomes the default. Whoever waited to be approved goes on waiting when the account becomes public.
#[utoipa::path(
    put,
    path = "/users/me/preferences",
    operation_id = "update_preferences",
    tag = "users",
    request_body = Preferences,
    responses(
        (status = 200, body = Preferences),
        (status = 401, body = Details, content_type = "application/problem+json", description = "nobody has proved who they are"),
        Guarded,
        Body,
        Missing
    )
)]
pub(crate) async fn write(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(wanted): Json<Preferences>,
) -> Result<Json<Preferences>, Problem> {
    let (me, now) = (caller.user, state.clock.now());
    state.limits.check(&EDIT, me)?;
    wanted.check()?;
    let settings = serde_json::to_string(&wanted).map_err(|error| Problem::internal(&error))?;
    let mut tx = state.db.begin().await?;
    let known = sqlx::query(
        "UPDATE users_profiles SET privacy = $1, discoverable = $2, indexable = $3, updated_at = $4 WHERE user_id = $5",
    )
    .bind(wanted.privacy_level.as_str())
    .bind(Flag(wanted.discoverable))
    .bind(Flag(wanted.indexable))
    .bind(now.0)
    .bind(me)
    .execute(tx.conn())
    .await?
    .rows_affected();
    if known == 0 {
        return Err(Problem::not_found());
    }
    sqlx::query(
        "INSERT INTO users_preferences (user_id, settings, updated_at) VALUES ($1, $2, $3) ON CONFLICT (user_id) DO UPDATE SET settings = \
         excluded.settings, updated_at = excluded.updated_at",
    )
    .bind(me)
    .bind(settings)
    .bind(now.0)
    .execute(tx.conn())
    .await?;
    tx.emit(&ProfileUpdated { user: me }, Some(me), now).await?;
    tx.commit().await?;
    Ok(Json(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_are_two_times_of_a_day_and_a_zone() {
        for (from, to, zone, good) in [
            ("22:00", "07:00", "Europe/Berlin", true),
            ("00:00", "23:59", "UTC", true),
            ("08:00", "08:00", "UTC", false),
            ("24:00", "07:00", "UTC", false),
            ("8:00", "07:00", "UTC", false),
            ("22:60", "07:00", "UTC", false),
            ("+2:00", "07:00", "UTC", false),
            ("22:00", "07:00", "", false),
            ("22:00", "07:00", "Europe/Berlin\u{0}", false),
        ] {
            let preferences = Preferences {
                quiet_hours: Some(QuietHours {
                    from: from.into(),
                    to: to.into(),
                    time_zone: zone.into(),
                }),
                ..Preferences::default()
            };
            assert_eq!(preferences.check().is_ok(), good, "{from} {to} {zone}");
        }
    }

    #[test]
    fn settings_written_by_an_older_release_get_the_defaults_of_what_came_since() {
        let read: Preferences =
            serde_json::from_str(r#"{"notifications":{"like":{"web":false}},"gone":1}"#).expect("settings");
        assert!(!read.notifications.like.web && !read.indexable && read.notifications.mention.push);
    }
}
