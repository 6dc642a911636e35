//! Logins: one row for each, with the line of its refresh tokens.

use std::time::Duration;

use nova_core::clock::Timestamp;
use nova_domain::db::{Error, Id, SessionId, Tx, UserId};
use nova_domain::events::{RefreshReuse, SessionCreated, SessionRevoked};
use nova_domain::http::Client;
use nova_domain::{Caller, Problem};
use tokio_util::sync::CancellationToken;

use crate::account::User;
use crate::authenticate::SUSPENDED;
use crate::domain::{self, State};
use crate::mail::Message;
use crate::post;
use crate::refresh::{self, Decision, Family, Over, Row};
use crate::secret::{Purpose, Secret};
use crate::token::Grant;

/// How often revocations of other processes are looked for: one takes effect within a second everywhere.
const LOOK: Duration = Duration::from_millis(400);
/// How far back each look goes: a transaction may commit a while after it took the time.
const OVERLAP_MICROS: i64 = 20_000_000;
/// A login from a network and a program seen within this time is not news to its person.
const KNOWN_MICROS: i64 = 90 * 86_400_000_000;

/// What a login or a refresh brings.
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) expires_in: u32,
    pub(crate) refresh: Secret,
    pub(crate) session: SessionId,
}

/// How somebody proved who they are.
pub(crate) struct Proven<'a> {
    /// RFC 8176 names: `pwd`, `otp`, `hwk`, …
    pub(crate) amr: &'a [&'a str],
    pub(crate) device_name: &'a str,
    pub(crate) client: &'a Client,
}

/// Begins a session and tells its person when it looks new.
pub(crate) async fn begin(
    state: &State,
    tx: &mut Tx,
    user: &User,
    proven: &Proven<'_>,
    now: Timestamp,
) -> Result<Pair, Problem> {
    let id = SessionId::new(now);
    let family = state.lifetimes().family(now);
    let agent: String = proven.client.agent.chars().take(200).collect();
    let network = proven.client.network().to_string();
    let new_device = is_new_device(tx, user.id, &network, &agent, now).await?;
    sqlx::query(
        "INSERT INTO identity_sessions (id, user_id, device_name, user_agent, ip, amr, authenticated_at, created_at, last_seen_at, expires_at) VALUES ($1, \
         $2, $3, $4, $5, $6, $7, $7, $7, $8)",
    )
    .bind(id)
    .bind(user.id)
    .bind(proven.device_name)
    .bind(agent.as_str())
    .bind(proven.client.ip.to_string())
    .bind(proven.amr.join(" "))
    .bind(now.0)
    .bind(family.expires_at.0)
    .execute(tx.conn())
    .await
    .map_err(Error::from)?;
    record_login(tx, user.id, true, &proven.amr.join(" "), proven.client, now).await?;
    let refresh = add_refresh(state, tx, id, &family, now).await?;
    let created = SessionCreated {
        user: user.id,
        session: id.to_string(),
        new_device,
    };
    tx.emit(&created, Some(user.id), now).await?;
    if new_device {
        let message = Message::NewDevice {
            device: if proven.device_name.is_empty() {
                agent
            } else {
                proven.device_name.to_owned()
            },
            place: None,
            at: now,
            link: state.page("/account/sessions", ""),
        };
        post::enqueue(state, tx, &user.email, &message, now).await?;
    }
    let access = access_token(state, user, id, now, proven.amr, now)?;
    Ok(Pair {
        access,
        expires_in: state.config.access_minutes * 60,
        refresh,
        session: id,
    })
}

/// True when this person has logged in before, and never from here or with this program.
async fn is_new_device(tx: &mut Tx, user: UserId, network: &str, agent: &str, now: Timestamp) -> Result<bool, Error> {
    let (before, same): (i64, i64) = sqlx::query_as(
        "SELECT CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(CASE WHEN network = $1 AND user_agent = $2 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM \
         identity_logins WHERE user_id = $3 AND success = 1 AND at > $4",
    )
    .bind(network)
    .bind(agent)
    .bind(user)
    .bind(now.0 - KNOWN_MICROS)
    .fetch_one(tx.conn())
    .await?;
    Ok(before > 0 && same == 0)
}

/// Writes an attempt to log in: the rows of `record_successful_login` and `record_failed_login`.
pub(crate) async fn record_login(
    tx: &mut Tx,
    user: UserId,
    success: bool,
    reason: &str,
    client: &Client,
    now: Timestamp,
) -> Result<(), Error> {
    let agent: String = client.agent.chars().take(200).collect();
    sqlx::query("INSERT INTO identity_logins (id, user_id, success, reason, ip, network, user_agent, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(Id::<Pair>::new(now))
        .bind(user)
        .bind(i64::from(success))
        .bind(reason)
        .bind(client.ip.to_string())
        .bind(client.network().to_string())
        .bind(agent)
        .bind(now.0)
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn access_token(
    state: &State,
    user: &User,
    session: SessionId,
    authenticated_at: Timestamp,
    amr: &[&str],
    now: Timestamp,
) -> Result<String, Problem> {
    let grant = Grant {
        user: user.id.to_string(),
        session: session.to_string(),
        role: user.role().as_str().to_owned(),
        scope: if user.is_suspended(now) {
            SUSPENDED.to_owned()
        } else {
            String::new()
        },
        auth_time: authenticated_at,
        amr: amr.iter().map(|method| (*method).to_owned()).collect(),
    };
    let issued = state.tokens.issue(grant, now, &state.random);
    issued
        .map(|issued| issued.token)
        .map_err(|error| Problem::internal(&error))
}

async fn add_refresh(
    state: &State,
    tx: &mut Tx,
    session: SessionId,
    family: &Family,
    now: Timestamp,
) -> Result<Secret, Error> {
    let secret = Secret::generate(Purpose::Refresh, &state.random);
    sqlx::query("INSERT INTO identity_refresh_tokens (hash, session_id, state, expires_at, created_at) VALUES ($1, $2, 0, $3, $4)")
        .bind(secret.hash().to_string())
        .bind(session)
        .bind(state.lifetimes().token_expiry(family, now).0)
        .bind(now.0)
        .execute(tx.conn())
        .await?;
    Ok(secret)
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    session_id: SessionId,
    state: i64,
    successor: Option<String>,
    expires_at: i64,
}

impl TokenRow {
    fn rules(&self) -> Row {
        Row {
            state: match self.state {
                0 => refresh::State::Unused,
                1 => refresh::State::Consumed,
                _ => refresh::State::Revoked,
            },
            expires_at: Timestamp(self.expires_at),
        }
    }
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    user_id: UserId,
    device_name: String,
    amr: String,
    authenticated_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
}

/// Presents a refresh token: a new pair, or 401. What is decided is written in one transaction, the family's row locked.
pub(crate) async fn refresh(state: &State, presented: &str, client: &Client, now: Timestamp) -> Result<Pair, Problem> {
    let refused = || Problem::unauthenticated("the refresh token is not valid, or not any more").code("invalid_grant");
    let Some(secret) = Secret::parse(Purpose::Refresh, presented) else {
        return Err(refused());
    };
    let hash = secret.hash().to_string();
    let mut tx = state.db.begin().await?;
    let Some(session_id) =
        sqlx::query_scalar::<_, SessionId>("SELECT session_id FROM identity_refresh_tokens WHERE hash = $1")
            .bind(hash.as_str())
            .fetch_optional(tx.conn())
            .await?
    else {
        return Err(refused());
    };
    // The family first: two that come at once are decided one after the other.
    let session: SessionRow = sqlx::query_as(
        "UPDATE identity_sessions SET last_seen_at = $1, ip = $2 WHERE id = $3 RETURNING user_id, device_name, amr, authenticated_at, expires_at, ended_at",
    )
    .bind(now.0)
    .bind(client.ip.to_string())
    .bind(session_id)
    .fetch_one(tx.conn())
    .await?;
    let token = token(&mut tx, &hash).await?.ok_or_else(refused)?;
    let successor = match &token.successor {
        Some(successor) => self::token(&mut tx, successor).await?,
        None => None,
    };
    let family = Family {
        revoked: session.ended_at.is_some(),
        expires_at: Timestamp(session.expires_at),
    };
    let decision = refresh::present(
        &token.rules(),
        successor.as_ref().map(TokenRow::rules).as_ref(),
        &family,
        now,
    );
    match decision {
        Decision::Rotate | Decision::Recover => {}
        Decision::Over(Over::SessionEnded | Over::SessionExpired | Over::TokenExpired) => return Err(refused()),
        Decision::Replay => {
            replayed(state, &mut tx, &session, token.session_id, now).await?;
            tx.commit().await?;
            return Err(refused());
        }
    }
    let new = add_refresh(state, &mut tx, session_id, &family, now).await?;
    if let Some(successor) = &token.successor {
        sqlx::query("UPDATE identity_refresh_tokens SET state = 2 WHERE hash = $1")
            .bind(successor.as_str())
            .execute(tx.conn())
            .await?;
    }
    sqlx::query("UPDATE identity_refresh_tokens SET state = 1, successor = $1 WHERE hash = $2")
        .bind(new.hash().to_string())
        .bind(hash)
        .execute(tx.conn())
        .await?;
    let user = crate::account::lock(&mut tx, session.user_id)
        .await?
        .ok_or_else(refused)?;
    tx.commit().await?;
    let amr: Vec<&str> = session.amr.split(' ').collect();
    let access = access_token(state, &user, session_id, Timestamp(session.authenticated_at), &amr, now)?;
    Ok(Pair {
        access,
        expires_in: state.config.access_minutes * 60,
        refresh: new,
        session: session_id,
    })
}

async fn token(tx: &mut Tx, hash: &str) -> Result<Option<TokenRow>, Error> {
    Ok(
        sqlx::query_as("SELECT session_id, state, successor, expires_at FROM identity_refresh_tokens WHERE hash = $1")
            .bind(hash)
            .fetch_optional(tx.conn())
            .await?,
    )
}

/// Somebody has a copy: the family ends, and its person is told.
async fn replayed(
    state: &State,
    tx: &mut Tx,
    session: &SessionRow,
    id: SessionId,
    now: Timestamp,
) -> Result<(), Error> {
    end(state, tx, session.user_id, &[id], now).await?;
    let event = RefreshReuse {
        user: session.user_id,
        session: id.to_string(),
    };
    tx.emit(&event, None, now).await?;
    if let Some(user) = crate::account::lock(tx, session.user_id).await? {
        let message = Message::RefreshReuse {
            device: session.device_name.clone(),
            at: now,
            link: state.page("/account/sessions", ""),
        };
        post::enqueue(state, tx, &user.email, &message, now).await?;
    }
    Ok(())
}

/// Ends sessions with everything that hangs on them: refresh tokens at once, access tokens and sockets of this process at the commit, those
/// of others within a second.
pub(crate) async fn end(
    state: &State,
    tx: &mut Tx,
    user: UserId,
    sessions: &[SessionId],
    now: Timestamp,
) -> Result<(), Error> {
    let forget = state.tokens.expiry(now);
    for session in sessions {
        let ended = sqlx::query(
            "UPDATE identity_sessions SET ended_at = $1 WHERE id = $2 AND user_id = $3 AND ended_at IS NULL",
        )
        .bind(now.0)
        .bind(*session)
        .bind(user)
        .execute(tx.conn())
        .await?;
        if ended.rows_affected() == 0 {
            continue;
        }
        sqlx::query("INSERT INTO identity_token_revocations (id, at, session_id, issued_until, forget_at) VALUES ($1, $2, $3, $2, $4)")
            .bind(Id::<Pair>::new(now))
            .bind(now.0)
            .bind(*session)
            .bind(forget.0)
            .execute(tx.conn())
            .await?;
        let event = SessionRevoked {
            user,
            session: session.to_string(),
        };
        tx.emit(&event, Some(user), now).await?;
    }
    let revocations = state.tokens.revocations().clone();
    let ended: Vec<String> = sessions.iter().map(ToString::to_string).collect();
    tx.on_commit(move || revocations.revoke_sessions(ended.iter().map(String::as_str), forget));
    Ok(())
}

/// The session of `user` has not ended.
pub(crate) async fn is_open(tx: &mut Tx, user: UserId, session: SessionId) -> Result<bool, Error> {
    let open: Option<SessionId> =
        sqlx::query_scalar("SELECT id FROM identity_sessions WHERE id = $1 AND user_id = $2 AND ended_at IS NULL")
            .bind(session)
            .bind(user)
            .fetch_optional(tx.conn())
            .await?;
    Ok(open.is_some())
}

/// Ends every session of a person but one.
pub(crate) async fn end_others(
    state: &State,
    tx: &mut Tx,
    user: UserId,
    but: Option<SessionId>,
    now: Timestamp,
) -> Result<(), Error> {
    let open: Vec<SessionId> =
        sqlx::query_scalar("SELECT id FROM identity_sessions WHERE user_id = $1 AND ended_at IS NULL")
            .bind(user)
            .fetch_all(tx.conn())
            .await?;
    let open: Vec<SessionId> = open.into_iter().filter(|id| Some(*id) != but).collect();
    end(state, tx, user, &open, now).await
}

/// Voids the access tokens a person has now; their sessions go on, and the next refresh brings tokens that say how they stand.
pub(crate) async fn void_access_tokens(state: &State, tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), Error> {
    let forget = state.tokens.expiry(now);
    sqlx::query(
        "INSERT INTO identity_token_revocations (id, at, user_id, issued_until, forget_at) VALUES ($1, $2, $3, $2, $4)",
    )
    .bind(Id::<Pair>::new(now))
    .bind(now.0)
    .bind(user)
    .bind(forget.0)
    .execute(tx.conn())
    .await?;
    let revocations = state.tokens.revocations().clone();
    let id = user.to_string();
    tx.on_commit(move || revocations.revoke_user(&id, now, forget));
    Ok(())
}

/// A new access token that says its person has just proved who they are.
pub(crate) async fn prove_again(
    state: &State,
    tx: &mut Tx,
    caller: &Caller,
    user: &User,
    method: &str,
    now: Timestamp,
) -> Result<String, Problem> {
    let amr: String = sqlx::query_scalar(
        "UPDATE identity_sessions SET authenticated_at = $1 WHERE id = $2 AND ended_at IS NULL RETURNING amr",
    )
    .bind(now.0)
    .bind(caller.session)
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(|| Problem::unauthenticated("the session has ended"))?;
    let mut amr: Vec<&str> = amr.split(' ').collect();
    if !amr.contains(&method) {
        amr.push(method);
    }
    access_token(state, user, caller.session, now, &amr, now)
}

/// 403 `sudo_required` unless the caller has proved who they are a short while ago (ASVS 7.5.1).
pub(crate) fn require_recent(state: &State, caller: &Caller, now: Timestamp) -> Result<(), Problem> {
    caller.require_session()?;
    let since = now.0 - caller.authenticated_at.0;
    if since <= i64::from(state.config.sudo_minutes) * 60_000_000 {
        return Ok(());
    }
    Err(Problem::forbidden("prove who you are once more: POST /api/v1/auth/sudo").code("sudo_required"))
}

/// Takes over what other processes have revoked, what was revoked before this one started, and their signing keys.
pub(crate) async fn watch_revocations(state: State, stop: CancellationToken) {
    let mut since = 0;
    let mut keys = 0;
    let mut rounds = 0_u64;
    loop {
        match look(&state, since).await {
            Ok(at) => since = at - OVERLAP_MICROS,
            Err(error) => tracing::warn!(%error, "revocations of other processes cannot be read"),
        }
        if rounds.is_multiple_of(50) {
            state.tokens.revocations().sweep(state.clock.now());
            if let Err(error) = domain::refresh_keys(&state, &mut keys).await {
                tracing::warn!(%error, "the signing keys cannot be read");
            }
        }
        rounds += 1;
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look(state: &State, since: i64) -> Result<i64, Error> {
    #[derive(sqlx::FromRow)]
    struct Row {
        session_id: Option<String>,
        user_id: Option<String>,
        issued_until: i64,
        forget_at: i64,
    }
    let now = state.clock.now();
    let rows: Vec<Row> =
        sqlx::query_as("SELECT session_id, user_id, issued_until, forget_at FROM identity_token_revocations WHERE at > $1 AND forget_at > $2 ORDER BY at")
            .bind(since)
            .bind(now.0)
            .fetch_all(state.db.read())
            .await?;
    let revocations = state.tokens.revocations();
    for row in rows {
        if let Some(session) = &row.session_id
            && !revocations.is_revoked(session, "", Timestamp(0))
        {
            revocations.revoke_sessions([session.as_str()], Timestamp(row.forget_at));
        }
        if let Some(user) = &row.user_id
            && !revocations.is_revoked("", user, Timestamp(row.issued_until))
        {
            revocations.revoke_user(user, Timestamp(row.issued_until), Timestamp(row.forget_at));
        }
    }
    Ok(now.0)
}
