//! What ended before its time: sessions, and everything a user held before some moment (ASVS 5.0 7.4.1, 7.4.2, 8.3.2).
//!
//! Access tokens are checked without the database, so each check asks here. Readers take no lock. An entry is forgotten when the tokens
//! it concerns have expired by themselves. Long-lived connections [`Revocations::watch`] their session and are told at once. What is
//! revoked is written to the database by whoever revokes; this is the copy of one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use nova_core::clock::Timestamp;
use tokio_util::sync::CancellationToken;

/// The revoked sessions and users of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    revoked: ArcSwap<Revoked>,
    watchers: Mutex<Watchers>,
}

#[derive(Clone, Debug, Default)]
struct Revoked {
    /// Session to when this may be forgotten.
    sessions: HashMap<Box<str>, Timestamp>,
    /// User to: tokens issued at or before the first time are dead; the second is when this may be forgotten.
    users: HashMap<Box<str>, (Timestamp, Timestamp)>,
}

#[derive(Debug, Default)]
struct Watchers {
    last: u64,
    by_session: HashMap<Box<str>, Vec<Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    number: u64,
    user: Box<str>,
    issued_at: Timestamp,
    ended: CancellationToken,
}

impl Revocations {
    /// Nothing is revoked.
    pub fn new() -> Self {
        Self::default()
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.inner.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends sessions. `until` is when the last of their access tokens has expired.
    pub fn revoke_sessions<'a>(&self, sessions: impl IntoIterator<Item = &'a str>, until: Timestamp) {
        let mut watchers = self.watchers();
        let mut revoked = Revoked::clone(&self.inner.revoked.load());
        let sessions: Vec<&str> = sessions.into_iter().collect();
        for &session in &sessions {
            let kept = revoked.sessions.entry(session.into()).or_insert(until);
            *kept = until.max(*kept);
        }
        self.inner.revoked.store(Arc::new(revoked));
        // Stored before anybody is told: whoever starts to watch from here on finds it there.
        for session in sessions {
            for watcher in watchers.by_session.get_mut(session).into_iter().flatten() {
                watcher.ended.cancel();
            }
        }
    }

    /// Ends what a user was issued at or before `not_after`. `until` is when the last such access token has expired.
    pub fn revoke_user(&self, user: &str, not_after: Timestamp, until: Timestamp) {
        let watchers = self.watchers();
        let mut revoked = Revoked::clone(&self.inner.revoked.load());
        let kept = revoked.users.entry(user.into()).or_insert((not_after, until));
        *kept = (not_after.max(kept.0), until.max(kept.1));
        self.inner.revoked.store(Arc::new(revoked));
        for watcher in watchers.by_session.values().flatten() {
            if *watcher.user == *user && watcher.issued_at <= not_after {
                watcher.ended.cancel();
            }
        }
    }

    /// Whether something issued to this session and user at this time has been ended.
    pub fn is_revoked(&self, session: &str, user: &str, issued_at: Timestamp) -> bool {
        let revoked = self.inner.revoked.load();
        revoked.sessions.contains_key(session)
            || revoked
                .users
                .get(user)
                .is_some_and(|(not_after, _)| issued_at <= *not_after)
    }

    /// Forgets what no living token can refer to.
    pub fn sweep(&self, now: Timestamp) {
        let _writer = self.watchers();
        let mut revoked = Revoked::clone(&self.inner.revoked.load());
        revoked.sessions.retain(|_, until| *until > now);
        revoked.users.retain(|_, (_, until)| *until > now);
        self.inner.revoked.store(Arc::new(revoked));
    }

    /// Watches a session for a connection that outlives one check. A session that is revoked already is reported at once.
    pub fn watch(&self, session: &str, user: &str, issued_at: Timestamp) -> Watch {
        let ended = CancellationToken::new();
        let mut watchers = self.watchers();
        watchers.last += 1;
        let number = watchers.last;
        watchers.by_session.entry(session.into()).or_default().push(Watcher {
            number,
            user: user.into(),
            issued_at,
            ended: ended.clone(),
        });
        if self.is_revoked(session, user, issued_at) {
            ended.cancel();
        }
        Watch {
            revocations: self.clone(),
            session: session.into(),
            number,
            ended,
        }
    }
}

/// A session under watch; dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    revocations: Revocations,
    session: Box<str>,
    number: u64,
    ended: CancellationToken,
}

impl Watch {
    /// Returns when the session is revoked.
    pub async fn revoked(&self) {
        self.ended.cancelled().await;
    }

    /// Whether it is.
    pub fn is_revoked(&self) -> bool {
        self.ended.is_cancelled()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = self.revocations.watchers();
        if let Some(watching) = watchers.by_session.get_mut(&self.session) {
            watching.retain(|watcher| watcher.number != self.number);
            if watching.is_empty() {
                watchers.by_session.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Timestamp = Timestamp(900);

    #[test]
    fn a_session_ends_alone_and_a_user_with_everything_before() {
        let revocations = Revocations::new();
        revocations.revoke_sessions(["s1"], LATER);
        revocations.revoke_user("u2", Timestamp(100), LATER);
        assert!(revocations.is_revoked("s1", "u1", Timestamp(50)));
        assert!(!revocations.is_revoked("s2", "u1", Timestamp(50)));
        assert!(revocations.is_revoked("s3", "u2", Timestamp(100)));
        assert!(
            !revocations.is_revoked("s4", "u2", Timestamp(101)),
            "a login right after"
        );
        // An older revocation that arrives late takes nothing back.
        revocations.revoke_user("u2", Timestamp(10), Timestamp(20));
        assert!(revocations.is_revoked("s3", "u2", Timestamp(100)));
    }

    #[test]
    fn what_has_expired_by_itself_is_forgotten() {
        let revocations = Revocations::new();
        revocations.revoke_sessions(["s1"], Timestamp(10));
        revocations.revoke_sessions(["s2"], LATER);
        revocations.revoke_user("u", Timestamp(5), Timestamp(10));
        revocations.sweep(Timestamp(10));
        let left = revocations.inner.revoked.load();
        assert_eq!(
            left.sessions.keys().map(|session| &**session).collect::<Vec<_>>(),
            ["s2"]
        );
        assert!(left.users.is_empty());
    }

    #[tokio::test]
    async fn a_watching_connection_is_told_at_once() {
        let revocations = Revocations::new();
        let [one, two, other] = [("s1", "u"), ("s2", "u"), ("s3", "v")]
            .map(|(session, user)| revocations.watch(session, user, Timestamp(1)));
        let second_of_one = revocations.watch("s1", "u", Timestamp(1));
        revocations.revoke_sessions(["s1"], LATER);
        one.revoked().await;
        second_of_one.revoked().await;
        assert!(!two.is_revoked() && !other.is_revoked());
        revocations.revoke_user("u", Timestamp(1), LATER);
        two.revoked().await;
        assert!(!other.is_revoked());
        revocations.watch("s1", "u", Timestamp(1)).revoked().await;
        drop((one, two, other, second_of_one));
        assert!(revocations.watchers().by_session.is_empty());
    }
}
