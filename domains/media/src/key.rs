//! Stream keys: shown once, kept as a hash.
//!
//! A key has 256 random bits, so SHA-256 is enough to keep it by, and a lookup by that hash tells nothing by its timing: whoever measures
//! how far two hashes agree learns of a hash whose input they would still have to find.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nova_domain::secret::random;
use sha2::{Digest, Sha256};

/// So that a scanner finds one that leaked, and a person knows what it is.
pub(crate) const PREFIX: &str = "nova_sk_";

/// A new key.
pub(crate) fn generate() -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()))
}

/// What is kept of a key, and what one that is shown is looked up by.
pub(crate) fn hash(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_are_kept_as_hashes() {
        let (a, b) = (generate(), generate());
        assert!(a != b && a.starts_with(PREFIX) && a.len() == PREFIX.len() + 43);
        assert!(hash(&a).len() == 64 && hash(&a) != hash(&b));
    }
}
