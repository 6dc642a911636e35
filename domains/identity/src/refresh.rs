//! Refresh token rotation (RFC 9700 section 4.14.2; ASVS 5.0 10.4.5, 10.4.8).
//!
//! A session is a family of refresh tokens in a line: each is used once and points to its successor. [`present`] decides what a presented
//! token brings, from its own row, its successor's and the family's; the caller writes the decision in the same transaction.
//!
//! - An unused token is consumed for a successor.
//! - A consumed one comes again while its successor was never used: the answer was lost, or two tabs asked at once. The successor is
//!   revoked and a replacement made, so there is one line at any time and never a parallel one.
//! - Anything else is a replay: two parties hold tokens of one family. The family ends, and the user is told. This includes a successor
//!   that was revoked in favour of a replacement. To let it pass would let a thief and the owner take turns for ever without either
//!   being noticed. Tabs that share a session therefore share its newest token, too.

use std::time::Duration;

use nova_core::clock::Timestamp;

/// How far a token has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Issued, and not presented yet.
    Unused,
    /// Presented, and replaced by its successor.
    Consumed,
    /// Withdrawn before it was used.
    Revoked,
}

/// What is stored of a token and decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// How far it has come.
    pub state: State,
    /// When it ends unused.
    pub expires_at: Timestamp,
}

/// What is stored of a family and decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// It was ended: logout, revocation, or a replay.
    pub revoked: bool,
    /// When it ends whatever happens (ASVS 7.3.2).
    pub expires_at: Timestamp,
}

/// How long tokens live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// A token that is not used for so long ends (ASVS 7.3.1).
    pub idle: Duration,
    /// A family ends so long after the login.
    pub absolute: Duration,
}

impl Default for Lifetimes {
    /// 30 days idle, a year in all.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 86_400),
            absolute: Duration::from_secs(365 * 86_400),
        }
    }
}

impl Lifetimes {
    /// The family of a login now.
    pub fn family(&self, now: Timestamp) -> Family {
        Family {
            revoked: false,
            expires_at: after(now, self.absolute),
        }
    }

    /// When a token made now ends unused.
    pub fn token_expiry(&self, family: &Family, now: Timestamp) -> Timestamp {
        after(now, self.idle).min(family.expires_at)
    }
}

fn after(now: Timestamp, time: Duration) -> Timestamp {
    Timestamp(
        now.0
            .saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)),
    )
}

/// What a presented token brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Consume it and link it to a new one.
    Rotate,
    /// Revoke its successor, which nobody used, and link it to a new one.
    Recover,
    /// Nothing, and nothing changes: the token or its family has come to its end.
    Over(Over),
    /// Nothing. Revoke the family with its access tokens, record `security.refresh_reuse`, tell the user.
    Replay,
}

/// Why a token brings nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// The session was ended.
    #[error("the session was ended")]
    SessionEnded,
    /// The session is as old as one may become.
    #[error("the session has expired")]
    SessionExpired,
    /// The token was not used in time.
    #[error("the refresh token has expired")]
    TokenExpired,
}

/// Decides about a token that was presented. `successor` is the row that it points to now, if it was consumed.
pub fn present(token: &Row, successor: Option<&Row>, family: &Family, now: Timestamp) -> Decision {
    if family.revoked {
        return Decision::Over(Over::SessionEnded);
    }
    if now >= family.expires_at {
        return Decision::Over(Over::SessionExpired);
    }
    match (token.state, successor.map(|row| row.state)) {
        (State::Unused, None) if now >= token.expires_at => Decision::Over(Over::TokenExpired),
        (State::Unused, None) => Decision::Rotate,
        (State::Consumed, Some(State::Unused)) => Decision::Recover,
        _ => Decision::Replay,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// A store as a database would hold it, and what a caller does with it.
    struct Store {
        family: Family,
        rows: Vec<(Row, Option<usize>)>,
        lifetimes: Lifetimes,
    }

    impl Store {
        fn login() -> Self {
            let lifetimes = Lifetimes::default();
            let mut store = Self {
                family: lifetimes.family(NOW),
                rows: Vec::new(),
                lifetimes,
            };
            store.mint(NOW);
            store
        }

        fn mint(&mut self, now: Timestamp) -> usize {
            let row = Row {
                state: State::Unused,
                expires_at: self.lifetimes.token_expiry(&self.family, now),
            };
            self.rows.push((row, None));
            self.rows.len() - 1
        }

        fn present(&mut self, token: usize, now: Timestamp) -> (Decision, Option<usize>) {
            let (row, next) = self.rows[token];
            let decision = present(&row, next.map(|next| &self.rows[next].0), &self.family, now);
            let new = match decision {
                Decision::Rotate => {
                    self.rows[token].0.state = State::Consumed;
                    Some(self.mint(now))
                }
                Decision::Recover => {
                    self.rows[next.unwrap()].0.state = State::Revoked;
                    Some(self.mint(now))
                }
                Decision::Replay => {
                    self.family.revoked = true;
                    None
                }
                Decision::Over(_) => None,
            };
            if new.is_some() {
                self.rows[token].1 = new;
            }
            (decision, new)
        }

        /// Tokens that would bring a new one without revoking another.
        fn live(&self) -> usize {
            let unused = self.rows.iter().filter(|(row, _)| row.state == State::Unused).count();
            if self.family.revoked { 0 } else { unused }
        }
    }

    #[test]
    fn each_token_is_used_once_and_brings_the_next() {
        let mut store = Store::login();
        assert_eq!(store.present(0, NOW), (Decision::Rotate, Some(1)));
        assert_eq!(store.present(1, NOW), (Decision::Rotate, Some(2)));
    }

    #[test]
    fn a_lost_answer_is_recovered_while_its_successor_is_unused() {
        let mut store = Store::login();
        assert_eq!(store.present(0, NOW), (Decision::Rotate, Some(1)));
        assert_eq!(store.present(0, NOW), (Decision::Recover, Some(2)));
        assert_eq!(store.present(0, NOW), (Decision::Recover, Some(3)));
        assert_eq!(store.present(3, NOW), (Decision::Rotate, Some(4)));
        assert_eq!(store.present(0, NOW), (Decision::Replay, None));
        assert_eq!(store.present(4, NOW), (Decision::Over(Over::SessionEnded), None));
    }

    #[test]
    fn a_thief_who_recovers_is_found_when_the_owner_goes_on() {
        let mut store = Store::login();
        let (_, owners) = store.present(0, NOW);
        let (_, thiefs) = store.present(0, NOW);
        assert_eq!(store.present(owners.unwrap(), NOW), (Decision::Replay, None));
        assert_eq!(store.present(thiefs.unwrap(), NOW).1, None);
    }

    #[test]
    fn a_family_ends_idle_and_at_its_age_however_busy() {
        let mut store = Store::login();
        let day = |n: i64| Timestamp(NOW.0 + n * 86_400_000_000);
        assert_eq!(store.present(0, day(30)).0, Decision::Over(Over::TokenExpired));
        let mut newest = 0;
        for n in (29..365).step_by(29) {
            let (decision, next) = store.present(newest, day(n));
            assert_eq!(decision, Decision::Rotate);
            newest = next.unwrap();
        }
        assert_eq!(store.rows[newest].0.expires_at, day(365));
        assert_eq!(store.present(newest, day(365)).0, Decision::Over(Over::SessionExpired));
    }

    proptest! {
        /// Whoever presents whichever of the tokens ever issued, in any order.
        #[test]
        fn there_is_never_a_second_line_and_a_true_replay_ends_the_family(choices in prop::collection::vec(any::<prop::sample::Index>(), 1..60)) {
            let mut store = Store::login();
            for choice in choices {
                let token = choice.index(store.rows.len());
                let (row, next) = store.rows[token];
                let dead = store.family.revoked;
                let successor_unused = next.is_some_and(|next| store.rows[next].0.state == State::Unused);
                let (decision, new) = store.present(token, NOW);
                let expected = match row.state {
                    _ if dead => Decision::Over(Over::SessionEnded),
                    State::Unused => Decision::Rotate,
                    State::Consumed if successor_unused => Decision::Recover,
                    State::Consumed | State::Revoked => Decision::Replay,
                };
                prop_assert_eq!(decision, expected);
                prop_assert_eq!(new.is_some(), matches!(decision, Decision::Rotate | Decision::Recover));
                prop_assert_eq!(store.live(), usize::from(!store.family.revoked));
                // Following the successors from the login always ends at the one living token.
                let mut tip = 0;
                while let Some(next) = store.rows[tip].1 {
                    tip = next;
                }
                prop_assert!(store.family.revoked || store.rows[tip].0.state == State::Unused);
            }
        }
    }
}
