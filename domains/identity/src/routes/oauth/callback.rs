use axum::Form;
use axum::extract::State as Shared;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use nova_core::clock::Timestamp;
use nova_domain::accounts::ClaimError;
use nova_domain::db::{Error, Id, Tx, UserId};
use nova_domain::http::caller::cookie;
use nova_domain::http::problem::Details;
use nova_domain::http::{Client, Path, Query};
use nova_domain::{Problem, Role};
use openidconnect::url::form_urlencoded;
use subtle::ConstantTimeEq;

use super::{Asker, Begun, COOKIE, Proof, Purpose, Ticket, flow_id, keep, owner, take};
use crate::account::{self, CreateError};
use crate::authenticate::hex;
use crate::domain::{Registration, State};
use crate::flow;
use crate::oidc::{self, Account, Callback, Identity, Link, Provider};
use crate::secret::{self, Secret};
use crate::{post, session};

/// How long a ticket is good: until the page has opened, and a person has found their authenticator app.
const TICKET_MICROS: i64 = 5 * 60_000_000;
/// Names that are tried for a new account.
const NAMES: usize = 20;

/// Why there is no session, as the page is told.
enum Refused {
    /// The browser did not begin this, or too long ago, or the provider said no.
    Failed,
    /// The address has an account, and nobody vouches that it is the same person: log in there first, then add the identity.
    LoginFirst,
    /// The identity is another account's, or none's.
    Taken,
    /// There is no account, and none can be made: registration is closed, or the provider vouches for no address.
    NoAccount,
}

impl Refused {
    const fn code(&self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::LoginFirst => "login_first",
            Self::Taken => "taken",
            Self::NoAccount => "no_account",
        }
    }
}

/// What a provider sends the browser back with. The answer leads to a page, with a ticket for `/auth/oauth/complete`, or the word for what went
/// wrong, in its fragment.
#[utoipa::path(
    get, path = "/auth/oauth/{provider}/callback", tag = "auth", operation_id = "oauth_callback",
    params(("provider" = String, Path, description = "Its name"), Callback),
    responses(
        (status = 303, description = "To a page of this site"),
        (status = 404, description = "No such provider", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn callback(
    Shared(state): Shared<State>,
    client: Client,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(callback): Query<Callback>,
) -> Result<Response, Problem> {
    answer(&state, &client, &headers, &name, callback).await
}

/// The same as a form, which Apple posts.
#[utoipa::path(
    post, path = "/auth/oauth/{provider}/callback", tag = "auth", operation_id = "oauth_posted",
    params(("provider" = String, Path, description = "Its name")),
    request_body(content = Callback, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To a page of this site"),
        (status = 404, description = "No such provider", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "No form", body = Details, content_type = "application/problem+json"),
        (status = 422, description = "A field is not as it must be", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn posted(
    Shared(state): Shared<State>,
    client: Client,
    headers: HeaderMap,
    Path(name): Path<String>,
    form: Result<Form<Callback>, FormRejection>,
) -> Result<Response, Problem> {
    if state.providers.get(&name).is_none() {
        return Err(Problem::not_found());
    }
    let Form(callback) = form.map_err(|error| no_form(&error))?;
    answer(&state, &client, &headers, &name, callback).await
}

/// What is wrong with a form.
pub(super) fn no_form(error: &FormRejection) -> Problem {
    match error {
        FormRejection::InvalidFormContentType(_) => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this takes a form")
        }
        _bad => Problem::invalid("the form cannot be read"),
    }
}

async fn answer(
    state: &State,
    client: &Client,
    headers: &HeaderMap,
    name: &str,
    callback: Callback,
) -> Result<Response, Problem> {
    let provider = state.providers.get(name).ok_or_else(Problem::not_found)?;
    let now = state.clock.now();
    let mut cookie_now = None;
    let page = match vouched(state, provider, headers, &callback, now).await? {
        Ok((begun, identity)) => {
            let mut tx = state.db.begin().await?;
            let arrived = match begun.purpose {
                Purpose::Prove(asker) => prove(&mut tx, asker, &identity).await?.map(|()| asker.user),
                Purpose::LogIn | Purpose::Add(_) => {
                    join(state, &mut tx, client, provider, &begun, &identity, now).await?
                }
            };
            match (arrived, begun.purpose) {
                (Ok(_), Purpose::Add(_)) => {
                    tx.commit().await?;
                    state.page(&begun.return_to, "")
                }
                (Ok(user), purpose) => {
                    let secret = Secret::generate(secret::Purpose::Link, &state.random);
                    let browser = hex(&state.random.bytes::<32>());
                    cookie_now = Some(browser.clone());
                    let expires_at = now.0 + TICKET_MICROS;
                    let page = if let Purpose::Prove(asker) = purpose {
                        let proof = Proof {
                            proves: asker,
                            browser,
                            expires_at,
                        };
                        keep(state, &mut tx, &secret.hash(), &proof, now).await?;
                        state.page(&begun.return_to, &format!("sudo={}", secret.expose()))
                    } else {
                        let ticket = Ticket {
                            user,
                            issuer: identity.issuer,
                            subject: identity.subject,
                            browser,
                            expires_at,
                        };
                        keep(state, &mut tx, &secret.hash(), &ticket, now).await?;
                        let mut fragment = form_urlencoded::Serializer::new(String::new());
                        fragment
                            .append_pair("ticket", secret.expose())
                            .append_pair("to", &begun.return_to);
                        state.page("/login", &fragment.finish())
                    };
                    tx.commit().await?;
                    page
                }
                (Err(refused), purpose) => state.page(purpose.page(), &format!("oauth={}", refused.code())),
            }
        }
        Err((refused, purpose)) => state.page(purpose.page(), &format!("oauth={}", refused.code())),
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let out = response.headers_mut();
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let cookie = match cookie_now {
        Some(value) => format!(
            "{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}",
            TICKET_MICROS / 1_000_000
        ),
        None => format!("{COOKIE}=; Path=/; Secure; HttpOnly; Max-Age=0"),
    };
    for (name, value) in [(LOCATION, page), (SET_COOKIE, cookie)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            out.insert(name, value);
        }
    }
    Ok(response)
}

/// Whom the provider vouches for, when this browser began it. The flow is taken out of its store first: a callback counts once.
async fn vouched(
    state: &State,
    provider: &Provider,
    headers: &HeaderMap,
    callback: &Callback,
    now: Timestamp,
) -> Result<Result<(Begun, Identity), (Refused, Purpose)>, Problem> {
    let shown = callback.state.as_deref().unwrap_or_default();
    let bound = cookie(headers, COOKIE).is_some_and(|cookie| bool::from(cookie.as_bytes().ct_eq(shown.as_bytes())));
    if shown.is_empty() || !bound {
        return Ok(Err((Refused::Failed, Purpose::LogIn)));
    }
    let mut tx = state.db.begin().await?;
    let begun: Option<Begun> = take(state, &mut tx, &flow_id(shown)).await?;
    tx.commit().await?;
    let Some(begun) = begun else {
        return Ok(Err((Refused::Failed, Purpose::LogIn)));
    };
    let finished = state.providers.finish(provider, &begun.flow, callback, now).await;
    Ok(match finished {
        Ok(identity) => Ok((begun, identity)),
        Err(error) => {
            tracing::info!(provider = provider.name, %error, "a sign-in through another failed");
            Err((Refused::Failed, begun.purpose))
        }
    })
}

/// The identity opens the account of who asks, whose session is open still.
async fn prove(tx: &mut Tx, asker: Asker, identity: &Identity) -> Result<Result<(), Refused>, Problem> {
    if !session::is_open(tx, asker.user, asker.session).await? {
        return Ok(Err(Refused::Failed));
    }
    let known = owner(tx, &identity.issuer, &identity.subject).await?;
    Ok(if known == Some(asker.user) {
        Ok(())
    } else {
        Err(Refused::Taken)
    })
}

/// Joins an identity to an account, or makes one, by the rules of [`oidc::link`].
async fn join(
    state: &State,
    tx: &mut Tx,
    client: &Client,
    provider: &Provider,
    begun: &Begun,
    identity: &Identity,
    now: Timestamp,
) -> Result<Result<UserId, Refused>, Problem> {
    let add_to = match begun.purpose {
        Purpose::Add(asker) => Some(asker),
        Purpose::LogIn | Purpose::Prove(_) => None,
    };
    if let Some(asker) = add_to
        && !session::is_open(tx, asker.user, asker.session).await?
    {
        return Ok(Err(Refused::Failed));
    }
    let linked = owner(tx, &identity.issuer, &identity.subject).await?;
    let address = identity.email.as_deref().filter(|email| account::is_address(email));
    let same = match address {
        // An account exists only once its address is proved; what waits for a code in a mail is none.
        Some(email) => account::by_email(&state.db, email).await?.map(|user| Account {
            user: user.id.to_string(),
            email_verified: true,
        }),
        None => None,
    };
    let ids = (
        linked.map(|id| id.to_string()),
        add_to.map(|asker| asker.user.to_string()),
    );
    let decision = oidc::link(identity, ids.0.as_deref(), ids.1.as_deref(), same.as_ref());
    let id = |text: String| text.parse::<UserId>().map_err(|error| Problem::internal(&error));
    Ok(match decision {
        Link::SignIn(user) => {
            renew(state, tx, identity).await?;
            Ok(id(user)?)
        }
        Link::Add(user) => {
            let user = id(user)?;
            add(state, tx, client, provider, identity, user, now).await?;
            Ok(user)
        }
        Link::Register if identity.email_verified && state.config.registration == Registration::Open => match address {
            Some(email) => {
                let user = register(state, tx, email, identity, now).await?;
                add(state, tx, client, provider, identity, user, now).await?;
                Ok(user)
            }
            None => Err(Refused::NoAccount),
        },
        Link::Register => Err(Refused::NoAccount),
        Link::AskForLogin(_) | Link::TakeOver(_) => Err(Refused::LoginFirst),
        Link::Taken => Err(Refused::Taken),
    })
}

/// Keeps the newest token that the provider wants back.
async fn renew(state: &State, tx: &mut Tx, identity: &Identity) -> Result<(), Error> {
    let Some(token) = sealed(state, identity) else {
        return Ok(());
    };
    sqlx::query("UPDATE identity_links SET token = $1 WHERE issuer = $2 AND subject = $3")
        .bind(token)
        .bind(identity.issuer.as_str())
        .bind(identity.subject.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn sealed(state: &State, identity: &Identity) -> Option<Vec<u8>> {
    identity
        .token
        .as_ref()
        .map(|token| state.sealer.seal(token.0.as_bytes()))
}

async fn add(
    state: &State,
    tx: &mut Tx,
    client: &Client,
    provider: &Provider,
    identity: &Identity,
    user: UserId,
    now: Timestamp,
) -> Result<(), Problem> {
    sqlx::query(
        "INSERT INTO identity_links (id, user_id, provider, issuer, subject, email, token, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(Id::<Link>::new(now))
    .bind(user)
    .bind(provider.name.as_str())
    .bind(identity.issuer.as_str())
    .bind(identity.subject.as_str())
    .bind(identity.email.as_deref())
    .bind(sealed(state, identity))
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(Error::from)?;
    let told = (
        "identity.link_added",
        "A sign-in through another was added to your account",
    );
    post::factor_changed(state, tx, client, user, told, now).await?;
    Ok(())
}

/// A new account for an address that the provider vouches for. What somebody else has begun with that address ends (pre-hijacking): their code
/// and their password count no more.
async fn register(
    state: &State,
    tx: &mut Tx,
    email: &str,
    identity: &Identity,
    now: Timestamp,
) -> Result<UserId, Problem> {
    flow::close(tx, flow::Kind::Register, email).await?;
    let mut wish = wish(identity.name.as_deref(), email);
    for _ in 0..NAMES {
        if state.directory.find(&wish).await?.is_none() {
            let new = account::New {
                email,
                username: &wish,
                password: None,
                role: Role::Viewer,
            };
            match account::create(state, tx, &new, now).await {
                Ok(user) => return Ok(user),
                Err(CreateError::Name(ClaimError::Taken | ClaimError::Malformed | ClaimError::Reserved)) => {}
                Err(CreateError::EmailTaken) => {
                    return Err(Problem::conflict("the address was taken a moment ago, try again"));
                }
                Err(CreateError::Name(ClaimError::Database(error)) | CreateError::Database(error)) => {
                    return Err(error.into());
                }
            }
        }
        let tail = u16::from_be_bytes(state.random.bytes::<2>());
        wish.truncate(20);
        wish = format!("{}{tail}", wish.trim_end_matches(|c: char| c.is_ascii_digit()));
    }
    Err(Problem::conflict("no name was free, try again"))
}

/// A name that can be a handle, from what the provider calls them.
fn wish(name: Option<&str>, email: &str) -> String {
    let local = email.split('@').next().unwrap_or_default();
    let from = name
        .filter(|name| name.chars().any(|c| c.is_ascii_alphabetic()))
        .unwrap_or(local);
    let plain: String = from
        .chars()
        .map(|c| if c == ' ' || c == '.' || c == '-' { '_' } else { c })
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(20)
        .collect();
    let plain = plain
        .trim_matches('_')
        .trim_start_matches(|c: char| !c.is_ascii_alphabetic())
        .to_lowercase();
    if plain.len() >= 3 {
        plain
    } else {
        format!("user_{plain}")
    }
}

#[cfg(test)]
mod tests {
    use super::wish;

    #[test]
    fn a_wish_for_a_name_can_be_a_handle() {
        for (name, email, expected) in [
            (Some("Alice Liddell"), "a@example.org", "alice_liddell"),
            (Some("李"), "li.wei@example.org", "li_wei"),
            (None, "x@example.org", "user_x"),
            (Some("_1.2 Bo"), "x@example.org", "user_bo"),
            (Some("..."), "123@example.org", "user_"),
        ] {
            let wish = wish(name, email);
            assert_eq!(wish, expected);
            assert!(crate::routes::register::is_name(&wish));
        }
    }
}
