use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use nova_core::clock::Timestamp;
use nova_domain::audit::Act;
use nova_domain::db::{Cursor, Id, List, PageQuery};
use nova_domain::http::limit::Rule;
use nova_domain::http::problem::{Details, Fields};
use nova_domain::http::{Client, Json, Path};
use nova_domain::{Caller, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::State;
use crate::secret::{Purpose, Secret};
use crate::session;

const PER_ACCOUNT: Rule = Rule::new("tokens.account", 20, 20, Duration::from_secs(3600));
/// Tokens of one account.
const MOST: i64 = 50;

/// A personal access token: the marker of its id.
pub(crate) enum PersonalAccessToken {}

type TokenId = Id<PersonalAccessToken>;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenScope {
    /// Whatever changes nothing.
    Read,
    /// Whatever changes something, but the account itself.
    Write,
}

impl TokenScope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A personal access token, without the secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonalToken {
    id: TokenId,
    name: String,
    scopes: Vec<TokenScope>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A new token; the secret is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewPersonalToken {
    #[serde(flatten)]
    token: PersonalToken,
    /// For `Authorization: Bearer`.
    secret: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: TokenId,
    name: String,
    scopes: String,
    created_at: i64,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
}

impl From<Row> for PersonalToken {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: [TokenScope::Read, TokenScope::Write]
                .into_iter()
                .filter(|scope| row.scopes.split(' ').any(|one| one == scope.as_str()))
                .collect(),
            created_at: Timestamp(row.created_at),
            last_used_at: row.last_used_at.map(Timestamp),
            expires_at: row.expires_at.map(Timestamp),
        }
    }
}

/// The caller's personal access tokens, newest first.
#[utoipa::path(
    get, path = "/auth/tokens", tag = "auth", security(("bearer" = [])), params(PageQuery),
    responses(
        (status = 200, description = "A page", body = List<PersonalToken>),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    page: PageQuery,
) -> Result<Json<List<PersonalToken>>, Problem> {
    caller.require_session()?;
    let (at, id) = page.before();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, scopes, created_at, last_used_at, expires_at FROM identity_access_tokens WHERE user_id = $1 AND (created_at, id) < ($2, $3) \
         ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(caller.user)
    .bind(at)
    .bind(id)
    .bind(page.fetch())
    .fetch_all(state.db.read())
    .await?;
    Ok(Json(page.list(
        rows,
        |row| Cursor(row.created_at, row.id.to_string()),
        PersonalToken::from,
    )))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTokenBody {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// At least one.
    #[schema(min_items = 1, max_items = 2)]
    scopes: Vec<TokenScope>,
    /// Days until it ends; without, it lives until it is revoked.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

/// Makes a personal access token for a program of the caller's own. Asks for a recent proof.
#[utoipa::path(
    post, path = "/auth/tokens", tag = "auth", security(("bearer" = [])), request_body = CreateTokenBody,
    responses(
        (status = 201, description = "Made", body = NewPersonalToken),
        (status = 400, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "`sudo_required`, or a personal access token was shown", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "There are too many", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
        (status = 429, description = "Too often", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    Shared(state): Shared<State>,
    client: Client,
    caller: Caller,
    Json(body): Json<CreateTokenBody>,
) -> Result<Response, Problem> {
    let now = state.clock.now();
    session::require_recent(&state, &caller, now)?;
    let mut fields = Fields::new();
    fields.text("name", &body.name, 1, 100);
    fields.check((1..=2).contains(&body.scopes.len()), "scopes", "must have one or two");
    fields.check(
        body.expires_in_days.is_none_or(|days| (1..=3650).contains(&days)),
        "expires_in_days",
        "must be 1 to 3650",
    );
    fields.done()?;
    state.limits.check(&PER_ACCOUNT, caller.user)?;
    let secret = Secret::generate(Purpose::PersonalAccess, &state.random);
    let scopes: Vec<&str> = [TokenScope::Read, TokenScope::Write]
        .into_iter()
        .filter(|scope| body.scopes.contains(scope))
        .map(TokenScope::as_str)
        .collect();
    let row = Row {
        id: TokenId::new(now),
        name: body.name,
        scopes: scopes.join(" "),
        created_at: now.0,
        last_used_at: None,
        expires_at: body
            .expires_in_days
            .map(|days| now.0 + i64::from(days) * 86_400_000_000),
    };
    let mut tx = state.db.begin().await?;
    let have: i64 =
        sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM identity_access_tokens WHERE user_id = $1")
            .bind(caller.user)
            .fetch_one(tx.conn())
            .await?;
    if have >= MOST {
        return Err(Problem::conflict(format!(
            "an account has at most {MOST} tokens: revoke one first"
        )));
    }
    sqlx::query("INSERT INTO identity_access_tokens (id, user_id, name, hash, scopes, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(row.id)
        .bind(caller.user)
        .bind(row.name.as_str())
        .bind(secret.hash().to_string())
        .bind(row.scopes.as_str())
        .bind(now.0)
        .bind(row.expires_at)
        .execute(tx.conn())
        .await?;
    let act = Act {
        actor: Some(caller.user),
        action: "identity.token_created",
        subject: Some(row.id.to_string()),
        detail: &row.scopes,
    };
    tx.audit(act, Some(&client), now).await?;
    let answer = NewPersonalToken {
        token: row.into(),
        secret: secret.expose().to_owned(),
    };
    Ok(tx.commit_as((StatusCode::CREATED, Json(answer))).await?)
}

/// Revokes one; it is refused within a second.
#[utoipa::path(
    delete, path = "/auth/tokens/{id}", tag = "auth", security(("bearer" = [])), params(("id" = TokenId, Path, description = "The token")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, description = "Nobody is logged in", body = Details, content_type = "application/problem+json"),
        (status = 403, description = "A personal access token may not do this", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "The caller has no such token", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<TokenId>,
) -> Result<StatusCode, Problem> {
    caller.require_session()?;
    let mut tx = state.db.begin().await?;
    let revoked = sqlx::query("DELETE FROM identity_access_tokens WHERE id = $1 AND user_id = $2")
        .bind(id)
        .bind(caller.user)
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    if revoked.rows_affected() == 0 {
        return Err(Problem::not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}
