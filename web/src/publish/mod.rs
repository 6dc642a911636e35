//! `nova publish`: Nova's own RTMP client. Plays a clip (the built-in test picture, an FLV or an MP4 file) in real time, again and again, to any
//! RTMP server.

mod clip;
mod flv;
mod mp4;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use nova_core::clock::Clock;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::clip::{Clip, Kind};

/// How long the server may take to let us publish.
const START_LIMIT: Duration = Duration::from_secs(15);

/// A moving test picture with a counter, and a tone that beeps each second: ten seconds, 640x360.
static TEST_PICTURE: &[u8] = include_bytes!("../../assets/demo.flv");

/// Publishes until the server ends it or a signal comes.
pub(crate) fn run(url: &str, file: Option<&Path>) -> anyhow::Result<()> {
    let target = Target::parse(url)?;
    let clip = match file {
        None => flv::read(Bytes::from_static(TEST_PICTURE)).context("the built-in clip")?,
        Some(path) => {
            let content = Bytes::from(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
            let clip = if content.starts_with(b"FLV") {
                flv::read(content)
            } else {
                mp4::read(&content)
            };
            clip.with_context(|| format!("{} cannot be published", path.display()))?
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = publish(&target, &clip) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

/// Where to publish. The key is a secret: it is in no message.
struct Target {
    address: String,
    app: String,
    key: String,
}

impl Target {
    /// `rtmp://HOST[:PORT]/APP/KEY`; the app is everything up to the last slash.
    fn parse(url: &str) -> anyhow::Result<Self> {
        let rest = url
            .strip_prefix("rtmp://")
            .context("the URL must look like rtmp://HOST:1935/live/KEY")?;
        let (host, path) = rest
            .split_once('/')
            .context("the URL has no application: rtmp://HOST:1935/live/KEY")?;
        let (app, key) = path
            .trim_end_matches('/')
            .rsplit_once('/')
            .context("the URL has no stream key: rtmp://HOST:1935/live/KEY")?;
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let address = if has_port {
            host.to_owned()
        } else {
            format!("{host}:1935")
        };
        Ok(Self {
            address,
            app: app.to_owned(),
            key: key.to_owned(),
        })
    }
}

async fn publish(target: &Target, clip: &Clip) -> anyhow::Result<()> {
    let mut connection = tokio::time::timeout(START_LIMIT, Connection::open(target))
        .await
        .with_context(|| format!("{} did not let us publish in time", target.address))??;
    tracing::info!(server = %target.address, app = %target.app, "publishing; stop with Ctrl-C");
    let clock = Clock::system();
    let started = clock.monotonic_micros();
    let mut base_ms: u32 = 0;
    loop {
        for (number, tag) in clip.tags.iter().enumerate() {
            // The configuration once; it is the same in every round.
            if base_ms > 0 && tag.config {
                continue;
            }
            let at_ms = base_ms.wrapping_add(tag.time_ms);
            let ahead_us = i64::from(at_ms) * 1000 - (clock.monotonic_micros() - started);
            if let Ok(ahead_us) = u64::try_from(ahead_us)
                && ahead_us > 0
            {
                connection.idle(Duration::from_micros(ahead_us)).await?;
            }
            connection
                .send(tag.kind, tag.body.clone(), at_ms, tag.config || number == 0)
                .await?;
        }
        base_ms = base_ms.wrapping_add(clip.length_ms);
    }
}

struct Connection {
    socket: TcpStream,
    session: ClientSession,
    read: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(&target.address)
            .await
            .with_context(|| format!("cannot connect to {}", target.address))?;
        socket.set_nodelay(true)?;
        let mut handshake = Handshake::new(PeerType::Client);
        let hello = handshake
            .generate_outbound_p0_and_p1()
            .map_err(|error| anyhow::anyhow!("handshake: {error:?}"))?;
        socket.write_all(&hello).await?;
        let mut read = vec![0; 16 << 10];
        let rest = loop {
            let count = socket.read(&mut read).await?;
            if count == 0 {
                bail!("the server closed the connection during the handshake");
            }
            match handshake
                .process_bytes(&read[..count])
                .map_err(|error| anyhow::anyhow!("handshake: {error:?}"))?
            {
                HandshakeProcessResult::InProgress { response_bytes } => socket.write_all(&response_bytes).await?,
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    socket.write_all(&response_bytes).await?;
                    break remaining_bytes;
                }
            }
        };
        let mut config = ClientSessionConfig::new();
        config.flash_version = concat!("FMLE/3.0 (compatible; nova/", env!("CARGO_PKG_VERSION"), ")").to_owned();
        config.tc_url = Some(format!("rtmp://{}/{}", target.address, target.app));
        let (session, first) = ClientSession::new(config)?;
        let mut connection = Self { socket, session, read };
        connection.act(first).await?;
        let connect = connection.session.request_connection(target.app.clone())?;
        let mut events = connection.act(vec![connect]).await?;
        let answers = connection.session.handle_input(&rest)?;
        events.extend(connection.act(answers).await?);
        let mut connected = false;
        loop {
            for event in std::mem::take(&mut events) {
                match event {
                    ClientSessionEvent::ConnectionRequestAccepted if !connected => {
                        connected = true;
                        let request = connection
                            .session
                            .request_publishing(target.key.clone(), PublishRequestType::Live)?;
                        connection.act(vec![request]).await?;
                    }
                    ClientSessionEvent::PublishRequestAccepted => return Ok(connection),
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        bail!("the server refused the connection: {description}")
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } => {
                        bail!("the server refused to let us publish: {code}")
                    }
                    _ => {}
                }
            }
            events = connection.receive().await?;
        }
    }

    /// Reads what the server has to say, answers it, and returns what it was about.
    async fn receive(&mut self) -> anyhow::Result<Vec<ClientSessionEvent>> {
        let count = self.socket.read(&mut self.read).await?;
        if count == 0 {
            bail!("the server closed the connection");
        }
        let answers = self.session.handle_input(&self.read[..count])?;
        self.act(answers).await
    }

    async fn act(&mut self, results: Vec<ClientSessionResult>) -> anyhow::Result<Vec<ClientSessionEvent>> {
        let mut events = Vec::new();
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.socket.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        Ok(events)
    }

    /// Waits, listening: a server that ends the stream says so or closes.
    async fn idle(&mut self, span: Duration) -> anyhow::Result<()> {
        let until = tokio::time::sleep(span);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return Ok(()),
                events = self.receive() => {
                    for event in events? {
                        if let ClientSessionEvent::UnhandleableOnStatusCode { code } = event {
                            bail!("the server ended the stream: {code}");
                        }
                    }
                }
            }
        }
    }

    async fn send(&mut self, kind: Kind, body: Bytes, at_ms: u32, must_arrive: bool) -> anyhow::Result<()> {
        let time = RtmpTimestamp::new(at_ms);
        let packet = match kind {
            Kind::Video => self.session.publish_video_data(body, time, !must_arrive)?,
            Kind::Audio => self.session.publish_audio_data(body, time, !must_arrive)?,
        };
        self.act(vec![packet]).await.map(|_no_events| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_clip_begins_with_both_configurations_and_a_keyframe() {
        let clip = flv::read(Bytes::from_static(TEST_PICTURE)).unwrap();
        assert!((9_900..=10_100).contains(&clip.length_ms), "{}", clip.length_ms);
        assert_eq!(clip.tags.iter().filter(|tag| tag.config).count(), 2);
        let first = clip
            .tags
            .iter()
            .find(|tag| tag.kind == Kind::Video && !tag.config)
            .unwrap();
        assert_eq!(first.body[0], 0x17);
        assert!(clip.tags.is_sorted_by_key(|tag| tag.time_ms));
    }

    #[test]
    fn urls_are_taken_apart_or_refused_with_an_example() {
        let target = Target::parse("rtmp://localhost/live/demo").unwrap();
        assert_eq!(
            (target.address.as_str(), target.app.as_str(), target.key.as_str()),
            ("localhost:1935", "live", "demo")
        );
        let target = Target::parse("rtmp://[::1]:1936/live/instance/key?x=1").unwrap();
        assert_eq!(
            (target.address.as_str(), target.app.as_str(), target.key.as_str()),
            ("[::1]:1936", "live/instance", "key?x=1")
        );
        for bad in ["http://localhost/live/x", "rtmp://localhost", "rtmp://localhost/live"] {
            assert!(
                Target::parse(bad).is_err_and(|error| error.to_string().contains("rtmp://HOST:1935/live/KEY")),
                "{bad}"
            );
        }
    }
}
