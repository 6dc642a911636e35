//! The rows of flows: one attempt each to prove an address.

use nova_core::clock::Timestamp;
use nova_domain::db::{Connection, Error, Flag, Id, Tx, UserId};

use crate::account::{self, fold};
use crate::authenticate::hex;
use crate::code::{CodeKey, Flow, MAX_ATTEMPTS, Refused};
use crate::hash::Stored;
use crate::secret::{Purpose, Secret, SecretHash};

/// What is to be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The address of a new account.
    Register,
    /// The right to choose a new password.
    Reset,
    /// The new address of an account.
    Email,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Reset => "reset",
            Self::Email => "email",
        }
    }
}

/// The id of a new flow.
pub(crate) fn new_id(now: Timestamp) -> String {
    Id::<Flow>::new(now).to_string()
}

/// A flow to be kept.
pub(crate) struct New<'a> {
    pub(crate) flow: &'a Flow,
    pub(crate) kind: Kind,
    pub(crate) user: Option<UserId>,
    pub(crate) email: &'a str,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a Stored>,
}

/// Keeps a flow.
pub(crate) async fn insert(connection: &mut Connection, new: &New<'_>, now: Timestamp) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO identity_flows (id, kind, user_id, email, email_folded, username, password_scheme, password_hash, code, link, attempts, closed, \
         created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, $11, $12)",
    )
    .bind(new.flow.id.as_str())
    .bind(new.kind.as_str())
    .bind(new.user)
    .bind(new.email.trim())
    .bind(fold(new.email))
    .bind(new.username)
    .bind(new.password.map(|stored| i64::from(stored.scheme.number())))
    .bind(new.password.map(|stored| stored.phc.as_str()))
    .bind(hex(&new.flow.code))
    .bind(new.flow.link.to_string())
    .bind(now.0)
    .bind(new.flow.expires_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// A flow as it is kept.
#[derive(Clone, sqlx::FromRow)]
pub(crate) struct Kept {
    pub(crate) id: String,
    kind: String,
    pub(crate) user_id: Option<UserId>,
    pub(crate) email: String,
    pub(crate) username: Option<String>,
    password_scheme: Option<i64>,
    password_hash: Option<String>,
    code: String,
    link: String,
    attempts: i64,
    closed: Flag,
    expires_at: i64,
}

impl Kept {
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind.as_str()
    }

    pub(crate) fn password(&self) -> Option<Stored> {
        account::stored(self.password_scheme, self.password_hash.clone())
    }

    fn rules(&self) -> Flow {
        let bytes = |text: &str| {
            let decoded = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap_or_default();
            <[u8; 32]>::try_from(decoded).unwrap_or([0; 32])
        };
        Flow {
            id: self.id.clone(),
            code: bytes(&self.code),
            link: SecretHash(bytes(&self.link)),
            expires_at: Timestamp(self.expires_at),
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            closed: self.closed.0,
        }
    }
}

const COLUMNS: &str =
    "id, kind, user_id, email, username, password_scheme, password_hash, code, link, attempts, closed, expires_at";

/// The flow that a link belongs to, if it is to be followed.
pub(crate) async fn by_link(tx: &mut Tx, token: &str, now: Timestamp) -> Result<Result<Kept, Refused>, Error> {
    let Some(secret) = Secret::parse(Purpose::Link, token) else {
        return Ok(Err(Refused::Wrong));
    };
    let sql = format!("SELECT {COLUMNS} FROM identity_flows WHERE link = $1");
    let kept: Option<Kept> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(secret.hash().to_string())
        .fetch_optional(tx.conn())
        .await?;
    Ok(match kept {
        Some(kept) => kept.rules().check_link(&secret, now).map(|()| kept),
        None => Err(Refused::Wrong),
    })
}

/// The flow of `kinds` and `email` that a typed code belongs to. The attempt is counted on each flow of the address that is open: whoever
/// guesses gets ten guesses at all of them together. The caller commits, whatever comes of it.
pub(crate) async fn by_code(
    tx: &mut Tx,
    kinds: &[Kind],
    email: &str,
    code: &str,
    key: &CodeKey,
    now: Timestamp,
) -> Result<Result<Kept, Refused>, Error> {
    let mut refused = Refused::Wrong;
    for kind in kinds {
        let sql = format!(
            "UPDATE identity_flows SET attempts = attempts + 1 WHERE kind = $1 AND email_folded = $2 AND closed = 0 AND expires_at > $3 AND attempts <= $4 \
             RETURNING {COLUMNS}"
        );
        let open: Vec<Kept> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(kind.as_str())
            .bind(fold(email))
            .bind(now.0)
            .bind(i64::from(MAX_ATTEMPTS))
            .fetch_all(tx.conn())
            .await?;
        for kept in open {
            match kept.rules().check_code(code, key, now) {
                Ok(()) => return Ok(Ok(kept)),
                Err(why) => refused = why,
            }
        }
    }
    Ok(Err(refused))
}

/// Ends every open flow of `kind` for an address.
pub(crate) async fn close(tx: &mut Tx, kind: Kind, email: &str) -> Result<(), Error> {
    sqlx::query("UPDATE identity_flows SET closed = 1, password_hash = NULL WHERE kind = $1 AND email_folded = $2 AND closed = 0")
        .bind(kind.as_str())
        .bind(fold(email))
        .execute(tx.conn())
        .await?;
    Ok(())
}
