use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::HeaderMap;
use nova_domain::Problem;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Ticket, is_browser, keep, owner, take};
use crate::account;
use crate::domain::State;
use crate::routes::answer::{self, LoginAnswer};
use crate::routes::login::second_factor;
use crate::secret::{Purpose, Secret};
use crate::session::{self, Proven};

const PER_IP: Rule = Rule::new("oauth.complete.ip", 30, 30, Duration::from_secs(60));
const PER_ACCOUNT: Rule = Rule::new("oauth.complete.account", 10, 10, Duration::from_secs(60));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OAuthCompletion)]
pub(crate) struct CompleteBody {
    /// What stands in the fragment of the page that the callback led to.
    #[schema(max_length = 100)]
    ticket: String,
    /// What the person calls this device in the list of sessions.
    #[schema(max_length = 100)]
    device_name: Option<String>,
    /// Six digits from the authenticator app, or a recovery code, when the account has a second factor.
    #[schema(max_length = 64)]
    totp: Option<String>,
    /// For browsers: tokens come as `__Host-` cookies and not in the body.
    #[serde(default)]
    cookies: bool,
}

/// Makes a session of a ticket, in the browser that the callback was answered to. When the account has a second factor, the ticket is good until that is right.
#[utoipa::path(
    post, path = "/auth/oauth/complete", tag = "auth", operation_id = "oauth_complete", request_body = CompleteBody,
    responses(
        (status = 200, description = "Logged in", body = LoginAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "The ticket is not good, or `code` `totp_required` or `totp_wrong`", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn complete(
    Shared(state): Shared<State>,
    client: Client,
    headers: HeaderMap,
    Json(body): Json<CompleteBody>,
) -> Result<Response, Problem> {
    let device_name = body.device_name.unwrap_or_default();
    let mut fields = Fields::new();
    fields.text("device_name", &device_name, 0, 100);
    fields.done()?;
    state.limits.check(&PER_IP, client.network())?;
    let gone = || Problem::unauthenticated("this sign-in is over: begin again").code("ticket_gone");
    let secret = Secret::parse(Purpose::Link, &body.ticket).ok_or_else(gone)?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let ticket: Option<Ticket> = take(&state, &mut tx, &secret.hash()).await?;
    let ticket = ticket
        .filter(|ticket| ticket.expires_at > now.0 && is_browser(&headers, &ticket.browser))
        .ok_or_else(gone)?;
    let user = account::lock(&mut tx, ticket.user).await?.ok_or_else(gone)?;
    if owner(&mut tx, &ticket.issuer, &ticket.subject).await? != Some(user.id) {
        return Err(gone());
    }
    // RFC 8176 has no name for it; `fed` is what the list of sessions shows.
    let mut amr = vec!["fed"];
    if user.totp_secret.is_some() {
        state.limits.check(&PER_ACCOUNT, user.id)?;
        let Some(typed) = body.totp.as_deref().filter(|typed| !typed.is_empty()) else {
            // Dropped: the ticket stays as it was.
            return Err(
                Problem::unauthenticated("this account has a second factor: send `totp`").code("totp_required"),
            );
        };
        match second_factor(&state, &mut tx, user.id, typed, now).await? {
            Some(method) => amr.extend([method, "mfa"]),
            None => {
                session::record_login(&mut tx, user.id, false, "otp", &client, now).await?;
                keep(&state, &mut tx, &secret.hash(), &ticket, now).await?;
                tx.commit().await?;
                return Err(Problem::unauthenticated("the code is wrong, or was used already").code("totp_wrong"));
            }
        }
    }
    let proven = Proven {
        amr: &amr,
        device_name: &device_name,
        client: &client,
    };
    let pair = session::begin(&state, &mut tx, &user, &proven, now).await?;
    tx.commit().await?;
    answer::answer(&state, &user, pair, body.cookies, now).await
}
