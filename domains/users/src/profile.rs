//! A person as their page shows them.

use nova_core::clock::Timestamp;
use nova_domain::db::{Db, Error, Flag, UserId};
use nova_domain::policy;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::card::Base;
use crate::link::Link;
use crate::relationship::{self, Relationship};
use crate::{bio, card, counts};

/// Who sees what a person says about themselves, and who may follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PrivacyLevel)]
pub(crate) enum Privacy {
    /// Everybody sees all of it, everybody may follow.
    #[default]
    Public,
    /// Followers see all of it, everybody may follow.
    Followers,
    /// Followers see all of it, and a follow must be approved.
    Private,
}

impl Privacy {
    /// As it stands in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Followers => "followers",
            Self::Private => "private",
        }
    }

    /// Reads [`Privacy::as_str`]; anything else is private.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "public" => Self::Public,
            "followers" => Self::Followers,
            _ => Self::Private,
        }
    }

    /// True when somebody who does not follow sees the card and nothing else.
    pub(crate) fn hides(self) -> bool {
        self != Self::Public
    }
}

/// A profile. Whoever may not see all of it gets the card: `bio`, `location` and `pronouns` are `null` then, and `links` is empty.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Profile {
    /// Who.
    pub(crate) id: UserId,
    /// The name in URLs and mentions.
    #[schema(max_length = 30)]
    pub(crate) username: String,
    /// The name they show; the username when they chose none.
    pub(crate) display_name: String,
    /// Their picture.
    pub(crate) avatar_url: Option<String>,
    /// What stands above their page.
    pub(crate) banner_url: Option<String>,
    /// What they say about themselves, as they wrote it: a small part of Markdown.
    pub(crate) bio: Option<String>,
    /// The same as HTML that may be put into a page as it is.
    pub(crate) bio_html: Option<String>,
    /// Where they are.
    pub(crate) location: Option<String>,
    /// How to speak of them.
    pub(crate) pronouns: Option<String>,
    /// Their pages elsewhere.
    pub(crate) links: Vec<Link>,
    /// Who sees what.
    pub(crate) privacy_level: Privacy,
    /// False: search engines are asked to leave the page out.
    pub(crate) indexable: bool,
    /// How many follow them.
    #[schema(minimum = 0)]
    pub(crate) followers_count: i64,
    /// How many they follow.
    #[schema(minimum = 0)]
    pub(crate) following_count: i64,
    /// When they came.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// What is between the caller and them; `null` for guests and for oneself.
    pub(crate) relationship: Option<Relationship>,
}

#[derive(FromRow)]
struct Row {
    user_id: UserId,
    username: String,
    display_name: String,
    avatar_url: Option<String>,
    banner_url: Option<String>,
    bio: String,
    location: String,
    pronouns: String,
    links: String,
    privacy: String,
    indexable: Flag,
    created_at: i64,
    followers_count: i64,
    following_count: i64,
    #[sqlx(flatten)]
    relationship: Relationship,
}

impl Row {
    fn seen_by(self, base: &Base, viewer: Option<UserId>) -> Profile {
        let myself = viewer == Some(self.user_id);
        let privacy = Privacy::parse(&self.privacy);
        let all = myself || !privacy.hides() || self.relationship.following.0;
        Profile {
            id: self.user_id,
            display_name: card::shown(&self.username, self.display_name),
            username: self.username,
            avatar_url: base.url(self.avatar_url),
            banner_url: base.url(self.banner_url),
            bio_html: all.then(|| bio::to_html(&self.bio)),
            bio: all.then_some(self.bio),
            location: all.then_some(self.location),
            pronouns: all.then_some(self.pronouns),
            links: if all {
                serde_json::from_str(&self.links).unwrap_or_default()
            } else {
                Vec::new()
            },
            privacy_level: privacy,
            indexable: self.indexable.0,
            followers_count: self.followers_count.max(0),
            following_count: self.following_count.max(0),
            created_at: Timestamp(self.created_at),
            relationship: viewer.filter(|_| !myself).map(|_| self.relationship),
        }
    }
}

/// The viewer as a statement is given it: an id, or an empty text for a guest.
pub(crate) fn viewer(user: Option<UserId>) -> String {
    user.map(|user| user.to_string()).unwrap_or_default()
}

/// The profiles of `users` as `viewer` sees them. Who is gone, or does not want to meet the viewer, is left out.
pub(crate) async fn load(
    db: &Db,
    base: &Base,
    viewer_id: Option<UserId>,
    users: &[UserId],
) -> Result<Vec<Profile>, Error> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (0..users.len()).map(|n| format!("${}", n + 2)).collect();
    let sql = format!(
        "SELECT {}, p.banner_url, p.bio, p.location, p.pronouns, p.links, p.privacy, p.indexable, p.created_at, {}, {} FROM users_profiles p WHERE p.user_id IN \
         ({}) AND {}",
        card::COLUMNS,
        counts::columns(),
        relationship::columns("p.user_id"),
        places.join(", "),
        policy::not_hidden("p.user_id", "$1"),
    );
    let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(viewer(viewer_id));
    for user in users {
        query = query.bind(*user);
    }
    let rows: Vec<Row> = query.fetch_all(db.read()).await?;
    Ok(rows.into_iter().map(|row| row.seen_by(base, viewer_id)).collect())
}

/// The profile of `user` as `viewer` sees it.
pub(crate) async fn one(db: &Db, base: &Base, viewer: Option<UserId>, user: UserId) -> Result<Option<Profile>, Error> {
    Ok(load(db, base, viewer, &[user]).await?.pop())
}
