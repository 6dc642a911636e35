//! What signs for the CDN, as the media domain sees it.

use std::sync::Arc;

use nova_cdn::cloudfront::{Policy, Signer};
use nova_core::config::CloudFrontConfig;
use nova_media::Signature;

/// Signs a pattern of addresses until then.
pub(crate) type Sign = dyn Fn(&str, i64) -> Option<Signature> + Send + Sync;

/// What signs with the configured keys; nothing where there are none. A key that cannot sign is an error of the start.
pub(crate) fn signer(config: &CloudFrontConfig) -> anyhow::Result<Option<Arc<Sign>>> {
    let Some(signer) = Signer::load(&config.key_pairs().unwrap_or_default())? else {
        return Ok(None);
    };
    Ok(Some(Arc::new(move |resource, until| {
        let policy = Policy {
            resource: resource.to_owned(),
            until,
            from: None,
            network: None,
        };
        match signer.grant(&policy) {
            Ok(grant) => Some(Signature {
                query: grant.query,
                cookies: grant.cookies.into(),
            }),
            Err(error) => {
                tracing::error!(%error, resource, "an address cannot be signed");
                None
            }
        }
    })))
}
