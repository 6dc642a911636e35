//! Whether a publisher may go on: asked once, when it arrives.

use std::sync::Arc;

use dashmap::DashMap;
use nova_core::clock::Timestamp;
use nova_core::publish::{Denied, Grant, PublishAuthorizer, PublishRequest, StaticAuthorizer, is_stream_name};
use nova_core::store::BoxFuture;

use crate::domain::State;
use crate::gate::Entry;
use crate::key;
use crate::stream::{self, Row};

/// Most keys that are remembered for the time a database is away.
const REMEMBERED: usize = 10_000;

/// By stream key from the database, by static keys from the configuration, or open to any name that nobody owns.
pub(crate) struct Authorizer {
    pub(crate) state: State,
    /// The keys of the configuration.
    pub(crate) listed: StaticAuthorizer,
    /// Hashes of keys that were good when they came last, so that an encoder can come back while the database is away.
    pub(crate) accepted: Arc<DashMap<String, (String, Entry)>>,
}

impl Authorizer {
    async fn decide(&self, request: PublishRequest) -> Result<Grant, Denied> {
        if request.app != "live" {
            return Err(Denied::BadApp);
        }
        let now = self.state.clock.now();
        let hash = key::hash(&request.key);
        match stream::by_key(&self.state.db, &hash).await {
            Ok(Some(row)) => self.owned(row, hash, now).await,
            Ok(None) => {
                self.accepted.remove(&hash);
                self.others(request).await
            }
            Err(error) => {
                tracing::warn!(%error, "a publisher is judged without the database");
                let Some(known) = self.accepted.get(&hash) else {
                    return if matches!(self.listed, StaticAuthorizer::Keys(_)) {
                        self.listed
                            .authorize(request)
                            .await
                            .map_err(|_unknown| Denied::Unavailable)
                    } else {
                        Err(Denied::Unavailable)
                    };
                };
                let (name, entry) = known.value().clone();
                self.state.gate.admit(&name, Entry { admitted: now, ..entry });
                Ok(Grant { stream: name })
            }
        }
    }

    async fn owned(&self, row: Row, hash: String, now: Timestamp) -> Result<Grant, Denied> {
        let standing = self
            .state
            .accounts
            .standing(row.owner_user_id)
            .await
            .map_err(|_away| Denied::Unavailable)?;
        let refused = match standing {
            None => Some("this account is gone"),
            Some(standing) if standing.suspended_until.is_some_and(|until| until > now) => {
                Some("this account is suspended")
            }
            Some(_) if row.refused_until > now.0 => Some("this stream was stopped a moment ago, wait a little"),
            Some(_) => None,
        };
        if let Some(why) = refused {
            self.accepted.remove(&hash);
            return Err(Denied::Refused(why.to_owned()));
        }
        let entry = Entry {
            id: row.id,
            owner: row.owner_user_id,
            visibility: row.visibility(),
            record: row.record.0,
            admitted: now,
        };
        // A broadcast that goes on keeps the name it began with, whatever the stream is called now.
        let name = self.state.gate.name_of(row.id).unwrap_or(row.name);
        self.state.gate.admit(&name, entry.clone());
        if self.accepted.len() < REMEMBERED {
            self.accepted.insert(hash, (name.clone(), entry));
        }
        Ok(Grant { stream: name })
    }

    /// Keys of the configuration, and open publishing. A name that somebody owns is published with its key only.
    async fn others(&self, request: PublishRequest) -> Result<Grant, Denied> {
        // A key that is not good any more must not become a name that everybody sees.
        if request.key.starts_with(key::PREFIX) {
            return Err(Denied::UnknownKey);
        }
        let grant = self.listed.authorize(request).await?;
        if matches!(self.listed, StaticAuthorizer::Open) {
            if !is_stream_name(&grant.stream) {
                return Err(Denied::BadName);
            }
            match stream::find(self.state.db.read(), &grant.stream).await {
                Ok(None) => {}
                Ok(Some(_)) => return Err(Denied::UnknownKey),
                Err(_away) => return Err(Denied::Unavailable),
            }
        }
        Ok(grant)
    }
}

impl PublishAuthorizer for Authorizer {
    fn authorize(&self, request: PublishRequest) -> BoxFuture<'_, Result<Grant, Denied>> {
        Box::pin(self.decide(request))
    }
}
