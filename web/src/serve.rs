//! `nova serve`: builds the parts, joins them, and takes them down in two stages.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nova_cdn::Origin;
use nova_core::clock::Clock;
use nova_core::config::{Config, SecondPublisher, TlsListener};
use nova_core::live::{Hub, HubConfig};
use nova_core::runtimes::Runtimes;
use nova_core::shutdown::Shutdown;
use nova_core::{live, telemetry};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::addresses::Addresses;
use crate::archive::Archive;
use crate::library::VideoLibrary;
use crate::live::LiveService;
use crate::packaging::Means;
use crate::platform::Platform;
use crate::tls::Certificates;
use crate::{admin, http, on_air, pages, signing, storage, transcoding};

/// How long a drain may take before the process ends all the same.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// How often reconnect windows are looked at.
const EXPIRE_EVERY: Duration = Duration::from_millis(100);
/// How often the origin router gives memory back.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How long viewers are given to read the end of their streams: one reload of a usual playlist.
const VIEWERS_LEAVE: Duration = Duration::from_secs(3);
/// How long encoders are given to leave by themselves once asked.
const ENCODERS_LEAVE: Duration = Duration::from_secs(10);

/// Runs the server until it is told to stop.
pub(crate) fn run(config: Config, dev: bool) -> anyhow::Result<()> {
    // More than one crypto provider may be linked; this one is meant.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let metrics = telemetry::init_metrics().context("metrics")?;
    let runtimes = Runtimes::build(&config.runtime).context("runtimes")?;
    let shutdown = Shutdown::new();
    let clock = Clock::system();

    let store = storage::open(&config, &clock, runtimes.media())?;
    let library = VideoLibrary::new(Arc::clone(&store), &config.data_dir, clock.clone()).context("recordings")?;
    runtimes.media().block_on(library.recover());
    let archive = Archive::new(
        Arc::clone(&store),
        storage::writers(&config),
        clock.clone(),
        runtimes.media(),
    );
    // What a killed process left: its streams are not on air any more. In the background, and names never come again.
    sweep(&config.data_dir.join("media"), runtimes.media());

    let second_publisher = match config.publish.second_publisher {
        SecondPublisher::Takeover => live::SecondPublisher::TakeOver,
        SecondPublisher::Refuse => live::SecondPublisher::Refuse,
    };
    let reconnect = Duration::from_secs(u64::from(config.live.reconnect_s));
    let (hub, started) = Hub::new(
        clock.clone(),
        HubConfig {
            reconnect,
            second_publisher,
        },
    );
    let transcoder = transcoding::transcoder(&config.transcode, &clock, runtimes.media())?;
    if let Some(transcoder) = &transcoder {
        library.transcode_with(Arc::clone(transcoder));
    }
    let means = Means {
        config: nova_packager::Config {
            segment_ms: config.live.segment_ms,
            part_ms: config.live.part_ms,
            window_s: config.live.window_s.max(config.live.dvr_s),
            memory_s: storage::memory_s(&config),
        },
        archive,
        library: Arc::clone(&library),
        transcoder,
        clock: clock.clone(),
        media: runtimes.media().clone(),
        shutdown: shutdown.clone(),
    };
    let service = LiveService::new(&config, means);
    runtimes.media().spawn(Arc::clone(&service).run(started));
    let expiring = Arc::clone(&hub);
    runtimes.api().spawn(async move {
        let mut ticks = tokio::time::interval(EXPIRE_EVERY);
        loop {
            ticks.tick().await;
            expiring.expire();
        }
    });

    // Mails, tokens and the API carry absolute addresses, so the ports must be known before the platform is built.
    let http_socket = listener("HTTP", config.http.addr)?;
    let rtmp_socket = listener("RTMP", config.rtmp.addr)?;
    let public_url = public_url(&config, http_socket.local_addr()?);
    let ingest_url = ingest_url(&public_url, rtmp_socket.local_addr()?);
    let live = runtimes.api().block_on(on_air::live(
        Arc::clone(&hub),
        Arc::clone(&service),
        Arc::clone(&library),
        Arc::clone(&store),
        clock.clone(),
        ingest_url,
        &config.cdn,
    ))?;
    let platform = runtimes
        .api()
        .block_on(Platform::build(&config, &clock, &public_url, live))?;
    service.guard(Arc::clone(&platform.media.gate));
    library.guard(platform.media.videos.clone());
    let ingest = nova_ingest::Server::new(
        config.rtmp.clone(),
        Arc::clone(&hub),
        Arc::clone(&platform.media.authorizer),
        clock.clone(),
        shutdown.clone(),
    );
    let rtmp_addr = listen_on(runtimes.ingest(), "RTMP", rtmp_socket, |listener| {
        shutdown.spawn(runtimes.ingest(), Arc::clone(&ingest).serve(listener, None));
    })?;
    if let Some((addr, certificates)) = certificates(&config.rtmps, &[], runtimes.api())? {
        listen(runtimes.ingest(), "RTMPS", addr, |listener| {
            let source: nova_ingest::TlsSource = Arc::new(move || certificates.config());
            shutdown.spawn(runtimes.ingest(), Arc::clone(&ingest).serve(listener, Some(source)));
        })?;
    }

    let pages = platform
        .start(&config, runtimes.api(), &shutdown)
        .merge(admin::health(&shutdown))
        .merge(pages::router().layer(axum::middleware::from_fn(nova_domain::http::headers::secure)));
    let server = Arc::new(http::Server {
        tokens: signing::tokens(&config.cdn)?,
        origin: Origin::new(Arc::clone(&service) as _, library, store, clock.clone()),
        pages,
        clock: clock.clone(),
        api: runtimes.api().clone(),
        connections: Arc::new(Semaphore::new(config.http.max_connections)),
        addresses: Addresses::new(config.http.max_connections_per_ip),
        config: config.http.clone(),
        proxies: proxies(&config.http.trusted_proxies)?,
        shutdown: shutdown.clone(),
    });
    let tidied = Arc::clone(&server);
    runtimes.media().spawn(async move {
        let mut ticks = tokio::time::interval(TIDY_EVERY);
        loop {
            ticks.tick().await;
            tidied.origin.tidy();
        }
    });
    let http_addr = listen_on(runtimes.delivery(), "HTTP", http_socket, |listener| {
        shutdown.spawn(runtimes.delivery(), Arc::clone(&server).serve(listener, None));
    })?;
    if let Some((addr, certificates)) = certificates(&config.https, &["h2", "http/1.1"], runtimes.api())? {
        listen(runtimes.delivery(), "HTTPS", addr, |listener| {
            shutdown.spawn(
                runtimes.delivery(),
                Arc::clone(&server).serve(listener, Some(certificates)),
            );
        })?;
    }
    let operator = admin::router(&shutdown, metrics, service, clock);
    listen(runtimes.api(), "admin", config.admin.addr, |listener| {
        let draining = shutdown.end().clone();
        runtimes.api().spawn(async move {
            let served = axum::serve(listener, operator)
                .with_graceful_shutdown(async move { draining.cancelled().await })
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the admin listener failed");
            }
        });
    })?;

    announce(dev, http_addr, rtmp_addr)?;
    runtimes.api().block_on(until_stopped(&shutdown, &hub));
    Ok(())
}

/// Binds and hands the listener over; the address says which port was picked.
fn listen(
    runtime: &Handle,
    name: &str,
    addr: SocketAddr,
    serve: impl FnOnce(TcpListener),
) -> anyhow::Result<SocketAddr> {
    listen_on(runtime, name, listener(name, addr)?, serve)
}

fn listener(name: &str, addr: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    bind(addr).with_context(|| format!("{name} cannot listen on {addr}; `nova doctor` tells more"))
}

fn listen_on(
    runtime: &Handle,
    name: &str,
    socket: std::net::TcpListener,
    serve: impl FnOnce(TcpListener),
) -> anyhow::Result<SocketAddr> {
    let _entered = runtime.enter();
    let listener = TcpListener::from_std(socket)?;
    let bound = listener.local_addr()?;
    tracing::info!("{name} listens on {bound}");
    serve(listener);
    Ok(bound)
}

/// Base of absolute URLs: as configured, or the listener's own address.
fn public_url(config: &Config, bound: SocketAddr) -> String {
    if config.public_url.is_empty() {
        format!("http://{}", shown(bound))
    } else {
        config.public_url.trim_end_matches('/').to_owned()
    }
}

/// What encoders publish to: this host as the public URL names it, and the RTMP port.
fn ingest_url(public_url: &str, bound: SocketAddr) -> String {
    let host = public_url.split_once("://").map_or(public_url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    // An IPv6 host stands in brackets.
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    format!("rtmp://{host}:{}/live", bound.port())
}

fn proxies(listed: &str) -> anyhow::Result<Vec<ipnet::IpNet>> {
    let listed = listed.split(',').map(str::trim).filter(|one| !one.is_empty());
    listed
        .map(|one| {
            let net = one
                .parse()
                .or_else(|_not_a_net| one.parse::<std::net::IpAddr>().map(ipnet::IpNet::from));
            net.with_context(|| format!("http.trusted_proxies: {one:?} is neither an address nor a network"))
        })
        .collect()
}

/// An address as a person on this machine writes it.
fn shown(addr: SocketAddr) -> String {
    match addr.ip() {
        ip if ip.is_unspecified() || ip.is_loopback() => format!("localhost:{}", addr.port()),
        _ => addr.to_string(),
    }
}

fn bind(addr: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn certificates(
    listener: &TlsListener,
    protocols: &[&str],
    runtime: &Handle,
) -> anyhow::Result<Option<(SocketAddr, Arc<Certificates>)>> {
    let (Some(addr), Some(cert), Some(key)) = (listener.addr, &listener.cert, &listener.key) else {
        return Ok(None);
    };
    let certificates = Certificates::load(cert, key, protocols)?;
    runtime.spawn(Arc::clone(&certificates).watch());
    Ok(Some((addr, certificates)))
}

fn sweep(media_dir: &std::path::Path, runtime: &Handle) {
    let live = media_dir.join("live");
    let leftover = media_dir.join(format!(".leftover-{}", std::process::id()));
    if std::fs::rename(&live, &leftover).is_ok() {
        runtime.spawn_blocking(move || {
            if let Err(error) = std::fs::remove_dir_all(&leftover) {
                tracing::warn!(%error, folder = %leftover.display(), "cannot remove what an earlier run left");
            }
        });
    }
}

/// Tells a person, and whoever waits for the line, that every listener is bound.
fn announce(dev: bool, http: SocketAddr, rtmp: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let (http, rtmp) = (shown(http), shown(rtmp));
    if dev {
        writeln!(out, "  watch    http://{http}/")?;
        writeln!(
            out,
            "  publish  rtmp://{rtmp}/live/NAME   (OBS: server rtmp://{rtmp}/live, stream key NAME)"
        )?;
        writeln!(
            out,
            "  try      ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 -c:v libx264 \
             -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac -f flv rtmp://{rtmp}/live/test"
        )?;
        writeln!(out, "           then open http://{http}/watch/test")?;
    }
    writeln!(out, "nova is ready on http://{http} and rtmp://{rtmp}/live")?;
    out.flush()
}

/// Waits for the first signal, drains, and returns when all is done, at a second signal, or when draining takes too long.
async fn until_stopped(shutdown: &Shutdown, hub: &Arc<Hub>) {
    signal().await;
    tracing::info!("draining: encoders are asked to reconnect elsewhere, what is open is finished");
    shutdown.start_drain();
    let second = shutdown.end().clone();
    tokio::spawn(async move {
        signal().await;
        tracing::warn!("second signal: ending now");
        second.cancel();
    });
    tokio::select! {
        () = encoders_gone(hub) => {}
        () = tokio::time::sleep(ENCODERS_LEAVE) => {}
        () = shutdown.end().cancelled() => {}
    }
    // Closes the last parts and writes ENDLIST, so that players end instead of waiting; they get a moment to read it.
    let anybody_watches = !hub.list().is_empty();
    hub.close();
    if anybody_watches {
        tokio::select! {
            () = tokio::time::sleep(VIEWERS_LEAVE) => {}
            () = shutdown.end().cancelled() => {}
        }
    }
    shutdown.start_close();
    if shutdown.finish(DRAIN_LIMIT).await {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped with work undone");
    }
}

async fn encoders_gone(hub: &Hub) {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    while hub
        .list()
        .iter()
        .any(|broadcast| matches!(broadcast.status(), live::Status::Live | live::Status::Starting))
    {
        ticks.tick().await;
    }
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
