//! The sockets of RTMP and RTMPS: one task a connection, a loop around [`Session`].
//!
//! | metric | kind | labels | what |
//! | --- | --- | --- | --- |
//! | `nova_ingest_connections` | gauge | | connections open |
//! | `nova_ingest_connections_total` | counter | | connections accepted |
//! | `nova_ingest_refused_total` | counter | `reason`: `limit`, `limit_per_ip`, `denied`, `in_use`, `draining` | connections and publishers sent away |
//! | `nova_ingest_timeouts_total` | counter | `stage`: `tls`, `handshake`, `publish`, `authorize`, `idle`, `write` | time-outs met |
//! | `nova_ingest_errors_total` | counter | `layer`: `handshake`, `chunk`, `command`, `tls`, `socket` | connections ended by what the peer sent, or by its network |
//! | `nova_ingest_limits_total` | counter | `limit`: the key below `rtmp` in the configuration | connections ended by what one of them may not exceed |
//! | `nova_ingest_publishers` | gauge | | publishers accepted and not gone |
//! | `nova_ingest_superseded_total` | counter | | publishers replaced by another, or ended from outside |
//! | `nova_ingest_reconnect_requests_total` | counter | | encoders asked to connect anew |
//! | `nova_ingest_bytes_total` | counter | | bytes received |
//! | `nova_ingest_frames_total` | counter | `kind`: `video`, `audio` | frames handed to the hub |
//! | `nova_ingest_dropped_tags_total` | counter | | tags of no sense, of an unknown codec, or before their configuration |
//!
//! The counters of bytes, frames and tags move about once a second, so that a frame costs no atomic operation.

use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::ready;
use std::time::Duration;

use nova_core::clock::Clock;
use nova_core::config::RtmpConfig;
use nova_core::live::{Hub, PublishError, Publisher};
use nova_core::publish::{Denied, PublishAuthorizer, PublishRequest};
use nova_core::shutdown::Shutdown;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::limit::{Full, Limiter, Place};
use crate::rtmp::{self, Output, Publish, Refusal, Session};

/// Gives the TLS configuration for the next connection, so that certificates can be renewed while the server runs.
pub type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// One read takes at most so much: 50 ms of 40 Mbit/s. One buffer a worker thread, since what is read is taken up before the next await.
const READ_BYTES: usize = 256 << 10;
/// How long an answer of a few hundred bytes may take to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer that was told to go may take to read why. A close with unread bytes would reset the connection and the reason be lost.
const LINGER: Duration = Duration::from_secs(2);
/// Time-outs are looked at so often, or four times in the shortest of them.
const TICK: Duration = Duration::from_secs(1);

/// The RTMP server: what its connections have in common.
pub struct Server {
    config: RtmpConfig,
    hub: Arc<Hub>,
    authorizer: Arc<dyn PublishAuthorizer>,
    clock: Clock,
    shutdown: Shutdown,
    limiter: Arc<Limiter>,
    seed: RandomState,
    serial: AtomicU64,
}

impl Server {
    /// A server without listeners. Limits hold for all of them together.
    pub fn new(
        config: RtmpConfig,
        hub: Arc<Hub>,
        authorizer: Arc<dyn PublishAuthorizer>,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Arc<Self> {
        let limiter = Limiter::new(config.max_connections, config.max_connections_per_ip);
        Arc::new(Self {
            config,
            hub,
            authorizer,
            clock,
            shutdown,
            limiter,
            seed: RandomState::new(),
            serial: AtomicU64::new(0),
        })
    }

    /// Accepts on `listener`, RTMPS when `tls` is given, until draining begins. Connections run as tasks of the shutdown, on this runtime.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<TlsSource>) {
        let runtime = tokio::runtime::Handle::current();
        let accepted = metrics::counter!("nova_ingest_connections_total");
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = self.shutdown.drain().cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors the connection stays in the backlog and accept fails again at once: wait for some to be closed.
                        tracing::warn!(%error, "cannot accept");
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            accepted.increment(1);
            match self.limiter.take(peer.ip()) {
                Ok(place) => {
                    let server = Arc::clone(&self);
                    let tls = tls.clone();
                    self.shutdown
                        .spawn(&runtime, server.connection(stream, peer, tls, place));
                }
                Err(full) => {
                    let reason = match full {
                        Full::All => "limit",
                        Full::Address => "limit_per_ip",
                    };
                    metrics::counter!("nova_ingest_refused_total", "reason" => reason).increment(1);
                    tracing::debug!(%peer, reason, "connection refused");
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, tls: Option<TlsSource>, _place: Place) {
        let open = metrics::gauge!("nova_ingest_connections");
        open.increment(1.0);
        if let Err(error) = self.prepare(&stream) {
            tracing::debug!(%peer, %error, "socket options");
        }
        match tls {
            None => Connection::new(self, stream, peer).run().await,
            Some(tls) => {
                let limit = Duration::from_millis(self.config.handshake_timeout_ms);
                match timeout(limit, TlsAcceptor::from(tls()).accept(stream)).await {
                    Ok(Ok(stream)) => Connection::new(self, stream, peer).run().await,
                    Ok(Err(error)) => {
                        metrics::counter!("nova_ingest_errors_total", "layer" => "tls").increment(1);
                        tracing::debug!(%peer, %error, "no TLS handshake");
                    }
                    Err(_elapsed) => timed_out("tls"),
                }
            }
        }
        open.decrement(1.0);
    }

    /// Answers leave at once; a peer whose network has gone is noticed by the kernel too (conformance 25).
    fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(5))
            .with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(Duration::from_millis(self.config.idle_timeout_ms)))?;
        Ok(())
    }

    fn next_seed(&self) -> u64 {
        self.seed.hash_one((
            self.serial.fetch_add(1, Ordering::Relaxed),
            self.clock.monotonic_micros(),
        ))
    }
}

fn timed_out(stage: &'static str) {
    metrics::counter!("nova_ingest_timeouts_total", "stage" => stage).increment(1);
}

fn refused(reason: &'static str) {
    metrics::counter!("nova_ingest_refused_total", "reason" => reason).increment(1);
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Gone {
    #[error("the peer has closed the connection")]
    Closed,
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] rtmp::Error),
    #[error("{0} time-out")]
    Timeout(&'static str),
    #[error("{0}")]
    Told(&'static str),
}

thread_local! {
    /// What a read fills; warm in the cache from one connection to the next.
    static READ_BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ_BYTES]);
}

/// Reads once and feeds the session. Returns the number of bytes.
pub(crate) async fn read_into<S: AsyncRead + Unpin>(stream: &mut S, session: &mut Session) -> Result<usize, Gone> {
    poll_fn(|context| {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Err(Gone::Closed).into();
            }
            session.feed(bytes)?;
            Ok(bytes.len()).into()
        })
    })
    .await
}

/// Time-outs in ticks.
struct Ticks {
    each: Duration,
    handshake: u32,
    publish: u32,
    idle: u32,
}

impl Ticks {
    fn new(config: &RtmpConfig) -> Self {
        let limits = [
            config.handshake_timeout_ms,
            config.publish_timeout_ms,
            config.idle_timeout_ms,
        ];
        let least = limits.into_iter().min().unwrap_or(0);
        let each = Duration::from_millis(least / 4).clamp(Duration::from_millis(10), TICK);
        let ticks = |millis: u64| {
            u32::try_from(u128::from(millis).div_ceil(each.as_millis()))
                .unwrap_or(u32::MAX)
                .max(1)
        };
        Self {
            each,
            handshake: ticks(limits[0]),
            publish: ticks(limits[1]),
            idle: ticks(limits[2]),
        }
    }
}

struct Connection<S> {
    server: Arc<Server>,
    stream: S,
    peer: SocketAddr,
    session: Session,
    publisher: Option<(Publisher, String)>,
    superseded: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    counted: Counted,
    /// Ticks since the last frame; of who publishes nothing, since the last byte.
    silent: u32,
}

/// What has been counted since the metrics were told.
#[derive(Default)]
struct Counted {
    bytes: u64,
    video: u64,
    audio: u64,
    dropped: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    fn new(server: Arc<Server>, stream: S, peer: SocketAddr) -> Self {
        let session = Session::new(rtmp::Config::from(&server.config), server.next_seed());
        Self {
            server,
            stream,
            peer,
            session,
            publisher: None,
            superseded: None,
            counted: Counted::default(),
            silent: 0,
        }
    }

    async fn run(mut self) {
        let gone = match self.live().await {
            Ok(never) => match never {},
            Err(gone) => gone,
        };
        self.flush_metrics();
        let layer = match &gone {
            Gone::Protocol(error) => Some(error.layer()),
            Gone::Socket(_) => Some("socket"),
            _ => None,
        };
        if let Some(layer) = layer {
            metrics::counter!("nova_ingest_errors_total", "layer" => layer).increment(1);
        }
        if let Gone::Protocol(error) = &gone
            && let Some(limit) = error.limit()
        {
            metrics::counter!("nova_ingest_limits_total", "limit" => limit).increment(1);
        }
        if let Gone::Timeout(stage) = gone {
            timed_out(stage);
        }
        let encoder = self.session.encoder();
        match self.publisher.take() {
            Some((publisher, stream)) => {
                let repairs = publisher.repairs();
                tracing::info!(peer = %self.peer, stream, encoder, reason = %gone, ?repairs, "publisher gone");
                metrics::gauge!("nova_ingest_publishers").decrement(1.0);
            }
            None => tracing::debug!(peer = %self.peer, encoder, reason = %gone, "connection gone"),
        }
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, Gone> {
        let server = Arc::clone(&self.server);
        let mut drain = pin!(server.shutdown.drain().cancelled());
        let mut end = pin!(server.shutdown.end().cancelled());
        let mut draining = false;
        let ticks = Ticks::new(&server.config);
        let mut tick = interval(ticks.each);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        // Ticks since the stage before publishing began.
        let mut waited = 0;
        let mut was_open = false;
        loop {
            self.act().await?;
            // Time first, so that a flood of bytes cannot keep it from being looked at.
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    self.flush_metrics();
                    if self.session.is_open() != was_open {
                        (was_open, waited) = (true, 0);
                    }
                    self.silent += 1;
                    waited = if self.session.is_publishing() { 0 } else { waited + 1 };
                    if !was_open && waited > ticks.handshake {
                        return Err(Gone::Timeout("handshake"));
                    }
                    if waited > ticks.publish {
                        return self.dismiss(&Refusal::Idle, Gone::Timeout("publish")).await;
                    }
                    if self.silent > ticks.idle {
                        return self.dismiss(&Refusal::Idle, Gone::Timeout("idle")).await;
                    }
                }
                () = &mut end => return self.dismiss(&Refusal::ShuttingDown, Gone::Told("the server is shutting down")).await,
                () = &mut drain, if !draining => {
                    draining = true;
                    if self.publisher.is_none() {
                        return self.dismiss(&Refusal::ShuttingDown, Gone::Told("the server is shutting down")).await;
                    }
                    if self.session.request_reconnect() {
                        metrics::counter!("nova_ingest_reconnect_requests_total").increment(1);
                    }
                }
                () = cancelled(&mut self.superseded) => {
                    // At a shutdown broadcasts are ended; an encoder that is told of another publisher would not come back.
                    if draining {
                        return self.dismiss(&Refusal::ShuttingDown, Gone::Told("the server is shutting down")).await;
                    }
                    metrics::counter!("nova_ingest_superseded_total").increment(1);
                    let stopped = self.publisher.as_ref().and_then(|(publisher, _)| publisher.broadcast().stop_reason());
                    if let Some(why) = stopped {
                        return self.dismiss(&Refusal::Stopped(why), Gone::Told("the broadcast was stopped")).await;
                    }
                    return self.dismiss(&Refusal::TakenOver, Gone::Told("another publisher has taken over, or the stream was ended")).await;
                }
                read = read_into(&mut self.stream, &mut self.session) => {
                    if !self.session.is_publishing() {
                        self.silent = 0;
                    }
                    match read {
                        Ok(bytes) => self.counted.bytes += bytes as u64,
                        Err(gone) => {
                            // What came before the failure still counts.
                            self.act().await?;
                            return Err(gone);
                        }
                    }
                }
            }
        }
    }

    /// Does what the session asks for.
    async fn act(&mut self) -> Result<(), Gone> {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Frame(frame) => {
                    if let Some((publisher, _)) = &mut self.publisher {
                        self.silent = 0;
                        // Even ids are video, see the demuxer.
                        if frame.track.0 % 2 == 0 {
                            self.counted.video += 1;
                        } else {
                            self.counted.audio += 1;
                        }
                        publisher.frame(frame);
                    }
                }
                Output::Track(track) => {
                    if let Some((publisher, stream)) = &mut self.publisher {
                        tracing::info!(stream, track = %track.id, codec = track.codec_string, media = ?track.media, "track");
                        publisher.track(track);
                    }
                }
                Output::Bytes(bytes) => match timeout(WRITE_TIMEOUT, self.stream.write_all(&bytes)).await {
                    Ok(written) => written?,
                    Err(_elapsed) => return Err(Gone::Timeout("write")),
                },
                Output::Publish(publish) => self.publish(publish).await?,
                Output::Unpublish => self.unpublish("unpublished"),
                Output::Close => {
                    self.linger().await;
                    return Err(Gone::Told("closed by this side"));
                }
            }
        }
        Ok(())
    }

    async fn publish(&mut self, publish: Publish) -> Result<(), Gone> {
        let Publish { app, key, encoder, .. } = publish;
        let request = PublishRequest {
            peer: self.peer.ip(),
            app,
            key,
            encoder,
        };
        let server = Arc::clone(&self.server);
        let limit = Duration::from_millis(server.config.authorize_timeout_ms);
        let answer = tokio::select! {
            answer = timeout(limit, server.authorizer.authorize(request)) => answer,
            () = server.shutdown.end().cancelled() => Ok(Err(Denied::Unavailable)),
        };
        let granted = answer.unwrap_or_else(|_elapsed| {
            timed_out("authorize");
            Err(Denied::Unavailable)
        });
        let refusal = match granted {
            Ok(grant) => match server.hub.publish(&grant.stream) {
                Ok(publisher) => {
                    tracing::info!(peer = %self.peer, stream = grant.stream, encoder = self.session.encoder(), "publishing");
                    metrics::gauge!("nova_ingest_publishers").increment(1.0);
                    self.superseded = Some(Box::pin(publisher.superseded().clone().cancelled_owned()));
                    self.publisher = Some((publisher, grant.stream));
                    return Ok(self.session.accept()?);
                }
                Err(PublishError::InUse) => {
                    refused("in_use");
                    Refusal::InUse
                }
                Err(PublishError::Draining) => {
                    refused("draining");
                    Refusal::ShuttingDown
                }
            },
            Err(denied) => {
                refused("denied");
                Refusal::Denied(denied)
            }
        };
        tracing::info!(peer = %self.peer, encoder = self.session.encoder(), reason = ?refusal, "publisher refused");
        self.session.refuse(&refusal);
        Ok(())
    }

    fn unpublish(&mut self, reason: &'static str) {
        self.superseded = None;
        if let Some((publisher, stream)) = self.publisher.take() {
            let repairs = publisher.repairs();
            tracing::info!(peer = %self.peer, stream, reason, ?repairs, "publisher gone");
            metrics::gauge!("nova_ingest_publishers").decrement(1.0);
        }
    }

    /// Tells the peer why, and closes.
    async fn dismiss<T>(&mut self, why: &Refusal, gone: Gone) -> Result<T, Gone> {
        self.session.refuse(why);
        // The stream is free for others from now on, not only when the peer has read the reason.
        let publisher = self.publisher.take();
        if let Some((publisher, stream)) = publisher {
            let repairs = publisher.repairs();
            tracing::info!(peer = %self.peer, stream, reason = %gone, ?repairs, "publisher gone");
            metrics::gauge!("nova_ingest_publishers").decrement(1.0);
        }
        self.act().await.ok();
        Err(gone)
    }

    /// Closes so that what was sent arrives: first the own side, then the peer's, whose bytes are read and dropped meanwhile.
    async fn linger(&mut self) {
        let drop_all = async {
            self.stream.shutdown().await?;
            loop {
                let read = poll_fn(|context| {
                    READ_BUFFER.with_borrow_mut(|buffer| {
                        let mut buffer = ReadBuf::new(buffer);
                        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                        io::Result::Ok(buffer.filled().len()).into()
                    })
                });
                if read.await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        let _ = timeout(LINGER, drop_all).await;
    }

    fn flush_metrics(&mut self) {
        let dropped = self.session.dropped_tags();
        let new = dropped.saturating_sub(self.counted.dropped);
        for (name, kind, count) in [
            ("nova_ingest_bytes_total", None, self.counted.bytes),
            ("nova_ingest_frames_total", Some("video"), self.counted.video),
            ("nova_ingest_frames_total", Some("audio"), self.counted.audio),
            ("nova_ingest_dropped_tags_total", None, new),
        ] {
            match kind {
                _ if count == 0 => {}
                Some(kind) => metrics::counter!(name, "kind" => kind).increment(count),
                None => metrics::counter!(name).increment(count),
            }
        }
        self.counted = Counted {
            dropped,
            ..Counted::default()
        };
    }
}

/// Waits for the cancellation, or forever when there is none.
async fn cancelled(token: &mut Option<Pin<Box<WaitForCancellationFutureOwned>>>) {
    match token {
        Some(token) => token.await,
        None => std::future::pending().await,
    }
}
