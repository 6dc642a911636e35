//! Short signed tokens that open the playlists of a private stream.
//!
//! A token is 32 bytes of HMAC-SHA256 over the stream, the viewer and the time it ends, with these before it, in base64url. It goes into the query of a
//! playlist's URL and into nothing else: segments and parts lie under the broadcast's own name, which nobody can guess and only a playlist
//! tells, so their URLs, and a cache's keys, are the same for every viewer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nova_core::clock::Timestamp;
use nova_domain::db::{Id, UserId};
use ring::hmac;
use uuid::Uuid;

use crate::stream::StreamId;

/// Signs and verifies. Clones share the key.
#[derive(Clone)]
pub struct PlaybackTokens(hmac::Key);

impl PlaybackTokens {
    /// With 32 bytes that only this server has.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A token for one viewer of one stream.
    pub(crate) fn sign(&self, stream: StreamId, viewer: UserId, ends: Timestamp) -> String {
        let mut bytes = Vec::with_capacity(72);
        bytes.extend_from_slice(stream.uuid().as_bytes());
        bytes.extend_from_slice(viewer.uuid().as_bytes());
        bytes.extend_from_slice(&ends.0.to_be_bytes());
        let mac = hmac::sign(&self.0, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whose token it is, when it is good for `stream` now.
    pub(crate) fn verify(&self, stream: StreamId, token: &str, now: Timestamp) -> Option<UserId> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.len() == 72)?;
        let (said, mac) = bytes.split_at(40);
        hmac::verify(&self.0, said, mac).ok()?;
        let (ids, ends) = said.split_at(32);
        let ends = i64::from_be_bytes(ends.try_into().ok()?);
        let (of, viewer) = ids.split_at(16);
        let viewer = Uuid::from_slice(viewer).ok()?;
        (of == stream.uuid().as_bytes() && ends > now.0).then(|| Id::from(viewer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_stream_and_its_time_only() {
        let tokens = PlaybackTokens::new(&[7; 32]);
        let now = Timestamp(1_000_000);
        let (stream, other, viewer) = (StreamId::new(now), StreamId::new(now), UserId::new(now));
        let token = tokens.sign(stream, viewer, Timestamp(2_000_000));
        assert_eq!(tokens.verify(stream, &token, now), Some(viewer));
        assert_eq!(tokens.verify(other, &token, now), None);
        assert_eq!(tokens.verify(stream, &token, Timestamp(2_000_000)), None);
        assert_eq!(PlaybackTokens::new(&[8; 32]).verify(stream, &token, now), None);
        for at in 0..token.len() {
            let mut tampered = token.clone().into_bytes();
            tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(tampered).unwrap();
            assert_eq!(tokens.verify(stream, &tampered, now), None, "{at}");
        }
        for rubbish in ["", "x", &token[1..], &format!("{token}A")] {
            assert_eq!(tokens.verify(stream, rubbish, now), None);
        }
    }
}
