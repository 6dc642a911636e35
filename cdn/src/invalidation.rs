//! Amazon CloudFront: making a distribution forget what it has cached, through its control API (2020-05-31).
//!
//! One call is one try, bounded in time: whoever calls remembers across restarts what is still to be done, and tries again. A call may be made again
//! with the same reference and the same paths: CloudFront then answers with the invalidation that there is and makes no second one (*API Reference*,
//! `InvalidationBatch`). Credentials come from the standard AWS chain; no error carries any.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::config::http::HttpResponse;
use aws_sdk_cloudfront::config::retry::RetryConfig;
use aws_sdk_cloudfront::config::timeout::TimeoutConfig;
use aws_sdk_cloudfront::config::{Credentials, Region};
use aws_sdk_cloudfront::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use metrics::Counter;
use nova_core::clock::Clock;
use nova_core::config::CloudFrontConfig;

use crate::s3::{Signing, chain, http_client, innermost};

/// Individual files that CloudFront invalidates at a time, for one distribution (*Quotas*: "Concurrent invalidations").
pub const MOST_FILES: usize = 3000;
/// Paths with a `*` at the end that it invalidates at a time.
pub const MOST_WILDCARDS: usize = 15;

/// The control plane is in one region, whatever the machine's.
const REGION: &str = "us-east-1";
const CONNECT: Duration = Duration::from_secs(3);
/// Bound of one call.
const TRY: Duration = Duration::from_secs(10);

/// Why CloudFront did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum InvalidationError {
    /// It answered, and not with what was asked for.
    #[error("CloudFront answered {status} {code}{}", hint(code))]
    Refused {
        /// HTTP status.
        status: u16,
        /// CloudFront's word for it, such as `AccessDenied`.
        code: String,
    },
    /// No answer came in time.
    #[error("CloudFront did not answer within {0:?}")]
    TimedOut(Duration),
    /// There is no way to it, or no whole answer, or no credentials.
    #[error("CloudFront cannot be reached: {0}")]
    Away(String),
    /// The request cannot be written.
    #[error("the request cannot be made: {0}")]
    Request(#[from] BuildError),
}

/// What to do about the refusals that people meet when they set a distribution up.
fn hint(code: &str) -> &'static str {
    match code {
        "InvalidClientTokenId" | "UnrecognizedClientException" => ": it does not know the access key",
        "SignatureDoesNotMatch" => ": the secret key does not belong to the access key, or this clock is wrong",
        "AccessDenied" => ": this access key may not do it",
        "ExpiredToken" => ": the session token has expired",
        "NoSuchDistribution" => ": there is no such distribution in this account",
        "TooManyInvalidationsInProgress" => ": it does as much as it does at a time",
        _ => "",
    }
}

impl InvalidationError {
    /// Whether the same call may succeed a moment later, with nothing changed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, code } => {
                *status >= 500
                    || *status == 429
                    || [
                        "TooManyInvalidationsInProgress",
                        "Throttling",
                        "ThrottlingException",
                        "RequestTimeout",
                        "TooManyRequestsException",
                    ]
                    .contains(&code.as_str())
            }
            Self::TimedOut(_) | Self::Away(_) => true,
            Self::Request(_) => false,
        }
    }

    /// Whether it is the setting up that is wrong, which a person may put right: credentials, their rights, the distribution's id.
    pub fn is_setup(&self) -> bool {
        matches!(self, Self::Refused { status, code } if *status == 401 || *status == 403 || code == "NoSuchDistribution")
    }
}

/// What is known of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Its own name, such as `d111111abcdef8.cloudfront.net`.
    pub domain: String,
    /// Names of one's own by which it answers as well.
    pub aliases: Vec<String>,
    /// Whether it answers at all.
    pub enabled: bool,
}

/// A distribution's control plane. Clones share it.
#[derive(Clone)]
pub struct CloudFront(Arc<Inner>);

struct Inner {
    client: Client,
    distribution: String,
    limit: Duration,
    counters: Counters,
}

/// | metric | counts |
/// | --- | --- |
/// | `nova_cloudfront_calls_total` by `outcome` | calls: ok, passing (another may succeed), refused |
struct Counters {
    ok: Counter,
    passing: Counter,
    refused: Counter,
}

impl CloudFront {
    /// The configured distribution, with the credentials of the AWS chain; `None` where none is configured. Asks nobody: [`CloudFront::probe`] does.
    /// Install the metrics recorder first.
    pub async fn connect(config: &CloudFrontConfig, clock: Clock) -> Option<Self> {
        if config.distribution_id.is_empty() {
            return None;
        }
        let builder = aws_sdk_cloudfront::config::Builder::from(&chain(REGION).await);
        Some(Self::build(config, clock, builder))
    }

    /// The same with an access key of its own.
    pub fn with_key(config: &CloudFrontConfig, clock: Clock, access_key: &str, secret_key: &str) -> Self {
        let builder = aws_sdk_cloudfront::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http_client())
            .credentials_provider(Credentials::new(access_key, secret_key, None, None, "configured"))
            .region(Region::from_static(REGION));
        Self::build(config, clock, builder)
    }

    fn build(config: &CloudFrontConfig, clock: Clock, builder: aws_sdk_cloudfront::config::Builder) -> Self {
        let mut builder = builder
            .time_source(Signing(clock))
            // Tried again by whoever remembers what is to be done.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build());
        if !config.endpoint.is_empty() {
            builder = builder.endpoint_url(&config.endpoint);
        }
        let of = |outcome: &'static str| metrics::counter!("nova_cloudfront_calls_total", "outcome" => outcome);
        Self(Arc::new(Inner {
            client: Client::from_conf(builder.build()),
            distribution: config.distribution_id.clone(),
            limit: TRY,
            counters: Counters {
                ok: of("ok"),
                passing: of("passing"),
                refused: of("refused"),
            },
        }))
    }

    /// The same with another bound on the time of a call. Before it is cloned.
    #[must_use]
    pub fn bounded_by(mut self, limit: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.limit = limit;
        }
        self
    }

    /// Begins to invalidate these paths, or finds that it was begun under this reference; CloudFront's id of it.
    pub async fn invalidate(&self, reference: &str, paths: &[String]) -> Result<String, InvalidationError> {
        let inner = &self.0;
        let paths = Paths::builder()
            .quantity(i32::try_from(paths.len()).unwrap_or(i32::MAX))
            .set_items(Some(paths.to_vec()))
            .build()?;
        let batch = InvalidationBatch::builder()
            .caller_reference(reference)
            .paths(paths)
            .build()?;
        let call = inner.client.create_invalidation();
        let call = call
            .distribution_id(&inner.distribution)
            .invalidation_batch(batch)
            .send();
        let answer = inner.made(call).await?;
        let id = answer.invalidation().map(|invalidation| invalidation.id().to_owned());
        id.filter(|id| !id.is_empty())
            .ok_or_else(|| InvalidationError::Away("the answer names no invalidation".into()))
    }

    /// Whether the invalidation with this id is done everywhere.
    pub async fn is_complete(&self, id: &str) -> Result<bool, InvalidationError> {
        let inner = &self.0;
        let call = inner.client.get_invalidation();
        let answer = inner
            .made(call.distribution_id(&inner.distribution).id(id).send())
            .await?;
        let status = answer.invalidation().map(|invalidation| invalidation.status());
        // Some servers write it in capitals.
        Ok(status.is_some_and(|status| status.eq_ignore_ascii_case("completed")))
    }

    /// Looks at the distribution: whether there is one, and whether these credentials may know.
    pub async fn probe(&self) -> Result<Distribution, InvalidationError> {
        let inner = &self.0;
        let call = inner.client.get_distribution().id(&inner.distribution);
        let answer = inner.made(call.send()).await?;
        let found = answer
            .distribution()
            .ok_or_else(|| InvalidationError::Away("the answer describes no distribution".into()))?;
        let settings = found.distribution_config();
        Ok(Distribution {
            domain: found.domain_name().to_owned(),
            aliases: settings
                .and_then(|settings| settings.aliases())
                .map(|aliases| aliases.items().to_vec())
                .unwrap_or_default(),
            enabled: settings.is_some_and(|settings| settings.enabled()),
        })
    }
}

impl Inner {
    async fn made<T, E>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, InvalidationError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let made = match tokio::time::timeout(self.limit, call).await {
            Ok(answer) => answer.map_err(|error| self.failure(&error)),
            Err(_elapsed) => Err(InvalidationError::TimedOut(self.limit)),
        };
        match &made {
            Ok(_) => self.counters.ok.increment(1),
            Err(error) if error.may_pass() => self.counters.passing.increment(1),
            Err(_) => self.counters.refused.increment(1),
        }
        made
    }

    fn failure<E: ProvideErrorMetadata + Error + 'static>(
        &self,
        error: &SdkError<E, HttpResponse>,
    ) -> InvalidationError {
        match error {
            SdkError::TimeoutError(_) => InvalidationError::TimedOut(self.limit),
            SdkError::DispatchFailure(failed) if failed.is_timeout() => InvalidationError::TimedOut(CONNECT),
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                let code = error.code().unwrap_or_default();
                match error.raw_response().map(|answer| answer.status().as_u16()) {
                    // Success that cannot be read: it was cut off.
                    Some(status) if !(200..300).contains(&status) => InvalidationError::Refused {
                        status,
                        code: code.chars().take(64).filter(char::is_ascii_alphanumeric).collect(),
                    },
                    _ => InvalidationError::Away(innermost(error)),
                }
            }
            _ => InvalidationError::Away(innermost(error)),
        }
    }
}
