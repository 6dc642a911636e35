//! Tokens in the path of an address, for CDNs that check an HMAC at their edge and know nothing of CloudFront's signatures.
//!
//! ```text
//! https://cdn.example/t/{key}.{until}.{mac}/vod/{video}/master.m3u8
//!                       └──── token ─────┘└── place ─┘
//! ```
//!
//! `key` names one of the keys that are shared with the edge, `until` is seconds since the Unix epoch, and `mac` is HMAC-SHA-256 (RFC 2104) with that key
//! over the text `{key}.{until}.{place}`, in base64url without padding (RFC 4648 5). The place is the first two folders behind the token, `/vod/{video}/`
//! or `/live/{stream}/`, with its slashes, byte for byte as it stands in the address.
//!
//! Everything a playlist leads to is relative to it, so that all requests of a player carry the token and no playlist is another for another viewer. The
//! edge cuts `/t/{token}` off once it has checked it: a segment is one object of its cache for everybody. `cdn/edge/worker.mjs` does that.
//!
//! Keys are changed in three steps: the edge learns the new one, it becomes the first of this server's, and the old one goes once its last token has ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

/// What stands before a token.
const MARK: &str = "/t/";
/// Characters of a key: 32 of base64 are 192 bits.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 32..=512;

/// Why a key cannot be used. Never says anything of a key's content.
#[derive(Debug, thiserror::Error)]
#[error("key file {path}: {why}")]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

/// What an address with a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// It may be given out: the path without its token.
    Yes(&'a str),
    /// Not any more, or it never was: by another key, for another place, changed.
    No,
}

/// Signs with the first of its keys and verifies with all. Clones share them.
#[derive(Clone)]
pub struct PathTokens(Arc<Vec<(String, hmac::Key)>>);

impl PathTokens {
    /// Reads the keys with these ids, all of them. A key is the text of its file without the white space around it, 32 to 512 characters of ASCII. `None`
    /// without any.
    pub fn load(files: &[(String, PathBuf)]) -> Result<Option<Self>, KeyError> {
        let keys: Vec<_> = files
            .iter()
            .map(|(id, path)| Ok((id.clone(), load(id, path)?)))
            .collect::<Result<_, KeyError>>()?;
        Ok((!keys.is_empty()).then(|| Self(Arc::new(keys))))
    }

    /// The path that opens everything in `place`, such as `/vod/{video}/`, until then (seconds since the Unix epoch). It ends with a slash.
    pub fn sign(&self, place: &str, until: i64) -> Option<String> {
        let (id, key) = self.0.first()?;
        let mac = hmac::sign(key, message(id, until, place).as_bytes());
        Some(format!("{MARK}{id}.{until}.{}{place}", URL_SAFE_NO_PAD.encode(mac)))
    }

    /// Looks at a path at this time (seconds since the Unix epoch); `None` for one that has no token.
    pub fn open<'a>(&self, path: &'a str, now: i64) -> Option<Opened<'a>> {
        let rest = path.strip_prefix(MARK)?;
        // The clock that a manifest names, `../../time`, is everybody's.
        if rest.split_once('/').is_some_and(|(_, rest)| rest == "time") {
            return Some(Opened::Yes("/time"));
        }
        Some(self.verified(rest, now).map_or(Opened::No, Opened::Yes))
    }

    fn verified<'a>(&self, rest: &'a str, now: i64) -> Option<&'a str> {
        let at = rest.find('/')?;
        let (token, path) = rest.split_at(at);
        let mut parts = token.splitn(3, '.');
        let (id, until, mac) = (parts.next()?, parts.next()?, parts.next()?);
        // As it was written: no sign, no zeros before it.
        let end: i64 = until.parse().ok().filter(|end: &i64| end.to_string() == until)?;
        let place = place(path)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let (_, key) = self.0.iter().find(|(known, _)| known == id)?;
        hmac::verify(key, message(id, end, place).as_bytes(), &mac).ok()?;
        (end > now).then_some(path)
    }
}

fn message(id: &str, until: i64, place: &str) -> String {
    format!("{id}.{until}.{place}")
}

/// The first two folders of a path, with their slashes.
fn place(path: &str) -> Option<&str> {
    let (end, _) = path.match_indices('/').nth(2)?;
    Some(&path[..=end])
}

fn load(id: &str, path: &Path) -> Result<hmac::Key, KeyError> {
    let wrong = |why: String| KeyError {
        path: path.to_owned(),
        why,
    };
    if id.is_empty() || id.len() > 16 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(wrong("the id beside it must be 1 to 16 letters and digits".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let text = text.trim();
    if !KEY_LENGTH.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong(
            "must hold 32 to 512 characters of ASCII, such as `openssl rand -base64 48` prints".into(),
        ));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
}
