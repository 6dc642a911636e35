//! Whose token is this: asked for every request, answered from memory.

use std::time::Duration;

use data_encoding::HEXLOWER;
use moka::sync::Cache;
use nova_core::clock::{Clock, Timestamp};
use nova_core::store::BoxFuture;
use nova_domain::db::{Db, SessionId, UserId};
use nova_domain::http::caller::{Authenticator, Caller, Proof, Refused, Role};

use crate::secret::{Purpose, Secret};
use crate::token::{Claims, Tokens};

/// The scope of an access token whose person is suspended.
pub(crate) const SUSPENDED: &str = "suspended";
/// How long a personal access token is remembered: revoking one has effect within a second.
const REMEMBERED: Duration = Duration::from_millis(800);
/// How exactly a token's last use is known.
const LAST_USED_STEP_MICROS: i64 = 60_000_000;

/// Answers for tokens.
pub(crate) struct Gatekeeper {
    tokens: Tokens,
    db: Db,
    clock: Clock,
    personal: Cache<String, Option<Caller>>,
}

impl Gatekeeper {
    pub(crate) fn new(tokens: Tokens, db: Db, clock: Clock) -> Self {
        Self {
            tokens,
            db,
            clock,
            personal: Cache::builder().max_capacity(10_000).time_to_live(REMEMBERED).build(),
        }
    }

    async fn personal(&self, secret: &Secret) -> Result<Caller, Refused> {
        let hash = secret.hash().to_string();
        if let Some(known) = self.personal.get(&hash) {
            return known.ok_or(Refused::Invalid);
        }
        let caller = self.look_up(&hash).await.map_err(|error| {
            tracing::warn!(%error, "a personal access token could not be looked up");
            Refused::Unavailable
        })?;
        self.personal.insert(hash, caller.clone());
        caller.ok_or(Refused::Invalid)
    }

    async fn look_up(&self, hash: &str) -> Result<Option<Caller>, nova_domain::db::Error> {
        #[derive(sqlx::FromRow)]
        struct Row {
            id: SessionId,
            user_id: UserId,
            scopes: String,
            created_at: i64,
            last_used_at: Option<i64>,
            role: String,
            suspended_until: Option<i64>,
        }
        let now = self.clock.now();
        let row: Option<Row> = sqlx::query_as(
            "SELECT t.id, t.user_id, t.scopes, t.created_at, t.last_used_at, u.role, u.suspended_until FROM identity_access_tokens t JOIN \
             identity_users u ON u.id = t.user_id WHERE t.hash = $1 AND (t.expires_at IS NULL OR t.expires_at > $2)",
        )
        .bind(hash)
        .bind(now.0)
        .fetch_optional(self.db.read())
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.last_used_at.is_none_or(|last| now.0 - last > LAST_USED_STEP_MICROS) {
            let mut tx = self.db.begin().await?;
            sqlx::query("UPDATE identity_access_tokens SET last_used_at = $1 WHERE id = $2")
                .bind(now.0)
                .bind(row.id)
                .execute(tx.conn())
                .await?;
            tx.commit().await?;
        }
        Ok(Some(Caller {
            user: row.user_id,
            session: row.id,
            role: Role::parse(&row.role),
            proof: Proof::Token(row.scopes.split(' ').map(str::to_owned).collect()),
            authenticated_at: Timestamp(row.created_at),
            suspended: row.suspended_until.is_some_and(|until| until > now.0),
        }))
    }
}

fn caller(claims: &Claims) -> Option<Caller> {
    Some(Caller {
        user: claims.sub.parse().ok()?,
        session: claims.sid.parse().ok()?,
        role: Role::parse(&claims.role),
        proof: Proof::Session,
        authenticated_at: Timestamp(claims.auth_time * 1_000_000),
        suspended: claims.has_scope(SUSPENDED),
    })
}

impl Authenticator for Gatekeeper {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, Refused>> {
        if let Some(secret) = Secret::parse(Purpose::PersonalAccess, token) {
            return Box::pin(async move { self.personal(&secret).await });
        }
        let answer = self
            .tokens
            .check(token, self.clock.now())
            .ok()
            .and_then(|claims| caller(&claims))
            .ok_or(Refused::Invalid);
        Box::pin(std::future::ready(answer))
    }
}

/// Hex of bytes, as hashes and codes stand in the database.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
