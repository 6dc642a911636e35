//! Identity as the binary plugs it in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nova_core::clock::Clock;
use nova_domain::accounts::{Accounts, Directory};
use nova_domain::db::Db;
use nova_domain::http::limit::Limits;
use nova_domain::personal::Personal;
use nova_domain::secret::Sealer;
use nova_domain::{Authenticator, Context, Domain};
use serde::Deserialize;
use webauthn_rs::prelude::Webauthn;

use crate::authenticate::Gatekeeper;
use crate::code::CodeKey;
use crate::hash::{self, Hasher};
use crate::mail::{Mailer, Site};
use crate::providers::{ProviderConfig, Providers};
use crate::random::Random;
use crate::refresh::Lifetimes;
use crate::routes::oauth::revoke::Revoke;
use crate::token::{self, Keyring, Tokens};
use crate::{account, erase, post, routes, session};

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Everybody.
    #[default]
    Open,
    /// Nobody; accounts are made by `nova admin create-user`.
    Closed,
}

/// The section `[domains.identity]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who may register.
    pub registration: Registration,
    /// Minutes an access token lives.
    pub access_minutes: u32,
    /// Days a session lives without being used.
    pub idle_days: u32,
    /// Days a session lives at most.
    pub session_days: u32,
    /// Minutes after a login in which sensitive changes need no further proof.
    pub sudo_minutes: u32,
    /// Days between asking for deletion and the deletion.
    pub deletion_days: u32,
    /// Password hashes at once; 0 is one for each core.
    pub hash_threads: usize,
    /// Days after which another key signs access tokens.
    pub key_days: u32,
    /// Whom a sign-in is taken from, by name.
    pub providers: BTreeMap<String, ProviderConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            access_minutes: 15,
            idle_days: 30,
            session_days: 365,
            sudo_minutes: 10,
            deletion_days: 14,
            hash_threads: 0,
            key_days: 30,
            providers: BTreeMap::new(),
        }
    }
}

/// How mail leaves, and as whom.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// `smtp://…`; empty writes files.
    pub url: String,
    /// Address of the sender.
    pub from: String,
    /// Name of the site.
    pub name: String,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) limits: Limits,
    pub(crate) tokens: Tokens,
    pub(crate) hasher: Hasher,
    pub(crate) sealer: Sealer,
    pub(crate) code_key: CodeKey,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) site: Arc<Site>,
    pub(crate) config: Arc<Config>,
    pub(crate) data_dir: Arc<PathBuf>,
    pub(crate) personal: Arc<std::sync::OnceLock<Vec<(&'static str, Personal)>>>,
    pub(crate) gatekeeper: Arc<Gatekeeper>,
    pub(crate) providers: Providers,
    /// `None` where the site has no host name.
    pub(crate) webauthn: Option<Arc<Webauthn>>,
}

impl State {
    pub(crate) fn lifetimes(&self) -> Lifetimes {
        let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
        Lifetimes {
            idle: days(self.config.idle_days),
            absolute: days(self.config.session_days),
        }
    }

    /// The address of a page that takes a secret from its fragment: a fragment is not sent to any server (ASVS 14.2.1).
    pub(crate) fn page(&self, path: &str, secret: &str) -> String {
        if secret.is_empty() {
            format!("{}{path}", self.site.url)
        } else {
            format!("{}{path}#{secret}", self.site.url)
        }
    }
}

/// Identity, built: the domain itself and what others ask of it.
pub struct Identity {
    state: State,
}

impl Identity {
    /// Reads or makes the signing keys and starts the hashing threads. `data_dir` holds the server's secret and, without a mail server, the mails.
    pub async fn new(
        context: &Context,
        config: Config,
        outgoing: &Outgoing,
        data_dir: &std::path::Path,
        directory: Arc<dyn Directory>,
    ) -> anyhow::Result<(Self, Domain)> {
        let random = Random::system();
        let sealer = Sealer::open_or_create(data_dir, b"identity").context("the server's secret")?;
        let code_key = Sealer::derive(data_dir, b"identity codes").context("the server's secret")?;
        let threads = match config.hash_threads {
            0 => hash::Config::default().threads,
            threads => threads,
        };
        let hasher = Hasher::new(
            hash::Config {
                threads,
                queue: threads * 64,
                ..hash::Config::default()
            },
            &random,
        )?;
        let keys = keyring(&context.db, &sealer, &context.clock, &random).await?;
        let tokens = Tokens::new(
            token::Config {
                issuer: context.public_url.clone(),
                audience: format!("{}/api", context.public_url),
                lifetime: Duration::from_secs(u64::from(config.access_minutes) * 60),
                remembered: 20_000,
            },
            &keys,
            crate::revocation::Revocations::new(),
        );
        let mailer = if outgoing.url.is_empty() {
            Mailer::files(&data_dir.join("mail"), &outgoing.name, &outgoing.from)
        } else {
            Mailer::smtp(&outgoing.url, &outgoing.name, &outgoing.from)
        }
        .context("mail")?;
        let state = State {
            db: context.db.clone(),
            clock: context.clock.clone(),
            limits: context.limits.clone(),
            gatekeeper: Arc::new(Gatekeeper::new(
                tokens.clone(),
                context.db.clone(),
                context.clock.clone(),
            )),
            webauthn: routes::passkeys::relying_party(&context.public_url, &outgoing.name),
            providers: Providers::new(&config.providers, &context.public_url)?,
            random,
            tokens,
            hasher,
            sealer,
            code_key: CodeKey::new(&code_key),
            directory,
            site: Arc::new(Site {
                name: outgoing.name.clone(),
                url: context.public_url.clone(),
            }),
            config: Arc::new(config),
            data_dir: Arc::new(data_dir.to_owned()),
            personal: Arc::clone(&context.personal),
        };
        let (posting, exporting, erasing) = (state.clone(), state.clone(), state.clone());
        let mailer = Arc::new(mailer);
        let (watching, sweeping, revoking) = (state.clone(), state.clone(), state.clone());
        let domain = Domain::new("identity")
            .routes(routes::router(state.clone()))
            .root(routes::well_known(state.clone()))
            .job::<post::SendMail>(move |_, job| {
                let (state, mailer) = (posting.clone(), Arc::clone(&mailer));
                Box::pin(async move { post::send(&state, &mailer, job).await })
            })
            .job::<erase::Export>(move |_, job| {
                let state = exporting.clone();
                Box::pin(async move { erase::export(&state, job).await })
            })
            .job::<erase::Erase>(move |_, job| {
                let state = erasing.clone();
                Box::pin(async move { erase::erase_account(&state, job).await })
            })
            .job::<Revoke>(move |_, job| {
                let state = revoking.clone();
                Box::pin(async move { job.run(&state).await })
            })
            .task("identity.revocations", move |stop| {
                session::watch_revocations(watching, stop)
            })
            .task("identity.retention", move |stop| erase::sweep(sweeping, stop))
            .personal(Personal::new(
                erase::TABLES,
                erase::export_identity,
                erase::erase_identity,
            ));
        Ok((Self { state }, domain))
    }

    /// Knows whose token this is.
    pub fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::clone(&self.state.gatekeeper) as _
    }

    /// Knows how accounts stand.
    pub fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::new(account::Keeper(self.state.clone()))
    }

    /// Makes an account without a password, as `nova admin create-user` does. The link that is returned sets the password, once.
    pub async fn create_user(
        &self,
        email: &str,
        username: &str,
        admin: bool,
    ) -> anyhow::Result<(nova_domain::db::UserId, String)> {
        account::create_by_operator(&self.state, email, username, admin).await
    }
}

/// The signing keys as the database has them, made when there are none.
async fn keyring(db: &Db, sealer: &Sealer, clock: &Clock, random: &Random) -> anyhow::Result<Keyring> {
    let mut tx = db.begin().await?;
    let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM identity_keys WHERE name = 'signing'")
        .fetch_optional(tx.conn())
        .await?;
    if let Some(sealed) = sealed {
        let bytes = sealer
            .open(&sealed)
            .context("the signing keys were sealed by another server: bring its data_dir/keys/secret")?;
        tx.rollback().await?;
        return Ok(Keyring::from_bytes(&bytes)?);
    }
    let keys = Keyring::generate(clock.now(), random);
    let made = save_keyring(&mut tx, sealer, &keys, clock).await?;
    tx.commit().await?;
    if made {
        Ok(keys)
    } else {
        Box::pin(keyring(db, sealer, clock, random)).await
    }
}

/// Writes the keys; false when another process has written its own first.
async fn save_keyring(
    tx: &mut nova_domain::db::Tx,
    sealer: &Sealer,
    keys: &Keyring,
    clock: &Clock,
) -> anyhow::Result<bool> {
    let rows = sqlx::query(
        "INSERT INTO identity_keys (name, sealed, changed_at) VALUES ('signing', $1, $2) ON CONFLICT (name) DO NOTHING",
    )
    .bind(sealer.seal(&keys.to_bytes()))
    .bind(clock.now().0)
    .execute(tx.conn())
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Takes the next key into use when the current one is old, and the keys another process has written.
pub(crate) async fn refresh_keys(state: &State, known: &mut i64) -> anyhow::Result<()> {
    let (sealed, changed): (Vec<u8>, i64) =
        sqlx::query_as("SELECT sealed, changed_at FROM identity_keys WHERE name = 'signing'")
            .fetch_one(state.db.read())
            .await?;
    let bytes = state
        .sealer
        .open(&sealed)
        .context("the signing keys cannot be opened")?;
    let mut keys = Keyring::from_bytes(&bytes)?;
    let now = state.clock.now();
    let age = Duration::from_secs(u64::from(state.config.key_days) * 86_400);
    if now.0 - keys.current_since().0 > i64::try_from(age.as_micros()).unwrap_or(i64::MAX) {
        keys.rotate(
            now,
            Duration::from_secs(u64::from(state.config.access_minutes) * 60),
            &state.random,
        );
        let mut tx = state.db.begin().await?;
        let rows = sqlx::query(
            "UPDATE identity_keys SET sealed = $1, changed_at = $2 WHERE name = 'signing' AND changed_at = $3",
        )
        .bind(state.sealer.seal(&keys.to_bytes()))
        .bind(now.0)
        .bind(changed)
        .execute(tx.conn())
        .await?
        .rows_affected();
        tx.commit().await?;
        if rows == 1 {
            tracing::info!("another key signs access tokens from now on");
            state.tokens.set_keys(&keys);
            *known = now.0;
        }
    } else if changed != *known {
        if *known != 0 {
            state.tokens.set_keys(&keys);
        }
        *known = changed;
    }
    Ok(())
}
