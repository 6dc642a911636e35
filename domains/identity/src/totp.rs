//! Authenticator apps (RFC 6238) and the recovery codes for the day the phone is gone (ASVS 5.0 6.5.1 to 6.5.4).
//!
//! SHA-1, six digits, 30 seconds: what every app understands. HMAC does not lean on SHA-1's broken collision resistance (RFC 6238
//! section 1.2, RFC 6194). One step of clock error is allowed either way, and a step counts once: the last step that was used is the
//! caller's to keep.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use nova_core::clock::Timestamp;
use ring::hmac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::random::Random;
use crate::secret::SecretHash;

const STEP_MICROS: i64 = 30_000_000;
const DIGITS: usize = 6;
/// Steps of error either way (RFC 6238 section 5.2 recommends one).
const WINDOW: i64 = 1;
/// RFC 4226 section 4, requirement R6.
const SECRET: usize = 20;

/// The key shared with an app. `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET]);

impl TotpSecret {
    /// A new one.
    pub fn generate(random: &Random) -> Self {
        Self(random.bytes())
    }

    /// One that was stored.
    pub const fn from_bytes(bytes: [u8; SECRET]) -> Self {
        Self(bytes)
    }

    /// To be stored, encrypted: unlike a password it is needed in the clear at each check.
    pub const fn as_bytes(&self) -> &[u8; SECRET] {
        &self.0
    }

    /// For typing it into an app: Base32 (RFC 4648 section 6).
    pub fn to_base32(&self) -> String {
        BASE32_NOPAD.encode(&self.0)
    }

    /// For a QR code: the Key Uri Format that authenticator apps read.
    pub fn otpauth_uri(&self, issuer: &str, account: &str) -> String {
        let (issuer, account) = (percent(issuer), percent(account));
        let secret = self.to_base32();
        format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30")
    }

    /// The step that `code` belongs to, if it is right now and later than `last_used`. The caller stores it as the new `last_used`, in
    /// one statement with the check that it still is later: two requests at once are one use (ASVS 6.5.1).
    pub fn check(&self, code: &str, now: Timestamp, last_used: Option<i64>) -> Option<i64> {
        let current = now.0.div_euclid(STEP_MICROS);
        // Every step of the window is computed, whichever is right.
        (current - WINDOW..=current + WINDOW)
            .filter(|step| bool::from(self.code(*step).as_bytes().ct_eq(code.as_bytes())))
            .find(|step| last_used.is_none_or(|last| *step > last))
    }

    /// HOTP of a step (RFC 4226 section 5.3).
    fn code(&self, step: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let mac = hmac::sign(&key, &step.to_be_bytes());
        let mac = mac.as_ref();
        let offset = usize::from(mac[mac.len() - 1] & 0xf);
        let truncated =
            u32::from_be_bytes([mac[offset], mac[offset + 1], mac[offset + 2], mac[offset + 3]]) & 0x7fff_ffff;
        format!("{:0DIGITS$}", truncated % 1_000_000)
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// How many recovery codes somebody has.
pub const RECOVERY_CODES: usize = 10;
/// Symbols of a code; with 5 bits each it has 80 bits.
const RECOVERY_SYMBOLS: usize = 16;
/// Crockford's Base32: nothing that is taken for something else.
const SYMBOLS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A set of recovery codes: each replaces the app once. They are shown once; what is kept is [`recovery_hash`] of each.
pub fn recovery_codes(random: &Random) -> [String; RECOVERY_CODES] {
    std::array::from_fn(|_| {
        let symbols = random
            .bytes::<RECOVERY_SYMBOLS>()
            .map(|byte| char::from(SYMBOLS[usize::from(byte % 32)]));
        let groups: Vec<String> = symbols.chunks(4).map(|group| group.iter().collect()).collect();
        groups.join("-")
    })
}

/// What is kept of a recovery code, and what a typed one is looked up by: case, hyphens and spaces do not matter, and letters that look
/// like digits count as them. `None` when it cannot be a code. The hash is bound to its user, so that the codes of all users cannot be
/// searched at once (ASVS 6.5.2). The row is deleted with its use.
pub fn recovery_hash(user: &str, typed: &str) -> Option<SecretHash> {
    let symbols: String = typed
        .chars()
        .take(128)
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            c => c,
        })
        .collect();
    let known = symbols.bytes().all(|byte| SYMBOLS.contains(&byte));
    (known && symbols.len() == RECOVERY_SYMBOLS).then(|| {
        let hash = Sha256::new()
            .chain_update("nova recovery code\0")
            .chain_update(user)
            .chain_update([0])
            .chain_update(symbols);
        SecretHash(hash.finalize().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B.
    const RFC: TotpSecret = TotpSecret::from_bytes(*b"12345678901234567890");

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(RFC.check(code, at(seconds), None), Some(seconds / 30));
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off_and_no_more() {
        let code = RFC.code(100);
        let accepted: Vec<i64> = (97..=103)
            .filter(|step| RFC.check(&code, at(step * 30), None).is_some())
            .collect();
        assert_eq!(accepted, [99, 100, 101]);
    }

    #[test]
    fn a_code_counts_once_and_so_does_every_earlier_one() {
        let (code, earlier, later) = (RFC.code(100), RFC.code(99), RFC.code(101));
        let used = RFC.check(&code, at(3000), None);
        assert_eq!(used, Some(100));
        assert_eq!(RFC.check(&code, at(3000), used), None);
        assert_eq!(RFC.check(&code, at(3031), used), None);
        assert_eq!(RFC.check(&earlier, at(3000), used), None);
        assert_eq!(RFC.check(&later, at(3000), used), Some(101));
    }

    #[test]
    fn what_is_no_code_is_wrong() {
        for code in ["", "28708", "2870820", "000000", "２８７０８２", "-87082"] {
            assert_eq!(RFC.check(code, at(59), None), None, "{code}");
        }
    }

    #[test]
    fn apps_read_the_uri() {
        let uri = RFC.otpauth_uri("Nova: Live", "alice+tv@example.org");
        assert_eq!(
            uri,
            "otpauth://totp/Nova%3A%20Live:alice%2Btv%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Nova%3A%20Live&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{RFC:?}"), "TotpSecret(..)");
    }

    #[test]
    fn recovery_codes_are_found_however_they_are_typed() {
        let codes = recovery_codes(&Random::seeded(1));
        let hashes: std::collections::HashSet<_> =
            codes.iter().map(|code| recovery_hash("u1", code).unwrap()).collect();
        assert_eq!(hashes.len(), RECOVERY_CODES);
        let code = &codes[0];
        assert_eq!(code.len(), 19);
        let typed = format!(
            " {} ",
            code.to_uppercase()
                .replace('-', " ")
                .replace('0', "O")
                .replace('1', "l")
        );
        assert_eq!(recovery_hash("u1", &typed), recovery_hash("u1", code));
        assert_ne!(recovery_hash("u2", code), recovery_hash("u1", code));
        for wrong in [
            "",
            "abcd",
            &code[1..],
            &format!("{code}0"),
            &code.replace(&code[..1], "u"),
        ] {
            assert_eq!(recovery_hash("u1", wrong), None, "{wrong}");
        }
    }
}
