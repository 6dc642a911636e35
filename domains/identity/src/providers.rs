//! The providers of sign-in that this server is configured with, and what they say of themselves.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use data_encoding::BASE64;
use nova_core::clock::Timestamp;
use serde::Deserialize;

use crate::oidc::{self, Callback, Discovered, Flow, Identity, Kind, Notice, Provider, Token};

/// How long what a provider says of itself is believed.
const DISCOVERED_MICROS: i64 = 24 * 3_600_000_000;

/// One section `[domains.identity.providers.NAME]`. The names `google`, `apple` and `facebook` mean these; any other is an OpenID issuer.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// Nova's id there.
    #[serde(deserialize_with = "text")]
    pub client_id: String,
    /// The secret beside it; with `apple` there is none.
    #[serde(deserialize_with = "text")]
    pub client_secret: String,
    /// The issuer of an OpenID provider: what its discovery document lies below. With `apple`, what stands in for Apple in a test.
    pub issuer: String,
    /// Apple's developer team.
    pub team: String,
    /// The id of Apple's key.
    pub key_id: String,
    /// Apple's key, a `.p8` file.
    pub key_file: PathBuf,
    /// With `apple`: what Apple tells of its people is taken at `/auth/oauth/apple/events`; with `facebook`: requests for the deletion of somebody's data
    /// at `/auth/oauth/facebook/deletion`.
    pub notices: bool,
    /// With `apple`: its tokens are kept, sealed, and given back when an account or a link goes, as Apple asks for.
    pub revoke: bool,
}

/// Text, or the number that a text of digits becomes on its way through the environment.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(i64),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    })
}

impl std::fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("client_id", &self.client_id)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// All of them. Clones share what was discovered.
#[derive(Clone)]
pub(crate) struct Providers {
    known: Arc<BTreeMap<String, Provider>>,
    discovered: Arc<Mutex<HashMap<String, (Discovered, i64)>>>,
}

impl Providers {
    pub(crate) fn new(config: &BTreeMap<String, ProviderConfig>, public_url: &str) -> anyhow::Result<Self> {
        let known = config.iter().map(|(name, config)| {
            let provider = provider(name, config, public_url);
            Ok((
                name.clone(),
                provider.with_context(|| format!("domains.identity.providers.{name}"))?,
            ))
        });
        Ok(Self {
            known: Arc::new(known.collect::<anyhow::Result<_>>()?),
            discovered: Arc::default(),
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Provider> {
        self.known.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// What the provider says of itself; asked anew once a day.
    pub(crate) async fn discover(&self, provider: &Provider, now: Timestamp) -> Result<Discovered, oidc::Error> {
        let known = self.lock().get(&provider.name).cloned();
        if let Some((discovered, at)) = known
            && now.0 - at < DISCOVERED_MICROS
        {
            return Ok(discovered);
        }
        let asked = provider.clone();
        let discovered = apart(move || async move { oidc::discover(&asked, &oidc::http()).await }).await?;
        self.lock().insert(provider.name.clone(), (discovered.clone(), now.0));
        Ok(discovered)
    }

    /// Whom a callback is about.
    pub(crate) async fn finish(
        &self,
        provider: &Provider,
        flow: &Flow,
        callback: &Callback,
        now: Timestamp,
    ) -> Result<Identity, oidc::Error> {
        let known = self.discover(provider, now).await?;
        let (mut discovered, asked) = (known.clone(), provider.clone());
        let (flow, callback) = (flow.clone(), callback.clone());
        let (finished, discovered) = apart(move || async move {
            let finished = oidc::finish(&asked, &mut discovered, &flow, &callback, now, &oidc::http()).await;
            Ok((finished, discovered))
        })
        .await?;
        if !discovered.is(&known) {
            self.lock().insert(provider.name.clone(), (discovered, now.0));
        }
        finished
    }

    /// What a provider tells of one of its people, when it is the provider who does.
    pub(crate) async fn notice(
        &self,
        provider: &Provider,
        token: String,
        now: Timestamp,
    ) -> Result<Notice, oidc::Error> {
        let known = self.discover(provider, now).await?;
        let (mut discovered, asked) = (known.clone(), provider.clone());
        let (read, discovered) = apart(move || async move {
            let read = oidc::apple_notice(&asked, &mut discovered, &token, now, &oidc::http()).await;
            Ok((read, discovered))
        })
        .await?;
        if !discovered.is(&known) {
            self.lock().insert(provider.name.clone(), (discovered, now.0));
        }
        read
    }

    /// Gives a token back.
    pub(crate) async fn revoke(&self, provider: &Provider, token: Token, now: Timestamp) -> Result<(), oidc::Error> {
        let asked = provider.clone();
        apart(move || async move { oidc::revoke(&asked, &token, now, &oidc::http()).await }).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Discovered, i64)>> {
        self.discovered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The futures of the OpenID library stay on the thread they began on; their requests block one anyway.
async fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, oidc::Error>
where
    F: Future<Output = Result<T, oidc::Error>>,
    T: Send + 'static,
{
    let here = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || here.block_on(work())).await;
    done.map_err(|failed| oidc::Error::Provider(failed.to_string()))?
}

fn provider(name: &str, config: &ProviderConfig, public_url: &str) -> anyhow::Result<Provider> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
        bail!("a provider's name has 1 to 32 lower-case letters, digits or '-'");
    }
    if config.client_id.is_empty() {
        bail!("client_id is missing");
    }
    let secret = || match config.client_secret.as_str() {
        "" => bail!("client_secret is missing"),
        secret => Ok(secret.to_owned()),
    };
    if config.notices && !matches!(name, "apple" | "facebook") {
        bail!("notices are Apple's and Facebook's");
    }
    if config.revoke && name != "apple" {
        bail!("revoke is Apple's");
    }
    let kind = match name {
        "google" => Kind::Google {
            client_secret: secret()?,
        },
        "facebook" => Kind::Facebook { app_secret: secret()? },
        "apple" => Kind::Apple {
            issuer: match config.issuer.trim_end_matches('/') {
                "" => oidc::APPLE.to_owned(),
                other => other.to_owned(),
            },
            team: config.team.clone(),
            key_id: config.key_id.clone(),
            key: apple_key(&config.key_file)?,
        },
        _ if config.issuer.is_empty() => bail!("issuer is missing"),
        _ => Kind::Oidc {
            issuer: config.issuer.clone(),
            client_secret: Some(config.client_secret.clone()).filter(|secret| !secret.is_empty()),
        },
    };
    Ok(Provider {
        name: name.to_owned(),
        kind,
        client_id: config.client_id.clone(),
        redirect_uri: format!("{public_url}/api/v1/auth/oauth/{name}/callback"),
        notices: config.notices,
        revokes: config.revoke,
    })
}

/// PKCS#8 DER out of a `.p8` file.
fn apple_key(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("key_file {}", file.display()))?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64.decode(body.trim().as_bytes()).context("key_file is no .p8 file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: serde_json::Value) -> BTreeMap<String, ProviderConfig> {
        serde_json::from_value(toml).unwrap()
    }

    #[test]
    fn providers_are_told_apart_by_name_and_what_is_missing_is_named() {
        let all = config(serde_json::json!({
            "google": { "client_id": "g", "client_secret": "s" },
            "facebook": { "client_id": 1234567890, "client_secret": "s" },
            "our-company": { "client_id": "nova", "issuer": "https://login.example.org" },
        }));
        let providers = Providers::new(&all, "https://nova.example").unwrap();
        assert_eq!(
            providers.names().collect::<Vec<_>>(),
            ["facebook", "google", "our-company"]
        );
        let facebook = providers.get("facebook").unwrap();
        assert_eq!(facebook.client_id, "1234567890");
        assert_eq!(
            facebook.redirect_uri,
            "https://nova.example/api/v1/auth/oauth/facebook/callback"
        );
        assert!(matches!(
            providers.get("our-company").unwrap().kind,
            Kind::Oidc {
                client_secret: None,
                ..
            }
        ));
        for (name, value, missing) in [
            ("google", serde_json::json!({ "client_id": "g" }), "client_secret"),
            ("other", serde_json::json!({ "client_id": "g" }), "issuer"),
            ("other", serde_json::json!({ "issuer": "https://x" }), "client_id"),
            (
                "apple",
                serde_json::json!({ "client_id": "g", "key_file": "/nowhere" }),
                "key_file",
            ),
            (
                "google",
                serde_json::json!({ "client_id": "g", "client_secret": "s", "notices": true }),
                "notices",
            ),
            (
                "facebook",
                serde_json::json!({ "client_id": "g", "client_secret": "s", "revoke": true }),
                "revoke",
            ),
            ("Bad Name", serde_json::json!({ "client_id": "g" }), "lower-case"),
        ] {
            let refused = Providers::new(&config(serde_json::json!({ name: value })), "https://nova.example");
            let error = format!("{:#}", refused.err().unwrap());
            assert!(error.contains(missing), "{error}");
        }
    }
}
