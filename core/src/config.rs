//! Configuration: built-in defaults, overridden by `nova.toml`, by the environment, by flags. An unknown key is an error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The variables that begin with `NOVA_` and are not configuration: scripts and test harnesses set them.
const NOT_CONFIG: &[&str] = &["NOVA_BIN", "NOVA_URL", "NOVA_RTMP_URL"];

/// The whole configuration. Every field has a default.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Database file, segments, spool, keys.
    pub data_dir: PathBuf,
    /// Base of absolute URLs in mails, tokens and redirects; empty means the HTTP listener's own address.
    pub public_url: String,
    /// `postgres://…`, or `sqlite://PATH`; empty is `nova.db` in the data folder. May hold a password.
    pub database_url: String,
    /// Log filter in `tracing` syntax, for example `info,nova_ingest=debug`.
    pub log: String,
    /// Web, API and media.
    pub http: HttpConfig,
    /// The same over TLS.
    pub https: TlsListener,
    /// RTMP and its limits.
    pub rtmp: RtmpConfig,
    /// RTMP over TLS.
    pub rtmps: TlsListener,
    /// Metrics and health.
    pub admin: AdminConfig,
    /// Who may publish.
    pub publish: PublishConfig,
    /// Packaging.
    pub live: LiveConfig,
    /// The bitrate ladder.
    pub transcode: TranscodeConfig,
    /// Workers of each runtime.
    pub runtime: RuntimeConfig,
    /// Where segments, recordings and pictures rest.
    pub storage: StorageConfig,
    /// What stands between this server and its viewers.
    pub cdn: CdnConfig,
    /// The database's connections.
    pub database: DatabaseConfig,
    /// Mail to people.
    pub mail: MailConfig,
    /// How often somebody may do something.
    pub limits: LimitsConfig,
    /// Settings of each domain; `enabled = false` switches one off. What else a section may hold is for the domain to say.
    pub domains: BTreeMap<String, toml::Table>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            public_url: String::new(),
            database_url: String::new(),
            log: "info".into(),
            http: HttpConfig::default(),
            https: TlsListener::default(),
            rtmp: RtmpConfig::default(),
            rtmps: TlsListener::default(),
            admin: AdminConfig::default(),
            publish: PublishConfig::default(),
            live: LiveConfig::default(),
            transcode: TranscodeConfig::default(),
            runtime: RuntimeConfig::default(),
            storage: StorageConfig::default(),
            cdn: CdnConfig::default(),
            database: DatabaseConfig::default(),
            mail: MailConfig::default(),
            limits: LimitsConfig::default(),
            domains: BTreeMap::new(),
        }
    }
}

/// Which store.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum StorageBackend {
    /// A folder below the data directory.
    #[default]
    Local,
    /// A bucket of S3, or of anything that speaks its protocol.
    S3,
}

/// Where segments, recordings and pictures rest. The credentials of a bucket come from the standard AWS chain (environment, profile, role of
/// the machine), never from here.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// `local` or `s3`.
    pub backend: StorageBackend,
    /// Name of the bucket.
    pub bucket: String,
    /// Region of the bucket; empty takes what the AWS chain says, and with an `endpoint` `us-east-1`.
    pub region: String,
    /// `https://HOST[:PORT]` of a server that is not AWS; empty is AWS.
    pub endpoint: String,
    /// Put before every key, with a `/` between; empty is none.
    pub prefix: String,
    /// The bucket stands in the path instead of the host name, as most servers that are not AWS want it.
    pub path_style: bool,
    /// MiB on the local disk for what the bucket does not take at the moment.
    pub spool_mb: u32,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            backend: StorageBackend::Local,
            bucket: String::new(),
            region: String::new(),
            endpoint: String::new(),
            prefix: String::new(),
            path_style: false,
            spool_mb: 8192,
        }
    }
}

/// What stands between this server and its viewers.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct CdnConfig {
    /// `https://HOST` that the playback addresses of the API begin with; empty is the public URL.
    pub base_url: String,
    /// Amazon CloudFront.
    pub cloudfront: CloudFrontConfig,
    /// Other CDNs, which check a token in the path of an address.
    pub tokens: TokensConfig,
}

/// Keys that are shared with a CDN's edge.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct TokensConfig {
    /// Names of keys, letters and digits, at most 16. While keys are changed: several, separated by commas; the first signs, all are good.
    pub key_id: String,
    /// Files with the keys, 32 to 512 characters of ASCII; as many as there are ids, separated by commas.
    pub key_file: String,
}

impl TokensConfig {
    /// Ids with their files, the one that signs first; `None` when they do not go together.
    pub fn keys(&self) -> Option<Vec<(String, PathBuf)>> {
        pairs(&self.key_id, &self.key_file)
    }
}

/// Amazon CloudFront's signatures and invalidations.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct CloudFrontConfig {
    /// Id of the public key in the distribution's key group. While keys are changed: several, separated by commas; the first signs.
    pub key_pair_id: String,
    /// PEM file of the RSA private key (2048 bits), PKCS#1 or PKCS#8; as many as there are ids, separated by commas.
    pub private_key_file: String,
    /// Id of the distribution, whose caches forget what is deleted, replaced or made private; empty asks nobody for that. Credentials come from the
    /// standard AWS chain.
    pub distribution_id: String,
    /// `http://HOST` of another server that speaks CloudFront's control API; empty is Amazon's.
    pub endpoint: String,
}

/// The database's connections.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// Connections of this process; on SQLite those that read, beside the one that writes.
    pub connections: u32,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { connections: 8 }
    }
}

/// Mail to people.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// `smtp://user:pass@host:port` or `smtps://…`; empty writes messages to `{data_dir}/mail/*.eml`. May hold a password.
    pub url: String,
    /// Address the messages come from.
    pub from: String,
    /// Name beside the address, and of this site in messages.
    pub name: String,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            from: "nova@localhost".into(),
            name: "Nova".into(),
        }
    }
}

/// How often somebody may do something.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Every limit is so many times as wide; 0 switches them off, for load tests.
    pub scale: u32,
    /// Requests a second to the API from one address, with ten seconds' worth at once.
    pub requests_per_ip: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            scale: 1,
            requests_per_ip: 50,
        }
    }
}

/// The plain HTTP listener.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Where to listen; port 0 picks one and prints it.
    pub addr: SocketAddr,
    /// Connections in all; more wait in the system's backlog.
    pub max_connections: usize,
    /// Connections from one address, further ones are closed at once; 0 sets no limit. Many viewers behind one router, and all behind a
    /// CDN's edge, are one address.
    pub max_connections_per_ip: usize,
    /// Milliseconds a connection may be without a request: a client that takes longer to send one's head, or between two, is let go.
    pub header_timeout_ms: u64,
    /// Requests of one stream that may be held for a part at once; more get 503.
    pub max_held_per_stream: usize,
    /// Proxies in front, as addresses or networks (`10.0.0.0/8`), separated by commas: they are believed about a client's address.
    pub trusted_proxies: String,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([0, 0, 0, 0], 8080)),
            max_connections: 50_000,
            max_connections_per_ip: 10_000,
            header_timeout_ms: 15_000,
            max_held_per_stream: 20_000,
            trusted_proxies: String::new(),
        }
    }
}

/// A TLS listener: off unless all three are set.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct TlsListener {
    /// Where to listen.
    pub addr: Option<SocketAddr>,
    /// PEM certificate chain; read again when the file changes.
    pub cert: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
}

/// The RTMP listener and the bounds of its sessions.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RtmpConfig {
    /// Where to listen.
    pub addr: SocketAddr,
    /// Connections in all.
    pub max_connections: usize,
    /// Connections from one address.
    pub max_connections_per_ip: usize,
    /// Milliseconds for the whole handshake.
    pub handshake_timeout_ms: u64,
    /// Milliseconds from the handshake to an accepted `publish`.
    pub publish_timeout_ms: u64,
    /// Milliseconds for the authorisation of a publisher.
    pub authorize_timeout_ms: u64,
    /// Milliseconds without a byte after which a publisher counts as gone.
    pub idle_timeout_ms: u64,
    /// Bytes of one message.
    pub max_message_bytes: usize,
    /// Messages of one connection that may be incomplete at once.
    pub max_partial_messages: usize,
    /// Chunk streams of one connection.
    pub max_chunk_streams: usize,
    /// Nesting of AMF values.
    pub max_amf_depth: usize,
    /// Values in one AMF message.
    pub max_amf_values: usize,
    /// Tracks of one publisher.
    pub max_tracks: usize,
}

impl Default for RtmpConfig {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([0, 0, 0, 0], 1935)),
            max_connections: 4096,
            max_connections_per_ip: 256,
            handshake_timeout_ms: 8_000,
            publish_timeout_ms: 15_000,
            authorize_timeout_ms: 5_000,
            idle_timeout_ms: 10_000,
            max_message_bytes: 10 << 20,
            max_partial_messages: 4,
            max_chunk_streams: 64,
            max_amf_depth: 16,
            max_amf_values: 4096,
            max_tracks: 16,
        }
    }
}

/// Metrics, health and readiness for the operator.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Where to listen; keep it private.
    pub addr: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 9100)),
        }
    }
}

/// How publishers are authorised.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PublishAuth {
    /// By stream key.
    Key,
    /// Anybody may publish any name. For development.
    Open,
}

/// What a second publisher of a live stream does.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SecondPublisher {
    /// Takes over at its first keyframe.
    Takeover,
    /// Is refused with `NetStream.Publish.BadName`.
    Refuse,
}

/// Who may publish.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct PublishConfig {
    /// How.
    pub auth: PublishAuth,
    /// Stream name to stream key. The keys are secrets.
    pub keys: BTreeMap<String, String>,
    /// A second publisher with the same key.
    pub second_publisher: SecondPublisher,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            auth: PublishAuth::Key,
            keys: BTreeMap::new(),
            second_publisher: SecondPublisher::Takeover,
        }
    }
}

/// Packaging of live streams.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct LiveConfig {
    /// Target of a segment's duration, milliseconds (500 to 20,000).
    pub segment_ms: u32,
    /// Target of a part's duration, milliseconds (100 to 2,000); rounded up to whole frames.
    pub part_ms: u32,
    /// Seconds of segments in the playlists.
    pub window_s: u32,
    /// Seconds a viewer may go back; 0 leaves it at `window_s`.
    pub dvr_s: u32,
    /// Seconds a broadcast waits for its publisher to come back.
    pub reconnect_s: u32,
    /// Seconds of newest segments kept in memory; older ones are read from the store. With a bucket as the store at least `window_s`.
    pub memory_s: u32,
    /// Streams that nobody owns are recorded; of the others each says so itself.
    pub record: bool,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            segment_ms: 2000,
            part_ms: 333,
            window_s: 60,
            dvr_s: 0,
            reconnect_s: 60,
            memory_s: 12,
            record: false,
        }
    }
}

/// The bitrate ladder.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct TranscodeConfig {
    /// `off`, `auto` (rungs below the source that the machine affords), or a list such as `720p:2800k,480p:1200k`.
    pub ladder: String,
    /// Cores that the ladders of all live streams may take together with `auto`; 0 is three quarters of the machine's.
    pub cores: f32,
    /// Memory of one worker process, MiB.
    pub memory_mb: u32,
    /// The worker program; empty is `nova-transcode` beside this one.
    pub worker: PathBuf,
}

impl Default for TranscodeConfig {
    fn default() -> Self {
        Self {
            ladder: "auto".into(),
            cores: 0.0,
            memory_mb: 1024,
            worker: PathBuf::new(),
        }
    }
}

/// Worker threads of each runtime.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// Encoders' sockets.
    pub ingest_workers: usize,
    /// Packaging.
    pub media_workers: usize,
    /// HTTP and media responses.
    pub delivery_workers: usize,
    /// API and housekeeping.
    pub api_workers: usize,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            ingest_workers: cores.div_ceil(4),
            media_workers: cores.div_ceil(4),
            delivery_workers: cores,
            api_workers: cores.div_ceil(2),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that is not known.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A variable of the environment names no key, or its value does not fit.
    #[error("environment variable {name}: {why}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong; never the value, which may be a secret.
        why: String,
    },
    /// A value is outside its range, or two do not go together.
    #[error("{key}: {why}")]
    Value {
        /// Path of the key.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl Config {
    /// Reads `file` if given, then applies the `NOVA_…` variables among `environment`. `dev` is the `--dev` flag: its defaults (loopback,
    /// open publishing) are below the file and the environment.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        dev: bool,
    ) -> Result<Self, ConfigError> {
        let mut defaults = Self::default();
        if dev {
            defaults.http.addr = SocketAddr::from(([127, 0, 0, 1], 8080));
            defaults.rtmp.addr = SocketAddr::from(([127, 0, 0, 1], 1935));
            defaults.publish.auth = PublishAuth::Open;
            // One person tries things out from one address.
            defaults.limits.scale = 20;
        }
        let mut tree = toml::Table::try_from(&defaults).unwrap_or_default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.into(),
                source,
            })?;
            // Parsed against the type first, so that an error names its line.
            let bad = |source| ConfigError::File {
                path: path.into(),
                source: Box::new(source),
            };
            toml::from_str::<Self>(&text).map_err(bad)?;
            merge(&mut tree, text.parse::<toml::Table>().map_err(bad)?);
        }
        for (name, value) in environment {
            let Some(path) = name.strip_prefix("NOVA_") else {
                continue;
            };
            if NOT_CONFIG.contains(&name.as_str()) {
                continue;
            }
            let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
            let why = |why: String| ConfigError::Variable {
                name: name.clone(),
                why,
            };
            let guess = path[0] == "domains";
            set(&mut tree, &path, &value, guess).map_err(why)?;
            tree.clone()
                .try_into::<Self>()
                .map_err(|error: toml::de::Error| why(error.message().to_owned()))?;
        }
        let config: Self = tree.try_into().map_err(|error: toml::de::Error| ConfigError::Value {
            key: "configuration",
            why: error.message().to_owned(),
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let range = |key, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Value {
                    key,
                    why: format!("{value} is not within {low} to {high}"),
                })
            }
        };
        range("live.segment_ms", self.live.segment_ms, 500, 20_000)?;
        range("live.part_ms", self.live.part_ms, 100, 2000)?;
        range("live.window_s", self.live.window_s, 6, 86_400)?;
        range("live.dvr_s", self.live.dvr_s, 0, 7 * 86_400)?;
        range("live.reconnect_s", self.live.reconnect_s, 0, 86_400)?;
        range("live.memory_s", self.live.memory_s, 4, 3600)?;
        range("transcode.memory_mb", self.transcode.memory_mb, 128, 65_536)?;
        if self.live.part_ms * 2 > self.live.segment_ms {
            return Err(ConfigError::Value {
                key: "live.part_ms",
                why: "a segment must hold at least two parts".into(),
            });
        }
        for (key, listener) in [("https", &self.https), ("rtmps", &self.rtmps)] {
            if listener.addr.is_some() && (listener.cert.is_none() || listener.key.is_none()) {
                return Err(ConfigError::Value {
                    key,
                    why: "addr needs cert and key".into(),
                });
            }
        }
        self.storage.check()?;
        self.cdn.check()?;
        for (name, value) in &self.publish.keys {
            if !crate::publish::is_stream_name(name) {
                return Err(ConfigError::Value {
                    key: "publish.keys",
                    why: format!("{name:?} is not a stream name"),
                });
            }
            if value.is_empty() || value.len() > 256 {
                return Err(ConfigError::Value {
                    key: "publish.keys",
                    why: format!("the key of {name:?} must have 1 to 256 characters"),
                });
            }
        }
        Ok(())
    }

    /// TOML of the configuration in force, with secrets masked.
    pub fn to_masked_toml(&self) -> String {
        let mut masked = self.clone();
        for key in masked.publish.keys.values_mut() {
            *key = MASK.into();
        }
        for url in [&mut masked.database_url, &mut masked.mail.url] {
            mask_password(url);
        }
        for section in masked.domains.values_mut() {
            mask_secrets(section);
        }
        toml::to_string(&masked).unwrap_or_default()
    }
}

fn wrong(key: &'static str, why: &str) -> ConfigError {
    ConfigError::Value { key, why: why.into() }
}

fn is_web_address(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['@', '?', '#', ' ']))
}

impl StorageConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if self.backend == StorageBackend::S3 && self.bucket.is_empty() {
            return Err(wrong("storage.bucket", "the s3 backend needs a bucket"));
        }
        if !self.endpoint.is_empty() && !is_web_address(&self.endpoint) {
            return Err(wrong(
                "storage.endpoint",
                "must be http://HOST or https://HOST, without a login",
            ));
        }
        let good = |part: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
        };
        if self.prefix.len() > 256 || !(self.prefix.is_empty() || self.prefix.split('/').all(good)) {
            return Err(wrong(
                "storage.prefix",
                "must be names of [A-Za-z0-9._-] with / between them",
            ));
        }
        if !(16..=16 << 20).contains(&self.spool_mb) {
            return Err(wrong("storage.spool_mb", "is not within 16 to 16777216"));
        }
        Ok(())
    }
}

impl CdnConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if !self.base_url.is_empty() && !is_web_address(&self.base_url) {
            return Err(wrong(
                "cdn.base_url",
                "must be http://HOST or https://HOST, without a login",
            ));
        }
        if self.cloudfront.key_pairs().is_none() {
            return Err(wrong(
                "cdn.cloudfront.private_key_file",
                "each key pair id needs its file",
            ));
        }
        if self.tokens.keys().is_none() {
            return Err(wrong("cdn.tokens.key_file", "each key id needs its file"));
        }
        let CloudFrontConfig {
            distribution_id,
            endpoint,
            ..
        } = &self.cloudfront;
        if distribution_id.len() > 64 || !distribution_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong("cdn.cloudfront.distribution_id", "must be letters and digits"));
        }
        if !endpoint.is_empty() && !is_web_address(endpoint) {
            return Err(wrong(
                "cdn.cloudfront.endpoint",
                "must be http://HOST or https://HOST, without a login",
            ));
        }
        Ok(())
    }
}

impl CloudFrontConfig {
    /// Ids with their files, the one that signs first; `None` when they do not go together.
    pub fn key_pairs(&self) -> Option<Vec<(String, PathBuf)>> {
        pairs(&self.key_pair_id, &self.private_key_file)
    }
}

/// Ids with their files, of two lists with commas; `None` when one is longer.
fn pairs(ids: &str, files: &str) -> Option<Vec<(String, PathBuf)>> {
    let list = |text: &str| -> Vec<String> {
        let parts = text.split(',').map(|part| part.trim().to_owned());
        parts.filter(|part| !part.is_empty()).collect()
    };
    let (ids, files) = (list(ids), list(files));
    (ids.len() == files.len()).then(|| ids.into_iter().zip(files.into_iter().map(PathBuf::from)).collect())
}

const MASK: &str = "********";

/// Hides the part between `user:` and `@` of a URL.
fn mask_password(url: &mut String) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return;
    };
    let Some((login, host)) = rest.rsplit_once('@') else {
        return;
    };
    let user = login.split_once(':').map_or(login, |(user, _)| user);
    *url = format!("{scheme}://{user}:{MASK}@{host}");
}

/// Hides every value of a domain's section whose name says that it is a secret.
fn mask_secrets(section: &mut toml::Table) {
    for (name, value) in section {
        match value {
            toml::Value::Table(inner) => mask_secrets(inner),
            toml::Value::String(text)
                if ["secret", "password", "token", "pepper"]
                    .iter()
                    .any(|word| name.ends_with(word)) =>
            {
                *text = MASK.into();
            }
            _ => {}
        }
    }
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(value)) => merge(inner, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Sets a value from the environment, in the type its default has. Where there is no default it is text, or the type it looks like if the
/// section's owner alone knows (`guess`).
fn set(table: &mut toml::Table, path: &[String], value: &str, guess: bool) -> Result<(), String> {
    let [head, rest @ ..] = path else {
        return Err("names no key".into());
    };
    if head.is_empty() {
        return Err("names no key".into());
    }
    if rest.is_empty() {
        let parsed = match table.get(head) {
            Some(toml::Value::Integer(_)) => toml::Value::Integer(
                value
                    .trim()
                    .parse()
                    .map_err(|_not_a_number| "is not a whole number".to_owned())?,
            ),
            Some(toml::Value::Boolean(_)) => toml::Value::Boolean(
                value
                    .trim()
                    .parse()
                    .map_err(|_not_a_bool| "is neither true nor false".to_owned())?,
            ),
            Some(toml::Value::Table(_)) => return Err("names a section, not a key".into()),
            Some(_) => toml::Value::String(value.to_owned()),
            None if !guess => toml::Value::String(value.to_owned()),
            None => match value.trim() {
                "true" => toml::Value::Boolean(true),
                "false" => toml::Value::Boolean(false),
                digits => digits
                    .parse()
                    .map_or_else(|_text| toml::Value::String(value.to_owned()), toml::Value::Integer),
            },
        };
        table.insert(head.clone(), parsed);
        return Ok(());
    }
    match table
        .entry(head.clone())
        .or_insert_with(|| toml::Value::Table(toml::Table::new()))
    {
        toml::Value::Table(inner) => set(inner, rest, value, guess),
        _ => Err(format!("{head} is not a section")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_environment_overrides_the_file_and_the_file_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nova.toml");
        std::fs::write(
            &file,
            "data_dir = \"/srv/nova\"\n[live]\nsegment_ms = 4000\npart_ms = 500\n",
        )
        .unwrap();
        let config = Config::load(
            Some(&file),
            vars(&[
                ("NOVA_LIVE__PART_MS", "250"),
                ("NOVA_HTTPS__CERT", "/c.pem"),
                ("HOME", "/root"),
                ("NOVA_BIN", "x"),
            ]),
            false,
        )
        .unwrap();
        assert_eq!(
            (config.live.segment_ms, config.live.part_ms, config.live.window_s),
            (4000, 250, 60)
        );
        assert_eq!(config.data_dir, PathBuf::from("/srv/nova"));
        assert_eq!(config.https.cert, Some("/c.pem".into()));
    }

    #[test]
    fn dev_binds_loopback_and_opens_publishing_unless_told_otherwise() {
        let config = Config::load(None, vars(&[("NOVA_RTMP__ADDR", "0.0.0.0:1936")]), true).unwrap();
        assert_eq!(config.http.addr.to_string(), "127.0.0.1:8080");
        assert_eq!(config.rtmp.addr.to_string(), "0.0.0.0:1936");
        assert_eq!(config.publish.auth, PublishAuth::Open);
        assert_eq!(Config::default().publish.auth, PublishAuth::Key);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_by_name() {
        for (name, value, expected) in [
            ("NOVA_LIVE__SEGMENTS_MS", "2000", "NOVA_LIVE__SEGMENTS_MS"),
            ("NOVA_TYPO", "1", "NOVA_TYPO"),
            ("NOVA_LIVE__PART_MS", "soon", "whole number"),
            ("NOVA_HTTP__ADDR", "here", "NOVA_HTTP__ADDR"),
            ("NOVA_LIVE__PART_MS", "5", "100 to 2000"),
            ("NOVA_LIVE", "5", "section"),
        ] {
            let error = Config::load(None, vars(&[(name, value)]), false)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nova.toml");
        std::fs::write(&file, "[live]\nsegmentms = 1\n").unwrap();
        let error = Config::load(Some(&file), [], false).unwrap_err().to_string();
        assert!(error.contains("segmentms") && error.contains("nova.toml"), "{error}");
    }

    #[test]
    fn printed_configuration_hides_secrets() {
        let config = Config::load(
            None,
            vars(&[
                ("NOVA_PUBLISH__KEYS__SHOW", "hunter2"),
                ("NOVA_DATABASE_URL", "postgres://nova:hunter2@db/nova"),
                ("NOVA_MAIL__URL", "smtp://mail:hunter2@host:25"),
                ("NOVA_DOMAINS__IDENTITY__OAUTH__GOOGLE__CLIENT_SECRET", "hunter2"),
            ]),
            false,
        )
        .unwrap();
        assert_eq!(config.publish.keys["show"], "hunter2");
        let text = config.to_masked_toml();
        assert!(
            text.contains("show = \"********\"") && text.contains("postgres://nova:********@db/nova"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}
