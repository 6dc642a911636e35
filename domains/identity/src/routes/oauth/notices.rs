//! What providers tell of their people: Apple's events, and Facebook's requests for the deletion of somebody's data. Both are signed, are not older than a
//! day, and count once. A link that was made after what a notice tells of stays: the notice was late.
//!
//! Neither ends the account: it has an address of its own, and its person is told by mail and may come in by that.

use std::time::Duration;

use axum::Form;
use axum::extract::State as Shared;
use axum::extract::rejection::FormRejection;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::Problem;
use nova_domain::db::{Error, Id, Tx, UserId};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json, Path};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::authenticate::hex;
use crate::domain::State;
use crate::oidc::{self, Kind, Link, Notice, Provider, What};
use crate::{post, session};

const PER_IP: Rule = Rule::new("oauth.notices.ip", 60, 60, Duration::from_secs(60));

/// What Apple posts.
#[derive(Deserialize, ToSchema)]
#[schema(as = AppleNotice)]
pub(crate) struct Posted {
    /// A token that Apple has signed, with one event in it.
    #[schema(max_length = 20000)]
    payload: String,
}

/// Takes what Apple tells of its people ("server-to-server notifications"), where `domains.identity.providers.apple.notices` is switched on. Whoever
/// revokes their consent, or has no Apple account any more, is logged out and loses this way in; where mail is not forwarded any more, none is sent.
#[utoipa::path(
    post, path = "/auth/oauth/{provider}/events", tag = "auth", operation_id = "oauth_events", request_body = Posted,
    params(("provider" = String, Path, description = "`apple`")),
    responses(
        (status = 204, description = "Taken, now or before"),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Apple did not sign it, for this site, within a day", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "Nothing is listened to here", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "Apple's keys cannot be had, try again", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn events(
    Shared(state): Shared<State>,
    client: Client,
    Path(name): Path<String>,
    Json(body): Json<Posted>,
) -> Result<StatusCode, Problem> {
    let provider = listening(&state, &name, |kind| matches!(kind, Kind::Apple { .. }))?;
    state.limits.check(&PER_IP, client.network())?;
    let now = state.clock.now();
    let notice = match state.providers.notice(provider, body.payload, now).await {
        Ok(notice) => notice,
        Err(oidc::Error::Provider(error)) => {
            tracing::warn!(provider = name, error, "a notice cannot be checked");
            return Err(Problem::of(
                nova_core::error::Kind::Unavailable,
                "it cannot be checked, try again",
            ));
        }
        Err(error) => return Err(refused(&name, &error)),
    };
    let mut tx = state.db.begin().await?;
    if first(&mut tx, provider, &notice_id(&notice), now).await? {
        act(&state, &mut tx, &client, provider, &notice, now).await?;
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What Facebook posts.
#[derive(Deserialize, ToSchema)]
#[schema(as = FacebookDeletion)]
pub(crate) struct Asked {
    /// A payload and its signature.
    #[schema(max_length = 5000)]
    signed_request: String,
}

/// Where it can be seen what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeletionReceipt)]
pub(crate) struct Receipt {
    url: String,
    confirmation_code: String,
}

/// Takes Facebook's request for the deletion of somebody's data, where `domains.identity.providers.facebook.notices` is switched on: what came from Facebook
/// is the link to the account, and is deleted. The account itself is deleted by its person.
#[utoipa::path(
    post, path = "/auth/oauth/{provider}/deletion", tag = "auth", operation_id = "oauth_deletion",
    params(("provider" = String, Path, description = "`facebook`")),
    request_body(content = Asked, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Deleted, now or before", body = Receipt),
        (status = 401, description = "Facebook did not sign it, within a day", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "Nothing is listened to here", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "No form", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn deletion(
    Shared(state): Shared<State>,
    client: Client,
    Path(name): Path<String>,
    form: Result<Form<Asked>, FormRejection>,
) -> Result<Json<Receipt>, Problem> {
    let provider = listening(&state, &name, |kind| matches!(kind, Kind::Facebook { .. }))?;
    let Form(asked) = form.map_err(|error| super::callback::no_form(&error))?;
    state.limits.check(&PER_IP, client.network())?;
    let now = state.clock.now();
    let notice =
        oidc::facebook_deletion(provider, &asked.signed_request, now).map_err(|error| refused(&name, &error))?;
    let code = notice_id(&notice);
    let mut tx = state.db.begin().await?;
    if first(&mut tx, provider, &code, now).await? {
        act(&state, &mut tx, &client, provider, &notice, now).await?;
    }
    tx.commit().await?;
    Ok(Json(Receipt {
        url: format!("{}/api/v1/auth/oauth/{name}/deletion/{code}", state.site.url),
        confirmation_code: code,
    }))
}

/// What became of a request for deletion.
#[derive(Serialize, ToSchema)]
#[schema(as = DeletionStatus)]
pub(crate) struct Done {
    /// `done`.
    status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// What became of a request for deletion, for 90 days.
#[utoipa::path(
    get, path = "/auth/oauth/{provider}/deletion/{code}", tag = "auth", operation_id = "oauth_deletion_status",
    params(("provider" = String, Path, description = "`facebook`"), ("code" = String, Path, description = "The code of the receipt")),
    responses(
        (status = 200, description = "It was done", body = Done),
        (status = 404, description = "There was no such request", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn deletion_status(
    Shared(state): Shared<State>,
    Path((name, code)): Path<(String, String)>,
) -> Result<Json<Done>, Problem> {
    listening(&state, &name, |kind| matches!(kind, Kind::Facebook { .. }))?;
    if code.contains('\0') {
        return Err(Problem::not_found());
    }
    let at: Option<i64> = sqlx::query_scalar("SELECT at FROM identity_notices WHERE id = $1 AND provider = $2")
        .bind(code)
        .bind(name)
        .fetch_optional(state.db.read())
        .await?;
    let at = at.map(Timestamp).ok_or_else(Problem::not_found)?;
    Ok(Json(Done { status: "done", at }))
}

fn listening<'a>(state: &'a State, name: &str, is: fn(&Kind) -> bool) -> Result<&'a Provider, Problem> {
    let provider = state.providers.get(name);
    provider
        .filter(|provider| provider.notices && is(&provider.kind))
        .ok_or_else(Problem::not_found)
}

fn refused(name: &str, error: &oidc::Error) -> Problem {
    tracing::info!(provider = name, %error, "a notice was refused");
    Problem::unauthenticated("the provider did not sign this for this site, or too long ago")
}

fn notice_id(notice: &Notice) -> String {
    hex(&Sha256::digest(notice.id.as_bytes()))
}

/// Whether it is new.
async fn first(tx: &mut Tx, provider: &Provider, id: &str, now: Timestamp) -> Result<bool, Error> {
    let made =
        sqlx::query("INSERT INTO identity_notices (id, provider, at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING")
            .bind(id)
            .bind(provider.name.as_str())
            .bind(now.0)
            .execute(tx.conn())
            .await?;
    Ok(made.rows_affected() == 1)
}

async fn act(
    state: &State,
    tx: &mut Tx,
    client: &Client,
    provider: &Provider,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), Error> {
    let stopped = match notice.what {
        What::Revoked | What::Deleted => return unlink(state, tx, client, provider, notice, now).await,
        What::MailStopped => 1_i64,
        What::MailResumed => 0,
        What::Other => return Ok(()),
    };
    sqlx::query("UPDATE identity_links SET mail_stopped = $1 WHERE issuer = $2 AND subject = $3")
        .bind(stopped)
        .bind(provider.issuer())
        .bind(notice.subject.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Takes the link away, ends what was opened by it, and tells its person.
async fn unlink(
    state: &State,
    tx: &mut Tx,
    client: &Client,
    provider: &Provider,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), Error> {
    let gone: Option<(Id<Link>, UserId)> = sqlx::query_as(
        "DELETE FROM identity_links WHERE issuer = $1 AND subject = $2 AND created_at <= $3 RETURNING id, user_id",
    )
    .bind(provider.issuer())
    .bind(notice.subject.as_str())
    .bind(notice.at.0)
    .fetch_optional(tx.conn())
    .await?;
    let Some((_, user)) = gone else { return Ok(()) };
    session::end_others(state, tx, user, None, now).await?;
    let told = (
        "identity.link_revoked",
        "A sign-in through another was taken away from your account by its provider, and you were logged out",
    );
    post::factor_changed(state, tx, client, user, told, now).await
}
