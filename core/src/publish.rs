//! Who may publish, and under which name: asked once when a publisher arrives, never while it streams.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::store::BoxFuture;

/// What a publisher showed.
#[derive(Clone)]
pub struct PublishRequest {
    /// Where it came from.
    pub peer: IpAddr,
    /// The application of the RTMP URL, without slashes.
    pub app: String,
    /// The stream key. A secret: it has no `Debug` and must not be logged.
    pub key: String,
    /// What encoder it says it is.
    pub encoder: String,
}

/// A publisher that may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Public name of the stream; `[A-Za-z0-9_-]{1,64}`.
    pub stream: String,
}

/// A publisher that may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No stream has this key.
    #[error("this stream key is not known")]
    UnknownKey,
    /// The name is not one a stream may have.
    #[error("a stream name is 1 to 64 letters, digits, '-' or '_'")]
    BadName,
    /// The application part of the URL is not `live`.
    #[error("publish to rtmp://HOST/live/KEY")]
    BadApp,
    /// The key or name is known, and something stands against publishing now. Says what, to the owner of the encoder.
    #[error("{0}")]
    Refused(String),
    /// Whoever decides could not be asked; the encoder should try again.
    #[error("publishing cannot be authorised right now, try again")]
    Unavailable,
}

/// Decides about publishers. Ingest bounds the wait with a time-out of its own and then says [`Denied::Unavailable`].
pub trait PublishAuthorizer: Send + Sync {
    /// Answers one request.
    fn authorize(&self, request: PublishRequest) -> BoxFuture<'_, Result<Grant, Denied>>;
}

/// True for a name a stream may have: `[A-Za-z0-9_-]{1,64}`.
pub fn is_stream_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Publishing by configuration alone: open to any name, or by a list of static keys.
pub enum StaticAuthorizer {
    /// The key is the stream's name; anybody may publish.
    Open,
    /// SHA-256 of each key, and the stream it opens. Every entry is compared, in constant time.
    Keys(Vec<([u8; 32], String)>),
}

impl StaticAuthorizer {
    /// Builds the list from `(key, stream)` pairs; the keys themselves are not kept.
    pub fn keys<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::Keys(
            pairs
                .into_iter()
                .map(|(key, stream)| (Sha256::digest(key).into(), stream.to_owned()))
                .collect(),
        )
    }

    fn decide(&self, request: &PublishRequest) -> Result<Grant, Denied> {
        if request.app != "live" {
            return Err(Denied::BadApp);
        }
        match self {
            Self::Open if is_stream_name(&request.key) => Ok(Grant {
                stream: request.key.clone(),
            }),
            Self::Open => Err(Denied::BadName),
            Self::Keys(keys) => {
                let shown: [u8; 32] = Sha256::digest(&request.key).into();
                let mut found = None;
                for (hash, stream) in keys {
                    if bool::from(hash.ct_eq(&shown)) {
                        found = Some(stream);
                    }
                }
                found
                    .map(|stream| Grant { stream: stream.clone() })
                    .ok_or(Denied::UnknownKey)
            }
        }
    }
}

impl PublishAuthorizer for StaticAuthorizer {
    fn authorize(&self, request: PublishRequest) -> BoxFuture<'_, Result<Grant, Denied>> {
        let answer = self.decide(&request);
        Box::pin(std::future::ready(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(app: &str, key: &str) -> PublishRequest {
        PublishRequest {
            peer: IpAddr::from([127, 0, 0, 1]),
            app: app.into(),
            key: key.into(),
            encoder: String::new(),
        }
    }

    #[test]
    fn open_publishing_takes_any_good_name_and_no_other() {
        let open = StaticAuthorizer::Open;
        assert_eq!(
            open.decide(&request("live", "my-show_1")),
            Ok(Grant {
                stream: "my-show_1".into()
            })
        );
        assert_eq!(open.decide(&request("live", "")), Err(Denied::BadName));
        assert_eq!(open.decide(&request("live", "../etc")), Err(Denied::BadName));
        assert_eq!(open.decide(&request("live", &"a".repeat(65))), Err(Denied::BadName));
        assert_eq!(open.decide(&request("vod", "show")), Err(Denied::BadApp));
    }

    #[test]
    fn only_a_listed_key_opens_its_stream() {
        let keys = StaticAuthorizer::keys([("s3cret", "show"), ("other", "second")]);
        assert_eq!(
            keys.decide(&request("live", "s3cret")),
            Ok(Grant { stream: "show".into() })
        );
        assert_eq!(keys.decide(&request("live", "show")), Err(Denied::UnknownKey));
        assert_eq!(keys.decide(&request("live", "s3cre")), Err(Denied::UnknownKey));
    }
}
