//! Opaque bearer secrets: refresh tokens, personal access tokens, links in mails.
//!
//! 256 random bits behind a prefix that says what it is, so that a scanner finds one that leaked into a repository. Only its SHA-256 is
//! kept: with that much entropy nothing slower is needed (ASVS 5.0 6.5.2, 7.2.3), and a lookup by hash tells nothing by its timing.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::random::Random;

/// Random bytes in a secret.
const BYTES: usize = 32;
/// Characters they are written as.
const CHARS: usize = BYTES.div_ceil(3) * 4 - 1;

/// What a secret is for. A secret of one kind is never taken for one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Renews a session (RFC 6749 section 1.5).
    Refresh,
    /// A personal access token, made by a user for a program.
    PersonalAccess,
    /// A link in a mail: confirm an address, choose a new password.
    Link,
}

impl Purpose {
    /// How every secret of this kind begins.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "nova_rt_",
            Self::PersonalAccess => "nova_pat_",
            Self::Link => "nova_ln_",
        }
    }
}

/// A secret in the clear: for its owner, once. `Debug` shows its kind only.
#[derive(Clone)]
pub struct Secret {
    purpose: Purpose,
    text: String,
}

impl Secret {
    /// A new one.
    pub fn generate(purpose: Purpose, random: &Random) -> Self {
        let text = format!(
            "{}{}",
            purpose.prefix(),
            BASE64URL_NOPAD.encode(&random.bytes::<BYTES>())
        );
        Self { purpose, text }
    }

    /// What somebody presents, if it has the shape of a secret of this kind. Whether it is one only the store knows.
    pub fn parse(purpose: Purpose, text: &str) -> Option<Self> {
        let random = text.strip_prefix(purpose.prefix())?;
        let decoded = (random.len() == CHARS).then(|| BASE64URL_NOPAD.decode(random.as_bytes()))?;
        decoded.ok().map(|_| Self {
            purpose,
            text: text.to_owned(),
        })
    }

    /// The text to hand to its owner.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What it is for.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.text.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}..)", self.purpose.prefix())
    }
}

/// SHA-256 of a [`Secret`], its prefix included. `Display` is lower-case hexadecimal, for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_again_by_its_hash_and_never_printed() {
        let secret = Secret::generate(Purpose::Refresh, &Random::seeded(1));
        let presented = Secret::parse(Purpose::Refresh, secret.expose()).unwrap();
        assert_eq!(presented.hash(), secret.hash());
        assert_eq!(secret.hash().to_string().len(), 64);
        assert_eq!(format!("{secret:?}"), "Secret(nova_rt_..)");
        assert_eq!(secret.expose().len(), "nova_rt_".len() + 43);
    }

    #[test]
    fn what_is_no_secret_of_its_kind_is_refused_unhashed() {
        let secret = Secret::generate(Purpose::Refresh, &Random::seeded(1));
        let text = secret.expose();
        for wrong in [
            "",
            "nova_rt_",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}A"),
            &format!("{}!", &text[..text.len() - 1]),
        ] {
            assert!(Secret::parse(Purpose::Refresh, wrong).is_none(), "{wrong}");
        }
        assert!(Secret::parse(Purpose::PersonalAccess, text).is_none());
    }
}
