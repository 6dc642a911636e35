//! What a moderator does to an account: the decision, the account, the log and the event in one transaction.

use nova_core::clock::Timestamp;
use nova_domain::accounts::Standing;
use nova_domain::audit::Act;
use nova_domain::db::{Tx, UserId};
use nova_domain::events::ModerationAction;
use nova_domain::http::Client;
use nova_domain::http::problem::Fields;
use nova_domain::{Caller, Problem, Role};

use super::report::ReportId;
use super::strike::{self, Action, Decided, StrikeId};
use crate::config::days;
use crate::state::State;

/// Longest suspension with an end, in days: ten years.
const MOST_DAYS: u32 = 3650;

/// What to do to whom, and why.
pub(super) struct Decision<'a> {
    pub(super) user: UserId,
    pub(super) action: Action,
    /// `None`: a suspension without end.
    pub(super) days: Option<u32>,
    pub(super) statement: &'a str,
    pub(super) note: &'a str,
    pub(super) report: Option<ReportId>,
}

/// Notes what is wrong with the words of a decision. Whoever is warned or suspended is told why.
pub(super) fn check(fields: &mut Fields, days: Option<u32>, statement: &str, note: &str, told: bool) {
    fields.check(
        days.is_none_or(|days| (1..=MOST_DAYS).contains(&days)),
        "days",
        format!("must be 1 to {MOST_DAYS}"),
    );
    fields.text("statement", statement.trim(), usize::from(told), 2000);
    fields.text("note", note, 0, 2000);
}

/// 403 unless the caller is a moderator, and not suspended: reading reports is an act as well.
pub(super) fn moderator(caller: &Caller) -> Result<(), Problem> {
    if caller.suspended {
        return Err(Problem::forbidden("this account is suspended").code("suspended"));
    }
    caller.require(Role::Moderator)
}

/// 403 unless the caller may decide about `user`: a moderator about everybody but admins and themselves. 404 when there is no such account.
pub(super) async fn allow(state: &State, caller: &Caller, user: UserId) -> Result<Standing, Problem> {
    moderator(caller)?;
    let standing = state.accounts.standing(user).await?.ok_or_else(Problem::not_found)?;
    if user == caller.user {
        return Err(Problem::forbidden("nobody decides about themselves"));
    }
    if standing.role == Role::Admin && caller.role != Role::Admin {
        return Err(Problem::forbidden("only an admin decides about an admin"));
    }
    Ok(standing)
}

/// Does it, and says so.
pub(super) async fn strike(
    state: &State,
    tx: &mut Tx,
    (caller, client): (&Caller, &Client),
    decision: Decision<'_>,
    now: Timestamp,
) -> Result<StrikeId, Problem> {
    let id = StrikeId::new(now);
    let until = (decision.action == Action::Suspend).then(|| {
        decision
            .days
            .map_or(Timestamp(i64::MAX), |count| now.plus_micros(days(count)))
    });
    sqlx::query(
        "INSERT INTO users_strikes (id, user_id, action, statement, note, report_id, moderator_id, created_at, suspended_until) VALUES ($1, $2, $3, $4, \
         $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(decision.user)
    .bind(decision.action.as_str())
    .bind(decision.statement.trim())
    .bind(decision.note)
    .bind(decision.report)
    .bind(caller.user)
    .bind(now.0)
    .bind(until.map(|until| until.0))
    .execute(tx.conn())
    .await?;
    if until.is_some() {
        state.accounts.suspend(tx, decision.user, until, now).await?;
    }
    say(tx, (caller, client), decision.user, decision.action.as_str(), now).await?;
    Ok(id)
}

/// Writes an act into the log and tells others of it.
pub(super) async fn say(
    tx: &mut Tx,
    (caller, client): (&Caller, &Client),
    user: UserId,
    action: &str,
    now: Timestamp,
) -> Result<(), Problem> {
    let name = format!("users.{action}");
    let act = Act {
        actor: Some(caller.user),
        action: &name,
        subject: Some(user.to_string()),
        detail: "",
    };
    tx.audit(act, Some(client), now).await?;
    let event = ModerationAction {
        user,
        action: action.to_owned(),
    };
    tx.emit(&event, Some(caller.user), now).await?;
    Ok(())
}

/// The decision called `id`.
pub(super) async fn decided(tx: &mut Tx, id: StrikeId) -> Result<Decided, Problem> {
    let row: Option<strike::Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("{} WHERE s.id = $1", strike::SELECT)))
        .bind(id)
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.ok_or_else(Problem::not_found)?.into())
}
