//! Codes and links that prove an address is somebody's (ASVS 5.0 6.5.1 to 6.5.5, 6.6.2, 6.6.3).
//!
//! A *flow* is one attempt at one thing: to confirm an address, to choose a new password, to sign in. Its mail carries a code to type
//! and a link to follow; either ends it. A code has too few digits to be kept as a plain hash, so it is kept as an HMAC with a key that
//! the database does not hold, over the flow's id: a code of one flow is nothing in another. The caller keeps [`Flow`] and, before it asks
//! [`Flow::check_code`], counts the attempt in one statement.

use std::fmt;
use std::time::Duration;

use nova_core::clock::Timestamp;
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::random::Random;
use crate::secret::{Purpose, Secret, SecretHash};

/// How long codes and links live (ASVS 6.5.5).
pub const LIFETIME: Duration = Duration::from_secs(600);
/// How often a code may be tried (ASVS 6.6.3): 10 in 10^8 is one chance in ten million.
pub const MAX_ATTEMPTS: u32 = 10;
const DIGITS: usize = 8;

/// The key that codes are kept under. `Debug` shows nothing.
#[derive(Clone)]
pub struct CodeKey(hmac::Key);

impl CodeKey {
    /// From 32 random bytes that are kept apart from the database.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    fn mac(&self, flow: &str, code: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in ["nova code", "\0", flow, "\0", code] {
            context.update(part.as_bytes());
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey(..)")
    }
}

/// A code and a link in the clear: for the mail, and nothing else. `Debug` shows nothing.
#[derive(Clone)]
pub struct Sent {
    /// Eight digits.
    pub code: String,
    /// For the link's fragment.
    pub link: Secret,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent(..)")
    }
}

/// What is kept of a flow and decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its id.
    pub id: String,
    /// HMAC of its code.
    pub code: [u8; 32],
    /// SHA-256 of its link's secret.
    pub link: SecretHash,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Codes that were tried, the one at hand included.
    pub attempts: u32,
    /// It was completed, or another one took its place.
    pub closed: bool,
}

/// Why a flow does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Used, or replaced by a newer one.
    #[error("the code was used already or replaced by a newer one")]
    Closed,
    /// Too late.
    #[error("the code has expired")]
    Expired,
    /// Tried too often, right or wrong; a new mail is needed.
    #[error("the code was tried more than {max} times")]
    TooManyAttempts {
        /// How often it may be.
        max: u32,
    },
    /// Another code.
    #[error("the code is wrong")]
    Wrong,
}

impl Flow {
    /// Begins a flow: what to keep and what to send.
    pub fn begin(id: String, key: &CodeKey, now: Timestamp, random: &Random) -> (Self, Sent) {
        let code = format!("{:0DIGITS$}", random.below(100_000_000));
        let link = Secret::generate(Purpose::Link, random);
        let flow = Self {
            code: key.mac(&id, &code),
            link: link.hash(),
            expires_at: now.plus_micros(i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX)),
            attempts: 0,
            closed: false,
            id,
        };
        (flow, Sent { code, link })
    }

    fn open(&self, now: Timestamp) -> Result<(), Refused> {
        match () {
            () if self.closed => Err(Refused::Closed),
            () if now >= self.expires_at => Err(Refused::Expired),
            () => Ok(()),
        }
    }

    /// Whether a typed code completes the flow. `attempts` counts this one already. Spaces and hyphens do not matter.
    pub fn check_code(&self, typed: &str, key: &CodeKey, now: Timestamp) -> Result<(), Refused> {
        self.open(now)?;
        if self.attempts > MAX_ATTEMPTS {
            return Err(Refused::TooManyAttempts { max: MAX_ATTEMPTS });
        }
        let typed: String = typed
            .chars()
            .take(32)
            .filter(|c| !c.is_whitespace() && *c != '-')
            .collect();
        if key.mac(&self.id, &typed).ct_eq(&self.code).into() {
            Ok(())
        } else {
            Err(Refused::Wrong)
        }
    }

    /// Whether a followed link completes the flow. It cannot be guessed, so attempts do not count, and typing wrong codes does not
    /// take the link away from the address's owner.
    pub fn check_link(&self, presented: &Secret, now: Timestamp) -> Result<(), Refused> {
        self.open(now)?;
        if presented.purpose() == Purpose::Link && bool::from(presented.hash().0.ct_eq(&self.link.0)) {
            Ok(())
        } else {
            Err(Refused::Wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(5_000_000);

    fn begin(id: &str, seed: u64) -> (Flow, Sent, CodeKey) {
        let key = CodeKey::new(&[7; 32]);
        let (flow, sent) = Flow::begin(id.to_owned(), &key, NOW, &Random::seeded(seed));
        (flow, sent, key)
    }

    #[test]
    fn the_code_and_the_link_complete_their_flow() {
        let (flow, sent, key) = begin("f1", 1);
        assert_eq!(sent.code.len(), 8);
        assert_eq!(flow.check_code(&sent.code, &key, NOW), Ok(()));
        let spaced = format!(" {} {} ", &sent.code[..4], &sent.code[4..]);
        assert_eq!(flow.check_code(&spaced, &key, NOW), Ok(()));
        assert_eq!(flow.check_link(&sent.link, NOW), Ok(()));
    }

    #[test]
    fn a_code_is_bound_to_the_flow_that_asked_and_to_the_key() {
        let (one, sent, key) = begin("f1", 1);
        let (mut two, other, _) = begin("f2", 2);
        assert_eq!(two.check_code(&sent.code, &key, NOW), Err(Refused::Wrong));
        assert_eq!(two.check_link(&sent.link, NOW), Err(Refused::Wrong));
        assert_eq!(
            one.check_code(&sent.code, &CodeKey::new(&[8; 32]), NOW),
            Err(Refused::Wrong)
        );
        // The same code, kept for one flow, moved to another.
        two.code = one.code;
        assert_eq!(two.check_code(&sent.code, &key, NOW), Err(Refused::Wrong));
        assert_eq!(two.check_code(&other.code, &key, NOW), Err(Refused::Wrong));
    }

    #[test]
    fn a_flow_ends_after_ten_minutes() {
        let (flow, sent, key) = begin("f1", 1);
        let end = NOW.plus_micros(600_000_000);
        assert_eq!(flow.check_code(&sent.code, &key, end.plus_micros(-1)), Ok(()));
        assert_eq!(flow.check_code(&sent.code, &key, end), Err(Refused::Expired));
        assert_eq!(flow.check_link(&sent.link, end), Err(Refused::Expired));
    }

    #[test]
    fn guessing_stops_at_ten_and_the_link_still_works() {
        let (mut flow, sent, key) = begin("f1", 1);
        for attempt in 1..=10 {
            flow.attempts = attempt;
            assert_eq!(flow.check_code("00000000", &key, NOW), Err(Refused::Wrong));
        }
        flow.attempts = 11;
        assert_eq!(
            flow.check_code(&sent.code, &key, NOW),
            Err(Refused::TooManyAttempts { max: 10 })
        );
        assert_eq!(flow.check_link(&sent.link, NOW), Ok(()));
    }

    #[test]
    fn a_completed_flow_is_not_completed_again() {
        let (mut flow, sent, key) = begin("f1", 1);
        flow.closed = true;
        assert_eq!(flow.check_code(&sent.code, &key, NOW), Err(Refused::Closed));
        assert_eq!(flow.check_link(&sent.link, NOW), Err(Refused::Closed));
    }

    #[test]
    fn nothing_sent_is_printed() {
        let (_, sent, key) = begin("f1", 1);
        assert_eq!(format!("{sent:?} {key:?}"), "Sent(..) CodeKey(..)");
    }
}
