//! The server over loopback: publishers that behave and peers that do not.

mod support;

use std::future::pending;
use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nova_core::config::RtmpConfig;
use nova_core::live::{SecondPublisher, Status};
use nova_core::publish::{Denied, Grant, PublishAuthorizer, PublishRequest, StaticAuthorizer};
use nova_core::store::BoxFuture;
use nova_ingest::TlsSource;
use nova_ingest::rtmp::amf0::Value;
use nova_ingest::rtmp::chunk::{ChunkWriter, kind};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use support::{Received, Running, drain, receive, start, start_open};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// ffmpeg's whole broadcast of `live/show`: 18 pictures, 53 sounds.
const RECORDING: &[u8] = include_bytes!("../testdata/ffmpeg-5.rtmp");
/// Of which this much is enough to be on air, and ends in the midst of media.
const ON_AIR: usize = 20_000;

fn quick() -> RtmpConfig {
    RtmpConfig {
        handshake_timeout_ms: 300,
        publish_timeout_ms: 400,
        authorize_timeout_ms: 100,
        idle_timeout_ms: 400,
        ..RtmpConfig::default()
    }
}

async fn start_quick() -> Running {
    start(
        quick(),
        SecondPublisher::TakeOver,
        Arc::new(StaticAuthorizer::Open),
        None,
    )
    .await
}

/// Everything the server says until it closes.
async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut said))
        .await
        .expect("the server closes");
    // A reset is a close as well; what was said before it counts.
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    said
}

fn says(said: &[u8], text: &str) -> bool {
    said.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn connect(running: &Running, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Plays the recording, with a reader there before the first frame.
async fn play(running: &Running, mut stream: impl AsyncWrite + Unpin, rest: &[u8]) -> Received {
    let media = RECORDING
        .windows(13)
        .position(|window| window == b"@setDataFrame")
        .unwrap();
    stream.write_all(&RECORDING[..media]).await.unwrap();
    until("publishing", || running.hub.get("show").is_some()).await;
    let broadcast = running.hub.get("show").unwrap();
    let reader = broadcast.subscribe();
    stream.write_all(&rest[media..]).await.unwrap();
    let received = timeout(Duration::from_secs(10), drain(&broadcast, reader))
        .await
        .expect("the publisher leaves");
    assert_eq!((received.stream.as_str(), received.epochs), ("show", 1));
    received
}

fn pictures(received: &Received) -> usize {
    received.frames.iter().filter(|frame| frame.track.0 == 0).count()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not happen");
}

async fn until_live(running: &Running) {
    until("live", || {
        running.hub.get("show").is_some_and(|b| b.status() == Status::Live)
    })
    .await;
}

#[tokio::test]
async fn a_publisher_in_single_bytes_is_like_any_other() {
    // Conformance 3.
    let mut running = start_open().await;
    let addr = running.addr;
    let client = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in RECORDING {
            stream.write_all(std::slice::from_ref(byte)).await.unwrap();
        }
        stream
    };
    let (received, _stream) = tokio::join!(receive(&mut running.started), client);
    assert_eq!(pictures(&received), 18);
    assert_eq!(received.tracks.len(), 2);
}

#[tokio::test]
async fn rtmps_is_the_same_over_tls() {
    // Conformance 4.
    let certificate = || CertificateDer::from_pem_slice(include_bytes!("../testdata/tls-cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../testdata/tls-key.pem")).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    let config = Arc::new(config);
    let tls: TlsSource = Arc::new(move || Arc::clone(&config));
    let running = start(
        quick(),
        SecondPublisher::TakeOver,
        Arc::new(StaticAuthorizer::Open),
        Some(tls),
    )
    .await;
    // Who does not speak TLS is no trouble.
    let mut plain = connect(&running, RECORDING).await;
    assert!(!says(&read_all(&mut plain).await, "NetConnection"));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(running.addr).await.unwrap();
    let stream = connector
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    assert_eq!(pictures(&play(&running, stream, RECORDING).await), 18);
}

#[tokio::test]
async fn a_thousand_that_never_finish_the_handshake_keep_nobody_out_and_are_sent_away() {
    // Conformance 3. Both ends of every connection are in this process, so the usual 1024 descriptors are too few.
    let raised = tokio::process::Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string(), "--nofile=4096:"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .is_ok_and(|status| status.success());
    let count = if raised { 1000 } else { 300 };
    let config = RtmpConfig {
        handshake_timeout_ms: 1500,
        max_connections_per_ip: 2000,
        ..quick()
    };
    let running = start(
        config,
        SecondPublisher::TakeOver,
        Arc::new(StaticAuthorizer::Open),
        None,
    )
    .await;
    let mut stuck = Vec::new();
    for index in 0..count {
        stuck.push(connect(&running, &RECORDING[..index % 1537]).await);
    }
    let publisher = TcpStream::connect(running.addr).await.unwrap();
    assert_eq!(pictures(&play(&running, publisher, RECORDING).await), 18);
    for mut stream in stuck {
        assert!(read_all(&mut stream).await.is_empty());
    }
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let config = RtmpConfig {
        max_connections_per_ip: 3,
        handshake_timeout_ms: 60_000,
        ..quick()
    };
    let running = start(
        config,
        SecondPublisher::TakeOver,
        Arc::new(StaticAuthorizer::Open),
        None,
    )
    .await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&running, &RECORDING[..1537]).await;
        // Answered, so it has been counted.
        stream.read_exact(&mut [0; 3073]).await.unwrap();
        kept.push(stream);
    }
    let mut fourth = connect(&running, &[]).await;
    assert!(read_all(&mut fourth).await.is_empty());
    drop(kept.pop());
    let mut answered = false;
    for _ in 0..200 {
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        answered =
            stream.write_all(&RECORDING[..1537]).await.is_ok() && stream.read_exact(&mut [0; 3073]).await.is_ok();
        if answered {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert!(answered, "a place that is given back can be had again");
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    let running = start_quick().await;
    let mut noise = vec![3; 3073];
    noise.extend((0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8));
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[6; 1537], &noise] {
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        let _ = stream.write_all(bytes).await;
        read_all(&mut stream).await;
    }
    let publisher = TcpStream::connect(running.addr).await.unwrap();
    assert_eq!(pictures(&play(&running, publisher, RECORDING).await), 18);
}

#[tokio::test]
async fn a_publisher_that_falls_silent_is_gone_after_the_idle_time() {
    // Conformance 25: the connection stands, and nothing comes.
    let running = start_quick().await;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let received = play(&running, &mut stream, &RECORDING[..ON_AIR]).await;
    assert!(!received.frames.is_empty());
    assert!(says(&read_all(&mut stream).await, "NetConnection.Connect.Closed"));
    assert_eq!(running.hub.get("show").unwrap().status(), Status::Reconnecting);
}

#[tokio::test]
async fn a_publisher_that_sends_all_but_media_does_not_hold_its_name() {
    // Conformance 25: a ping response (5.4, message type 4) each 20 ms, from where ffmpeg's media ends.
    const PONG: &[u8] = &[2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0];
    let end = RECORDING.windows(11).position(|bytes| bytes == b"FCUnpublish").unwrap() - 11;
    let running = start_quick().await;
    let mut stream = connect(&running, &RECORDING[..end]).await;
    until_live(&running).await;
    let (mut reader, mut writer) = stream.split();
    let pongs = async {
        while writer.write_all(PONG).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    let closed = async { timeout(Duration::from_secs(10), reader.read_to_end(&mut said)).await };
    tokio::select! {
        () = pongs => {}
        closed = closed => { let _ = closed.expect("closed in time"); }
    }
    assert!(says(&said, "NetConnection.Connect.Closed"));
    assert_eq!(running.hub.get("show").unwrap().status(), Status::Reconnecting);
}

#[tokio::test]
async fn each_time_out_that_is_met_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    struct Silent;
    impl PublishAuthorizer for Silent {
        fn authorize(&self, _: PublishRequest) -> BoxFuture<'_, Result<Grant, Denied>> {
            Box::pin(pending())
        }
    }
    let running = start(quick(), SecondPublisher::TakeOver, Arc::new(Silent), None).await;
    // In the handshake; after it; while somebody decides.
    let mut handshake = connect(&running, &RECORDING[..100]).await;
    let mut publish = connect(&running, &RECORDING[..3073]).await;
    let mut authorize = connect(&running, RECORDING).await;
    let said = tokio::join!(
        read_all(&mut handshake),
        read_all(&mut publish),
        read_all(&mut authorize)
    )
    .2;
    assert!(says(&said, "NetStream.Publish.Denied") && says(&said, "try again"));
    let expected =
        ["handshake", "publish", "authorize"].map(|stage| format!("nova_ingest_timeouts_total{{stage=\"{stage}\"}} 1"));
    until("counting", || {
        let text = handle.render();
        expected.iter().all(|line| text.contains(line)) && text.contains("nova_ingest_connections 0")
    })
    .await;
    let text = handle.render();
    assert!(text.contains("nova_ingest_connections_total 3"), "{text}");
    assert!(
        text.contains("nova_ingest_refused_total{reason=\"denied\"} 1"),
        "{text}"
    );
}

/// A chunk with a header of its own: the first bytes of a message of `length`.
fn chunk(chunk_stream: u8, kind: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = length.to_be_bytes();
    let mut bytes = vec![chunk_stream, 0, 0, 0, a, b, c, kind, 0, 0, 0, 0];
    bytes.extend(payload);
    bytes
}

#[tokio::test]
async fn each_limit_that_is_met_is_counted_by_its_key() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let config = RtmpConfig {
        max_message_bytes: 10_000,
        max_partial_messages: 2,
        max_chunk_streams: 4,
        max_amf_depth: 3,
        max_amf_values: 20,
        ..quick()
    };
    let open = Arc::new(StaticAuthorizer::Open);
    let running = start(config, SecondPublisher::TakeOver, open, None).await;
    let name = b"\x02\x00\x07connect";
    let (deep, many) = ([3, 0, 1, b'a'].repeat(4), [5].repeat(21));
    let cases: [(&str, Vec<u8>); 5] = [
        ("max_message_bytes", chunk(3, 20, 10_001, &[0; 128])),
        (
            "max_partial_messages",
            (3..6).flat_map(|stream| chunk(stream, 20, 200, &[0; 128])).collect(),
        ),
        (
            "max_chunk_streams",
            (3..8).flat_map(|stream| chunk(stream, 8, 1, &[0])).collect(),
        ),
        ("max_amf_depth", chunk(3, 20, 26, &[&name[..], &deep].concat())),
        ("max_amf_values", chunk(3, 20, 31, &[&name[..], &many].concat())),
    ];
    for (limit, bytes) in cases {
        let mut stream = connect(&running, &[&RECORDING[..3073], &bytes].concat()).await;
        read_all(&mut stream).await;
        let line = format!("nova_ingest_limits_total{{limit=\"{limit}\"}} 1");
        until("counting", || handle.render().contains(&line)).await;
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_so_before_the_connection_closes() {
    // Conformance 23: the client goes on sending, and still can read why.
    let keys = StaticAuthorizer::keys([("s3cret", "show")]);
    let running = start(quick(), SecondPublisher::TakeOver, Arc::new(keys), None).await;
    let mut stream = connect(&running, RECORDING).await;
    let said = read_all(&mut stream).await;
    assert!(says(&said, "NetStream.Publish.Denied") && says(&said, "this stream key is not known"));
    assert!(running.hub.get("show").is_none());
}

#[tokio::test]
async fn a_second_publisher_is_refused_or_takes_over_by_policy() {
    let running = start(
        RtmpConfig::default(),
        SecondPublisher::Refuse,
        Arc::new(StaticAuthorizer::Open),
        None,
    )
    .await;
    let first = connect(&running, &RECORDING[..ON_AIR]).await;
    until_live(&running).await;
    let mut second = connect(&running, RECORDING).await;
    assert!(says(&read_all(&mut second).await, "NetStream.Publish.BadName"));
    drop(first);

    let running = start_open().await;
    let mut first = connect(&running, &RECORDING[..ON_AIR]).await;
    until_live(&running).await;
    let _second = connect(&running, &RECORDING[..ON_AIR]).await;
    let said = read_all(&mut first).await;
    assert!(says(&said, "NetStream.Publish.BadName") && says(&said, "taken over"));
    assert_eq!(running.hub.get("show").unwrap().status(), Status::Live);
}

/// A client that speaks Enhanced RTMP up to `publish`.
fn enhanced_publisher() -> Vec<u8> {
    let mut out = RECORDING[..3073].to_vec();
    let mut writer = ChunkWriter::default();
    writer.set_chunk_size(4096, &mut out);
    let mut command = |stream: u32, values: &[Value]| {
        let mut body = Vec::new();
        values.iter().for_each(|value| value.encode(&mut body));
        writer.write(3, kind::COMMAND_AMF0, stream, 0, &body, &mut out);
    };
    let properties = Value::object([
        ("app", "live".into()),
        ("tcUrl", "rtmp://host/live".into()),
        ("capsEx", 1.0.into()),
    ]);
    command(0, &["connect".into(), 1.0.into(), properties]);
    command(0, &["createStream".into(), 2.0.into(), Value::Null]);
    command(
        1,
        &["publish".into(), 3.0.into(), Value::Null, "other".into(), "live".into()],
    );
    out
}

#[tokio::test]
async fn draining_asks_encoders_to_reconnect_and_ends_when_they_are_gone() {
    // Conformance 33.
    let running = start_open().await;
    let mut able = connect(&running, &enhanced_publisher()).await;
    until("publishing", || running.hub.get("other").is_some()).await;
    let unable = connect(&running, &RECORDING[..ON_AIR]).await;
    let mut idle = connect(&running, &RECORDING[..3073]).await;
    idle.read_exact(&mut [0; 3073]).await.unwrap();
    until_live(&running).await;
    running.shutdown.start_drain();
    // Who was not publishing is sent away, nobody new is let in.
    assert!(says(&read_all(&mut idle).await, "AppShutdown"));
    let mut said = Vec::new();
    while !says(&said, "NetConnection.Connect.ReconnectRequest") {
        assert_ne!(
            timeout(Duration::from_secs(5), able.read_buf(&mut said))
                .await
                .unwrap()
                .unwrap(),
            0
        );
    }
    // The other broadcast goes on until its encoder leaves.
    assert_eq!(running.hub.get("show").unwrap().status(), Status::Live);
    drop((able, unable));
    assert!(running.shutdown.finish(Duration::from_secs(10)).await);
    assert!(TcpStream::connect(running.addr).await.is_err());
}

#[tokio::test]
async fn the_end_of_draining_closes_who_is_still_there() {
    let running = start_open().await;
    let mut stream = connect(&running, &RECORDING[..ON_AIR]).await;
    until_live(&running).await;
    running.shutdown.start_drain();
    running.shutdown.end().cancel();
    assert!(says(&read_all(&mut stream).await, "NetConnection.Connect.AppShutdown"));
}

#[tokio::test]
async fn a_stream_stopped_from_outside_tells_its_publisher() {
    let running = start_open().await;
    let mut stream = connect(&running, &RECORDING[..ON_AIR]).await;
    until_live(&running).await;
    running.hub.get("show").unwrap().end();
    assert!(says(&read_all(&mut stream).await, "it was ended"));
}

#[tokio::test]
async fn the_sink_counts_what_it_throws_away() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let client = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(RECORDING).await.unwrap();
        stream.shutdown().await.unwrap();
        read_all(&mut stream).await
    };
    let sink = async {
        let (stream, _) = listener.accept().await.unwrap();
        nova_ingest::discard(stream, nova_ingest::rtmp::Config::default())
            .await
            .unwrap()
    };
    let (discarded, _) = tokio::join!(sink, client);
    assert_eq!((discarded.bytes, discarded.frames), (RECORDING.len() as u64, 71));
}
