use std::time::Duration;

use axum::extract::State as Shared;
use nova_core::clock::Timestamp;
use nova_domain::Problem;
use nova_domain::accounts::ClaimError;
use nova_domain::db::Tx;
use nova_domain::http::caller::Role;
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account::{self, CreateError};
use crate::code::Refused;
use crate::domain::State;
use crate::flow::{self, Kept, Kind};
use crate::mail::Message;
use crate::{post, session};

const PER_IP: Rule = Rule::new("verify.ip", 30, 60, Duration::from_secs(3600));

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyEmailBody {
    /// The address, beside `code`.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// Eight digits from the message.
    #[schema(max_length = 32)]
    code: Option<String>,
    /// What stands after `#` in the message's link, instead of the two.
    #[schema(max_length = 100)]
    token: Option<String>,
    /// Another name, when the one asked for was taken meanwhile.
    #[schema(max_length = 30)]
    username: Option<String>,
}

/// What was proved.
#[derive(Serialize, ToSchema)]
pub(crate) struct Verified {
    /// `true`.
    verified: bool,
}

/// Proves an address: of a new account, or the new address of an account. Either the code with the address, or the link's token.
#[utoipa::path(
    post, path = "/auth/verify-email", tag = "auth", request_body = VerifyEmailBody,
    responses(
        (status = 200, description = "The address is proved", body = Verified),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "The name or the address was taken meanwhile (`code`: `username_taken`, `email_taken`)", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "Wrong, used or expired", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn verify_email(
    Shared(state): Shared<State>,
    client: Client,
    Json(body): Json<VerifyEmailBody>,
) -> Result<Json<Verified>, Problem> {
    state.limits.check(&PER_IP, client.network())?;
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let found = match (&body.token, &body.email, &body.code) {
        (Some(token), None, None) => flow::by_link(&mut tx, token, now).await?,
        (None, Some(email), Some(code)) if !email.contains('\0') => {
            flow::by_code(
                &mut tx,
                &[Kind::Register, Kind::Email],
                email,
                code,
                &state.code_key,
                now,
            )
            .await?
        }
        _ => return Err(Problem::invalid("send `token`, or `email` and `code`")),
    };
    let kept = match found {
        Ok(kept) if kept.is(Kind::Register) || kept.is(Kind::Email) => kept,
        Ok(_) => return Err(refused(Refused::Wrong)),
        Err(why) => {
            // The attempt counts.
            tx.commit().await?;
            return Err(refused(why));
        }
    };
    let outcome = if kept.is(Kind::Register) {
        complete_registration(&state, &mut tx, &kept, body.username.as_deref(), now).await
    } else {
        complete_change(&state, &mut tx, &kept, now).await
    };
    match outcome {
        Ok(()) => {
            tx.commit().await?;
            Ok(Json(Verified { verified: true }))
        }
        Err(problem) => {
            tx.rollback().await?;
            Err(problem)
        }
    }
}

fn refused(why: Refused) -> Problem {
    Problem::invalid(why.to_string()).code("code_refused")
}

async fn complete_registration(
    state: &State,
    tx: &mut Tx,
    kept: &Kept,
    username: Option<&str>,
    now: Timestamp,
) -> Result<(), Problem> {
    let password = kept.password().ok_or_else(|| refused(Refused::Closed))?;
    let username = username.or(kept.username.as_deref()).unwrap_or_default();
    let new = account::New {
        email: &kept.email,
        username,
        password: Some(&password),
        role: Role::Viewer,
    };
    match account::create(state, tx, &new, now).await {
        Ok(_) => {}
        Err(CreateError::EmailTaken) => {
            return Err(Problem::conflict("this address has an account").code("email_taken"));
        }
        Err(CreateError::Name(ClaimError::Taken)) => {
            return Err(
                Problem::conflict("the name was taken meanwhile; send another one as `username`")
                    .code("username_taken"),
            );
        }
        Err(CreateError::Name(ClaimError::Database(error)) | CreateError::Database(error)) => return Err(error.into()),
        Err(CreateError::Name(why)) => return Err(Problem::invalid(why.to_string()).field("username", why.to_string())),
    }
    flow::close(tx, Kind::Register, &kept.email).await?;
    Ok(())
}

async fn complete_change(state: &State, tx: &mut Tx, kept: &Kept, now: Timestamp) -> Result<(), Problem> {
    let user = kept.user_id.ok_or_else(|| refused(Refused::Wrong))?;
    let user = account::lock(tx, user).await?.ok_or_else(|| refused(Refused::Wrong))?;
    let changed = sqlx::query("UPDATE identity_users SET email = $1, email_folded = $2 WHERE id = $3")
        .bind(kept.email.as_str())
        .bind(account::fold(&kept.email))
        .bind(user.id)
        .execute(tx.conn())
        .await
        .map_err(nova_domain::db::Error::from);
    match changed {
        Ok(_) => {}
        Err(error) if error.is_taken("identity_users", "email_folded") => {
            return Err(Problem::conflict("this address has an account").code("email_taken"));
        }
        Err(error) => return Err(error.into()),
    }
    flow::close(tx, Kind::Email, &kept.email).await?;
    flow::close(tx, Kind::Reset, &user.email).await?;
    session::end_others(state, tx, user.id, None, now).await?;
    let from = Message::AddressChangedFrom {
        new: kept.email.clone(),
        at: now,
        link: state.page("/account", ""),
    };
    post::enqueue(state, tx, &user.email, &from, now).await?;
    post::enqueue(state, tx, &kept.email, &Message::AddressChangedTo { at: now }, now).await?;
    Ok(())
}
