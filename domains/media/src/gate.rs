//! What the delivery side must know of the streams on air, in memory: every request of a viewer asks here, and none waits for a database.

use dashmap::DashMap;
use nova_core::clock::{Clock, Timestamp};
use nova_domain::db::UserId;
use nova_domain::policy::Visibility;

use crate::stream::StreamId;
use crate::token::PlaybackTokens;

/// Whether playlists of a stream are given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To everybody.
    Open,
    /// To who shows this token; the playlists it leads to must carry it on.
    Token(String),
    /// Not to this request.
    Denied,
}

/// A stream that has been let on air by this process.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: StreamId,
    pub(crate) owner: UserId,
    pub(crate) visibility: Visibility,
    /// What it broadcasts is kept.
    pub(crate) record: bool,
    /// When its publisher was let in last.
    pub(crate) admitted: Timestamp,
}

/// The streams on air, by the name the hub knows them by.
pub struct Gate {
    entries: DashMap<String, Entry>,
    /// Id, and folded name, to the hub's name.
    aliases: DashMap<String, String>,
    tokens: PlaybackTokens,
    clock: Clock,
}

impl Gate {
    pub(crate) fn new(tokens: PlaybackTokens, clock: Clock) -> Self {
        Self {
            entries: DashMap::new(),
            aliases: DashMap::new(),
            tokens,
            clock,
        }
    }

    /// The hub's name of the stream that a URL names by its id or by its name in any case.
    pub fn resolve(&self, name: &str) -> Option<String> {
        if self.entries.contains_key(name) {
            return None;
        }
        self.aliases
            .get(&name.to_lowercase())
            .map(|alias| alias.value().clone())
    }

    /// Whether playlists of the stream that the hub knows as `name` are given to a request with this query. A stream without an owner is open.
    pub fn admits(&self, name: &str, query: Option<&str>) -> Decision {
        let Some(entry) = self.entries.get(name) else {
            return Decision::Open;
        };
        if entry.visibility != Visibility::Private {
            return Decision::Open;
        }
        let pairs = query.unwrap_or_default().split('&');
        let token = pairs
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == "token").then_some(value));
        match token {
            Some(token) if self.tokens.verify(entry.id, token, self.clock.now()).is_some() => {
                Decision::Token(token.to_owned())
            }
            _ => Decision::Denied,
        }
    }

    /// Whether what is broadcast under this name is kept; `None` for a stream without an owner.
    pub fn records(&self, name: &str) -> Option<bool> {
        self.entries.get(name).map(|entry| entry.record)
    }

    /// Signs and verifies the tokens.
    pub fn tokens(&self) -> &PlaybackTokens {
        &self.tokens
    }

    pub(crate) fn get(&self, name: &str) -> Option<Entry> {
        self.entries.get(name).map(|entry| entry.value().clone())
    }

    /// The hub's name of a stream.
    pub(crate) fn name_of(&self, id: StreamId) -> Option<String> {
        self.aliases.get(&id.to_string()).map(|alias| alias.value().clone())
    }

    /// A publisher was let in.
    pub(crate) fn admit(&self, name: &str, entry: Entry) {
        self.aliases.insert(entry.id.to_string(), name.to_owned());
        self.aliases.insert(name.to_lowercase(), name.to_owned());
        self.entries.insert(name.to_owned(), entry);
    }

    /// The stream has changed: its visibility, or its name, by which it can be watched from now on as well.
    pub(crate) fn change(&self, id: StreamId, new_name: &str, visibility: Visibility) {
        let Some(name) = self.name_of(id) else { return };
        self.aliases.insert(new_name.to_lowercase(), name.clone());
        if let Some(mut entry) = self.entries.get_mut(&name) {
            entry.visibility = visibility;
        }
    }

    /// Forgets the streams that `keep` does not want.
    pub(crate) fn retain(&self, keep: impl Fn(&str, &Entry) -> bool) {
        self.entries.retain(|name, entry| keep(name, entry));
        self.aliases.retain(|_, name| self.entries.contains_key(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_stream_is_given_to_who_shows_a_token_and_found_by_any_of_its_names() {
        let now = Timestamp(1_000_000);
        let gate = Gate::new(PlaybackTokens::new(&[1; 32]), Clock::manual(now));
        let (id, owner) = (StreamId::new(now), UserId::new(now));
        let entry = |visibility| Entry {
            id,
            owner,
            visibility,
            record: false,
            admitted: now,
        };
        gate.admit("My-Show", entry(Visibility::Unlisted));
        assert_eq!(gate.admits("My-Show", None), Decision::Open);
        assert_eq!(gate.admits("nobodys", None), Decision::Open);
        gate.change(id, "renamed", Visibility::Private);
        for name in [id.to_string().as_str(), "my-show", "MY-SHOW", "Renamed"] {
            assert_eq!(gate.resolve(name).as_deref(), Some("My-Show"), "{name}");
        }
        assert_eq!(gate.resolve("My-Show"), None, "it is that already");
        assert_eq!(gate.admits("My-Show", None), Decision::Denied);
        assert_eq!(gate.admits("My-Show", Some("token=rubbish")), Decision::Denied);
        let token = gate.tokens().sign(id, owner, Timestamp(2_000_000));
        let query = format!("_HLS_msn=3&token={token}");
        assert_eq!(gate.admits("My-Show", Some(&query)), Decision::Token(token));
        gate.retain(|_, _| false);
        assert_eq!((gate.resolve("renamed"), gate.get("My-Show").is_none()), (None, true));
    }
}
