//! Mails that leave: each a job, so that no request waits for a mail server and none is lost.
//!
//! What a job carries is sealed: a code or a link must not lie readable in the database.

use anyhow::Context as _;
use nova_core::clock::Timestamp;
use nova_domain::audit::Act;
use nova_domain::db::{Error, Tx, UserId};
use nova_domain::http::Client;
use nova_domain::outbox::Job;
use serde::{Deserialize, Serialize};

use crate::code::Flow;
use crate::domain::State;
use crate::mail::{self, Mailer, Message, Rendered};
use crate::{account, flow};

/// A mail to be sent.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendMail {
    /// Sealed JSON of a [`Letter`], base64.
    sealed: String,
}

impl Job for SendMail {
    const TYPE: &'static str = "identity.mail";
}

/// What is to be written, decided as late as possible: whether an address has an account shows in the mail alone, never in an answer's time.
#[derive(Serialize, Deserialize)]
enum Letter {
    /// Put together already.
    Ready {
        to: String,
        kind: String,
        subject: String,
        text: String,
        html: String,
    },
    /// Somebody registered: a code for a new person, a notice for one who has an account.
    Register { to: String, code: String, link: String },
    /// Somebody asked for a new password.
    Reset { to: String },
}

async fn put(state: &State, tx: &mut Tx, letter: &Letter, now: Timestamp) -> Result<(), Error> {
    let plain = serde_json::to_vec(letter).unwrap_or_default();
    let sealed = data_encoding::BASE64.encode(&state.sealer.seal(&plain));
    tx.enqueue(&SendMail { sealed }, now, now).await
}

/// Sends a message, if and when the transaction commits.
pub(crate) async fn enqueue(
    state: &State,
    tx: &mut Tx,
    to: &str,
    message: &Message,
    now: Timestamp,
) -> Result<(), Error> {
    let rendered = match mail::render(&state.site, message) {
        Ok(rendered) => rendered,
        Err(error) => return Err(Error::Statement(sqlx::Error::Encode(Box::new(error)))),
    };
    let letter = Letter::Ready {
        to: to.to_owned(),
        kind: rendered.kind.into_owned(),
        subject: rendered.subject,
        text: rendered.text,
        html: rendered.html,
    };
    put(state, tx, &letter, now).await
}

/// Sends what a registration brings.
pub(crate) async fn enqueue_registration(
    state: &State,
    tx: &mut Tx,
    to: &str,
    code: &str,
    link: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let letter = Letter::Register {
        to: to.to_owned(),
        code: code.to_owned(),
        link: link.to_owned(),
    };
    put(state, tx, &letter, now).await
}

/// Sends what a request for a new password brings, which is nothing when there is no account.
pub(crate) async fn enqueue_reset(state: &State, tx: &mut Tx, to: &str, now: Timestamp) -> Result<(), Error> {
    put(state, tx, &Letter::Reset { to: to.to_owned() }, now).await
}

/// A way into somebody's account was added, changed or taken away: it is written down, and its person is told (ASVS 6.3.7).
pub(crate) async fn factor_changed(
    state: &State,
    tx: &mut Tx,
    client: &Client,
    user: UserId,
    (action, what): (&'static str, &'static str),
    now: Timestamp,
) -> Result<(), Error> {
    let act = Act {
        actor: Some(user),
        action,
        subject: Some(user.to_string()),
        detail: "",
    };
    tx.audit(act, Some(client), now).await?;
    let email: String = sqlx::query_scalar("SELECT email FROM identity_users WHERE id = $1")
        .bind(user)
        .fetch_one(tx.conn())
        .await?;
    let message = Message::FactorChanged {
        what: what.to_owned(),
        at: now,
        link: state.page("/account", ""),
    };
    enqueue(state, tx, &email, &message, now).await
}

/// The address is one that a provider lent, and forwards to no more (Apple's private relay).
async fn is_stopped(state: &State, to: &str) -> Result<bool, Error> {
    let stopped: Option<String> = sqlx::query_scalar(
        "SELECT l.id FROM identity_links l JOIN identity_users u ON u.id = l.user_id WHERE u.email_folded = $1 AND l.mail_stopped = 1 AND LOWER(l.email) = $1 LIMIT 1",
    )
    .bind(account::fold(to))
    .fetch_optional(state.db.read())
    .await?;
    Ok(stopped.is_some())
}

/// The job.
pub(crate) async fn send(state: &State, mailer: &Mailer, job: SendMail) -> anyhow::Result<()> {
    let sealed = data_encoding::BASE64
        .decode(job.sealed.as_bytes())
        .context("a sealed letter")?;
    let plain = state
        .sealer
        .open(&sealed)
        .context("a letter sealed by another server")?;
    let now = state.clock.now();
    let (to, rendered) = match serde_json::from_slice(&plain)? {
        Letter::Ready {
            to,
            kind,
            subject,
            text,
            html,
        } => (
            to,
            Rendered {
                kind: kind.into(),
                subject,
                text,
                html,
            },
        ),
        Letter::Register { to, code, link } => {
            let message = match account::by_email(&state.db, &to).await? {
                None => Message::VerifyAddress { code, link },
                Some(_) => Message::AlreadyRegistered {
                    link: state.page("/login", ""),
                },
            };
            (to, mail::render(&state.site, &message)?)
        }
        Letter::Reset { to } => {
            let Some(user) = account::by_email(&state.db, &to).await? else {
                return Ok(());
            };
            let mut tx = state.db.begin().await?;
            flow::close(&mut tx, flow::Kind::Reset, &user.email).await?;
            let (row, sent) = Flow::begin(flow::new_id(now), &state.code_key, now, &state.random);
            let new = flow::New {
                flow: &row,
                kind: flow::Kind::Reset,
                user: Some(user.id),
                email: &user.email,
                username: None,
                password: None,
            };
            flow::insert(tx.conn(), &new, now).await?;
            tx.commit().await?;
            let message = Message::PasswordReset {
                code: sent.code,
                link: state.page("/reset-password", sent.link.expose()),
            };
            (user.email, mail::render(&state.site, &message)?)
        }
    };
    if is_stopped(state, &to).await? {
        tracing::warn!(kind = %rendered.kind, "a mail is not sent: the provider of its address forwards none any more");
        return Ok(());
    }
    match mailer.send(&to, &rendered, now, &state.random).await {
        Ok(()) => Ok(()),
        Err(error) if error.is_transient() => Err(error.into()),
        // The server will say the same tomorrow: its person has mistyped the address, most likely.
        Err(error) => {
            tracing::warn!(kind = %rendered.kind, %error, "a mail cannot be delivered");
            Ok(())
        }
    }
}
