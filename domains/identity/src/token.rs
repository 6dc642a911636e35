//! Access tokens: JWTs signed with Ed25519 (RFC 9068, RFC 8037), their keys, and the check that every request passes.
//!
//! [`Tokens::issue`] makes one, [`Tokens::check`] takes what a client presents apart and refuses it for a stated reason. A token that was
//! checked before is found by its SHA-256 and costs no second signature; whether it has expired or was revoked is asked each time.
//! The keys are a [`Keyring`] that the caller keeps and rotates. ASVS 5.0 9.1.1 to 9.2.4.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use nova_core::clock::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::jws;
use crate::random::Random;
use crate::revocation::Revocations;

/// Longer ones are not looked at.
const MAX_LENGTH: usize = 4096;
const MICROS: i64 = 1_000_000;
/// RFC 9068 section 2.1.
const TYPE: &str = "at+jwt";

/// What an access token says (RFC 9068 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The user's id.
    pub sub: String,
    /// The session's id (OpenID Connect Front-Channel Logout 1.0 section 3).
    pub sid: String,
    /// When it ends, seconds since the epoch.
    pub exp: i64,
    /// When it was made, seconds since the epoch.
    pub iat: i64,
    /// When it was made, microseconds since the epoch: seconds cannot tell a login from the revocation just before it.
    pub iat_us: i64,
    /// Its own id.
    pub jti: String,
    /// The user's role on this site.
    pub role: String,
    /// What it may be used for, separated by spaces (RFC 8693 section 4.2).
    pub scope: String,
    /// When the user last proved who they are, seconds since the epoch (OpenID Connect Core 1.0 section 2).
    pub auth_time: i64,
    /// How they did (RFC 8176).
    pub amr: Vec<String>,
}

impl Claims {
    /// When it was made.
    pub const fn issued_at(&self) -> Timestamp {
        Timestamp(self.iat_us)
    }

    /// When it ends.
    pub const fn expires_at(&self) -> Timestamp {
        Timestamp(self.exp.saturating_mul(MICROS))
    }

    /// Whether `scope` is among the scopes.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|have| have == scope)
    }
}

/// For whom a token is made.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The user's id.
    pub user: String,
    /// The session's id.
    pub session: String,
    /// The user's role on this site.
    pub role: String,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// When the user last proved who they are.
    pub auth_time: Timestamp,
    /// How they did: `pwd`, `otp`, `hwk`, … (RFC 8176).
    pub amr: Vec<String>,
}

/// Why a token is refused. Clients are told no more than that it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than any that Nova makes.
    #[error("the token has {length} bytes, more than {max}")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// How many are read.
        max: usize,
    },
    /// Not three parts, not base64url, not the JSON of an access token.
    #[error("it is no access token")]
    Malformed,
    /// Signed, or said to be signed, in a way that Nova does not sign.
    #[error("the token's algorithm is {0:?}")]
    Algorithm(String),
    /// Some other kind of token.
    #[error("the token's type is {0:?}")]
    Type(Option<String>),
    /// A header that brings keys of its own or asks for something Nova never asks for.
    #[error("the token's header has {0:?}")]
    HeaderMember(String),
    /// No key of Nova's.
    #[error("the token's key is {0:?}")]
    Key(Option<String>),
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// From somebody else.
    #[error("the token has another issuer")]
    Issuer,
    /// For somebody else.
    #[error("the token has another audience")]
    Audience,
    /// Its time is over.
    #[error("the token expired at {}", .at.to_rfc3339_millis())]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The session has ended, or the user signed out everywhere.
    #[error("the token was revoked")]
    Revoked,
}

/// A token could not be signed: the key is broken.
#[derive(Debug, thiserror::Error)]
#[error("sign an access token: {0}")]
pub struct SigningFailed(#[from] jsonwebtoken::errors::Error);

/// A signing key: Ed25519, named by its thumbprint (RFC 7638, RFC 8037 appendix A.3).
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    kid: String,
    /// The private key (RFC 8032 section 5.1.5), base64url.
    seed: String,
    /// When it began to be published, microseconds since the epoch.
    since: i64,
}

impl Key {
    fn generate(now: Timestamp, random: &Random) -> Self {
        let seed: [u8; 32] = random.bytes();
        let mut key = Self {
            kid: String::new(),
            seed: BASE64URL_NOPAD.encode(&seed),
            since: now.0,
        };
        let x = BASE64URL_NOPAD.encode(&key.pair().map(|(_, public)| public).unwrap_or_default());
        // The members in this order and no others are what the thumbprint is made of.
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        key.kid = BASE64URL_NOPAD.encode(&thumbprint);
        key
    }

    /// The private key as PKCS#8 (RFC 8410 section 7), and the public one.
    fn pair(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        const PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let seed = BASE64URL_NOPAD.decode(self.seed.as_bytes()).ok()?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        Some(([PKCS8, &seed].concat(), pair.public_key().as_ref().to_vec()))
    }
}

/// The signing keys: the one in use, the one that follows (published already, so that nobody meets an unknown key), and those whose
/// tokens may still be about. `Debug` shows names only.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyring {
    current: Key,
    next: Key,
    retired: Vec<Retired>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retired {
    key: Key,
    /// When its last token has expired, microseconds since the epoch.
    until: i64,
}

/// Stored keys that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableKeys {
    /// Not what [`Keyring::to_bytes`] writes.
    #[error("the stored signing keys are not JSON of the expected form: {0}")]
    Json(#[from] serde_json::Error),
    /// A key that is none.
    #[error("the stored signing key {0:?} is not an Ed25519 key")]
    Key(String),
}

impl Keyring {
    /// Two new keys.
    pub fn generate(now: Timestamp, random: &Random) -> Self {
        Self {
            current: Key::generate(now, random),
            next: Key::generate(now, random),
            retired: Vec::new(),
        }
    }

    /// The next key becomes the current one. The old one goes on being known until its last token has expired.
    pub fn rotate(&mut self, now: Timestamp, token_lifetime: Duration, random: &Random) {
        let old = std::mem::replace(&mut self.next, Key::generate(now, random));
        let old = std::mem::replace(&mut self.current, old);
        let lifetime = i64::try_from(token_lifetime.as_micros()).unwrap_or(i64::MAX);
        self.retired.retain(|retired| retired.until > now.0);
        self.retired.push(Retired {
            key: old,
            until: now.0.saturating_add(lifetime),
        });
    }

    /// Forgets every key but new ones: somebody else has them. All tokens end with it.
    pub fn replace_all(&mut self, now: Timestamp, random: &Random) {
        *self = Self::generate(now, random);
    }

    /// When the current key became known, for a rule of when to rotate.
    pub const fn current_since(&self) -> Timestamp {
        Timestamp(self.current.since)
    }

    /// All of it as bytes for a secret store.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    /// What [`Keyring::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableKeys> {
        let keys: Self = serde_json::from_slice(bytes)?;
        if let Some(key) = keys.all().find(|key| key.pair().is_none()) {
            return Err(UnreadableKeys::Key(key.kid.clone()));
        }
        Ok(keys)
    }

    /// The public keys as a JWK Set (RFC 7517, RFC 8037 section 2), for `/.well-known/jwks.json`.
    pub fn jwks(&self) -> serde_json::Value {
        let keys = self.all().filter_map(|key| {
            let x = BASE64URL_NOPAD.encode(&key.pair()?.1);
            Some(serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.kid, "x": x }))
        });
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() })
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        [&self.current, &self.next]
            .into_iter()
            .chain(self.retired.iter().map(|retired| &retired.key))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|key| &key.kid)).finish()
    }
}

/// What tokens are like on this site.
#[derive(Clone, Debug)]
pub struct Config {
    /// `iss`: the site's public URL.
    pub issuer: String,
    /// `aud`: the API.
    pub audience: String,
    /// How long a token lives.
    pub lifetime: Duration,
    /// How many checked tokens are remembered; about a kilobyte each.
    pub remembered: u64,
}

/// A new token and what it says.
#[derive(Clone)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// Its claims.
    pub claims: Claims,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Issues and checks access tokens. Clones share keys, memory and revocations.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    validation: Validation,
    keys: ArcSwap<Keys>,
    revocations: Revocations,
    checked: Cache<[u8; 32], Arc<Claims>>,
}

struct Keys {
    kid: String,
    signing: EncodingKey,
    known: HashMap<String, DecodingKey>,
}

impl Keys {
    fn new(ring: &Keyring) -> Self {
        let (private, _) = ring.current.pair().unwrap_or_default();
        let public = |key: &Key| Some((key.kid.clone(), DecodingKey::from_ed_der(&key.pair()?.1)));
        Self {
            kid: ring.current.kid.clone(),
            signing: EncodingKey::from_ed_der(&private),
            known: ring.all().filter_map(public).collect(),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

/// The members of a header that Nova's tokens have; any other is a reason to refuse (RFC 8725 sections 3.1, 3.8, 3.10, 3.11).
#[derive(Deserialize)]
struct Head {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    #[serde(flatten)]
    others: HashMap<String, serde::de::IgnoredAny>,
}

impl Tokens {
    /// Tokens of this site, signed with the ring's current key.
    pub fn new(config: Config, keys: &Keyring, revocations: Revocations) -> Self {
        jws::install();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[&config.audience]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below, by the clock that is given.
        validation.validate_exp = false;
        Self {
            inner: Arc::new(Inner {
                validation,
                keys: ArcSwap::from_pointee(Keys::new(keys)),
                revocations,
                checked: Cache::builder()
                    .max_capacity(config.remembered)
                    .time_to_live(config.lifetime)
                    .build(),
                config,
            }),
        }
    }

    /// Uses other keys from now on. Tokens of a key that is no longer known are refused from now on, remembered or not.
    pub fn set_keys(&self, keys: &Keyring) {
        self.inner.keys.store(Arc::new(Keys::new(keys)));
        self.inner.checked.invalidate_all();
    }

    /// What ended before its time.
    pub fn revocations(&self) -> &Revocations {
        &self.inner.revocations
    }

    /// When a token issued now will have expired: how long a revocation of today has to be remembered.
    pub fn expiry(&self, now: Timestamp) -> Timestamp {
        let lifetime = i64::try_from(self.inner.config.lifetime.as_micros()).unwrap_or(i64::MAX / 2);
        now.plus_micros(lifetime)
    }

    /// Makes a token.
    pub fn issue(&self, grant: Grant, now: Timestamp, random: &Random) -> Result<Issued, SigningFailed> {
        let config = &self.inner.config;
        let claims = Claims {
            iss: config.issuer.clone(),
            aud: config.audience.clone(),
            sub: grant.user,
            sid: grant.session,
            exp: self.expiry(now).0.div_euclid(MICROS),
            iat: now.0.div_euclid(MICROS),
            iat_us: now.0,
            jti: HEXLOWER.encode(&random.bytes::<16>()),
            role: grant.role,
            scope: grant.scope,
            auth_time: grant.auth_time.0.div_euclid(MICROS),
            amr: grant.amr,
        };
        let keys = self.inner.keys.load();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(keys.kid.clone());
        let token = jsonwebtoken::encode(&header, &claims, &keys.signing)?;
        Ok(Issued { token, claims })
    }

    /// What a token says, if it is one of this site's, in force and not revoked.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<Arc<Claims>, Refused> {
        if token.len() > MAX_LENGTH {
            return Err(Refused::TooLong {
                length: token.len(),
                max: MAX_LENGTH,
            });
        }
        let name: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let claims = match self.inner.checked.get(&name) {
            Some(claims) => claims,
            None => {
                // Keys are read before the token is remembered and the memory is emptied after they changed; a check that is
                // under way meanwhile must not put the old answer back.
                let keys = self.inner.keys.load_full();
                let claims = Arc::new(self.verify(token, &keys)?);
                in_force(&claims, now)?;
                self.inner.checked.insert(name, Arc::clone(&claims));
                if !Arc::ptr_eq(&keys, &self.inner.keys.load()) {
                    self.inner.checked.invalidate(&name);
                }
                claims
            }
        };
        in_force(&claims, now)?;
        if self
            .inner
            .revocations
            .is_revoked(&claims.sid, &claims.sub, claims.issued_at())
        {
            return Err(Refused::Revoked);
        }
        Ok(claims)
    }

    fn verify(&self, token: &str, keys: &Keys) -> Result<Claims, Refused> {
        use jsonwebtoken::errors::ErrorKind;
        let (head, _) = token.split_once('.').ok_or(Refused::Malformed)?;
        let head = BASE64URL_NOPAD
            .decode(head.as_bytes())
            .map_err(|_| Refused::Malformed)?;
        let head: Head = serde_json::from_slice(&head).map_err(|_| Refused::Malformed)?;
        if head.alg != "EdDSA" {
            return Err(Refused::Algorithm(head.alg));
        }
        // RFC 7515 section 4.1.9: a media type, compared without case, `application/` left out.
        let typ = head.typ.as_deref().map(str::to_ascii_lowercase);
        if typ
            .as_deref()
            .map(|typ| typ.strip_prefix("application/").unwrap_or(typ))
            != Some(TYPE)
        {
            return Err(Refused::Type(head.typ));
        }
        if let Some(name) = head.others.into_keys().next() {
            return Err(Refused::HeaderMember(name));
        }
        let Some(key) = head.kid.as_ref().and_then(|kid| keys.known.get(kid)) else {
            return Err(Refused::Key(head.kid));
        };
        jsonwebtoken::decode::<Claims>(token, key, &self.inner.validation)
            .map(|data| data.claims)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => Refused::Signature,
                ErrorKind::InvalidIssuer => Refused::Issuer,
                ErrorKind::InvalidAudience => Refused::Audience,
                _ => Refused::Malformed,
            })
    }
}

fn in_force(claims: &Claims, now: Timestamp) -> Result<(), Refused> {
    let at = claims.expires_at();
    if now >= at {
        Err(Refused::Expired { at })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_250_000);
    const LIFETIME: Duration = Duration::from_secs(900);

    struct Site {
        keys: Keyring,
        tokens: Tokens,
        random: Random,
    }

    fn site() -> Site {
        let random = Random::seeded(1);
        let keys = Keyring::generate(NOW, &random);
        let config = Config {
            issuer: "https://nova.example".to_owned(),
            audience: "https://nova.example/api".to_owned(),
            lifetime: LIFETIME,
            remembered: 100,
        };
        let tokens = Tokens::new(config, &keys, Revocations::new());
        Site { keys, tokens, random }
    }

    fn grant() -> Grant {
        Grant {
            user: "u1".to_owned(),
            session: "s1".to_owned(),
            role: "viewer".to_owned(),
            scope: "chat profile".to_owned(),
            auth_time: NOW,
            amr: vec!["pwd".to_owned()],
        }
    }

    impl Site {
        fn issue(&self) -> String {
            self.tokens.issue(grant(), NOW, &self.random).unwrap().token
        }

        fn check(&self, token: &str) -> Result<Arc<Claims>, Refused> {
            self.tokens.check(token, NOW)
        }

        /// A good token after `change` to its header and claims, signed with the site's own key.
        fn signed(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
            let token = self.issue();
            let mut parts = token
                .split('.')
                .map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap());
            let mut next = || serde_json::from_slice::<Value>(&parts.next().unwrap()).unwrap();
            let (mut header, mut claims) = (next(), next());
            change(&mut header, &mut claims);
            let encode = |value: &Value| BASE64URL_NOPAD.encode(&serde_json::to_vec(value).unwrap());
            let message = format!("{}.{}", encode(&header), encode(&claims));
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.keys.current.pair().unwrap().0).unwrap();
            format!(
                "{message}.{}",
                BASE64URL_NOPAD.encode(pair.sign(message.as_bytes()).as_ref())
            )
        }

        fn refuses(&self, change: impl FnOnce(&mut Value, &mut Value)) -> Refused {
            self.check(&self.signed(change)).unwrap_err()
        }
    }

    #[test]
    fn a_token_says_what_it_was_issued_for() {
        let site = site();
        let issued = site.tokens.issue(grant(), NOW, &site.random).unwrap();
        let claims = site.check(&issued.token).unwrap();
        assert_eq!(*claims, issued.claims);
        assert_eq!((claims.iat, claims.exp), (1_800_000_000, 1_800_000_900));
        assert!(claims.has_scope("chat") && !claims.has_scope("cha"));
        let header = jsonwebtoken::decode_header(&issued.token).unwrap();
        assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), Algorithm::EdDSA));
        assert_eq!(site.signed(|_, _| ()).split('.').count(), 3);
        assert!(
            site.check(&site.signed(|_, _| ())).is_ok(),
            "the tests' own signer makes good tokens"
        );
    }

    #[test]
    fn no_signature_is_refused() {
        let site = site();
        let refused = site.refuses(|header, _| header["alg"] = json!("none"));
        assert_eq!(refused, Refused::Algorithm("none".to_owned()));
        let token = site.signed(|header, _| header["alg"] = json!("None"));
        let bare = token.rsplit_once('.').unwrap().0;
        assert_eq!(
            site.check(&format!("{bare}.")),
            Err(Refused::Algorithm("None".to_owned()))
        );
        let good = site.issue();
        assert_eq!(
            site.check(&format!("{}.", good.rsplit_once('.').unwrap().0)),
            Err(Refused::Signature)
        );
    }

    #[test]
    fn the_public_key_as_a_shared_secret_is_refused() {
        // Algorithm confusion: the JWKS is public, so anybody can compute this HMAC.
        let site = site();
        let message = site.signed(|header, _| header["alg"] = json!("HS256"));
        let message = message.rsplit_once('.').unwrap().0.to_owned();
        let public = site.keys.current.pair().unwrap().1;
        let mac = ring::hmac::sign(
            &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &public),
            message.as_bytes(),
        );
        let token = format!("{message}.{}", BASE64URL_NOPAD.encode(mac.as_ref()));
        assert_eq!(site.check(&token), Err(Refused::Algorithm("HS256".to_owned())));
    }

    #[test]
    fn another_algorithm_is_refused() {
        for alg in ["ES256", "RS256", "PS256", "eddsa", ""] {
            let refused = site().refuses(|header, _| header["alg"] = json!(alg));
            assert_eq!(refused, Refused::Algorithm(alg.to_owned()));
        }
    }

    #[test]
    fn headers_that_bring_keys_are_refused() {
        for name in ["jku", "x5u", "jwk", "x5c", "crit", "b64", "zip"] {
            let refused = site().refuses(|header, _| header[name] = json!("https://evil.example/keys"));
            assert_eq!(refused, Refused::HeaderMember(name.to_owned()));
        }
    }

    #[test]
    fn another_type_of_token_is_refused() {
        for typ in [json!("JWT"), json!("rt+jwt"), Value::Null] {
            let refused = site().refuses(|header, _| header["typ"] = typ.clone());
            assert_eq!(refused, Refused::Type(typ.as_str().map(str::to_owned)));
        }
        assert!(
            site()
                .check(&site().signed(|header, _| header["typ"] = json!("application/AT+JWT")))
                .is_ok()
        );
    }

    #[test]
    fn an_unknown_or_missing_key_is_refused() {
        assert_eq!(
            site().refuses(|header, _| header["kid"] = json!("x")),
            Refused::Key(Some("x".to_owned()))
        );
        assert_eq!(
            site().refuses(|header, _| header["kid"] = Value::Null),
            Refused::Key(None)
        );
    }

    #[test]
    fn another_audience_is_refused() {
        assert_eq!(
            site().refuses(|_, claims| claims["aud"] = json!("https://other.example")),
            Refused::Audience
        );
        assert_eq!(
            site().refuses(|_, claims| {
                claims.as_object_mut().unwrap().remove("aud");
            }),
            Refused::Malformed
        );
    }

    #[test]
    fn another_issuer_is_refused() {
        assert_eq!(
            site().refuses(|_, claims| claims["iss"] = json!("https://nova.example.evil.example")),
            Refused::Issuer
        );
    }

    #[test]
    fn a_token_ends_at_its_second_even_when_it_is_remembered() {
        let site = site();
        let token = site.issue();
        let at = Timestamp(1_800_000_900_000_000);
        assert!(site.tokens.check(&token, at.plus_micros(-1)).is_ok());
        assert_eq!(site.tokens.check(&token, at), Err(Refused::Expired { at }));
        let unseen = site.signed(|_, claims| claims["jti"] = json!("2"));
        assert_eq!(site.tokens.check(&unseen, at), Err(Refused::Expired { at }));
        assert_eq!(
            site.refuses(|_, claims| {
                claims.as_object_mut().unwrap().remove("exp");
            }),
            Refused::Malformed
        );
    }

    #[test]
    fn a_changed_token_is_refused() {
        let site = site();
        let (good, other) = (site.issue(), site.signed(|_, claims| claims["role"] = json!("admin")));
        site.check(&good).unwrap();
        let mut parts: Vec<&str> = good.split('.').collect();
        parts[1] = other.split('.').nth(1).unwrap();
        assert_eq!(site.check(&parts.join(".")), Err(Refused::Signature));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let site = site();
        for wrong in ["", ".", "..", "a.b.c", "e30.e30.", "nova_rt_x", "é.é.é"] {
            assert_eq!(site.check(wrong), Err(Refused::Malformed), "{wrong:?}");
        }
        let long = "a".repeat(MAX_LENGTH + 1);
        assert_eq!(
            site.check(&long),
            Err(Refused::TooLong {
                length: 4097,
                max: 4096
            })
        );
        assert_eq!(site.check(&format!("{}.x", site.issue())), Err(Refused::Malformed));
    }

    #[test]
    fn a_revoked_session_ends_at_once_and_a_new_login_within_the_same_second_stands() {
        let site = site();
        let old = site.issue();
        site.check(&old).unwrap();
        let now = NOW.plus_micros(1000);
        site.tokens
            .revocations()
            .revoke_user("u1", now, site.tokens.expiry(now));
        assert_eq!(site.tokens.check(&old, now), Err(Refused::Revoked));
        let new = site
            .tokens
            .issue(
                Grant {
                    session: "s2".to_owned(),
                    ..grant()
                },
                now.plus_micros(1),
                &site.random,
            )
            .unwrap()
            .token;
        site.tokens.check(&new, now).unwrap();
        site.tokens
            .revocations()
            .revoke_sessions(["s2"], site.tokens.expiry(now));
        assert_eq!(site.tokens.check(&new, now), Err(Refused::Revoked));
    }

    #[test]
    fn keys_rotate_without_anybody_being_signed_out() {
        let mut site = site();
        let first = site.issue();
        let published = |keys: &Keyring| -> Vec<String> {
            let set = keys.jwks();
            set["keys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| key["kid"].as_str().unwrap().to_owned())
                .collect()
        };
        let before = published(&site.keys);
        assert_eq!(before.len(), 2);
        site.keys.rotate(NOW, LIFETIME, &site.random);
        site.tokens.set_keys(&site.keys);
        let second = site.issue();
        assert_eq!(
            jsonwebtoken::decode_header(&second).unwrap().kid.as_ref(),
            before.get(1),
            "it was known before"
        );
        assert!(site.check(&first).is_ok() && site.check(&second).is_ok());
        let later = site.tokens.expiry(NOW);
        site.keys.rotate(later, LIFETIME, &site.random);
        site.tokens.set_keys(&site.keys);
        assert!(!published(&site.keys).contains(&before[0]), "its tokens have expired");
        assert!(matches!(site.check(&first), Err(Refused::Key(Some(_)))));
        site.keys.replace_all(NOW, &site.random);
        site.tokens.set_keys(&site.keys);
        assert!(
            matches!(site.check(&second), Err(Refused::Key(Some(_)))),
            "remembered, but its key is gone"
        );
    }

    #[test]
    fn keys_come_back_from_their_bytes() {
        let site = site();
        let token = site.issue();
        let restored = Keyring::from_bytes(&site.keys.to_bytes()).unwrap();
        site.tokens.set_keys(&restored);
        assert!(site.check(&token).is_ok());
        assert!(Keyring::from_bytes(b"{}").is_err());
        assert!(!format!("{:?}", site.keys).contains(&site.keys.current.seed));
        let set = restored.jwks().to_string();
        assert!(!set.contains(&site.keys.current.seed) && set.contains(r#""crv":"Ed25519""#));
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        // RFC 8037 appendices A.1 to A.3.
        let mut key = Key::generate(NOW, &Random::seeded(1));
        key.seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A".to_owned();
        let x = BASE64URL_NOPAD.encode(&key.pair().unwrap().1);
        assert_eq!(x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
        assert_eq!(
            BASE64URL_NOPAD.encode(&thumbprint),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}
