//! Sudo mode: what changes an account's address, factors, tokens or end asks for a proof that is a few minutes old (ASVS 7.5.1). Whatever opens the
//! account proves it once more: the password, with a code where there is an authenticator app; a passkey; a fresh sign-in at a provider, with a code
//! as well. An account without a password proves it by its app alone (ASVS 7.5.3).

use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use nova_core::clock::Timestamp;
use nova_domain::db::Tx;
use nova_domain::http::caller::{ACCESS_COOKIE, EvenSuspended};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::login::second_factor;
use super::oauth::{self, Proof};
use super::register::busy;
use crate::account::User;
use crate::domain::State;
use crate::hash::Verdict;
use crate::password::Normalized;
use crate::secret::{Purpose, Secret};
use crate::{account, session};

pub(super) const PER_ACCOUNT: Rule = Rule::new("sudo.account", 10, 20, Duration::from_secs(600));

/// One of `password` and `ticket`; neither, where an account without a password has an authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SudoBody {
    #[schema(max_length = 1024)]
    password: Option<String>,
    /// What a fresh sign-in at a provider has left in the fragment of the page's address, as `sudo`.
    #[schema(max_length = 100)]
    ticket: Option<String>,
    /// Needed beside the others when the account has an authenticator app.
    #[schema(max_length = 64)]
    totp: Option<String>,
    /// For browsers: the token comes as a cookie.
    #[serde(default)]
    cookies: bool,
}

/// An access token with which sensitive changes may be made for a while.
#[derive(Serialize, ToSchema)]
pub(crate) struct SudoAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds the access token lives.
    expires_in: u32,
    /// Seconds in which sensitive changes may be made.
    sudo_for: u32,
}

/// What the caller can prove it with.
#[derive(Serialize, ToSchema)]
pub(crate) struct SudoWays {
    /// The account has a password.
    password: bool,
    /// It has an authenticator app: a code of it is asked for beside the password and beside a provider, and is enough where there is no password.
    totp: bool,
    /// It has a passkey.
    passkey: bool,
    /// Providers that open it and say when somebody signed in, for `/auth/oauth/{provider}/sudo`.
    providers: Vec<String>,
}

/// What the caller can prove with who they are.
#[utoipa::path(
    get, path = "/auth/sudo", tag = "auth", operation_id = "sudo_ways", security(("bearer" = [])),
    responses(
        (status = 200, description = "What the account has", body = SudoWays),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ways(
    Shared(state): Shared<State>,
    EvenSuspended(caller): EvenSuspended,
) -> Result<Json<SudoWays>, Problem> {
    caller.require_session()?;
    let user = known(&state, &caller).await?;
    let passkey: Option<String> = sqlx::query_scalar("SELECT id FROM identity_passkeys WHERE user_id = $1 LIMIT 1")
        .bind(caller.user)
        .fetch_optional(state.db.read())
        .await?;
    let linked: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT provider FROM identity_links WHERE user_id = $1 ORDER BY provider")
            .bind(caller.user)
            .fetch_all(state.db.read())
            .await?;
    let can = |name: &String| state.providers.get(name).is_some_and(|provider| provider.tells_time());
    Ok(Json(SudoWays {
        password: user.password().is_some(),
        totp: user.totp_secret.is_some(),
        passkey: passkey.is_some() && state.webauthn.is_some(),
        providers: linked.into_iter().filter(can).collect(),
    }))
}

async fn known(state: &State, caller: &Caller) -> Result<User, Problem> {
    account::by_id(&state.db, caller.user)
        .await?
        .ok_or_else(|| Problem::unauthenticated("the account is gone"))
}

fn wrong() -> Problem {
    Problem::forbidden("the proof is wrong").code("wrong_credentials")
}

/// Proves once more who the caller is (ASVS 7.5.1). What changes the account's address, factors, tokens or end asks for it. A passkey proves it at
/// `/auth/passkeys/sudo/begin`.
#[utoipa::path(
    post, path = "/auth/sudo", tag = "auth", security(("bearer" = [])), request_body = SudoBody,
    responses(
        (status = 200, description = "Proved", body = SudoAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "The proof is wrong (`code` `wrong_credentials`, `ticket_gone`), or a code is missing or wrong beside a ticket, which stays good (`totp_required`, `totp_wrong`)", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn sudo(
    Shared(state): Shared<State>,
    client: Client,
    EvenSuspended(caller): EvenSuspended,
    headers: HeaderMap,
    Json(body): Json<SudoBody>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let user = known(&state, &caller).await?;
    let now = state.clock.now();
    let totp = body.totp.as_deref().filter(|typed| !typed.is_empty());
    if body.password.is_some() && body.ticket.is_some() {
        return Err(Problem::invalid("send `password` or `ticket`, not both"));
    }
    if let Some(ticket) = &body.ticket {
        return by_ticket(
            &state,
            &client,
            &caller,
            &user,
            (ticket, totp),
            &headers,
            body.cookies,
            now,
        )
        .await;
    }
    let mut method = "pwd";
    let mut proven = match &body.password {
        Some(password) => is_password(&state, &user, password).await?,
        // Whoever has a password shows it: a code alone is less than what opens the account.
        None => user.password().is_none() && user.totp_secret.is_some() && totp.is_some_and(is_of_an_app),
    };
    let mut tx = state.db.begin().await?;
    if proven && user.totp_secret.is_some() {
        match second_factor(&state, &mut tx, user.id, totp.unwrap_or_default(), now).await? {
            Some(one) => method = one,
            None => proven = false,
        }
    }
    if !proven {
        return refuse(tx, &user, &client, wrong(), now).await;
    }
    proved(&state, tx, &caller, &user, method, body.cookies, now).await
}

/// A recovery code is for the day the app is gone; alone it proves nothing here.
fn is_of_an_app(typed: &str) -> bool {
    typed.chars().filter(|c| !c.is_whitespace()).count() == 6
}

async fn is_password(state: &State, user: &User, typed: &str) -> Result<bool, Problem> {
    let Some(typed) = Normalized::for_check(typed) else {
        return Ok(false);
    };
    let verdict = state.hasher.verify(typed, user.password().as_ref()).await;
    Ok(matches!(verdict.map_err(|error| busy(&error))?, Verdict::Right { .. }))
}

#[expect(clippy::too_many_arguments, reason = "what a request has")]
async fn by_ticket(
    state: &State,
    client: &Client,
    caller: &Caller,
    user: &User,
    (ticket, totp): (&str, Option<&str>),
    headers: &HeaderMap,
    cookies: bool,
    now: Timestamp,
) -> Result<Response, Problem> {
    let gone = || Problem::forbidden("this sign-in is over: begin again").code("ticket_gone");
    let secret = Secret::parse(Purpose::Link, ticket).ok_or_else(gone)?;
    let mut tx = state.db.begin().await?;
    let proof: Option<Proof> = oauth::take(state, &mut tx, &secret.hash()).await?;
    let proof = proof
        .filter(|proof| proof.is_of(caller, headers, now))
        .ok_or_else(gone)?;
    let mut method = "fed";
    if user.totp_secret.is_some() {
        let Some(typed) = totp else {
            // Dropped: the ticket stays as it was.
            return Err(Problem::forbidden("this account has a second factor: send `totp`").code("totp_required"));
        };
        match second_factor(state, &mut tx, user.id, typed, now).await? {
            Some(one) => method = one,
            None => {
                oauth::keep(state, &mut tx, &secret.hash(), &proof, now).await?;
                let wrong = Problem::forbidden("the code is wrong, or was used already").code("totp_wrong");
                return refuse(tx, user, client, wrong, now).await;
            }
        }
    }
    proved(state, tx, caller, user, method, cookies, now).await
}

/// Writes down an attempt that failed.
pub(super) async fn refuse(
    mut tx: Tx,
    user: &User,
    client: &Client,
    problem: Problem,
    now: Timestamp,
) -> Result<Response, Problem> {
    session::record_login(&mut tx, user.id, false, "sudo", client, now).await?;
    tx.commit().await?;
    Err(problem)
}

/// The answer to a proof that is right: a token that says so.
pub(super) async fn proved(
    state: &State,
    mut tx: Tx,
    caller: &Caller,
    user: &User,
    method: &str,
    cookies: bool,
    now: Timestamp,
) -> Result<Response, Problem> {
    let token = session::prove_again(state, &mut tx, caller, user, method, now).await?;
    tx.commit().await?;
    let expires_in = state.config.access_minutes * 60;
    let cookie = cookies
        .then(|| format!("{ACCESS_COOKIE}={token}; Path=/; Secure; SameSite=Lax; Max-Age={expires_in}; HttpOnly"));
    let mut response = Json(SudoAnswer {
        access_token: (!cookies).then_some(token),
        token_type: "Bearer",
        expires_in,
        sudo_for: state.config.sudo_minutes * 60,
    })
    .into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}
