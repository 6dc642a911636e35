//! A server on port 0 with a hub behind it, and a reader that collects what a publisher sends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::Clock;
use nova_core::config::RtmpConfig;
use nova_core::live::{Broadcast, Hub, HubConfig, Item, Reader, SecondPublisher};
use nova_core::media::{Frame, Track};
use nova_core::publish::{PublishAuthorizer, StaticAuthorizer};
use nova_core::shutdown::Shutdown;
use nova_ingest::{Server, TlsSource};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A running server.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) hub: Arc<Hub>,
    pub(crate) shutdown: Shutdown,
    pub(crate) started: mpsc::Receiver<Arc<Broadcast>>,
}

/// What a broadcast had, from its first epoch to the publisher's end.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) stream: String,
    pub(crate) tracks: Vec<Arc<Track>>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) epochs: usize,
}

pub(crate) async fn start(
    config: RtmpConfig,
    second: SecondPublisher,
    authorizer: Arc<dyn PublishAuthorizer>,
    tls: Option<TlsSource>,
) -> Running {
    let clock = Clock::system();
    let (hub, started) = Hub::new(
        clock.clone(),
        HubConfig {
            reconnect: Duration::from_secs(60),
            second_publisher: second,
        },
    );
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Server::new(config, Arc::clone(&hub), authorizer, clock, shutdown.clone());
    shutdown.spawn(&tokio::runtime::Handle::current(), server.serve(listener, tls));
    Running {
        addr,
        hub,
        shutdown,
        started,
    }
}

pub(crate) async fn start_open() -> Running {
    start(
        RtmpConfig::default(),
        SecondPublisher::TakeOver,
        Arc::new(StaticAuthorizer::Open),
        None,
    )
    .await
}

/// Reads the next broadcast until its publisher has gone.
pub(crate) async fn receive(started: &mut mpsc::Receiver<Arc<Broadcast>>) -> Received {
    let broadcast = started.recv().await.unwrap();
    let reader = broadcast.subscribe();
    drain(&broadcast, reader).await
}

/// Reads until the publisher has gone.
pub(crate) async fn drain(broadcast: &Broadcast, mut reader: Reader) -> Received {
    let mut received = Received {
        stream: broadcast.stream().to_owned(),
        ..Received::default()
    };
    let mut batch = Vec::new();
    loop {
        reader.receive(&mut batch, &[]).await;
        for item in batch.drain(..) {
            match item {
                Item::Epoch(epoch) => {
                    received.epochs += 1;
                    received.tracks.clone_from(&epoch.tracks);
                }
                Item::Frame(frame) => received.frames.push(frame),
                Item::Offline | Item::End => return received,
                Item::Anchor { .. } | Item::Skipped(_) => {}
            }
        }
    }
}
