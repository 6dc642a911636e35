//! Sign-in through others: Google, Apple, Facebook, or any OpenID provider (OpenID Connect Core 1.0; RFC 7636, RFC 9207, RFC 9700).
//!
//! [`start`] makes the address to send the browser to and the [`Flow`] to keep for it; [`finish`] takes the flow and what came back to
//! the callback, and gives the identity that the provider vouches for. What that identity may be joined to is [`link`]'s decision. The
//! HTTP client is an argument: [`http()`] in production. Providers' peculiarities are in [`Kind`] and nowhere else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use nova_core::clock::Timestamp;
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm, CoreProviderMetadata};
use openidconnect::url::Url;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, IssuerUrl, JsonWebKey, TokenUrl};
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::jws;
use crate::random::Random;

/// How long somebody may take at the provider (ASVS 5.0 10.1.2).
pub const LIFETIME: Duration = Duration::from_secs(600);
/// More than any provider's answer has.
const MAX_BODY: u64 = 512 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
const GOOGLE: &str = "https://accounts.google.com";
pub(crate) const APPLE: &str = "https://appleid.apple.com";
pub(crate) const FACEBOOK: &str = "https://www.facebook.com";
const FACEBOOK_DIALOG: &str = "https://www.facebook.com/v23.0/dialog/oauth";
const FACEBOOK_GRAPH: &str = "https://graph.facebook.com/v23.0";

/// What sort of provider it is.
#[derive(Clone)]
pub enum Kind {
    /// Its `iss` comes with or without `https://`.
    Google {
        /// From its console.
        client_secret: String,
    },
    /// Posts the callback, sends the name once, and wants a client secret that is a fresh ES256 JWT.
    Apple {
        /// Apple, or what stands in for it.
        issuer: String,
        /// The developer team.
        team: String,
        /// The id of the key.
        key_id: String,
        /// The key, PKCS#8 DER: a `.p8` file without its armour.
        key: Vec<u8>,
    },
    /// OAuth 2.0 and the Graph API. Never says whether an address is proved.
    Facebook {
        /// From its console.
        app_secret: String,
    },
    /// Any other, by discovery.
    Oidc {
        /// `iss`.
        issuer: String,
        /// None for a public client.
        client_secret: Option<String>,
    },
}

/// A provider as it is configured. `Debug` shows no secret.
#[derive(Clone)]
pub struct Provider {
    /// Its name in paths: `google`.
    pub name: String,
    /// What sort it is.
    pub kind: Kind,
    /// Nova's id there.
    pub client_id: String,
    /// Nova's callback, as registered there.
    pub redirect_uri: String,
    /// What it tells of its people is listened to: Apple's events, Facebook's requests for deletion.
    pub notices: bool,
    /// Apple's tokens are kept, and given back when the account or the link goes.
    pub revokes: bool,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Who vouches for its identities. With the subject it is the key of a link, and nothing else is (ASVS 6.8.1).
    pub fn issuer(&self) -> &str {
        match &self.kind {
            Kind::Google { .. } => GOOGLE,
            Kind::Apple { issuer, .. } => issuer,
            Kind::Facebook { .. } => FACEBOOK,
            Kind::Oidc { issuer, .. } => issuer,
        }
    }

    /// It can say when its person last proved who they are. Facebook cannot.
    pub const fn tells_time(&self) -> bool {
        !matches!(self.kind, Kind::Facebook { .. })
    }

    /// Its callback is a POST from another site, so the flow's cookie has to be `SameSite=None; Secure`.
    pub const fn posts_callback(&self) -> bool {
        matches!(self.kind, Kind::Apple { .. })
    }

    fn client_secret(&self, now: Timestamp) -> Result<Option<String>, Error> {
        match &self.kind {
            Kind::Google { client_secret } => Ok(Some(client_secret.clone())),
            Kind::Facebook { app_secret } => Ok(Some(app_secret.clone())),
            Kind::Oidc { client_secret, .. } => Ok(client_secret.clone()),
            Kind::Apple {
                issuer,
                team,
                key_id,
                key,
            } => apple_secret(issuer, (team, key_id, key), &self.client_id, now).map(Some),
        }
    }
}

/// "Creating a client secret" of Sign in with Apple: at most six months, made for five minutes.
fn apple_secret(
    issuer: &str,
    (team, key_id, key): (&str, &str, &[u8]),
    client_id: &str,
    now: Timestamp,
) -> Result<String, Error> {
    jws::install();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.kid = Some(key_id.to_owned());
    let seconds = now.0.div_euclid(1_000_000);
    let claims =
        serde_json::json!({ "iss": team, "iat": seconds, "exp": seconds + 300, "aud": issuer, "sub": client_id });
    jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_ec_der(key)).map_err(|_| Error::AppleKey)
}

/// What a provider says of itself, its keys included. To be fetched anew once a day; [`finish`] does so when it meets a key that it does not know.
#[derive(Clone, Debug)]
pub struct Discovered(Option<Arc<CoreProviderMetadata>>);

impl Discovered {
    /// Both came with one answer of the provider.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

/// Asks a provider what it says of itself (OpenID Connect Discovery 1.0 section 4).
pub async fn discover<H>(provider: &Provider, http: &H) -> Result<Discovered, Error>
where
    H: for<'c> AsyncHttpClient<'c>,
{
    if let Kind::Facebook { .. } = provider.kind {
        return Ok(Discovered(None));
    }
    let issuer = IssuerUrl::new(provider.issuer().to_owned()).map_err(|error| Error::Provider(error.to_string()))?;
    let metadata = CoreProviderMetadata::discover_async(issuer, http).await;
    metadata
        .map(|metadata| Discovered(Some(Arc::new(metadata))))
        .map_err(|error| Error::Provider(error.to_string()))
}

/// One sign-in under way, bound to the browser that began it. It is kept, not shown: `Debug` shows the provider only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The provider's name.
    pub provider: String,
    /// Comes back in the callback and finds the flow (RFC 6749 section 10.12).
    pub state: String,
    /// Comes back in the ID token (OpenID Connect Core 1.0 section 15.5.2).
    pub nonce: String,
    /// RFC 7636.
    pub verifier: String,
    /// The provider must have asked its person for a proof since then, seconds since the epoch (`auth_time`).
    #[serde(default)]
    pub since: Option<i64>,
    /// When it ends, microseconds since the epoch.
    pub expires_at: i64,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// How far a provider's clock may be behind this one's, in seconds.
const SKEW: i64 = 30;

/// Begins a sign-in: where to send the browser, and what to keep. With `fresh` the provider is to ask its person for a proof even where it knows
/// them still, and [`finish`] looks whether it did (OpenID Connect Core 1.0 section 3.1.2.1, `max_age`).
pub fn start(
    provider: &Provider,
    discovered: &Discovered,
    fresh: bool,
    now: Timestamp,
    random: &Random,
) -> Result<(String, Flow), Error> {
    let secret = || BASE64URL_NOPAD.encode(&random.bytes::<32>());
    let flow = Flow {
        provider: provider.name.clone(),
        state: secret(),
        nonce: secret(),
        verifier: secret(),
        since: fresh.then(|| now.0.div_euclid(1_000_000) - SKEW),
        expires_at: now.0 + i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX / 2),
    };
    let mut url = match &discovered.0 {
        Some(metadata) => metadata.authorization_endpoint().url().clone(),
        None => Url::parse(FACEBOOK_DIALOG).map_err(|error| Error::Provider(error.to_string()))?,
    };
    let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(flow.verifier.as_bytes()));
    let scope = match &provider.kind {
        Kind::Apple { .. } => "openid name email",
        Kind::Facebook { .. } => "public_profile,email",
        Kind::Google { .. } | Kind::Oidc { .. } => "openid email profile",
    };
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", &provider.redirect_uri)
        .append_pair("scope", scope)
        .append_pair("state", &flow.state)
        .append_pair("nonce", &flow.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    if provider.posts_callback() {
        url.query_pairs_mut().append_pair("response_mode", "form_post");
    }
    if fresh {
        url.query_pairs_mut().append_pair("max_age", "0");
    }
    Ok((url.into(), flow))
}

/// What came to the callback, from its query or, with Apple, its form.
#[derive(Clone, Default, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(as = OAuthCallback)]
pub struct Callback {
    /// The authorization code.
    pub code: Option<String>,
    /// The flow's state.
    pub state: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code (RFC 6749 section 4.1.2.1).
    pub error: Option<String>,
    /// Apple, at the first consent only: JSON with the name. Nobody vouches for it.
    pub user: Option<String>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("iss", &self.iss)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Who somebody is, by the word of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who vouches.
    pub issuer: String,
    /// Whom they vouch for: unique within the issuer, never used again.
    pub subject: String,
    /// An address, if there is one.
    pub email: Option<String>,
    /// The provider says that the address is proved. Always false with Facebook, which does not say.
    pub email_verified: bool,
    /// A name to show.
    pub name: Option<String>,
    /// What the provider wants back when the account goes.
    pub token: Option<Token>,
}

/// A refresh token of a provider. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub(crate) String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a sign-in does not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another browser's flow, another provider's, or none.
    #[error("the answer does not belong to this sign-in")]
    State,
    /// Too late.
    #[error("the sign-in took too long")]
    Expired,
    /// The answer comes from somebody else (RFC 9207 section 2.4).
    #[error("the answer is from another issuer: {found:?}")]
    Issuer {
        /// Who it says it is from.
        found: Option<String>,
    },
    /// The user said no, or the provider did.
    #[error("the provider answered {0:?}")]
    Denied(String),
    /// The provider cannot be reached or does not answer as it should.
    #[error("the provider: {0}")]
    Provider(String),
    /// The ID token is not right: signature, audience, issuer, time or nonce.
    #[error("the ID token: {0}")]
    IdToken(String),
    /// No key of the provider's has signed the ID token.
    #[error("the ID token: its signature is none of the provider's")]
    UnknownKey,
    /// A fresh proof was asked for, and the provider does not say that there was one.
    #[error("its person last proved who they are at {at:?}, before this sign-in")]
    Stale {
        /// When they did, by the provider's word.
        at: Option<i64>,
    },
    /// The configured key of Apple's is none.
    #[error("the configured Apple key is not a P-256 key in PKCS#8 form")]
    AppleKey,
}

fn check_callback(provider: &Provider, flow: &Flow, callback: &Callback, now: Timestamp) -> Result<String, Error> {
    let state = callback.state.as_deref().unwrap_or_default();
    if flow.provider != provider.name || !bool::from(state.as_bytes().ct_eq(flow.state.as_bytes())) {
        return Err(Error::State);
    }
    if now.0 >= flow.expires_at {
        return Err(Error::Expired);
    }
    // Two providers with one callback, one of them hostile: the mix-up attack (RFC 9700 section 4.4). Each of Nova's providers has a
    // callback of its own, and who says their name has to say the right one.
    if callback.iss.as_deref().is_some_and(|iss| iss != provider.issuer()) {
        return Err(Error::Issuer {
            found: callback.iss.clone(),
        });
    }
    match (&callback.code, &callback.error) {
        (Some(code), None) => Ok(code.clone()),
        (_, error) => Err(Error::Denied(
            error
                .clone()
                .unwrap_or_else(|| "no code".to_owned())
                .chars()
                .take(100)
                .collect(),
        )),
    }
}

/// Ends a sign-in: exchanges the code, checks what comes for it, and says who it is. The caller has taken the flow out of its store, so
/// that a callback counts once. `discovered` is renewed when the provider has taken a new key since: the code is spent by then, so that a second
/// call could not mend it.
pub async fn finish<H>(
    provider: &Provider,
    discovered: &mut Discovered,
    flow: &Flow,
    callback: &Callback,
    now: Timestamp,
    http: &H,
) -> Result<Identity, Error>
where
    H: for<'c> AsyncHttpClient<'c>,
{
    let code = check_callback(provider, flow, callback, now)?;
    let Some(metadata) = &discovered.0 else {
        if flow.since.is_some() {
            return Err(Error::Stale { at: None });
        }
        return facebook(provider, flow, &code, now, http).await;
    };
    let answer: TokenAnswer = exchange(provider, flow, &code, metadata.token_endpoint(), now, http).await?;
    let token = answer
        .id_token
        .ok_or_else(|| Error::IdToken("there is none".to_owned()))?;
    let claims = match verify(&token, metadata.jwks()) {
        Err(Error::UnknownKey) => {
            *discovered = discover(provider, http).await?;
            let metadata = discovered.0.as_ref().ok_or(Error::UnknownKey)?;
            verify(&token, metadata.jwks())?
        }
        verified => verified?,
    };
    let named_twice = matches!(provider.kind, Kind::Google { .. }) && claims.iss == "accounts.google.com";
    if claims.iss != provider.issuer() && !named_twice {
        return Err(Error::Issuer {
            found: Some(claims.iss),
        });
    }
    let refused = |what: &str| Err(Error::IdToken(what.to_owned()));
    // An audience beside Nova is one that Nova does not know, and could present the token here (section 3.1.3.7, rule 3).
    if claims.aud.iter().any(|audience| *audience != provider.client_id) || claims.aud.is_empty() {
        return refused("it is for somebody else");
    }
    if now.0.div_euclid(1_000_000) >= claims.exp {
        return refused("it has expired");
    }
    let nonce = claims.nonce.unwrap_or_default();
    if !bool::from(nonce.as_bytes().ct_eq(flow.nonce.as_bytes())) {
        return refused("it belongs to another sign-in");
    }
    if let Some(since) = flow.since
        && claims.auth_time.is_none_or(|at| at < since)
    {
        return Err(Error::Stale { at: claims.auth_time });
    }
    Ok(Identity {
        issuer: provider.issuer().to_owned(),
        subject: claims.sub,
        email_verified: claims.email.is_some() && claims.email_verified.is_some_and(|flag| flag.is_set()),
        email: claims.email,
        name: claims.name.or_else(|| apple_name(callback.user.as_deref()?)),
        token: answer.refresh_token.filter(|_| provider.revokes).map(Token),
    })
}

/// RFC 6749 section 5.1, OpenID Connect Core 1.0 section 3.1.3.3.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    id_token: Option<String>,
    refresh_token: Option<String>,
}

/// What is read of an ID token (OpenID Connect Core 1.0 sections 2 and 5.1). `openidconnect` has a type for it, which takes an issuer for
/// a URL; Google's other name is none.
#[derive(Deserialize)]
struct IdToken {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "one_or_many")]
    aud: Vec<String>,
    exp: i64,
    nonce: Option<String>,
    auth_time: Option<i64>,
    email: Option<String>,
    email_verified: Option<Flag>,
    name: Option<String>,
}

/// Apple writes its flags as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Boolean(bool),
    Text(String),
}

impl Flag {
    fn is_set(&self) -> bool {
        match self {
            Self::Boolean(flag) => *flag,
            Self::Text(text) => text == "true",
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

/// Checks an ID token's signature with the provider's keys, and reads it (OpenID Connect Core 1.0 section 3.1.3.7).
fn verify(token: &str, keys: &CoreJsonWebKeySet) -> Result<IdToken, Error> {
    signed(token, keys)
}

/// What the provider has signed with one of its keys.
fn signed<T: serde::de::DeserializeOwned>(token: &str, keys: &CoreJsonWebKeySet) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Head {
        alg: CoreJwsSigningAlgorithm,
        kid: Option<String>,
        crit: Option<serde::de::IgnoredAny>,
    }
    let malformed = || Error::IdToken("it is no signed token".to_owned());
    let part = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| malformed());
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (head, claims) = message.split_once('.').ok_or_else(malformed)?;
    let head: Head = serde_json::from_slice(&part(head)?).map_err(|_| malformed())?;
    // Signatures only: with an HMAC anybody who knows the client secret is the provider.
    let allowed = matches!(
        head.alg,
        CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256
            | CoreJwsSigningAlgorithm::RsaSsaPssSha256
            | CoreJwsSigningAlgorithm::EcdsaP256Sha256
            | CoreJwsSigningAlgorithm::EdDsa
    );
    if !allowed || head.crit.is_some() {
        return Err(Error::IdToken(format!("its algorithm is {:?}", head.alg)));
    }
    let signature = part(signature)?;
    // The header's `kid` only chooses among the provider's own keys; a key checks that the algorithm is one of its own.
    let known = keys.keys().iter().filter(|key| match (&head.kid, key.key_id()) {
        (Some(wanted), Some(name)) => wanted == name.as_str(),
        _ => true,
    });
    let signed = known
        .map(|key| key.verify_signature(&head.alg, message.as_bytes(), &signature))
        .any(|result| result.is_ok());
    if !signed {
        return Err(Error::UnknownKey);
    }
    serde_json::from_slice(&part(claims)?).map_err(|error| Error::IdToken(error.to_string()))
}

/// Exchanges a code for tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.5), the client's secret in the body.
async fn exchange<H, T>(
    provider: &Provider,
    flow: &Flow,
    code: &str,
    endpoint: Option<&TokenUrl>,
    now: Timestamp,
    http: &H,
) -> Result<T, Error>
where
    H: for<'c> AsyncHttpClient<'c>,
    T: serde::de::DeserializeOwned,
{
    let endpoint = endpoint.ok_or_else(|| Error::Provider("it has no token endpoint".to_owned()))?;
    let mut form = Url::parse("form:").map_err(|error| Error::Provider(error.to_string()))?;
    form.query_pairs_mut()
        .append_pair("grant_type", "authorization_code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", &provider.redirect_uri)
        .append_pair("code", code)
        .append_pair("code_verifier", &flow.verifier);
    if let Some(secret) = provider.client_secret(now)? {
        form.query_pairs_mut().append_pair("client_secret", &secret);
    }
    let request = openidconnect::http::Request::post(endpoint.as_str())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(form.query().unwrap_or_default().as_bytes().to_vec());
    json(http, request).await
}

/// Gives a token back: the provider forgets that its person has signed in here ("Revoke tokens" of Sign in with Apple, RFC 7009).
pub async fn revoke<H>(provider: &Provider, token: &Token, now: Timestamp, http: &H) -> Result<(), Error>
where
    H: for<'c> AsyncHttpClient<'c>,
{
    let mut form = Url::parse("form:").map_err(|error| Error::Provider(error.to_string()))?;
    form.query_pairs_mut()
        .append_pair("client_id", &provider.client_id)
        .append_pair("client_secret", &provider.client_secret(now)?.unwrap_or_default())
        .append_pair("token", &token.0)
        .append_pair("token_type_hint", "refresh_token");
    let request = openidconnect::http::Request::post(format!("{}/auth/revoke", provider.issuer()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.query().unwrap_or_default().as_bytes().to_vec());
    let request = request.map_err(|error| Error::Provider(error.to_string()))?;
    let answer = http.call(request).await;
    let status = answer.map_err(|error| Error::Provider(error.to_string()))?.status();
    match status.as_u16() {
        200..300 => Ok(()),
        // It says the same tomorrow: the token is none any more, or the client is not known.
        400..429 => Err(Error::Denied(status.to_string())),
        _ => Err(Error::Provider(format!("it answered {status}"))),
    }
}

/// What a provider tells of one of its people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Tells it from every other.
    pub id: String,
    /// Whom it is about.
    pub subject: String,
    /// What has happened.
    pub what: What,
    /// When it did.
    pub at: Timestamp,
}

/// What has happened to an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its person does not want to sign in here with it any more.
    Revoked,
    /// It is gone at the provider.
    Deleted,
    /// The provider forwards mail to its address no more.
    MailStopped,
    /// It does again.
    MailResumed,
    /// Nothing that is known here.
    Other,
}

/// How old a notice may be.
const NOTICE_MICROS: i64 = 24 * 3_600_000_000;
/// How far a provider's clock may be ahead.
const AHEAD_MICROS: i64 = 300_000_000;

fn check_age(at: Timestamp, now: Timestamp) -> Result<(), Error> {
    if now.0 - at.0 > NOTICE_MICROS || at.0 - now.0 > AHEAD_MICROS {
        return Err(Error::Stale {
            at: Some(at.0.div_euclid(1_000_000)),
        });
    }
    Ok(())
}

/// Reads what Apple posts ("Processing changes for Sign in with Apple accounts"): a token like an ID token, with one event in it.
pub async fn apple_notice<H>(
    provider: &Provider,
    discovered: &mut Discovered,
    token: &str,
    now: Timestamp,
    http: &H,
) -> Result<Notice, Error>
where
    H: for<'c> AsyncHttpClient<'c>,
{
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
        #[serde(deserialize_with = "one_or_many")]
        aud: Vec<String>,
        iat: i64,
        jti: String,
        events: Events,
    }
    /// Apple writes JSON inside of JSON.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Events {
        Text(String),
        Object(Event),
    }
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        kind: String,
        sub: String,
        /// Milliseconds, or seconds; it has been seen both ways.
        event_time: Option<i64>,
    }
    let keys = |discovered: &Discovered| discovered.0.clone().ok_or(Error::UnknownKey);
    let claims: Claims = match signed(token, keys(discovered)?.jwks()) {
        Err(Error::UnknownKey) => {
            *discovered = discover(provider, http).await?;
            signed(token, keys(discovered)?.jwks())?
        }
        read => read?,
    };
    if claims.iss != provider.issuer() {
        return Err(Error::Issuer {
            found: Some(claims.iss),
        });
    }
    if claims.aud != [provider.client_id.as_str()] {
        return Err(Error::IdToken("it is for somebody else".to_owned()));
    }
    let said = Timestamp(claims.iat.saturating_mul(1_000_000));
    check_age(said, now)?;
    let event = match claims.events {
        Events::Object(event) => event,
        Events::Text(text) => serde_json::from_str(&text).map_err(|error| Error::IdToken(error.to_string()))?,
    };
    let at = event.event_time.map_or(said, |time| {
        let unit = if time > 100_000_000_000 { 1_000 } else { 1_000_000 };
        Timestamp(time.saturating_mul(unit))
    });
    Ok(Notice {
        id: claims.jti,
        subject: event.sub,
        what: match event.kind.as_str() {
            "consent-revoked" => What::Revoked,
            "account-delete" | "account-deleted" => What::Deleted,
            "email-disabled" => What::MailStopped,
            "email-enabled" => What::MailResumed,
            _ => What::Other,
        },
        at,
    })
}

/// Reads what Facebook posts when somebody wants their data deleted ("Data deletion callback"): a `signed_request`.
pub fn facebook_deletion(provider: &Provider, request: &str, now: Timestamp) -> Result<Notice, Error> {
    #[derive(Deserialize)]
    struct Payload {
        algorithm: String,
        issued_at: i64,
        user_id: String,
    }
    let Kind::Facebook { app_secret } = &provider.kind else {
        return Err(Error::Provider("it is not Facebook".to_owned()));
    };
    let malformed = || Error::IdToken("it is no signed request".to_owned());
    let (signature, payload) = request.split_once('.').ok_or_else(malformed)?;
    let part = |text: &str| BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes());
    let signature = part(signature).map_err(|_| malformed())?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    hmac::verify(&key, payload.as_bytes(), &signature).map_err(|_| Error::UnknownKey)?;
    let read: Payload = serde_json::from_slice(&part(payload).map_err(|_| malformed())?).map_err(|_| malformed())?;
    if !read.algorithm.eq_ignore_ascii_case("HMAC-SHA256") {
        return Err(malformed());
    }
    let at = Timestamp(read.issued_at.saturating_mul(1_000_000));
    check_age(at, now)?;
    Ok(Notice {
        id: payload.to_owned(),
        subject: read.user_id,
        what: What::Revoked,
        at,
    })
}

fn apple_name(user: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct User {
        name: Name,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Name {
        first_name: Option<String>,
        last_name: Option<String>,
    }
    let name = serde_json::from_str::<User>(user).ok()?.name;
    let parts: Vec<String> = [name.first_name, name.last_name].into_iter().flatten().collect();
    let name: String = parts.join(" ").trim().chars().take(100).collect();
    (!name.is_empty()).then_some(name)
}

/// Facebook's own way: a token for the code, then the Graph API with a proof that the app asks (`appsecret_proof`).
async fn facebook<H>(provider: &Provider, flow: &Flow, code: &str, now: Timestamp, http: &H) -> Result<Identity, Error>
where
    H: for<'c> AsyncHttpClient<'c>,
{
    #[derive(Deserialize)]
    struct Me {
        id: String,
        name: Option<String>,
        email: Option<String>,
    }
    let secret = provider.client_secret(now)?.unwrap_or_default();
    let endpoint = TokenUrl::new(format!("{FACEBOOK_GRAPH}/oauth/access_token"))
        .map_err(|error| Error::Provider(error.to_string()))?;
    let token: TokenAnswer = exchange(provider, flow, code, Some(&endpoint), now, http).await?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let proof = HEXLOWER.encode(hmac::sign(&key, token.access_token.as_bytes()).as_ref());
    let request = openidconnect::http::Request::get(format!(
        "{FACEBOOK_GRAPH}/me?fields=id,name,email&appsecret_proof={proof}"
    ))
    .header("authorization", format!("Bearer {}", token.access_token))
    .body(Vec::new());
    let me: Me = json(http, request).await?;
    Ok(Identity {
        issuer: FACEBOOK.to_owned(),
        subject: me.id,
        email: me.email,
        email_verified: false,
        name: me.name,
        token: None,
    })
}

async fn json<H, T>(http: &H, request: Result<HttpRequest, openidconnect::http::Error>) -> Result<T, Error>
where
    H: for<'c> AsyncHttpClient<'c>,
    T: serde::de::DeserializeOwned,
{
    let request = request.map_err(|error| Error::Provider(error.to_string()))?;
    let answer = http
        .call(request)
        .await
        .map_err(|error| Error::Provider(error.to_string()))?;
    if !answer.status().is_success() {
        return Err(Error::Provider(format!("it answered {}", answer.status())));
    }
    serde_json::from_slice(answer.body()).map_err(|error| Error::Provider(error.to_string()))
}

/// A provider was not reached.
#[derive(Debug, thiserror::Error)]
pub enum HttpFailed {
    /// No answer, or one that is too long or took too long.
    #[error("{0}")]
    Request(#[from] Box<ureq::Error>),
    /// The process is ending.
    #[error("the request was dropped")]
    Dropped,
}

/// The HTTP client for providers: bounded in time and size, and it follows no redirect (a token endpoint has no business with one).
pub fn http() -> impl for<'c> AsyncHttpClient<'c> + Clone {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    move |request: HttpRequest| {
        let agent = agent.clone();
        async move {
            let call = move || -> Result<HttpResponse, Box<ureq::Error>> {
                let (parts, body) = agent.run(request).map_err(Box::new)?.into_parts();
                let body = body
                    .into_with_config()
                    .limit(MAX_BODY)
                    .read_to_vec()
                    .map_err(Box::new)?;
                Ok(HttpResponse::from_parts(parts, body))
            };
            tokio::task::spawn_blocking(call)
                .await
                .map_err(|_| HttpFailed::Dropped)?
                .map_err(HttpFailed::Request)
        }
    }
}

/// A local account with the same address as an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub user: String,
    /// Its owner proved the address.
    pub email_verified: bool,
}

/// What an identity is joined to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is this user's already: sign in.
    SignIn(String),
    /// Add it to this user.
    Add(String),
    /// The account was made with an address that its maker never proved, and the provider proves whose it is. Take away its password,
    /// factors, links, tokens and sessions, then add the identity: whoever made it may have waited for this (pre-hijacking).
    TakeOver(String),
    /// Sign in to the account in the usual way first, then add the identity from there.
    AskForLogin(String),
    /// A new account. The address is proved only if the provider says so.
    Register,
    /// It is another user's already.
    Taken,
}

/// Decides what an identity is joined to (ASVS 6.8.1). `linked` is whose (issuer, subject) it is by the table of links; `signed_in` is who
/// asks to add it to their account; `same_address` is the account with its address, compared without case.
pub fn link(
    identity: &Identity,
    linked: Option<&str>,
    signed_in: Option<&str>,
    same_address: Option<&Account>,
) -> Link {
    match (linked, signed_in, same_address) {
        (Some(owner), Some(user), _) if owner != user => Link::Taken,
        (Some(owner), ..) => Link::SignIn(owner.to_owned()),
        (None, Some(user), _) => Link::Add(user.to_owned()),
        (None, None, None) => Link::Register,
        (None, None, Some(account)) => match (identity.email_verified, account.email_verified) {
            (true, true) => Link::Add(account.user.clone()),
            (true, false) => Link::TakeOver(account.user.clone()),
            (false, _) => Link::AskForLogin(account.user.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn provider(kind: Kind) -> Provider {
        Provider {
            name: "one".to_owned(),
            kind,
            client_id: "nova".to_owned(),
            redirect_uri: "https://nova.example/callback".to_owned(),
            notices: true,
            revokes: true,
        }
    }

    fn any() -> Provider {
        provider(Kind::Oidc {
            issuer: "https://op.example".to_owned(),
            client_secret: Some("s3cret".to_owned()),
        })
    }

    fn google() -> Provider {
        provider(Kind::Google {
            client_secret: "s3cret".to_owned(),
        })
    }

    /// A provider in memory: what it was asked, and what it answers to the code.
    #[derive(Clone)]
    struct Double {
        issuer: String,
        claims: Value,
        key: &'static str,
        asked: Arc<Mutex<Vec<(String, String)>>>,
    }

    /// RFC 8037 appendix A.
    const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    impl Double {
        fn new(provider: &Provider, flow: Option<&Flow>) -> Self {
            let seconds = NOW.0 / 1_000_000;
            Self {
                issuer: provider.issuer().to_owned(),
                claims: json!({
                    "iss": provider.issuer(), "sub": "248289", "aud": "nova", "iat": seconds, "exp": seconds + 300,
                    "nonce": flow.map(|flow| flow.nonce.clone()), "email": "alice@example.org", "email_verified": true, "name": "Alice",
                }),
                key: PUBLIC,
                asked: Arc::default(),
            }
        }

        fn key(mut self, key: &'static str) -> Self {
            self.key = key;
            self
        }

        fn claim(mut self, name: &str, value: Value) -> Self {
            self.claims[name] = value;
            self
        }

        fn answer(&self, request: &HttpRequest) -> Value {
            let (uri, body) = (
                request.uri().to_string(),
                String::from_utf8_lossy(request.body()).into_owned(),
            );
            self.asked.lock().unwrap().push((uri.clone(), body));
            let at = |path: &str| format!("{}{path}", self.issuer);
            if uri.ends_with("/.well-known/openid-configuration") {
                json!({
                    "issuer": self.issuer, "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"), "jwks_uri": at("/jwks"),
                    "response_types_supported": ["code"], "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["EdDSA"],
                })
            } else if uri.ends_with("/jwks") {
                json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "k", "x": self.key }] })
            } else if uri.ends_with("/token") {
                jws::install();
                let seed = BASE64URL_NOPAD.decode(SEED.as_bytes()).unwrap();
                let pkcs8 = [
                    b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(),
                    &seed,
                ]
                .concat();
                let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
                header.kid = Some("k".to_owned());
                let key = jsonwebtoken::EncodingKey::from_ed_der(&pkcs8);
                let token = jsonwebtoken::encode(&header, &self.claims, &key).unwrap();
                json!({ "access_token": "at", "token_type": "Bearer", "id_token": token })
            } else if uri.contains("graph.facebook.com") && uri.contains("access_token") {
                json!({ "access_token": "fb-token", "token_type": "bearer" })
            } else {
                json!({ "id": "1000123", "name": "Alice", "email": "alice@example.org" })
            }
        }

        fn http(&self) -> impl for<'c> AsyncHttpClient<'c> + use<> {
            let double = self.clone();
            move |request: HttpRequest| {
                let body = double.answer(&request).to_string().into_bytes();
                std::future::ready(Ok::<_, HttpFailed>(HttpResponse::new(body)))
            }
        }
    }

    async fn begin(provider: &Provider) -> (Discovered, String, Flow) {
        let discovered = discover(provider, &Double::new(provider, None).http()).await.unwrap();
        let (url, flow) = start(provider, &discovered, false, NOW, &Random::seeded(1)).unwrap();
        (discovered, url, flow)
    }

    fn back(flow: &Flow) -> Callback {
        Callback {
            code: Some("c0de".to_owned()),
            state: Some(flow.state.clone()),
            ..Callback::default()
        }
    }

    async fn with_claim(provider: &Provider, name: &str, value: Value) -> Result<Identity, Error> {
        let (mut discovered, _, flow) = begin(provider).await;
        let double = Double::new(provider, Some(&flow)).claim(name, value);
        finish(provider, &mut discovered, &flow, &back(&flow), NOW, &double.http()).await
    }

    #[tokio::test]
    async fn somebody_signs_in_with_pkce_state_and_nonce() {
        let provider = any();
        let (mut discovered, url, flow) = begin(&provider).await;
        let url = Url::parse(&url).unwrap();
        let asked: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.host_str(), Some("op.example"));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(
            asked["code_challenge"],
            BASE64URL_NOPAD.encode(&Sha256::digest(flow.verifier.as_bytes()))
        );
        assert_eq!((&asked["state"], &asked["nonce"]), (&flow.state, &flow.nonce));
        assert_eq!(asked["redirect_uri"], "https://nova.example/callback");
        assert!(!url.as_str().contains(&flow.verifier) && !url.as_str().contains("s3cret"));

        let double = Double::new(&provider, Some(&flow));
        let identity = finish(&provider, &mut discovered, &flow, &back(&flow), NOW, &double.http())
            .await
            .unwrap();
        let expected = Identity {
            issuer: "https://op.example".to_owned(),
            subject: "248289".to_owned(),
            email: Some("alice@example.org".to_owned()),
            email_verified: true,
            name: Some("Alice".to_owned()),
            token: None,
        };
        assert_eq!(identity, expected);
        let asked = double.asked.lock().unwrap().clone();
        assert!(
            asked[0].1.contains(&format!("code_verifier={}", flow.verifier)) && asked[0].1.contains("code=c0de"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_key_that_is_new_at_the_provider_costs_nobody_their_sign_in() {
        let provider = any();
        let old = Double::new(&provider, None).key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURA");
        let mut discovered = discover(&provider, &old.http()).await.unwrap();
        let (_, flow) = start(&provider, &discovered, false, NOW, &Random::seeded(1)).unwrap();
        let before = discovered.clone();
        let double = Double::new(&provider, Some(&flow));
        let identity = finish(&provider, &mut discovered, &flow, &back(&flow), NOW, &double.http())
            .await
            .unwrap();
        assert_eq!(identity.subject, "248289");
        assert!(!discovered.is(&before), "the new keys are kept");
        let asked = double.asked.lock().unwrap().clone();
        let codes = asked.iter().filter(|(uri, _)| uri.ends_with("/token")).count();
        assert_eq!(codes, 1, "the code is spent once: {asked:?}");
    }

    #[tokio::test]
    async fn an_answer_to_another_flow_is_refused() {
        let provider = any();
        let (mut discovered, _, flow) = begin(&provider).await;
        let http = Double::new(&provider, Some(&flow)).http();
        let mut try_it = async |provider: &Provider, callback: Callback, now| {
            finish(provider, &mut discovered, &flow, &callback, now, &http)
                .await
                .unwrap_err()
        };
        let with = |state: Option<&str>| Callback {
            state: state.map(str::to_owned),
            ..back(&flow)
        };
        assert_eq!(try_it(&provider, with(Some("x")), NOW).await, Error::State);
        assert_eq!(try_it(&provider, with(None), NOW).await, Error::State);
        let other = Provider {
            name: "two".to_owned(),
            ..any()
        };
        assert_eq!(try_it(&other, back(&flow), NOW).await, Error::State);
        assert_eq!(
            try_it(&provider, back(&flow), Timestamp(flow.expires_at)).await,
            Error::Expired
        );
        let mixed_up = Callback {
            iss: Some("https://evil.example".to_owned()),
            ..back(&flow)
        };
        assert!(matches!(try_it(&provider, mixed_up, NOW).await, Error::Issuer { .. }));
        let denied = Callback {
            code: None,
            error: Some("access_denied".to_owned()),
            ..back(&flow)
        };
        assert_eq!(
            try_it(&provider, denied, NOW).await,
            Error::Denied("access_denied".to_owned())
        );
    }

    #[tokio::test]
    async fn an_id_token_for_somebody_else_is_refused() {
        let provider = any();
        let seconds = NOW.0 / 1_000_000;
        for (name, value) in [
            ("nonce", json!("another")),
            ("nonce", Value::Null),
            ("aud", json!("another")),
            ("aud", json!(["nova", "another"])),
            ("exp", json!(seconds)),
        ] {
            let got = with_claim(&provider, name, value.clone()).await;
            assert!(matches!(got, Err(Error::IdToken(_))), "{name} {value}: {got:?}");
        }
        let got = with_claim(&provider, "iss", json!("https://evil.example")).await;
        assert_eq!(
            got,
            Err(Error::Issuer {
                found: Some("https://evil.example".to_owned())
            })
        );
    }

    #[tokio::test]
    async fn an_id_token_that_the_provider_did_not_sign_is_refused() {
        let provider = any();
        let (discovered, _, flow) = begin(&provider).await;
        let double = Double::new(&provider, Some(&flow));
        let request = openidconnect::http::Request::post("https://op.example/token")
            .body(Vec::new())
            .unwrap();
        let good = double.answer(&request)["id_token"].as_str().unwrap().to_owned();
        let keys = discovered.0.as_ref().unwrap().jwks();
        assert!(verify(&good, keys).is_ok());
        let parts: Vec<&str> = good.split('.').collect();
        let encode = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let mac = ring::hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"s3cret"), good.as_bytes());
        for token in [
            format!("{}.{}.", encode(json!({ "alg": "none" })), parts[1]),
            format!(
                "{}.{}.{}",
                encode(json!({ "alg": "HS256" })),
                parts[1],
                BASE64URL_NOPAD.encode(mac.as_ref())
            ),
            format!(
                "{}.{}.{}",
                encode(json!({ "alg": "RS256", "kid": "k" })),
                parts[1],
                parts[2]
            ),
            format!(
                "{}.{}.{}",
                encode(json!({ "alg": "EdDSA", "kid": "other" })),
                parts[1],
                parts[2]
            ),
            format!(
                "{}.{}.{}",
                parts[0],
                encode(json!({ "iss": "https://op.example", "sub": "admin" })),
                parts[2]
            ),
            format!("{}.{}.", parts[0], parts[1]),
            "a.b".to_owned(),
            String::new(),
        ] {
            assert!(
                matches!(verify(&token, keys), Err(Error::IdToken(_) | Error::UnknownKey)),
                "{token}"
            );
        }
    }

    #[tokio::test]
    async fn a_fresh_proof_is_asked_for_and_its_time_is_looked_at() {
        let provider = any();
        let (mut discovered, url, plain) = begin(&provider).await;
        assert!(!url.contains("max_age") && plain.since.is_none());
        let (url, flow) = start(&provider, &discovered, true, NOW, &Random::seeded(1)).unwrap();
        assert!(url.contains("max_age=0"), "{url}");
        let seconds = NOW.0 / 1_000_000;
        for (at, good) in [
            (json!(seconds), true),
            (json!(seconds - SKEW), true),
            (json!(seconds - SKEW - 1), false),
            (json!(0), false),
            (Value::Null, false),
        ] {
            let double = Double::new(&provider, Some(&flow)).claim("auth_time", at.clone());
            let got = finish(&provider, &mut discovered, &flow, &back(&flow), NOW, &double.http()).await;
            assert_eq!(got.is_ok(), good, "{at}: {got:?}");
            assert_eq!(matches!(got, Err(Error::Stale { .. })), !good, "{at}: {got:?}");
        }
        // Facebook says nothing about it, and whatever its sign-in says is not taken for fresh.
        let facebook = super::tests::provider(Kind::Facebook {
            app_secret: "s3cret".to_owned(),
        });
        let mut discovered = Discovered(None);
        let (_, flow) = start(&facebook, &discovered, true, NOW, &Random::seeded(1)).unwrap();
        let double = Double::new(&facebook, Some(&flow));
        let got = finish(&facebook, &mut discovered, &flow, &back(&flow), NOW, &double.http()).await;
        assert_eq!(got, Err(Error::Stale { at: None }));
    }

    #[tokio::test]
    async fn google_has_two_names_and_nobody_else_has() {
        let identity = with_claim(&google(), "iss", json!("accounts.google.com"))
            .await
            .unwrap();
        assert_eq!(
            identity.issuer, "https://accounts.google.com",
            "one name in the table of links"
        );
        assert!(
            with_claim(&google(), "iss", json!("https://accounts.google.com"))
                .await
                .is_ok()
        );
        assert!(with_claim(&any(), "iss", json!("accounts.google.com")).await.is_err());
        assert!(with_claim(&any(), "iss", json!("op.example")).await.is_err());
    }

    #[tokio::test]
    async fn an_address_counts_as_proved_only_when_the_provider_says_so() {
        for (value, verified) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (Value::Null, false),
        ] {
            let identity = with_claim(&any(), "email_verified", value.clone()).await.unwrap();
            assert_eq!(identity.email_verified, verified, "{value}");
        }
        let identity = with_claim(&any(), "email", Value::Null).await.unwrap();
        assert_eq!((identity.email, identity.email_verified), (None, false));
    }

    #[tokio::test]
    async fn apple_posts_its_answer_and_gets_a_fresh_secret() {
        let rng = ring::rand::SystemRandom::new();
        let signing = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = ring::signature::EcdsaKeyPair::generate_pkcs8(signing, &rng).unwrap();
        let provider = provider(Kind::Apple {
            issuer: APPLE.to_owned(),
            team: "TEAM".to_owned(),
            key_id: "KEY".to_owned(),
            key: key.as_ref().to_vec(),
        });
        let (mut discovered, url, flow) = begin(&provider).await;
        assert!(url.contains("response_mode=form_post") && provider.posts_callback());
        let double = Double::new(&provider, Some(&flow))
            .claim("name", Value::Null)
            .claim("email_verified", json!("true"));
        let callback = Callback {
            user: Some(
                r#"{"name":{"firstName":"Alice","lastName":"Liddell"},"email":"attacker@example.org"}"#.to_owned(),
            ),
            ..back(&flow)
        };
        let identity = finish(&provider, &mut discovered, &flow, &callback, NOW, &double.http())
            .await
            .unwrap();
        assert_eq!(identity.name.as_deref(), Some("Alice Liddell"));
        assert_eq!(
            identity.email.as_deref(),
            Some("alice@example.org"),
            "the form's address is anybody's"
        );
        assert!(identity.email_verified);

        let body = double.asked.lock().unwrap()[0].1.clone();
        let form = Url::parse(&format!("form:?{body}")).unwrap();
        let secret = form
            .query_pairs()
            .find(|(name, _)| name == "client_secret")
            .unwrap()
            .1
            .into_owned();
        let (message, signature) = secret.rsplit_once('.').unwrap();
        let pair = ring::signature::EcdsaKeyPair::from_pkcs8(signing, key.as_ref(), &rng).unwrap();
        let public = ring::signature::KeyPair::public_key(&pair).as_ref().to_vec();
        ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, public)
            .verify(
                message.as_bytes(),
                &BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap(),
            )
            .unwrap();
        let claims: Value = jsonwebtoken::dangerous::insecure_decode(&secret)
            .map(|data| data.claims)
            .unwrap();
        assert_eq!(
            claims,
            json!({ "iss": "TEAM", "sub": "nova", "aud": "https://appleid.apple.com", "iat": 1_800_000_000, "exp": 1_800_000_300 })
        );
    }

    #[tokio::test]
    async fn facebook_never_proves_an_address() {
        let provider = provider(Kind::Facebook {
            app_secret: "s3cret".to_owned(),
        });
        let (mut discovered, url, flow) = begin(&provider).await;
        assert!(url.starts_with("https://www.facebook.com/v23.0/dialog/oauth?"), "{url}");
        let double = Double::new(&provider, Some(&flow));
        let identity = finish(&provider, &mut discovered, &flow, &back(&flow), NOW, &double.http())
            .await
            .unwrap();
        assert_eq!((identity.subject.as_str(), identity.email_verified), ("1000123", false));
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret");
        let proof = HEXLOWER.encode(hmac::sign(&key, b"fb-token").as_ref());
        let asked = double.asked.lock().unwrap().clone();
        assert!(
            asked[1].0.ends_with(&format!("appsecret_proof={proof}")) && !asked[1].0.contains("fb-token"),
            "{asked:?}"
        );
        assert!(asked[0].1.contains(&format!("code_verifier={}", flow.verifier)));
    }

    #[test]
    fn an_identity_is_joined_to_nobody_who_did_not_prove_the_address() {
        let identity = |email_verified| Identity {
            issuer: "https://op.example".to_owned(),
            subject: "s".to_owned(),
            email: Some("alice@example.org".to_owned()),
            email_verified,
            name: None,
            token: None,
        };
        let account = |email_verified| Account {
            user: "alice".to_owned(),
            email_verified,
        };
        let alice = || "alice".to_owned();
        let table = [
            // the provider proves the address, linked to, signed in as, account with the address
            (true, None, None, None, Link::Register),
            (false, None, None, None, Link::Register),
            (true, None, None, Some(account(true)), Link::Add(alice())),
            (true, None, None, Some(account(false)), Link::TakeOver(alice())),
            (false, None, None, Some(account(true)), Link::AskForLogin(alice())),
            (false, None, None, Some(account(false)), Link::AskForLogin(alice())),
            // A link counts, whatever the address says today.
            (
                false,
                Some("bob"),
                None,
                Some(account(true)),
                Link::SignIn("bob".to_owned()),
            ),
            (true, Some("bob"), Some("bob"), None, Link::SignIn("bob".to_owned())),
            (true, Some("bob"), Some("carol"), None, Link::Taken),
            // Who is signed in has proved who they are; the address proves nothing more.
            (
                false,
                None,
                Some("carol"),
                Some(account(true)),
                Link::Add("carol".to_owned()),
            ),
        ];
        for (verified, linked, signed_in, same, expected) in table {
            assert_eq!(
                link(&identity(verified), linked, signed_in, same.as_ref()),
                expected,
                "{verified} {linked:?} {signed_in:?} {same:?}"
            );
        }
    }
}
