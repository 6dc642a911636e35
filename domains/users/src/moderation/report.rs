//! A report as moderators see it.

use nova_core::clock::Timestamp;
use nova_domain::accounts::Card;
use nova_domain::db::{Error, Executor, Id, UserId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::card;

/// A report: the marker of [`ReportId`].
pub(crate) enum Reported {}

/// Which report.
pub(crate) type ReportId = Id<Reported>;

/// What kind of thing is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReportTarget)]
pub(crate) enum TargetType {
    /// A person.
    User,
    /// A broadcast.
    Stream,
    /// A recording or an upload.
    Video,
    /// A piece of one.
    Clip,
    /// A picture.
    Image,
    /// A post.
    Post,
    /// A story.
    Story,
    /// A comment.
    Comment,
    /// A line of a chat, or of a conversation.
    Message,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReportReason)]
pub(crate) enum Reason {
    /// Advertising nobody asked for, fraud.
    Spam,
    /// Somebody is harassed.
    Harassment,
    /// Hatred of a group.
    Hate,
    /// Violence, or the threat of it.
    Violence,
    /// Sexual content where it must not be.
    Sexual,
    /// Self-harm.
    SelfHarm,
    /// Harm to children.
    ChildSafety,
    /// Against the law in another way.
    Illegal,
    /// Somebody else's work.
    Copyright,
    /// Somebody pretends to be somebody else.
    Impersonation,
    /// Dangerous falsehood.
    Misinformation,
    /// Something else, as `detail` says.
    Other,
}

/// Where a report stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReportStatus {
    /// Not decided yet.
    #[default]
    Open,
    /// Decided.
    Resolved,
}

/// What a moderator decided about a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReportOutcome)]
pub(crate) enum Outcome {
    /// Nothing is done to anybody.
    None,
    /// The person is warned.
    Warn,
    /// The person is suspended.
    Suspend,
}

/// Reads and writes the word by which serde knows a value of a plain enum.
pub(crate) fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn of_word<T: for<'de> Deserialize<'de>>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}

/// A report.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Report {
    /// Which.
    #[schema(value_type = String, format = Uuid)]
    id: ReportId,
    /// What kind of thing is reported.
    target_type: TargetType,
    /// Which one.
    target_id: String,
    /// Whose it is, when it is known.
    subject: Option<Card>,
    /// Who reported it; `null` when they are gone.
    reporter: Option<Card>,
    /// What is wrong with it.
    reason: Reason,
    /// In the reporter's words.
    detail: String,
    /// How it looked when it was reported; empty when nobody could say.
    evidence: String,
    /// How often the same person reported it.
    #[schema(minimum = 1)]
    times: i64,
    /// Where it stands.
    status: ReportStatus,
    /// When it was reported first.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// The moderator at work on it.
    claimed_by: Option<UserId>,
    /// Until when it is theirs.
    #[schema(value_type = Option<String>, format = DateTime)]
    claimed_until: Option<Timestamp>,
    /// Who decided.
    resolved_by: Option<UserId>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
    /// What was decided.
    action: Option<Outcome>,
    /// What moderators tell each other about it.
    note: String,
}

/// The columns of a [`Row`], of a report called `r`.
pub(super) const COLUMNS: &str = "r.id, r.target_type, r.target_id, r.subject_id, r.reporter_id, r.reason, r.detail, r.evidence, r.times, r.status, r.created_at, \
                                  r.updated_at, r.claimed_by, r.claimed_until, r.resolved_by, r.resolved_at, r.action, r.note";

#[derive(FromRow)]
pub(super) struct Row {
    pub(super) id: ReportId,
    target_type: String,
    target_id: String,
    pub(super) subject_id: Option<UserId>,
    reporter_id: Option<UserId>,
    reason: String,
    detail: String,
    evidence: String,
    times: i64,
    pub(super) status: String,
    pub(super) created_at: i64,
    updated_at: i64,
    claimed_by: Option<UserId>,
    claimed_until: i64,
    resolved_by: Option<UserId>,
    resolved_at: Option<i64>,
    action: Option<String>,
    note: String,
}

impl Row {
    /// Who has it at `now`.
    pub(super) fn held_by(&self, now: Timestamp) -> Option<UserId> {
        self.claimed_by.filter(|_| self.claimed_until > now.0)
    }
}

/// Rows as reports, with the people in them.
pub(super) async fn told(
    on: impl Executor<'_>,
    base: &card::Base,
    rows: Vec<Row>,
    now: Timestamp,
) -> Result<Vec<Report>, Error> {
    let people: Vec<UserId> = rows
        .iter()
        .flat_map(|row| [row.subject_id, row.reporter_id])
        .flatten()
        .collect();
    let cards = card::many(on, base, people).await?;
    let card = |user: Option<UserId>| user.and_then(|user| cards.get(&user).cloned());
    Ok(rows
        .into_iter()
        .map(|row| Report {
            id: row.id,
            target_type: of_word(&row.target_type).unwrap_or(TargetType::User),
            subject: card(row.subject_id),
            reporter: card(row.reporter_id),
            reason: of_word(&row.reason).unwrap_or(Reason::Other),
            times: row.times,
            status: of_word(&row.status).unwrap_or_default(),
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
            claimed_by: row.held_by(now),
            claimed_until: row.held_by(now).map(|_| Timestamp(row.claimed_until)),
            resolved_by: row.resolved_by,
            resolved_at: row.resolved_at.map(Timestamp),
            action: row.action.as_deref().and_then(of_word),
            target_id: row.target_id,
            detail: row.detail,
            evidence: row.evidence,
            note: row.note,
        })
        .collect())
}

/// The report called `id`.
pub(super) async fn one(on: impl Executor<'_>, id: ReportId) -> Result<Option<Row>, Error> {
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM users_reports r WHERE r.id = $1"
    )))
    .bind(id)
    .fetch_optional(on)
    .await?)
}
