use std::time::Duration;

use axum::extract::State as Shared;
use http::StatusCode;
use nova_domain::Problem;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code::Flow;
use crate::domain::{Registration, State};
use crate::{account, flow, hash, password, post};

const PER_IP: Rule = Rule::new("register.ip", 10, 10, Duration::from_secs(3600));
const PER_ADDRESS: Rule = Rule::new("register.address", 3, 3, Duration::from_secs(3600));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterBody {
    /// A code and a link are sent to it.
    #[schema(max_length = 254, example = "ada@example.org")]
    email: String,
    /// 3 to 30 letters, digits and `_`, beginning with a letter. Everybody sees it.
    #[schema(min_length = 3, max_length = 30, example = "ada")]
    username: String,
    /// At least 15 characters; no other rules but that it is not among the first an attacker tries.
    #[schema(min_length = 15, max_length = 1024)]
    password: String,
}

/// What follows.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageSent {
    /// For a person.
    detail: &'static str,
}

pub(crate) const SENT: MessageSent = MessageSent {
    detail: "a message is on its way to this address",
};

/// Asks for an account. The answer is the same whether the address has one: what is so is told to the address alone.
#[utoipa::path(
    post, path = "/auth/register", tag = "auth", request_body = RegisterBody,
    responses(
        (status = 202, description = "A message is on its way to the address", body = MessageSent),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "Registration is closed", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register(
    Shared(state): Shared<State>,
    client: Client,
    Json(body): Json<RegisterBody>,
) -> Result<(StatusCode, Json<MessageSent>), Problem> {
    if state.config.registration == Registration::Closed {
        return Err(Problem::forbidden("registration is closed on this server"));
    }
    let mut fields = Fields::new();
    fields.check(
        account::is_address(body.email.trim()),
        "email",
        "is not an e-mail address",
    );
    fields.check(
        is_name(&body.username),
        "username",
        "must have 3 to 30 letters, digits or '_', the first a letter",
    );
    let judged = judge(&state, &body.password, &body.username, &body.email, false);
    if let Err(why) = &judged {
        fields.check(false, "password", why.to_string());
    }
    fields.done()?;
    let password = judged.map_err(|why| Problem::invalid(why.to_string()))?;
    state.limits.check(&PER_IP, client.network())?;
    state.limits.check(&PER_ADDRESS, account::fold(&body.email))?;
    // A name is public anyway; that it is taken says nothing about the address.
    if state.directory.find(&body.username).await?.is_some() {
        return Err(Problem::invalid("some fields are not as they must be").field("username", "this name is taken"));
    }
    let stored = hashed(&state, password).await?;
    let now = state.clock.now();
    let (row, sent) = Flow::begin(flow::new_id(now), &state.code_key, now, &state.random);
    let mut tx = state.db.begin().await?;
    let new = flow::New {
        flow: &row,
        kind: flow::Kind::Register,
        user: None,
        email: &body.email,
        username: Some(&body.username),
        password: Some(&stored),
    };
    flow::insert(tx.conn(), &new, now).await?;
    let link = state.page("/verify-email", sent.link.expose());
    post::enqueue_registration(&state, &mut tx, body.email.trim(), &sent.code, &link, now).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(SENT)))
}

/// True for what can be a handle; the directory decides in the end.
pub(crate) fn is_name(name: &str) -> bool {
    (3..=30).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Judges a password somebody wants to have.
pub(crate) fn judge(
    state: &State,
    typed: &str,
    username: &str,
    email: &str,
    second_factor: bool,
) -> Result<password::Normalized, password::Refused> {
    let context = password::Context {
        site: &state.site.name,
        username,
        email,
        second_factor,
    };
    password::check(typed, &context)
}

/// Its hash, or 429 when the hashing threads have more to do than they can.
pub(crate) async fn hashed(state: &State, password: password::Normalized) -> Result<hash::Stored, Problem> {
    state
        .hasher
        .hash(password, &state.random)
        .await
        .map_err(|error| busy(&error))
}

/// The problem of a hash that could not be computed.
pub(crate) fn busy(error: &hash::Error) -> Problem {
    match error.kind() {
        nova_core::error::Kind::Internal => Problem::internal(error),
        kind => Problem::of(kind, "many people are logging in right now, try again in a moment"),
    }
}
