//! Amazon CloudFront: signed URLs and signed cookies.
//!
//! CloudFront checks that a request was signed by a key of the distribution's key group, and that the policy which was signed allows it. The
//! policy is JSON, compared byte by byte when it is the *canned* one (one URL, one end), and sent along when it is a *custom* one (a pattern, a
//! beginning, addresses). A custom policy over `…/{video}/*`, as cookies, lets a player fetch every segment by an address that is the same for
//! everybody.
//!
//! Signatures are RSA PKCS#1 v1.5 over SHA-256, told by `Hash-Algorithm=SHA256`: CloudFront takes it beside the older SHA-1, and ring, which Nova's
//! TLS stands on, makes no SHA-1 signatures. (Amazon CloudFront Developer Guide, *Use signed URLs*, *Use signed cookies*.)

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

/// Why a key cannot be used or a policy not be signed. Never says anything of a key's content.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The file cannot be read.
    #[error("key file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the private RSA key that CloudFront takes.
    #[error("key file {path}: {why}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The address cannot stand in a policy.
    #[error("an address to sign must be http:// or https:// without control characters, quotes and backslashes")]
    Address,
    /// The system's random numbers, or the key, failed.
    #[error("the signature could not be made")]
    Failed,
}

/// What a signature allows: a pattern of addresses within a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// An address; `*` stands for any characters, `?` for one.
    pub resource: String,
    /// Not after, seconds since the Unix epoch.
    pub until: i64,
    /// Not before, seconds since the Unix epoch.
    pub from: Option<i64>,
    /// Only from this address or network, such as `192.0.2.0/24`.
    pub network: Option<ipnet::IpNet>,
}

impl Policy {
    /// The JSON that is signed, without white space.
    fn json(&self) -> Result<String, SigningError> {
        if !is_address(&self.resource) {
            return Err(SigningError::Address);
        }
        let Self { resource, until, .. } = self;
        let mut json = format!(
            r#"{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{until}}}"#
        );
        // Writing to memory does not fail.
        if let Some(network) = self.network {
            let _infallible = write!(json, r#","IpAddress":{{"AWS:SourceIp":"{network}"}}"#);
        }
        if let Some(from) = self.from {
            let _infallible = write!(json, r#","DateGreaterThan":{{"AWS:EpochTime":{from}}}"#);
        }
        json.push_str("}}]}");
        Ok(json)
    }
}

/// A policy and its signature, as CloudFront reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// For the query of any address that the policy's resource matches.
    pub query: String,
    /// The same as cookies, names with values. They go to the distribution's host with `Secure; HttpOnly`.
    pub cookies: [(&'static str, String); 4],
}

/// Signs with the first of its key pairs. Clones share them.
#[derive(Clone)]
pub struct Signer(Arc<Vec<KeyPair>>);

struct KeyPair {
    id: String,
    key: RsaKeyPair,
}

impl Signer {
    /// Reads the private keys of these key pair ids, all of them, so that one that is broken is known before it is needed. `None` without any.
    pub fn load(pairs: &[(String, PathBuf)]) -> Result<Option<Self>, SigningError> {
        let pairs: Vec<KeyPair> = pairs
            .iter()
            .map(|(id, path)| load(id, path))
            .collect::<Result<_, _>>()?;
        Ok((!pairs.is_empty()).then(|| Self(Arc::new(pairs))))
    }

    /// `url` with a signature that allows it until then (seconds since the Unix epoch): the canned policy, and a custom one where `url` has a
    /// character that would be a pattern.
    pub fn sign_url(&self, url: &str, until: i64) -> Result<String, SigningError> {
        let policy = Policy {
            resource: url.to_owned(),
            until,
            from: None,
            network: None,
        };
        let json = policy.json()?;
        if url.contains('*') {
            return self.sign_url_with(url, &policy);
        }
        let (id, signature) = self.sign(json.as_bytes())?;
        Ok(joined(
            url,
            &format!("Expires={until}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256"),
        ))
    }

    /// `url` with a signature that allows what `policy` says.
    pub fn sign_url_with(&self, url: &str, policy: &Policy) -> Result<String, SigningError> {
        if !is_address(url) {
            return Err(SigningError::Address);
        }
        Ok(joined(url, &self.grant(policy)?.query))
    }

    /// What allows everything that `policy` says, with one signature.
    pub fn grant(&self, policy: &Policy) -> Result<Grant, SigningError> {
        let json = policy.json()?;
        let (id, signature) = self.sign(json.as_bytes())?;
        let policy = encode(json.as_bytes());
        Ok(Grant {
            query: format!("Policy={policy}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256"),
            cookies: [
                ("CloudFront-Policy", policy),
                ("CloudFront-Signature", signature),
                ("CloudFront-Key-Pair-Id", id.to_owned()),
                ("CloudFront-Hash-Algorithm", "SHA256".to_owned()),
            ],
        })
    }

    fn sign(&self, text: &[u8]) -> Result<(&str, String), SigningError> {
        let pair = self.0.first().ok_or(SigningError::Failed)?;
        let mut signature = vec![0; pair.key.public().modulus_len()];
        // PKCS#1 v1.5 is deterministic; the random numbers blind the key against measuring.
        pair.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
            .map_err(|_unspecified| SigningError::Failed)?;
        Ok((&pair.id, encode(&signature)))
    }
}

fn joined(url: &str, query: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{query}")
}

fn load(id: &str, path: &PathBuf) -> Result<KeyPair, SigningError> {
    let wrong = |why: &str| SigningError::Key {
        path: path.clone(),
        why: why.to_owned(),
    };
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(wrong("the key pair id beside it must be letters and digits"));
    }
    let text = std::fs::read_to_string(path).map_err(|source| SigningError::File {
        path: path.clone(),
        source,
    })?;
    let key = match pem(&text) {
        Some(("RSA PRIVATE KEY", der)) => RsaKeyPair::from_der(&der),
        Some(("PRIVATE KEY", der)) => RsaKeyPair::from_pkcs8(&der),
        _ => return Err(wrong("is not PEM of an unencrypted private key (PKCS#1 or PKCS#8)")),
    };
    let key = key.map_err(|rejected| wrong(&format!("is not a usable RSA key: {rejected}")))?;
    // What CloudFront takes as a public key.
    if key.public().modulus_len() != 256 {
        return Err(wrong("CloudFront wants RSA of 2048 bits"));
    }
    Ok(KeyPair { id: id.to_owned(), key })
}

/// The label and the bytes of the first PEM block (RFC 7468).
fn pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let body: String = body.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(body).ok()?))
}

/// Whether a text can stand in a policy as it is, and in a URL.
fn is_address(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    // With a wildcard for the scheme as well, which CloudFront allows.
    let host = host.or_else(|| url.strip_prefix("http*://"));
    host.is_some_and(|host| !host.is_empty())
        && url.len() <= 4096
        && url
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>'))
}

/// Base64 with the three characters replaced that mean something in a URL.
fn encode(bytes: &[u8]) -> String {
    STANDARD
        .encode(bytes)
        .replace('+', "-")
        .replace('=', "_")
        .replace('/', "~")
}
