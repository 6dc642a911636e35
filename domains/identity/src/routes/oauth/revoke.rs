//! Tokens that a provider wants back. Apple asks for it when an account is deleted ("Offering account deletion in your app"); it is a job, for Apple may be
//! away at that moment, and the account is gone whether it is or not.

use anyhow::Context as _;
use data_encoding::BASE64;
use nova_core::clock::Timestamp;
use nova_domain::db::{Error, Tx, UserId};
use nova_domain::outbox::Job;
use serde::{Deserialize, Serialize};

use crate::domain::State;
use crate::oidc::{self, Token};

/// Gives a token back.
#[derive(Serialize, Deserialize)]
pub(crate) struct Revoke {
    provider: String,
    /// Sealed, base64.
    token: String,
}

impl Job for Revoke {
    const TYPE: &'static str = "identity.revoke";
}

impl Revoke {
    /// The job.
    pub(crate) async fn run(self, state: &State) -> anyhow::Result<()> {
        let Some(provider) = state.providers.get(&self.provider).filter(|provider| provider.revokes) else {
            tracing::warn!(
                provider = self.provider,
                "a token cannot be given back: the provider is not configured any more"
            );
            return Ok(());
        };
        let sealed = BASE64.decode(self.token.as_bytes()).context("a sealed token")?;
        let plain = state.sealer.open(&sealed).context("a token sealed by another server")?;
        let token = Token(String::from_utf8(plain).context("a token")?);
        match state.providers.revoke(provider, token, state.clock.now()).await {
            Err(oidc::Error::Denied(status)) => {
                tracing::warn!(provider = self.provider, status, "a token was not taken back");
                Ok(())
            }
            done => Ok(done?),
        }
    }
}

/// Gives the tokens of a person's links back, those of all or of one, once the transaction is committed.
pub(crate) async fn give_back(tx: &mut Tx, user: UserId, link: Option<&str>, now: Timestamp) -> Result<(), Error> {
    let kept: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "SELECT provider, token FROM identity_links WHERE user_id = $1 AND ($2 = '' OR id = $2) AND token IS NOT NULL",
    )
    .bind(user)
    .bind(link.unwrap_or_default())
    .fetch_all(tx.conn())
    .await?;
    for (provider, sealed) in kept {
        let job = Revoke {
            provider,
            token: BASE64.encode(&sealed),
        };
        tx.enqueue(&job, now, now).await?;
    }
    Ok(())
}
