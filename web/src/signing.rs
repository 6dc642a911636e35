//! What signs for the CDN, as the media domain sees it.

use std::sync::Arc;

use anyhow::Context;
use nova_cdn::PathTokens;
use nova_cdn::cloudfront::{Policy, Signer};
use nova_core::config::CdnConfig;
use nova_media::{Sign, Signature};

/// The keys of tokens in paths; nothing where there are none. A key that cannot be used is an error of the start.
pub(crate) fn tokens(config: &CdnConfig) -> anyhow::Result<Option<PathTokens>> {
    PathTokens::load(&config.tokens.keys().unwrap_or_default()).context("cdn.tokens")
}

/// What signs with the configured keys, CloudFront's before those of path tokens; nothing where there are none. A key that cannot sign is an error of the
/// start.
pub(crate) fn signer(config: &CdnConfig) -> anyhow::Result<Option<Arc<Sign>>> {
    let pairs = config.cloudfront.key_pairs().unwrap_or_default();
    if let Some(signer) = Signer::load(&pairs).context("cdn.cloudfront")? {
        return Ok(Some(Arc::new(move |base, place, until| {
            cloudfront(&signer, base, place, until)
        })));
    }
    let Some(tokens) = tokens(config)? else { return Ok(None) };
    Ok(Some(Arc::new(move |base, place, until| {
        Some(Signature {
            base: format!("{base}{}", tokens.sign(place, until)?),
            query: String::new(),
            cookies: Vec::new(),
        })
    })))
}

fn cloudfront(signer: &Signer, base: &str, place: &str, until: i64) -> Option<Signature> {
    let base = format!("{base}{place}");
    let policy = Policy {
        resource: format!("{base}*"),
        until,
        from: None,
        network: None,
    };
    match signer.grant(&policy) {
        Ok(grant) => Some(Signature {
            base,
            query: grant.query,
            cookies: grant.cookies.into(),
        }),
        Err(error) => {
            tracing::error!(%error, resource = policy.resource, "an address cannot be signed");
            None
        }
    }
}
