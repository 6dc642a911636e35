//! CloudFront's control plane, as the media domain sees it.

use std::sync::Arc;

use nova_cdn::CloudFront;
use nova_cdn::invalidation::{InvalidationError, MOST_FILES, MOST_WILDCARDS};
use nova_core::clock::Clock;
use nova_core::config::CloudFrontConfig;
use nova_core::store::BoxFuture;
use nova_media::{Purge, PurgeError, Remedy};

struct Distribution(CloudFront);

/// The configured distribution; nothing where none is.
pub(crate) async fn purge(config: &CloudFrontConfig, clock: Clock) -> Option<Arc<dyn Purge>> {
    let cloudfront = CloudFront::connect(config, clock).await?;
    Some(Arc::new(Distribution(cloudfront)))
}

fn failure(error: &InvalidationError) -> PurgeError {
    PurgeError {
        why: error.to_string(),
        remedy: if error.may_pass() {
            Remedy::Wait
        } else if error.is_setup() {
            Remedy::Setup
        } else {
            Remedy::Nothing
        },
    }
}

impl Purge for Distribution {
    fn begin<'a>(&'a self, reference: &'a str, paths: &'a [String]) -> BoxFuture<'a, Result<String, PurgeError>> {
        Box::pin(async move {
            let begun = self.0.invalidate(reference, paths).await;
            begun.map_err(|error| failure(&error))
        })
    }

    fn is_done<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, PurgeError>> {
        Box::pin(async move { self.0.is_complete(id).await.map_err(|error| failure(&error)) })
    }

    fn most(&self) -> (usize, usize) {
        (MOST_FILES, MOST_WILDCARDS)
    }
}
