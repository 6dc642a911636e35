//! The rows of accounts.

use nova_core::clock::Timestamp;
use nova_core::store::BoxFuture;
use nova_domain::Problem;
use nova_domain::accounts::{Accounts, ClaimError, Standing};
use nova_domain::audit::Act;
use nova_domain::db::{Connection, Db, Error, Flag, Tx, UserId};
use nova_domain::events::{UserRegistered, UserVerified};
use nova_domain::http::caller::Role;

use crate::code::Flow;
use crate::domain::State;
use crate::hash::{Scheme, Stored};
use crate::{flow, session};

/// An account.
#[derive(Clone, sqlx::FromRow)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) email: String,
    password_scheme: Option<i64>,
    password_hash: Option<String>,
    pub(crate) password_alone: Flag,
    role: String,
    pub(crate) suspended_until: Option<i64>,
    pub(crate) delete_at: Option<i64>,
    pub(crate) totp_secret: Option<Vec<u8>>,
    pub(crate) totp_pending: Option<Vec<u8>>,
    pub(crate) totp_last_step: Option<i64>,
    pub(crate) created_at: i64,
}

impl User {
    pub(crate) fn role(&self) -> Role {
        Role::parse(&self.role)
    }

    pub(crate) fn is_suspended(&self, now: Timestamp) -> bool {
        self.suspended_until.is_some_and(|until| until > now.0)
    }

    pub(crate) fn password(&self) -> Option<Stored> {
        stored(self.password_scheme, self.password_hash.clone())
    }
}

/// A hash from its two columns.
pub(crate) fn stored(scheme: Option<i64>, phc: Option<String>) -> Option<Stored> {
    let scheme = Scheme::from_number(i16::try_from(scheme?).ok()?)?;
    Some(Stored { scheme, phc: phc? })
}

/// An address as it is compared: the part before `@` may by RFC 5321 tell cases apart, and no provider does.
pub(crate) fn fold(email: &str) -> String {
    email.trim().to_lowercase()
}

/// True for what can be an address: one `@`, something on both sides, a host name after it, no spaces, at most 254 characters.
pub(crate) fn is_address(email: &str) -> bool {
    email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && email.parse::<lettre::Address>().is_ok()
        && email
            .rsplit_once('@')
            .is_some_and(|(local, host)| local.len() <= 64 && !host.is_empty() && !host.starts_with('['))
}

const COLUMNS: &str = "id, email, password_scheme, password_hash, password_alone, role, suspended_until, delete_at, totp_secret, totp_pending, \
                       totp_last_step, created_at";

/// The account with this id.
pub(crate) async fn by_id(db: &Db, id: UserId) -> Result<Option<User>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM identity_users WHERE id = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(db.read())
        .await?)
}

/// The account with this id, its row locked until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: UserId) -> Result<Option<User>, Error> {
    let lock = match tx.engine() {
        nova_domain::db::Engine::Postgres => " FOR UPDATE",
        nova_domain::db::Engine::Sqlite => "",
    };
    let sql = format!("SELECT {COLUMNS} FROM identity_users WHERE id = $1{lock}");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(tx.conn())
        .await?)
}

/// The account with this address.
pub(crate) async fn by_email(db: &Db, email: &str) -> Result<Option<User>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM identity_users WHERE email_folded = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(fold(email))
        .fetch_optional(db.read())
        .await?)
}

/// The account that somebody names at a login, by address or by handle.
pub(crate) async fn by_name(state: &State, name: &str) -> Result<Option<User>, Error> {
    if name.contains('\0') {
        return Ok(None);
    }
    if name.contains('@') {
        return by_email(&state.db, name).await;
    }
    match state.directory.find(name).await? {
        Some(id) => by_id(&state.db, id).await,
        None => Ok(None),
    }
}

/// A person that is to have an account.
pub(crate) struct New<'a> {
    pub(crate) email: &'a str,
    pub(crate) username: &'a str,
    pub(crate) password: Option<&'a Stored>,
    pub(crate) role: Role,
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("the address has an account")]
    EmailTaken,
    #[error(transparent)]
    Name(#[from] ClaimError),
    #[error(transparent)]
    Database(#[from] Error),
}

/// Makes an account with its profile. Its address must have been proved, or be vouched for.
/// Nothing is written when the name cannot be had, so another can be tried in the same transaction.
pub(crate) async fn create(state: &State, tx: &mut Tx, new: &New<'_>, now: Timestamp) -> Result<UserId, CreateError> {
    let id = UserId::new(now);
    let known: Option<UserId> = sqlx::query_scalar("SELECT id FROM identity_users WHERE email_folded = $1")
        .bind(fold(new.email))
        .fetch_optional(tx.conn())
        .await
        .map_err(Error::from)?;
    if known.is_some() {
        return Err(CreateError::EmailTaken);
    }
    state.directory.claim(tx, id, new.username, now).await?;
    let inserted = sqlx::query(
        "INSERT INTO identity_users (id, email, email_folded, password_scheme, password_hash, password_alone, role, created_at) VALUES ($1, $2, $3, $4, \
         $5, 1, $6, $7) ON CONFLICT (email_folded) DO NOTHING",
    )
    .bind(id)
    .bind(new.email.trim())
    .bind(fold(new.email))
    .bind(new.password.map(|stored| i64::from(stored.scheme.number())))
    .bind(new.password.map(|stored| stored.phc.as_str()))
    .bind(new.role.as_str())
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(Error::from)?;
    if inserted.rows_affected() == 0 {
        return Err(CreateError::EmailTaken);
    }
    let registered = UserRegistered {
        user: id,
        username: new.username.to_owned(),
    };
    tx.emit(&registered, Some(id), now).await?;
    tx.emit(&UserVerified { user: id }, Some(id), now).await?;
    Ok(id)
}

/// 409 when nothing would be left to log in with: neither a password, nor a passkey, nor an identity at a provider that this server still has.
pub(crate) async fn require_way_in(state: &State, tx: &mut Tx, user: &User) -> Result<(), Problem> {
    if user.password().is_some() {
        return Ok(());
    }
    let passkey: Option<String> = sqlx::query_scalar("SELECT id FROM identity_passkeys WHERE user_id = $1 LIMIT 1")
        .bind(user.id)
        .fetch_optional(tx.conn())
        .await
        .map_err(Error::from)?;
    let providers: Vec<String> = sqlx::query_scalar("SELECT DISTINCT provider FROM identity_links WHERE user_id = $1")
        .bind(user.id)
        .fetch_all(tx.conn())
        .await
        .map_err(Error::from)?;
    if passkey.is_some() || providers.iter().any(|name| state.providers.get(name).is_some()) {
        return Ok(());
    }
    Err(Problem::conflict(
        "this is the last way into your account: choose a password first",
    ))
}

/// How long the link of `nova admin create-user` is good.
const INVITATION_MICROS: i64 = 24 * 3_600_000_000;

/// `nova admin create-user`.
pub(crate) async fn create_by_operator(
    state: &State,
    email: &str,
    username: &str,
    admin: bool,
) -> anyhow::Result<(UserId, String)> {
    anyhow::ensure!(is_address(email), "{email:?} is not an e-mail address");
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let new = New {
        email,
        username,
        password: None,
        role: if admin { Role::Admin } else { Role::Viewer },
    };
    let id = create(state, &mut tx, &new, now).await?;
    let (mut row, sent) = Flow::begin(flow::new_id(now), &state.code_key, now, &state.random);
    // It goes from the operator's terminal to a person, not through a mailbox that somebody else may read.
    row.expires_at = now.plus_micros(INVITATION_MICROS);
    flow::insert(
        tx.conn(),
        &flow::New {
            flow: &row,
            kind: flow::Kind::Reset,
            user: Some(id),
            email,
            username: None,
            password: None,
        },
        now,
    )
    .await?;
    let act = Act {
        actor: None,
        action: "identity.create_user",
        subject: Some(id.to_string()),
        detail: if admin {
            "admin, by the operator"
        } else {
            "by the operator"
        },
    };
    tx.audit(act, None, now).await?;
    tx.commit().await?;
    Ok((id, sent.link.expose().to_owned()))
}

/// Stores a new password.
pub(crate) async fn set_password(
    connection: &mut Connection,
    user: UserId,
    password: &Stored,
    alone: bool,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE identity_users SET password_scheme = $1, password_hash = $2, password_alone = $3 WHERE id = $4",
    )
    .bind(i64::from(password.scheme.number()))
    .bind(password.phc.as_str())
    .bind(Flag(alone))
    .bind(user)
    .execute(connection)
    .await?;
    Ok(())
}

/// Answers other domains about accounts.
pub(crate) struct Keeper(pub(crate) State);

impl Accounts for Keeper {
    fn standing(&self, user: UserId) -> BoxFuture<'_, Result<Option<Standing>, Error>> {
        Box::pin(async move {
            Ok(by_id(&self.0.db, user).await?.map(|user| Standing {
                role: user.role(),
                suspended_until: user
                    .suspended_until
                    .filter(|until| *until > self.0.clock.now().0)
                    .map(Timestamp),
                created_at: Timestamp(user.created_at),
            }))
        })
    }

    fn suspend<'a>(
        &'a self,
        tx: &'a mut Tx,
        user: UserId,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            sqlx::query("UPDATE identity_users SET suspended_until = $1 WHERE id = $2")
                .bind(until.map(|until| until.0))
                .bind(user)
                .execute(tx.conn())
                .await?;
            // Their access tokens say how they stood; new ones say how they stand.
            session::void_access_tokens(&self.0, tx, user, now).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_what_is_none() {
        for good in [
            "a@b.example",
            "first.last+tag@sub.example.org",
            "ü@example.org",
            "a@localhost",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@",
            "@b",
            "a b@c.example",
            "a@b@c.example",
            "a@b.example\n",
            "a@[127.0.0.1]",
            &format!("{}@b.example", "a".repeat(65)),
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
