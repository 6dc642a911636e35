//! A decision about a person, as they are told and as moderators see it.

use nova_core::clock::Timestamp;
use nova_domain::db::{Id, UserId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::report::ReportId;

/// A decision: the marker of [`StrikeId`].
pub(crate) enum Struck {}

/// Which decision.
pub(crate) type StrikeId = Id<Struck>;

/// An appeal: the marker of [`AppealId`].
pub(crate) enum Appealed {}

/// Which appeal.
pub(crate) type AppealId = Id<Appealed>;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StrikeAction)]
pub(crate) enum Action {
    /// A warning.
    Warn,
    /// A suspension.
    Suspend,
}

impl Action {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Suspend => "suspend",
        }
    }

    fn parse(text: &str) -> Self {
        if text == "warn" { Self::Warn } else { Self::Suspend }
    }
}

/// Where an appeal stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AppealStatus {
    /// Not decided yet.
    #[default]
    Open,
    /// The decision was taken back.
    Granted,
    /// The decision stays.
    Refused,
}

impl AppealStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Granted => "granted",
            Self::Refused => "refused",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        match text {
            "granted" => Self::Granted,
            "refused" => Self::Refused,
            _ => Self::Open,
        }
    }
}

/// What somebody answered to a decision about them, and what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Appeal {
    /// Which.
    #[schema(value_type = String, format = Uuid)]
    pub(super) id: AppealId,
    /// About which decision.
    #[schema(value_type = String, format = Uuid)]
    pub(super) strike_id: StrikeId,
    /// What they say.
    pub(super) text: String,
    /// Where it stands.
    pub(super) status: AppealStatus,
    /// What they were answered; empty while it is open.
    pub(super) answer: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
    /// When it was decided.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) decided_at: Option<Timestamp>,
}

/// A decision as the person it is about is told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Strike {
    /// Which.
    #[schema(value_type = String, format = Uuid)]
    id: StrikeId,
    /// What was done.
    action: Action,
    /// Why.
    statement: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when; `null` for a warning, and for a suspension without end.
    #[schema(value_type = Option<String>, format = DateTime)]
    suspended_until: Option<Timestamp>,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    lifted_at: Option<Timestamp>,
    /// What the person answered.
    appeal: Option<Appeal>,
}

/// A decision as moderators see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StrikeRecord)]
pub(crate) struct Decided {
    /// What the person is told.
    strike: Strike,
    /// About whom.
    user_id: UserId,
    /// Who decided; `null` when they are gone.
    moderator_id: Option<UserId>,
    /// What it goes back to.
    #[schema(value_type = Option<String>, format = Uuid)]
    report_id: Option<ReportId>,
    /// What moderators tell each other about it.
    note: String,
}

/// The columns and the tables of a [`Row`].
pub(super) const SELECT: &str = "SELECT s.id, s.user_id, s.action, s.statement, s.note, s.report_id, s.moderator_id, s.created_at, s.suspended_until, s.lifted_at, a.id AS \
                                 appeal_id, a.text AS appeal_text, a.status AS appeal_status, a.answer AS appeal_answer, a.created_at AS appealed_at, \
                                 a.decided_at AS appeal_decided_at FROM users_strikes s LEFT JOIN users_appeals a ON a.strike_id = s.id";

#[derive(FromRow)]
pub(super) struct Row {
    pub(super) id: StrikeId,
    user_id: UserId,
    action: String,
    statement: String,
    note: String,
    report_id: Option<ReportId>,
    moderator_id: Option<UserId>,
    pub(super) created_at: i64,
    suspended_until: Option<i64>,
    lifted_at: Option<i64>,
    appeal_id: Option<AppealId>,
    appeal_text: Option<String>,
    appeal_status: Option<String>,
    appeal_answer: Option<String>,
    appealed_at: Option<i64>,
    appeal_decided_at: Option<i64>,
}

impl From<Row> for Strike {
    fn from(row: Row) -> Self {
        let strike_id = row.id;
        Self {
            id: strike_id,
            action: Action::parse(&row.action),
            statement: row.statement,
            created_at: Timestamp(row.created_at),
            suspended_until: row.suspended_until.filter(|until| *until < i64::MAX).map(Timestamp),
            lifted_at: row.lifted_at.map(Timestamp),
            appeal: row.appeal_id.map(|id| Appeal {
                id,
                strike_id,
                text: row.appeal_text.unwrap_or_default(),
                status: AppealStatus::parse(row.appeal_status.as_deref().unwrap_or_default()),
                answer: row.appeal_answer.unwrap_or_default(),
                created_at: Timestamp(row.appealed_at.unwrap_or_default()),
                decided_at: row.appeal_decided_at.map(Timestamp),
            }),
        }
    }
}

impl From<Row> for Decided {
    fn from(row: Row) -> Self {
        Self {
            user_id: row.user_id,
            moderator_id: row.moderator_id,
            report_id: row.report_id,
            note: row.note.clone(),
            strike: row.into(),
        }
    }
}
