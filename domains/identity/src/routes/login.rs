use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use nova_core::clock::Timestamp;
use nova_domain::Problem;
use nova_domain::db::{Error, Tx, UserId};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{self, LoginAnswer};
use super::register::busy;
use crate::account::{self, User};
use crate::domain::State;
use crate::hash::Verdict;
use crate::password::Normalized;
use crate::session::{self, Proven};
use crate::totp::{self, TotpSecret};

const PER_IP: Rule = Rule::new("login.ip", 30, 30, Duration::from_secs(60));
/// One network's attempts at one account: whoever guesses empties a bucket of their own, never the owner's (ASVS 6.1.1).
const PER_ACCOUNT_AND_IP: Rule = Rule::new("login.account_ip", 10, 10, Duration::from_secs(60));
/// All attempts at one account from networks it has never been used from.
const PER_ACCOUNT: Rule = Rule::new("login.account", 100, 1800, Duration::from_secs(3600));
/// How long ago a login from a network makes it known.
const KNOWN_MICROS: i64 = 90 * 86_400_000_000;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    /// The address or the name.
    #[schema(max_length = 254)]
    email_or_username: String,
    #[schema(max_length = 1024)]
    password: String,
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

/// Begins a session. A wrong name and a wrong password are the same answer after the same work.
#[utoipa::path(
    post, path = "/auth/login", tag = "auth", request_body = LoginBody,
    responses(
        (status = 200, description = "Logged in", body = LoginAnswer),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Wrong name or password, or `code` `totp_required` or `totp_wrong`", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often, or too many are logging in", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn login(
    Shared(state): Shared<State>,
    client: Client,
    Json(body): Json<LoginBody>,
) -> Result<Response, Problem> {
    let device_name = body.device_name.unwrap_or_default();
    let mut fields = Fields::new();
    fields.text("device_name", &device_name, 0, 100);
    fields.text("email_or_username", &body.email_or_username, 1, 254);
    fields.done()?;
    state.limits.check(&PER_IP, client.network())?;
    state.limits.check(
        &PER_ACCOUNT_AND_IP,
        (client.network(), account::fold(&body.email_or_username)),
    )?;
    let wrong = || Problem::unauthenticated("the name or the password is wrong").code("wrong_credentials");
    let now = state.clock.now();
    let user = account::by_name(&state, &body.email_or_username).await?;
    if let Some(user) = &user
        && !is_known_network(&state, user.id, &client, now).await?
    {
        state.limits.check(&PER_ACCOUNT, user.id)?;
    }
    let stored = user.as_ref().and_then(User::password);
    let typed = Normalized::for_check(&body.password).ok_or_else(wrong)?;
    let verdict = state
        .hasher
        .verify(typed.clone(), stored.as_ref())
        .await
        .map_err(|error| busy(&error))?;
    let (user, rehash) = match (user, verdict) {
        (Some(user), Verdict::Right { rehash }) => (user, rehash),
        (Some(user), Verdict::Wrong) => {
            record_failed_login(&state, user.id, "password", &client, now).await?;
            return Err(wrong());
        }
        (None, _) => {
            // Writes nothing, and takes its turn at the writer all the same: the time must not tell.
            state.db.begin().await?.rollback().await?;
            return Err(wrong());
        }
    };
    let mut tx = state.db.begin().await?;
    let mut amr = vec!["pwd"];
    if user.totp_secret.is_some() {
        let Some(typed) = body.totp.as_deref().filter(|typed| !typed.is_empty()) else {
            return Err(
                Problem::unauthenticated("this account has a second factor: send `totp`").code("totp_required"),
            );
        };
        match second_factor(&state, &mut tx, user.id, typed, now).await? {
            Some(method) => amr.extend([method, "mfa"]),
            None => {
                session::record_login(&mut tx, user.id, false, "otp", &client, now).await?;
                tx.commit().await?;
                return Err(Problem::unauthenticated("the code is wrong, or was used already").code("totp_wrong"));
            }
        }
    }
    if rehash && let Ok(new) = state.hasher.hash(typed, &state.random).await {
        account::set_password(tx.conn(), user.id, &new, user.password_alone.0).await?;
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

async fn is_known_network(state: &State, user: UserId, client: &Client, now: Timestamp) -> Result<bool, Error> {
    let known: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM identity_logins WHERE user_id = $1 AND at > $2 AND network = $3 AND success = 1 LIMIT 1",
    )
    .bind(user)
    .bind(now.0 - KNOWN_MICROS)
    .bind(client.network().to_string())
    .fetch_optional(state.db.read())
    .await?;
    Ok(known.is_some())
}

async fn record_failed_login(
    state: &State,
    user: UserId,
    reason: &str,
    client: &Client,
    now: Timestamp,
) -> Result<(), Error> {
    let mut tx = state.db.begin().await?;
    session::record_login(&mut tx, user, false, reason, client, now).await?;
    tx.commit().await
}

/// Takes a code from the app or a recovery code, once; says which it was (RFC 8176).
pub(crate) async fn second_factor(
    state: &State,
    tx: &mut Tx,
    user: UserId,
    typed: &str,
    now: Timestamp,
) -> Result<Option<&'static str>, Problem> {
    // Locked: two logins with one code at once are one login.
    let Some(row) = account::lock(tx, user).await? else {
        return Ok(None);
    };
    let digits: String = typed.chars().take(64).filter(|c| !c.is_whitespace()).collect();
    let secret = row.totp_secret.as_deref().and_then(|sealed| state.sealer.open(sealed));
    if digits.len() == 6
        && let Some(secret) = secret
            .and_then(|bytes| bytes.try_into().ok())
            .map(TotpSecret::from_bytes)
        && let Some(step) = secret.check(&digits, now, row.totp_last_step)
    {
        sqlx::query("UPDATE identity_users SET totp_last_step = $1 WHERE id = $2")
            .bind(step)
            .bind(user)
            .execute(tx.conn())
            .await?;
        return Ok(Some("otp"));
    }
    let Some(hash) = totp::recovery_hash(&user.to_string(), typed) else {
        return Ok(None);
    };
    let used = sqlx::query("DELETE FROM identity_recovery_codes WHERE hash = $1 AND user_id = $2")
        .bind(hash.to_string())
        .bind(user)
        .execute(tx.conn())
        .await?;
    Ok((used.rows_affected() == 1).then_some("otp"))
}
