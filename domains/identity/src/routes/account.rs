use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use nova_core::clock::Timestamp;
use nova_domain::audit::Act;
use nova_domain::db::{Cursor, Flag, Id, List, PageQuery};
use nova_domain::http::caller::EvenSuspended;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{self, Me};
use super::register::{MessageSent, SENT};
use crate::code::Flow;
use crate::domain::State;
use crate::mail::Message;
use crate::{erase, flow, post, session};

const EMAIL_PER_ACCOUNT: Rule = Rule::new("email.account", 3, 3, Duration::from_secs(3600));
const EXPORT_PER_ACCOUNT: Rule = Rule::new("export.account", 2, 2, Duration::from_secs(86_400));

/// The caller's account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    #[serde(flatten)]
    me: Me,
    /// True when an authenticator app is asked for.
    second_factor: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// The caller's account.
#[utoipa::path(
    get, path = "/auth/account", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 200, description = "The account", body = Account),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Account>, Problem> {
    let user = known(&state, &caller).await?;
    Ok(Json(Account {
        me: answer::me(&state, &user, state.clock.now()).await?,
        second_factor: user.totp_secret.is_some(),
        created_at: Timestamp(user.created_at),
    }))
}

async fn known(state: &State, caller: &Caller) -> Result<crate::account::User, Problem> {
    crate::account::by_id(&state.db, caller.user)
        .await?
        .ok_or_else(|| Problem::unauthenticated("the account is gone"))
}

/// When the account will be gone.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountDeletion {
    #[schema(value_type = String, format = DateTime)]
    delete_at: Timestamp,
}

/// Asks for the account's deletion, with everything of it. Until the day it can be taken back. Asks for a recent proof.
#[utoipa::path(
    delete, path = "/auth/account", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 202, description = "The day is set", body = AccountDeletion),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    Shared(state): Shared<State>,
    client: Client,
    EvenSuspended(caller): EvenSuspended,
) -> Result<(StatusCode, Json<AccountDeletion>), Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    let at = now.plus_micros(i64::from(state.config.deletion_days) * 86_400_000_000);
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE identity_users SET delete_at = $1 WHERE id = $2")
        .bind(at.0)
        .bind(caller.user)
        .execute(tx.conn())
        .await?;
    tx.enqueue(&erase::Erase { user: caller.user }, at, now).await?;
    let act = Act {
        actor: Some(caller.user),
        action: "identity.deletion_requested",
        subject: Some(caller.user.to_string()),
        detail: "",
    };
    tx.audit(act, Some(&client), now).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(AccountDeletion { delete_at: at })))
}

/// Takes the request for deletion back.
#[utoipa::path(
    post, path = "/auth/account/restore", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 204, description = "The account stays"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn restore(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
) -> Result<Response, Problem> {
    caller.require_session()?;
    let mut tx = state.db.begin().await?;
    sqlx::query("UPDATE identity_users SET delete_at = NULL WHERE id = $1")
        .bind(caller.user)
        .execute(tx.conn())
        .await?;
    Ok(tx.commit_as(StatusCode::NO_CONTENT).await?)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeEmailBody {
    /// The new address.
    #[schema(max_length = 254)]
    email: String,
}

/// Asks to change the address: a code goes to the new one, and `POST /auth/verify-email` completes it. Asks for a recent proof.
#[utoipa::path(
    post, path = "/auth/email", tag = "auth", security(("bearer" = [])), request_body = ChangeEmailBody,
    responses(
        (status = 202, description = "A message is on its way to the new address", body = MessageSent),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "Not an address", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change_email(
    Shared(state): Shared<State>,
    caller: Caller,
    Json(body): Json<ChangeEmailBody>,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    let mut fields = Fields::new();
    fields.check(
        crate::account::is_address(body.email.trim()),
        "email",
        "is not an e-mail address",
    );
    fields.done()?;
    state.limits.check(&EMAIL_PER_ACCOUNT, caller.user)?;
    let (row, sent) = Flow::begin(flow::new_id(now), &state.code_key, now, &state.random);
    let mut tx = state.db.begin().await?;
    let new = flow::New {
        flow: &row,
        kind: flow::Kind::Email,
        user: Some(caller.user),
        email: &body.email,
        username: None,
        password: None,
    };
    flow::insert(tx.conn(), &new, now).await?;
    let message = Message::VerifyAddress {
        code: sent.code,
        link: state.page("/verify-email", sent.link.expose()),
    };
    post::enqueue(&state, &mut tx, body.email.trim(), &message, now).await?;
    Ok(tx.commit_as((StatusCode::ACCEPTED, Json(SENT))).await?)
}

/// One attempt to log in.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoginAttempt {
    success: bool,
    /// How it was proved, or what was wrong: `pwd`, `pwd otp mfa`, `password`, `otp`, `sudo`.
    how: String,
    /// Forgotten after 90 days.
    ip: Option<String>,
    user_agent: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// Attempts to log in to the caller's account, newest first.
#[utoipa::path(
    get, path = "/auth/logins", tag = "auth", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, description = "A page", body = List<LoginAttempt>),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn logins(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<LoginAttempt>>, Problem> {
    caller.require_session()?;
    let (at, id) = page.before();
    let rows: Vec<(String, Flag, String, Option<String>, String, i64)> = sqlx::query_as(
        "SELECT id, success, reason, ip, user_agent, at FROM identity_logins WHERE user_id = $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4",
    )
    .bind(caller.user)
    .bind(at)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.5, row.0.clone()),
        |(_, success, how, ip, user_agent, at)| LoginAttempt {
            success: success.0,
            how,
            ip,
            user_agent,
            at: Timestamp(at),
        },
    )))
}

type ArchiveId = Id<erase::Export>;

/// An archive of the caller's data.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportArchive {
    id: ArchiveId,
    /// True when it can be fetched.
    ready: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it is deleted.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Asks for an archive of everything the server knows of the caller (GDPR articles 15 and 20). A message tells when it is ready. Asks for a recent proof.
#[utoipa::path(
    post, path = "/auth/exports", tag = "auth", security(("bearer" = [])),
    responses(
        (status = 202, description = "It is being made", body = ExportArchive),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn request_export(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    state.limits.check(&EXPORT_PER_ACCOUNT, caller.user)?;
    let mut tx = state.db.begin().await?;
    let id = erase::request(&mut tx, caller.user, now).await?;
    let id = id.parse().map_err(|_not_ours| Problem::not_found())?;
    let archive = ExportArchive {
        id,
        ready: false,
        created_at: now,
        expires_at: None,
    };
    Ok(tx.commit_as((StatusCode::ACCEPTED, Json(archive))).await?)
}

/// The caller's archives, newest first.
#[utoipa::path(
    get, path = "/auth/exports", tag = "auth", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, description = "A page", body = List<ExportArchive>),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn exports(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<ExportArchive>>, Problem> {
    caller.require_session()?;
    let (at, id) = page.before();
    let rows: Vec<(ArchiveId, i64, Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT id, created_at, ready_at, expires_at FROM identity_exports WHERE user_id = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id \
         DESC LIMIT $4",
    )
    .bind(caller.user)
    .bind(at)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.1, row.0.to_string()),
        |(id, created, ready, expires)| ExportArchive {
            id,
            ready: ready.is_some(),
            created_at: Timestamp(created),
            expires_at: expires.map(Timestamp),
        },
    )))
}

/// Fetches an archive.
#[utoipa::path(
    get, path = "/auth/exports/{id}", tag = "auth", security(("bearer" = [])), params(("id" = ArchiveId, Path, description = "The archive")),
    responses(
        (status = 200, description = "The archive", body = serde_json::Value, content_type = "application/json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "The caller has no such archive, or it is not ready", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn download(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<ArchiveId>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    let path: Option<Option<String>> =
        sqlx::query_scalar("SELECT path FROM identity_exports WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(caller.user)
            .fetch_optional(state.db.read())
            .await?;
    let name = path.flatten().ok_or_else(Problem::not_found)?;
    let file = state.data_dir.join("exports").join(name);
    let bytes = tokio::fs::read(file).await.map_err(|_gone| Problem::not_found())?;
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_DISPOSITION, "attachment; filename=\"nova-export.json\""),
    ];
    Ok((headers, Body::from(bytes)).into_response())
}
