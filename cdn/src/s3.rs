//! Objects in a bucket of S3, or of anything that speaks its protocol.
//!
//! | key | object |
//! | --- | --- |
//! | `{prefix}/live/{stream}/{broadcast}/…` | segments of what is on air and not recorded; deleted as they leave the window |
//! | `{prefix}/vod/{folder}/…` | recordings, uploads, clips: segments, headers, captions, pictures and `index.jsonl`, which is written last |
//! | `{prefix}/images/{folder}/…` | pictures that people upload |
//!
//! Each object carries its media type, a CRC-32 that the server verifies, and a cache life, so that a CDN may read the bucket directly. A request has a
//! bound on its time, is tried again with jitter when that may help, and a small upload that is slow gets a second one beside it: a key is written
//! once, so it does not matter which of them wins. Credentials come from the standard AWS chain; no error carries any.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io::{Error as IoError, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Credentials, Region, RequestChecksumCalculation, SharedHttpClient};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::tls;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use metrics::{Counter, Histogram};
use nova_core::clock::Clock;
use nova_core::config::StorageConfig;
use nova_core::store::{BoxFuture, ObjectStore, StoreError};
use tokio::sync::Semaphore;

use crate::store::check_key;

/// Requests at once: at 30 ms each some 2,000 a second.
const REQUESTS: usize = 64;
/// Requests of one large upload at once.
const PARTS_AT_ONCE: usize = 4;
/// Larger objects are uploaded in parts of this size; S3 takes 10,000 of them.
const PART_BYTES: usize = 16 << 20;
/// Uploads up to this size get a second one beside them when they are slow.
const HEDGED_BYTES: usize = 8 << 20;
/// How long an upload may take before the second one starts: far above what a healthy store needs for a segment.
const HEDGE_AFTER: Duration = Duration::from_millis(800);
const CONNECT: Duration = Duration::from_secs(3);
/// Bound of one try, and what its bytes get on top: slower than 512 KiB/s is as good as away.
const TRY: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND: u64 = 512 << 10;
const TRIES: u32 = 4;
/// The longest waits between tries double from here.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Largest object that is read: what is kept is far smaller.
const READ_LIMIT: usize = 1 << 30;
/// Keys of one list, and of one deletion.
const KEYS: i32 = 1000;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Of what may be written again under its name.
const REVALIDATE: &str = "no-cache";

/// Why S3 did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// It answered, and not with what was asked for.
    #[error("the object store answered {status} {code}{}", hint(code))]
    Refused {
        /// HTTP status.
        status: u16,
        /// S3's word for it, such as `AccessDenied`.
        code: String,
    },
    /// The clocks are too far apart for signatures to hold.
    #[error(
        "the clock of this machine is {} s {} that of the object store, which refuses its signatures: set it with NTP",
        seconds.unsigned_abs(),
        if *seconds < 0 { "behind" } else { "ahead of" }
    )]
    ClockSkew {
        /// How far this machine's is ahead; negative when it is behind.
        seconds: i64,
    },
    /// No answer came in time.
    #[error("the object store did not answer within {0:?}")]
    TimedOut(Duration),
    /// There is no way to it, or none for its answer.
    #[error("the object store cannot be reached: {0}")]
    Away(String),
    /// It sent another number of bytes than it said, or too many.
    #[error("the object store sent {got} bytes of {expected}")]
    Truncated {
        /// Bytes that came.
        got: usize,
        /// Bytes that were said to come.
        expected: usize,
    },
}

/// What to do about the refusals that people meet when they set a bucket up.
fn hint(code: &str) -> &'static str {
    match code {
        "InvalidAccessKeyId" | "NotSignedUp" => ": it does not know the access key",
        "SignatureDoesNotMatch" => ": the secret key does not belong to the access key",
        "AccessDenied" => ": this access key may not do it",
        "ExpiredToken" => ": the session token has expired",
        "NoSuchBucket" => ": there is no such bucket",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            ": the bucket is in another region"
        }
        _ => "",
    }
}

impl S3Error {
    /// Whether the same request may succeed a moment later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, code } => {
                *status >= 500 || *status == 429 || code == "RequestTimeout" || code == "SlowDown"
            }
            Self::ClockSkew { .. } => false,
            Self::TimedOut(_) | Self::Away(_) | Self::Truncated { .. } => true,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { status: 401 | 403, .. } | Self::ClockSkew { .. } => ErrorKind::PermissionDenied,
            // What is wrong with the object itself; anything else may be put right without it.
            Self::Refused { code, .. }
                if [
                    "BadDigest",
                    "EntityTooLarge",
                    "InvalidArgument",
                    "InvalidDigest",
                    "InvalidRequest",
                    "KeyTooLongError",
                ]
                .contains(&code.as_str()) =>
            {
                ErrorKind::InvalidInput
            }
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::Truncated { .. } => ErrorKind::UnexpectedEof,
            Self::Refused { .. } | Self::Away(_) => ErrorKind::NotConnected,
        }
    }

    fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, code } if code != "NoSuchBucket")
    }

    fn of(self, key: &str) -> StoreError {
        let key = key.to_owned();
        match &self {
            _ if self.is_not_found() => StoreError::NotFound(key),
            // What servers with a quota say.
            Self::Refused { status: 507, .. } => StoreError::Full {
                key,
                source: IoError::new(ErrorKind::StorageFull, self),
            },
            Self::Refused { code, .. } if code == "QuotaExceeded" || code == "XMinioStorageFull" => StoreError::Full {
                key,
                source: IoError::new(ErrorKind::StorageFull, self),
            },
            _ => StoreError::Io {
                key,
                source: IoError::new(self.kind(), self),
            },
        }
    }
}

/// The clock that requests are signed by.
#[derive(Debug)]
pub(crate) struct Signing(pub(crate) Clock);

impl TimeSource for Signing {
    fn now(&self) -> SystemTime {
        let micros = u64::try_from(self.0.now().0).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
    }
}

/// An HTTP client with rustls on ring, as everywhere in Nova. Its root certificates are the system's.
pub(crate) fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https()
}

/// What the AWS chain says of this machine: credentials, region, endpoint.
pub(crate) async fn chain(region: &str) -> aws_config::SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
    if !region.is_empty() {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

/// A bucket. Clones share it.
#[derive(Clone)]
pub struct S3Store(Arc<Inner>);

struct Inner {
    client: Client,
    bucket: String,
    /// Ends with `/` unless it is empty.
    prefix: String,
    clock: Clock,
    requests: Semaphore,
    hedge_after: Duration,
    counters: Counters,
}

/// | metric | counts |
/// | --- | --- |
/// | `nova_s3_upload_seconds` | from the call to S3's word that it has the object, tries and waits included |
/// | `nova_s3_retries_total` | requests that were made again |
/// | `nova_s3_hedges_total` | second uploads beside a slow first one |
/// | `nova_s3_failures_total` | operations that were given up |
struct Counters {
    upload: Histogram,
    retries: Counter,
    hedges: Counter,
    failures: Counter,
}

impl S3Store {
    /// The configured bucket, with the credentials of the AWS chain. Asks nobody: [`S3Store::probe`] does. Install the metrics recorder first.
    pub async fn connect(config: &StorageConfig, clock: Clock) -> Self {
        // Nobody but AWS asks for more than that there is one, and the machine's own service for it need not be there.
        let elsewhere = config.region.is_empty() && !config.endpoint.is_empty();
        let chain = chain(if elsewhere { "us-east-1" } else { &config.region }).await;
        let region = chain.region().cloned();
        let builder =
            aws_sdk_s3::config::Builder::from(&chain).region(region.unwrap_or(Region::from_static("us-east-1")));
        Self::build(config, clock, builder)
    }

    /// The same with an access key of its own.
    pub fn with_key(config: &StorageConfig, clock: Clock, access_key: &str, secret_key: &str) -> Self {
        let region = if config.region.is_empty() {
            "us-east-1"
        } else {
            &config.region
        };
        let builder = aws_sdk_s3::config::Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http_client())
            .credentials_provider(Credentials::new(access_key, secret_key, None, None, "configured"))
            .region(Region::new(region.to_owned()));
        Self::build(config, clock, builder)
    }

    fn build(config: &StorageConfig, clock: Clock, builder: aws_sdk_s3::config::Builder) -> Self {
        let mut builder = builder
            .force_path_style(config.path_style)
            .time_source(Signing(clock.clone()))
            // Tried again here, where it is counted and bounded together with the hedge.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
            // Every upload carries its checksum in a header: servers that do not know trailers take it as well.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        if !config.endpoint.is_empty() {
            builder = builder.endpoint_url(&config.endpoint);
        }
        let prefix = match config.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Self(Arc::new(Inner {
            client: Client::from_conf(builder.build()),
            bucket: config.bucket.clone(),
            prefix,
            clock,
            requests: Semaphore::new(REQUESTS),
            hedge_after: HEDGE_AFTER,
            counters: Counters {
                upload: metrics::histogram!("nova_s3_upload_seconds"),
                retries: metrics::counter!("nova_s3_retries_total"),
                hedges: metrics::counter!("nova_s3_hedges_total"),
                failures: metrics::counter!("nova_s3_failures_total"),
            },
        }))
    }

    /// The same with another time after which a slow upload gets a second one beside it. Before it is cloned.
    #[must_use]
    pub fn hedged_after(mut self, time: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.hedge_after = time;
        }
        self
    }

    /// Puts an object, reads it back, and deletes it: what the bucket must allow. Returns by how many seconds this machine's clock is ahead.
    pub async fn probe(&self) -> Result<i64, StoreError> {
        let key = format!("probe/{:016x}", fastrand::u64(..));
        let put = self.put(&key, vec![Bytes::from_static(b"nova")]);
        put.await?;
        let read = self.0.read(&key).await.map_err(|error| error.of(&key));
        let now = self.0.clock.now().0 / 1_000_000;
        self.delete(&key).await?;
        let (bytes, written) = read?;
        if bytes != b"nova"[..] {
            return Err(S3Error::Truncated {
                got: bytes.len(),
                expected: 4,
            }
            .of(&key));
        }
        // The object was written by the store's clock, a moment ago.
        Ok(now - written.unwrap_or(now))
    }
}

impl Inner {
    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Makes a request until it succeeds, cannot succeed, or has been made often enough.
    async fn tried<T, E, F, A>(&self, limit: Duration, mut attempt: F) -> Result<T, S3Error>
    where
        F: FnMut() -> A,
        A: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut longest = FIRST_WAIT;
        let mut tries = 1;
        loop {
            let answer = match tokio::time::timeout(limit, attempt()).await {
                Ok(answer) => answer.map_err(|error| self.failure(&error, limit)),
                Err(_elapsed) => Err(S3Error::TimedOut(limit)),
            };
            match answer {
                Err(error) if error.may_pass() && tries < TRIES => {}
                Err(error) => {
                    if !error.is_not_found() {
                        self.counters.failures.increment(1);
                    }
                    return Err(error);
                }
                Ok(done) => return Ok(done),
            }
            // Full jitter: many that failed together do not come back together.
            tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
            longest *= 2;
            tries += 1;
            self.counters.retries.increment(1);
        }
    }

    fn failure<E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        error: &SdkError<E, HttpResponse>,
        limit: Duration,
    ) -> S3Error {
        let code = error.code().unwrap_or_default();
        match error {
            SdkError::TimeoutError(_) => S3Error::TimedOut(limit),
            SdkError::DispatchFailure(failed) if failed.is_timeout() => S3Error::TimedOut(CONNECT),
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                let Some(answer) = error.raw_response() else {
                    return S3Error::Away(innermost(error));
                };
                if code == "RequestTimeTooSkewed" {
                    let theirs = answer
                        .headers()
                        .get("date")
                        .and_then(|date| httpdate::parse_http_date(date).ok());
                    let theirs = theirs.and_then(|theirs| theirs.duration_since(SystemTime::UNIX_EPOCH).ok());
                    let ours = self.clock.now().0 / 1_000_000;
                    let theirs = theirs
                        .and_then(|theirs| i64::try_from(theirs.as_secs()).ok())
                        .unwrap_or(ours);
                    return S3Error::ClockSkew { seconds: ours - theirs };
                }
                let status = answer.status().as_u16();
                // A HEAD, and a proxy in between, have no code.
                if (200..300).contains(&status) && code.is_empty() {
                    return S3Error::Away(innermost(error));
                }
                S3Error::Refused {
                    status,
                    code: code.chars().take(64).filter(char::is_ascii_alphanumeric).collect(),
                }
            }
            _ => S3Error::Away(innermost(error)),
        }
    }

    async fn put(&self, key: &str, pieces: Vec<Bytes>) -> Result<(), S3Error> {
        let _slot = self.slot().await;
        let started = self.clock.monotonic_micros();
        let length = pieces.iter().map(Bytes::len).sum();
        if length > PART_BYTES {
            self.put_parts(key, &pieces).await?;
        } else {
            self.put_whole(key, &pieces, length).await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "an upload takes seconds")]
        self.counters
            .upload
            .record((self.clock.monotonic_micros() - started) as f64 / 1e6);
        Ok(())
    }

    async fn put_whole(&self, key: &str, pieces: &[Bytes], length: usize) -> Result<(), S3Error> {
        let name = self.name(key);
        let checksum = checksum(pieces);
        let upload = || {
            let request = self.client.put_object().bucket(&self.bucket).key(&name);
            request
                .content_type(content_type(key))
                .cache_control(cache_control(key))
                .checksum_crc32(&checksum)
                .body(body(pieces))
                .send()
        };
        self.tried(patience(length), || async {
            if length > HEDGED_BYTES {
                return upload().await;
            }
            let first = upload();
            tokio::pin!(first);
            tokio::select! {
                done = &mut first => return done,
                () = tokio::time::sleep(self.hedge_after) => self.counters.hedges.increment(1),
            }
            let second = upload();
            tokio::pin!(second);
            tokio::select! {
                Ok(done) = &mut first => Ok(done),
                Ok(done) = &mut second => Ok(done),
                // Both have failed: one more try says why.
                else => upload().await,
            }
        })
        .await
        .map(drop)
    }

    async fn put_parts(&self, key: &str, pieces: &[Bytes]) -> Result<(), S3Error> {
        let name = self.name(key);
        let begun = self
            .tried(TRY, || {
                let request = self.client.create_multipart_upload().bucket(&self.bucket).key(&name);
                request
                    .content_type(content_type(key))
                    .cache_control(cache_control(key))
                    .checksum_algorithm(ChecksumAlgorithm::Crc32)
                    .send()
            })
            .await?;
        let id = begun.upload_id().unwrap_or_default();
        let parts = stream::iter((1..).zip(cut(pieces, PART_BYTES)))
            .map(|(number, pieces)| {
                let name = &name;
                async move {
                    let checksum = checksum(&pieces);
                    let done = self
                        .tried(patience(PART_BYTES), || {
                            let request = self.client.upload_part().bucket(&self.bucket).key(name).upload_id(id);
                            request
                                .part_number(number)
                                .checksum_crc32(&checksum)
                                .body(body(&pieces))
                                .send()
                        })
                        .await?;
                    let part = CompletedPart::builder().part_number(number).checksum_crc32(checksum);
                    Ok(part.set_e_tag(done.e_tag).build())
                }
            })
            .buffered(PARTS_AT_ONCE)
            .try_collect::<Vec<_>>()
            .await;
        let whole = match parts {
            Ok(parts) => {
                let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
                // The store puts the parts together before it answers.
                self.tried(TRY * 6, || {
                    let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(&name);
                    request.upload_id(id).multipart_upload(parts.clone()).send()
                })
                .await
                .map(drop)
            }
            Err(error) => Err(error),
        };
        if whole.is_err() {
            let abort = self
                .client
                .abort_multipart_upload()
                .bucket(&self.bucket)
                .key(&name)
                .upload_id(id);
            // What cannot be taken back now is for the bucket's lifecycle rule.
            let _tidied = tokio::time::timeout(TRY, abort.send()).await;
        }
        whole
    }

    /// The object, and when it was written by the store's clock, in seconds since the Unix epoch.
    async fn read(&self, key: &str) -> Result<(Bytes, Option<i64>), S3Error> {
        let _slot = self.slot().await;
        let name = self.name(key);
        let mut tries = 1;
        loop {
            let answer = self
                .tried(TRY, || self.client.get_object().bucket(&self.bucket).key(&name).send())
                .await?;
            let written = answer.last_modified().map(aws_sdk_s3::primitives::DateTime::secs);
            let expected = usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0);
            let read = tokio::time::timeout(patience(expected), collect(answer.body, expected)).await;
            match read.unwrap_or(Err(S3Error::TimedOut(patience(expected)))) {
                Ok(bytes) => return Ok((bytes, written)),
                Err(error) if expected > READ_LIMIT || tries == TRIES => {
                    self.counters.failures.increment(1);
                    return Err(error);
                }
                Err(_) => {
                    tries += 1;
                    self.counters.retries.increment(1);
                }
            }
        }
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), S3Error> {
        let _slot = self.slot().await;
        // Keys have no character that a URL would have to escape.
        let source = format!("{}/{}", self.bucket, self.name(from));
        self.tried(TRY * 6, || {
            let request = self.client.copy_object().bucket(&self.bucket).copy_source(&source);
            request.key(self.name(to)).send()
        })
        .await
        .map(drop)
    }

    async fn delete(&self, key: &str) -> Result<(), S3Error> {
        let _slot = self.slot().await;
        let name = self.name(key);
        self.tried(TRY, || {
            self.client.delete_object().bucket(&self.bucket).key(&name).send()
        })
        .await
        .map(drop)
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), S3Error> {
        let _slot = self.slot().await;
        let name = self.name(prefix);
        // From the beginning each time: what was listed is gone by then.
        loop {
            let list = self
                .tried(TRY * 2, || {
                    let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&name);
                    request.max_keys(KEYS).send()
                })
                .await?;
            let keys: Vec<_> = list
                .contents()
                .iter()
                .filter_map(|object| ObjectIdentifier::builder().key(object.key()?).build().ok())
                .collect();
            if keys.is_empty() {
                return Ok(());
            }
            let Ok(keys) = Delete::builder().set_objects(Some(keys)).quiet(true).build() else {
                return Ok(());
            };
            let done = self
                .tried(TRY * 2, || {
                    let request = self.client.delete_objects().bucket(&self.bucket);
                    request.delete(keys.clone()).send()
                })
                .await?;
            if let Some(error) = done.errors().first() {
                let code = error.code().unwrap_or("InternalError").to_owned();
                return Err(S3Error::Refused { status: 500, code });
            }
        }
    }

    async fn slot(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.requests.acquire().await.ok()
    }
}

impl ObjectStore for S3Store {
    fn put<'a>(&'a self, key: &'a str, pieces: Vec<Bytes>) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            self.0.put(key, pieces).await.map_err(|error| error.of(key))
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            let read = self.0.read(key).await;
            read.map(|(bytes, _)| bytes).map_err(|error| error.of(key))
        })
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(from)?;
            check_key(to)?;
            self.0.copy(from, to).await.map_err(|error| error.of(from))
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(key)?;
            match self.0.delete(key).await {
                Err(error) if !error.is_not_found() => Err(error.of(key)),
                _ => Ok(()),
            }
        })
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            check_key(prefix.trim_end_matches('/'))?;
            let folder = format!("{}/", prefix.trim_end_matches('/'));
            self.0.delete_prefix(&folder).await.map_err(|error| error.of(prefix))
        })
    }
}

/// What the last of an error's causes says; those before it only say that there is one.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn patience(bytes: usize) -> Duration {
    TRY + Duration::from_secs(bytes as u64 / BYTES_PER_SECOND)
}

/// Media type by the key: `v1/…` is a video track, `a2/…` a sound track.
pub(crate) fn content_type(key: &str) -> &'static str {
    let extension = key.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "m4s" | "mp4" => {
            let mut folders = key.rsplit('/').skip(1);
            let is_sound = folders.next().is_some_and(|track| {
                track
                    .strip_prefix('a')
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
            });
            if is_sound { "audio/mp4" } else { "video/mp4" }
        }
        "jpg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "vtt" => "text/vtt; charset=utf-8",
        "jsonl" => "application/jsonl",
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        _ => "application/octet-stream",
    }
}

fn cache_control(key: &str) -> &'static str {
    if is_list(key) || key.ends_with(".vtt") || key.ends_with("/thumbnail.jpg") {
        REVALIDATE
    } else {
        IMMUTABLE
    }
}

/// Whether an object says of others that they are there.
pub(crate) fn is_list(key: &str) -> bool {
    [".jsonl", ".m3u8", ".mpd", ".vtt"].iter().any(|end| key.ends_with(end))
}

/// CRC-32 as S3 writes it: base64 of its bytes, the most significant one first.
fn checksum(pieces: &[Bytes]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for piece in pieces {
        hasher.update(piece);
    }
    STANDARD.encode(hasher.finalize().to_be_bytes())
}

/// Cuts the concatenation of `pieces` into runs of `size` bytes; no byte is copied.
fn cut(pieces: &[Bytes], size: usize) -> Vec<Vec<Bytes>> {
    let mut runs = vec![Vec::new()];
    let mut room = size;
    for piece in pieces {
        let mut rest = piece.clone();
        while !rest.is_empty() {
            if room == 0 {
                runs.push(Vec::new());
                room = size;
            }
            let part = rest.split_to(rest.len().min(room));
            room -= part.len();
            if let Some(run) = runs.last_mut() {
                run.push(part);
            }
        }
    }
    runs
}

fn body(pieces: &[Bytes]) -> ByteStream {
    match pieces {
        [one] => ByteStream::from(one.clone()),
        many => ByteStream::from_body_1_x(Pieces(many.iter().filter(|piece| !piece.is_empty()).cloned().collect())),
    }
}

/// Pieces as one body; its length is known, so that nothing is sent in chunks.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(http_body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Reads a whole body; one that is not as long as was said is an error.
async fn collect(mut body: ByteStream, expected: usize) -> Result<Bytes, S3Error> {
    if expected > READ_LIMIT {
        return Err(S3Error::Truncated { got: 0, expected });
    }
    let mut whole = BytesMut::with_capacity(expected);
    while let Some(chunk) = body
        .try_next()
        .await
        .map_err(|error| S3Error::Away(innermost(&error)))?
    {
        whole.extend_from_slice(&chunk);
        if whole.len() > READ_LIMIT {
            break;
        }
    }
    if whole.len() == expected {
        Ok(whole.freeze())
    } else {
        Err(S3Error::Truncated {
            got: whole.len(),
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_are_cut_without_a_byte_lost_or_copied() {
        let pieces = ["abcdef", "", "ghi", "jklmnopq"].map(|text| Bytes::from_static(text.as_bytes()));
        let runs = cut(&pieces, 4);
        let lengths: Vec<usize> = runs.iter().map(|run| run.iter().map(Bytes::len).sum()).collect();
        assert_eq!(lengths, [4, 4, 4, 4, 1]);
        assert_eq!(runs.concat().concat(), b"abcdefghijklmnopq");
        assert_eq!(runs[0][0].as_ptr(), pieces[0].as_ptr());
    }

    #[test]
    fn media_types_follow_the_names_of_tracks() {
        for (key, kind) in [
            ("live/show/019a/v0/12.m4s", "video/mp4"),
            ("vod/019a/a1/init-0.mp4", "audio/mp4"),
            ("vod/019a/abc/12.m4s", "video/mp4"),
            ("vod/019a/index.jsonl", "application/jsonl"),
            ("vod/019a/thumbnail.jpg", "image/jpeg"),
            ("images/x/256.webp", "image/webp"),
            ("probe/1", "application/octet-stream"),
        ] {
            assert_eq!(content_type(key), kind, "{key}");
        }
    }
}
