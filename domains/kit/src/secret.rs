//! Values that must not lie readable in the database: sealed with AES-256-GCM under a key the database does not have.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};

/// Seals and opens values. Clones share the key.
#[derive(Clone)]
pub struct Sealer(std::sync::Arc<LessSafeKey>);

impl Sealer {
    /// A sealer whose key is derived from `secret` for one `purpose` (HKDF-SHA256, RFC 5869).
    pub fn from_secret(secret: &[u8], purpose: &[u8]) -> Self {
        let info = [purpose];
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"nova sealer 1").extract(secret);
        #[expect(clippy::expect_used, reason = "one block of HKDF is never too long")]
        let key = UnboundKey::from(derived.expand(&info, &AES_256_GCM).expect("32 bytes"));
        Self(std::sync::Arc::new(LessSafeKey::new(key)))
    }

    /// The sealer for `purpose` under the server's own secret, kept in `{data_dir}/keys/secret` and made at the first start. Whoever moves
    /// the database moves this file as well.
    pub fn open_or_create(data_dir: &Path, purpose: &[u8]) -> std::io::Result<Self> {
        Ok(Self::from_secret(&server_secret(data_dir)?, purpose))
    }

    /// A key for `purpose` under the same secret, for what is not sealing: codes, signatures.
    pub fn derive(data_dir: &Path, purpose: &[u8]) -> std::io::Result<[u8; 32]> {
        let info = [purpose];
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, b"nova key 1").extract(&server_secret(data_dir)?);
        let mut key = [0; 32];
        derived
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|key_material| key_material.fill(&mut key))
            .map_err(|_too_long| std::io::Error::other("32 bytes of HKDF"))?;
        Ok(key)
    }

    /// Nonce, ciphertext and tag.
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE_LEN>();
        let mut sealed = plain.to_vec();
        #[expect(clippy::expect_used, reason = "fails only past 64 GiB")]
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .expect("a short value");
        [&nonce[..], &sealed].concat()
    }

    /// What was sealed; `None` when it was not sealed by this key, or is damaged.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.0.open_in_place(nonce, Aad::empty(), &mut rest).ok()?.len();
        rest.truncate(length);
        Some(rest)
    }
}

/// The server's own secret, made at the first start; of two processes that start together, one makes it.
fn server_secret(data_dir: &Path) -> std::io::Result<Vec<u8>> {
    let folder = data_dir.join("keys");
    let path = folder.join("secret");
    let secret = match fs::read(&path) {
        Ok(secret) if secret.len() == 32 => secret,
        Ok(_) => {
            return Err(std::io::Error::other(format!(
                "{} does not have 32 bytes",
                path.display()
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(&folder)?;
            let secret = random::<32>();
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(&secret)?;
            file.sync_all()?;
            secret.to_vec()
        }
        Err(error) => return Err(error),
    };
    Ok(secret)
}

/// Bytes nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "without randomness nothing here may go on")]
    SystemRandom::new().fill(&mut bytes).expect("the system's randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_under_its_own_key_and_purpose_only() {
        let sealer = Sealer::from_secret(b"one", b"a");
        let sealed = sealer.seal(b"value");
        assert_eq!(sealer.open(&sealed).unwrap(), b"value");
        assert_ne!(sealed, sealer.seal(b"value"));
        assert!(Sealer::from_secret(b"two", b"a").open(&sealed).is_none());
        assert!(Sealer::from_secret(b"one", b"b").open(&sealed).is_none());
        let mut damaged = sealed.clone();
        damaged[NONCE_LEN] ^= 1;
        assert!(sealer.open(&damaged).is_none() && sealer.open(&sealed[..5]).is_none());
    }

    #[test]
    fn the_servers_secret_is_made_once_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = Sealer::open_or_create(dir.path(), b"x").unwrap().seal(b"value");
        assert_eq!(
            Sealer::open_or_create(dir.path(), b"x").unwrap().open(&sealed).unwrap(),
            b"value"
        );
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(dir.path().join("keys/secret")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
}
