//! One publisher's connection, without sockets and clocks.
//!
//! [`Session::feed`] takes what the socket gave, in pieces of any size; [`Session::poll`] hands out what is to be done, until `None`. The
//! driver sends the bytes, has the publisher authorised, hands tracks and frames to the hub, and closes when told. Time-outs are the
//! driver's.
//!
//! Adobe RTMP 1.0 section 7.2 for the commands; the answers to `releaseStream`, `FCPublish`, `_checkbw` and `getStreamLength`, which no
//! document defines, are what FMLE-like encoders wait for. Enhanced RTMP v2, "Enhancing NetConnection connect Command" and "Reconnect
//! Request". Playing is not offered.

use std::collections::VecDeque;

use bytes::Bytes;
use nova_core::config::RtmpConfig;
use nova_core::media::{Frame, Track};
use nova_core::publish::Denied;

use super::amf0::{self, Value};
use super::chunk::{self, ChunkReader, ChunkWriter, Message, kind};
use super::handshake::{self, Handshake};
use super::target;
use crate::flv;

/// Bytes after which we ask the peer to acknowledge, and after which we acknowledge until it says otherwise.
const WINDOW: u32 = 2_500_000;
/// Chunk size of what we send: any answer in one chunk.
const CHUNK_SIZE: u32 = 4096;
/// Longest message before a publisher is accepted, and longest command or data message ever.
const MAX_TALK_BYTES: usize = 64 << 10;
/// Bytes kept while the publisher is being authorised; the driver does not read meanwhile.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// Message streams of one connection.
const MAX_STREAMS: u32 = 16;

/// Bounds of a session.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Of the chunk layer.
    pub chunks: chunk::Limits,
    /// Of AMF values.
    pub amf: amf0::Limits,
    /// Tracks.
    pub max_tracks: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self::from(&RtmpConfig::default())
    }
}

impl From<&RtmpConfig> for Config {
    fn from(config: &RtmpConfig) -> Self {
        Self {
            chunks: chunk::Limits {
                max_message_bytes: config.max_message_bytes,
                max_partial_messages: config.max_partial_messages,
                max_chunk_streams: config.max_chunk_streams,
            },
            amf: amf0::Limits {
                max_depth: config.max_amf_depth,
                max_values: config.max_amf_values,
            },
            max_tracks: config.max_tracks,
        }
    }
}

/// Why a session ended early, and where in the client's bytes.
#[derive(Debug, thiserror::Error)]
#[error("at byte {offset}: {source}")]
pub struct Error {
    /// Bytes of the client taken before the failing one's read.
    pub offset: u64,
    /// What was wrong.
    pub source: Cause,
}

impl Error {
    /// Which layer it was, for metrics.
    pub const fn layer(&self) -> &'static str {
        match self.source {
            Cause::Handshake(_) => "handshake",
            Cause::Chunk(_) => "chunk",
            Cause::Amf(_) | Cause::Impatient(_) => "command",
        }
    }

    /// The limit that was met, by the name of its key in the configuration; `None` for what is wrong whatever the limits are.
    pub const fn limit(&self) -> Option<&'static str> {
        match self.source {
            Cause::Chunk(chunk::Error::MessageTooLong { .. }) => Some("max_message_bytes"),
            Cause::Chunk(chunk::Error::TooManyPartialMessages { .. }) => Some("max_partial_messages"),
            Cause::Chunk(chunk::Error::TooManyChunkStreams { .. }) => Some("max_chunk_streams"),
            Cause::Amf(amf0::Error::TooDeep(_)) => Some("max_amf_depth"),
            Cause::Amf(amf0::Error::TooManyValues(_)) => Some("max_amf_values"),
            _ => None,
        }
    }
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// In the handshake.
    #[error(transparent)]
    Handshake(#[from] handshake::Error),
    /// In the chunks.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// In a command.
    #[error("command: {0}")]
    Amf(#[from] amf0::Error),
    /// More than a waiting publisher may send.
    #[error("{0} bytes sent while waiting for the answer to publish")]
    Impatient(usize),
}

/// A publisher that wants to start.
///
/// Neither the key nor the query may be logged: there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Publish {
    /// Application, without slashes and instance.
    pub app: String,
    /// Stream key, without query.
    pub key: String,
    /// Query part of the key or URL.
    pub query: String,
    /// What encoder it says it is.
    pub encoder: String,
}

impl std::fmt::Debug for Publish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publish")
            .field("app", &self.app)
            .field("encoder", &self.encoder)
            .finish_non_exhaustive()
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Bytes(Bytes),
    /// Have this publisher authorised, then call [`Session::accept`] or [`Session::refuse`].
    Publish(Publish),
    /// A track, new or with a new configuration.
    Track(Track),
    /// A frame with the encoder's timestamps.
    Frame(Frame),
    /// The publisher has ended its stream, but not necessarily the connection.
    Unpublish,
    /// Send what is to be sent, then close.
    Close,
}

/// Why a publisher is sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The authoriser says no.
    Denied(Denied),
    /// Another publisher has the stream.
    InUse,
    /// Another publisher has taken the stream over, or an operator has ended it.
    TakenOver,
    /// The stream's owner or a moderator has ended the broadcast, and why.
    Stopped(std::sync::Arc<str>),
    /// The server goes down.
    ShuttingDown,
    /// The publisher has not sent anything for too long.
    Idle,
}

impl Refusal {
    /// Status code and text (conformance 23).
    fn status(&self) -> (&'static str, String) {
        match self {
            Self::Denied(Denied::BadName) => ("NetStream.Publish.BadName", Denied::BadName.to_string()),
            Self::Denied(denied) => ("NetStream.Publish.Denied", denied.to_string()),
            Self::InUse => (
                "NetStream.Publish.BadName",
                "the stream is already being published".into(),
            ),
            Self::TakenOver => (
                "NetStream.Publish.BadName",
                "another publisher has taken over the stream, or it was ended".into(),
            ),
            Self::Stopped(why) => ("NetStream.Publish.Denied", why.to_string()),
            Self::ShuttingDown => (
                "NetConnection.Connect.AppShutdown",
                "the server is shutting down".into(),
            ),
            Self::Idle => (
                "NetConnection.Connect.Closed",
                "nothing was received for too long".into(),
            ),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Talking,
    /// Waits for the driver's answer about this message stream.
    Authorizing(u32),
    Publishing(u32),
    Closed,
}

/// A connection.
///
/// Its `Debug` tells where it stands and nothing of what was sent: the stream key is among it.
pub struct Session {
    config: Config,
    phase: Phase,
    handshake: Handshake,
    reader: ChunkReader,
    writer: ChunkWriter,
    demuxer: flv::Demuxer,
    out: VecDeque<Output>,
    /// Bytes to be sent, gathered until the next [`Session::poll`].
    send: Vec<u8>,
    /// Bytes that came behind `publish` and wait for the answer.
    waiting: Vec<u8>,
    received: u64,
    acknowledged: u64,
    /// After how many bytes the peer wants an acknowledgement.
    window: u32,
    tc_url: String,
    app: String,
    encoder: String,
    can_reconnect: bool,
    streams: u32,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("phase", &self.phase)
            .field("encoder", &self.encoder)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A connection just accepted. `seed` makes the handshake's filler bytes.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut reader = ChunkReader::new(config.chunks);
        reader.set_max_message_bytes(config.chunks.max_message_bytes.min(MAX_TALK_BYTES));
        Self {
            config,
            phase: Phase::Handshake,
            handshake: Handshake::new(seed),
            reader,
            writer: ChunkWriter::default(),
            demuxer: flv::Demuxer::new(config.max_tracks),
            out: VecDeque::new(),
            send: Vec::new(),
            waiting: Vec::new(),
            received: 0,
            acknowledged: 0,
            window: WINDOW,
            tc_url: String::new(),
            app: String::new(),
            encoder: String::new(),
            can_reconnect: false,
            streams: 0,
        }
    }

    /// Takes bytes from the peer. After an error, or [`Output::Close`], there is nothing more to feed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let offset = self.received;
        self.received += bytes.len() as u64;
        self.take(bytes).map_err(|source| {
            self.phase = Phase::Closed;
            Error { offset, source }
        })
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Cause> {
        if self.phase == Phase::Handshake {
            if !self.handshake.feed(&mut bytes, &mut self.send)? {
                return Ok(());
            }
            self.phase = Phase::Talking;
        }
        while !matches!(self.phase, Phase::Closed) {
            if matches!(self.phase, Phase::Authorizing(_)) {
                self.waiting.extend_from_slice(bytes);
                if self.waiting.len() > MAX_WAITING_BYTES {
                    return Err(Cause::Impatient(self.waiting.len()));
                }
                return Ok(());
            }
            let Some(message) = self.reader.next(&mut bytes)? else {
                break;
            };
            self.message(message)?;
        }
        // Conformance 15: the count of all bytes, 32 bits of it.
        if self.received - self.acknowledged >= u64::from(self.window) {
            self.acknowledged = self.received;
            self.control(kind::ACKNOWLEDGEMENT, &(self.received as u32).to_be_bytes());
        }
        Ok(())
    }

    /// The next thing to do. Bytes come before anything that was asked for after them.
    pub fn poll(&mut self) -> Option<Output> {
        if !self.send.is_empty() {
            return Some(Output::Bytes(std::mem::take(&mut self.send).into()));
        }
        self.out.pop_front()
    }

    /// True once the handshake is over.
    pub fn is_open(&self) -> bool {
        self.phase != Phase::Handshake
    }

    /// True while media is taken.
    pub const fn is_publishing(&self) -> bool {
        matches!(self.phase, Phase::Publishing(_))
    }

    /// What encoder the peer says it is (`flashVer`).
    pub fn encoder(&self) -> &str {
        &self.encoder
    }

    /// Tags that were dropped because they made no sense, or spoke of a codec or track that is not taken.
    pub const fn dropped_tags(&self) -> u64 {
        self.demuxer.dropped()
    }

    /// The publisher may start. Takes up what it has sent meanwhile.
    pub fn accept(&mut self) -> Result<(), Error> {
        let Phase::Authorizing(stream) = self.phase else {
            return Ok(());
        };
        self.phase = Phase::Publishing(stream);
        self.reader.set_max_message_bytes(self.config.chunks.max_message_bytes);
        // 7.1.7: the stream is usable now; then the answer that encoders wait for.
        self.user_control(STREAM_BEGIN, stream);
        self.status(stream, "status", "NetStream.Publish.Start", "publishing");
        let waiting = std::mem::take(&mut self.waiting);
        let offset = self.received - waiting.len() as u64;
        self.take(&waiting).map_err(|source| {
            self.phase = Phase::Closed;
            Error { offset, source }
        })
    }

    /// The publisher may not start, or not go on. It is told why, then closed.
    pub fn refuse(&mut self, why: &Refusal) {
        let stream = match self.phase {
            Phase::Authorizing(stream) | Phase::Publishing(stream) => stream,
            Phase::Talking => 0,
            Phase::Handshake | Phase::Closed => return self.close(),
        };
        let (code, text) = why.status();
        self.status(stream, "error", code, &text);
        self.close();
    }

    /// Asks the client to connect anew, if it knows how (Enhanced RTMP v2, "Reconnect Request"). The session goes on until it leaves.
    pub fn request_reconnect(&mut self) -> bool {
        let able = self.can_reconnect && !matches!(self.phase, Phase::Handshake | Phase::Closed);
        if able {
            self.status(
                0,
                "status",
                "NetConnection.Connect.ReconnectRequest",
                "the server is going to restart, please connect again",
            );
        }
        able
    }

    fn close(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.out.push_back(Output::Close);
        }
    }

    // ---- messages ----------------------------------------------------------------------------------------------------------

    fn message(&mut self, message: Message) -> Result<(), Cause> {
        match message.kind {
            kind::AUDIO | kind::VIDEO => self.media(message.kind, message.timestamp, message.payload),
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => return self.command(&message),
            kind::AGGREGATE => self.aggregate(&message),
            kind::USER_CONTROL => self.on_user_control(&message.payload),
            kind::WINDOW_ACK_SIZE => {
                // A window of nothing would be an answer to every byte.
                self.window = chunk::control_u32(&message)?.max(4096);
            }
            kind::SET_PEER_BANDWIDTH => {
                // 5.4.5: asks for our window; we have told it, or tell it now.
                chunk::control_u32(&message)?;
                self.control(kind::WINDOW_ACK_SIZE, &WINDOW.to_be_bytes());
            }
            // Set Chunk Size and Abort have acted in the reader. Metadata is for display only and nobody displays it (conformance 26).
            // Acknowledgements and shared objects want nothing.
            _ => {}
        }
        Ok(())
    }

    fn media(&mut self, kind: u8, timestamp: i64, payload: Bytes) {
        if !matches!(self.phase, Phase::Publishing(_)) {
            return;
        }
        let out = &mut self.out;
        let sink = &mut |event| {
            out.push_back(match event {
                flv::Event::Track(track) => Output::Track(track),
                flv::Event::Frame(frame) => Output::Frame(frame),
            });
        };
        if kind == kind::VIDEO {
            self.demuxer.video(timestamp, payload, sink);
        } else {
            self.demuxer.audio(timestamp, payload, sink);
        }
    }

    /// 7.1.6: messages with FLV tag headers, on a time of their own that is moved to the aggregate's.
    fn aggregate(&mut self, message: &Message) {
        let mut rest = message.payload.clone();
        let mut first = None;
        while rest.len() >= 11 {
            let header = rest.split_to(11);
            let size = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
            let time = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
            if size > rest.len() {
                break;
            }
            let payload = rest.split_to(size);
            // Back pointer.
            let _ = rest.split_to(rest.len().min(4));
            let base = *first.get_or_insert(time);
            let timestamp = message.timestamp + i64::from(time.wrapping_sub(base) as i32);
            if let kind @ (kind::AUDIO | kind::VIDEO) = header[0] & 0x1f {
                self.media(kind, timestamp, payload);
            }
        }
    }

    /// 7.1.7.
    fn on_user_control(&mut self, payload: &[u8]) {
        const PING_REQUEST: u16 = 6;
        const PING_RESPONSE: u16 = 7;
        let Some((event, data)) = payload.split_at_checked(2) else {
            return;
        };
        if u16::from_be_bytes([event[0], event[1]]) == PING_REQUEST
            && let Some(time) = data.get(..4)
        {
            let mut answer = PING_RESPONSE.to_be_bytes().to_vec();
            answer.extend_from_slice(time);
            self.control(kind::USER_CONTROL, &answer);
        }
    }

    fn command(&mut self, message: &Message) -> Result<(), Cause> {
        if message.payload.len() > MAX_TALK_BYTES {
            return Ok(());
        }
        let mut body: &[u8] = &message.payload;
        // Conformance 18: an AMF3 command is AMF0 behind a zero; a zero is no start of a command in AMF0.
        if message.kind == kind::COMMAND_AMF3 && body.first() == Some(&0) {
            body = &body[1..];
        }
        if body.is_empty() {
            return Ok(());
        }
        let values = amf0::decode_all(body, self.config.amf)?;
        let Some(name) = values.first().and_then(Value::as_str) else {
            return Ok(());
        };
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or(0.0);
        let argument = |index: usize| values.get(index);
        let text = |index: usize| values.get(index).and_then(Value::as_str).unwrap_or("");
        match name {
            "connect" => self.on_connect(transaction, argument(2).unwrap_or(&Value::Null)),
            "createStream" => {
                // Any number may be asked for; the ids stay few.
                self.streams = (self.streams % MAX_STREAMS) + 1;
                let stream = f64::from(self.streams);
                self.result(transaction, Value::Null, stream.into());
            }
            "releaseStream" | "_checkbw" | "checkBandwidth" => self.result(transaction, Value::Null, Value::Undefined),
            "getStreamLength" => self.result(transaction, Value::Null, 0.0.into()),
            "FCPublish" => {
                self.result(transaction, Value::Null, Value::Undefined);
                let info = status_info("status", "NetStream.Publish.Start", text(3));
                self.send_command(0, &["onFCPublish".into(), 0.0.into(), Value::Null, info]);
            }
            "publish" => self.on_publish(message.stream_id, text(3)),
            "FCUnpublish" => {
                self.result(transaction, Value::Null, Value::Undefined);
                let info = status_info("status", "NetStream.Unpublish.Success", text(3));
                self.send_command(0, &["onFCUnpublish".into(), 0.0.into(), Value::Null, info]);
                self.unpublish();
            }
            // The stream is in the message header, there is no argument (conformance 24); one connection publishes one stream.
            "closeStream" => self.unpublish(),
            "deleteStream" => {
                let named = argument(3).and_then(Value::as_number);
                let mine = match self.phase {
                    Phase::Publishing(stream) => named.is_none_or(|id| id == f64::from(stream)),
                    _ => false,
                };
                if mine {
                    self.unpublish();
                }
            }
            "play" | "play2" => {
                self.status(
                    message.stream_id,
                    "error",
                    "NetStream.Play.StreamNotFound",
                    "playing over RTMP is not offered, use HLS or DASH",
                );
                self.close();
            }
            // What nobody knows nobody answers, as most servers do.
            _ => {}
        }
        Ok(())
    }

    /// 7.2.1.1, and "Enhancing NetConnection connect Command" of Enhanced RTMP v2.
    fn on_connect(&mut self, transaction: f64, object: &Value) {
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("");
        text("tcUrl").clone_into(&mut self.tc_url);
        text("app").clone_into(&mut self.app);
        // For people to read, so nothing that could colour a terminal, and not long.
        self.encoder = text("flashVer").chars().filter(|c| !c.is_control()).take(64).collect();
        let capabilities = object.get("capsEx").and_then(Value::as_number).unwrap_or(0.0);
        self.can_reconnect = capabilities as u32 & caps::RECONNECT != 0;
        self.control(kind::WINDOW_ACK_SIZE, &WINDOW.to_be_bytes());
        let mut bandwidth = WINDOW.to_be_bytes().to_vec();
        bandwidth.push(2);
        self.control(kind::SET_PEER_BANDWIDTH, &bandwidth);
        self.writer.set_chunk_size(CHUNK_SIZE, &mut self.send);
        self.user_control(STREAM_BEGIN, 0);
        let enhanced = ["capsEx", "fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"]
            .iter()
            .any(|name| object.get(name).is_some());
        let mut properties = vec![
            ("fmsVer".to_owned(), "FMS/3,5,7,7009".into()),
            ("capabilities".to_owned(), 31.0.into()),
            ("mode".to_owned(), 1.0.into()),
        ];
        if enhanced {
            properties.extend(enhanced_properties());
        }
        let mut information = vec![
            ("level".to_owned(), "status".into()),
            ("code".to_owned(), "NetConnection.Connect.Success".into()),
            ("description".to_owned(), "connected".into()),
            (
                "objectEncoding".to_owned(),
                object
                    .get("objectEncoding")
                    .and_then(Value::as_number)
                    .unwrap_or(0.0)
                    .into(),
            ),
        ];
        if enhanced {
            // Clients differ in which of the two objects they read.
            information.extend(enhanced_properties());
        }
        self.result(transaction, Value::Object(properties), Value::Object(information));
    }

    /// 7.2.2.6. The type (live, record, append) changes nothing.
    fn on_publish(&mut self, stream: u32, name: &str) {
        if self.phase != Phase::Talking {
            return;
        }
        let target = target::resolve(&self.tc_url, &self.app, name);
        self.phase = Phase::Authorizing(stream);
        self.out.push_back(Output::Publish(Publish {
            app: target.app,
            key: target.key,
            query: target.query,
            encoder: self.encoder.clone(),
        }));
    }

    fn unpublish(&mut self) {
        if let Phase::Publishing(stream) = self.phase {
            self.phase = Phase::Talking;
            self.status(stream, "status", "NetStream.Unpublish.Success", "unpublished");
            self.demuxer = flv::Demuxer::new(self.config.max_tracks);
            self.out.push_back(Output::Unpublish);
        }
    }

    // ---- answers -----------------------------------------------------------------------------------------------------------

    fn result(&mut self, transaction: f64, properties: Value, information: Value) {
        self.send_command(0, &["_result".into(), transaction.into(), properties, information]);
    }

    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        let info = status_info(level, code, description);
        self.send_command(stream, &["onStatus".into(), 0.0.into(), Value::Null, info]);
    }

    fn send_command(&mut self, stream: u32, values: &[Value]) {
        let mut body = Vec::with_capacity(256);
        for value in values {
            value.encode(&mut body);
        }
        let chunk_stream = if stream == 0 { 3 } else { 5 };
        self.writer
            .write(chunk_stream, kind::COMMAND_AMF0, stream, 0, &body, &mut self.send);
    }

    /// 5.4: control messages go on chunk stream 2 and message stream 0.
    fn control(&mut self, kind: u8, body: &[u8]) {
        self.writer.write(2, kind, 0, 0, body, &mut self.send);
    }

    fn user_control(&mut self, event: u16, value: u32) {
        let mut body = event.to_be_bytes().to_vec();
        body.extend_from_slice(&value.to_be_bytes());
        self.control(kind::USER_CONTROL, &body);
    }
}

const STREAM_BEGIN: u16 = 0;

/// Bits of `capsEx`.
mod caps {
    pub(super) const RECONNECT: u32 = 1;
    const MULTITRACK: u32 = 2;
    const MOD_EX: u32 = 4;
    const TIMESTAMP_NANO_OFFSET: u32 = 8;
    pub(super) const ALL: u32 = RECONNECT | MULTITRACK | MOD_EX | TIMESTAMP_NANO_OFFSET;
}

/// What this server takes, in both of the forms clients look for (conformance 32). A FourCC info of 4 is CanForward: Nova passes through.
fn enhanced_properties() -> Vec<(String, Value)> {
    const CAN_FORWARD: f64 = 4.0;
    let map = |codes: &[&str]| {
        Value::Object(
            codes
                .iter()
                .map(|code| ((*code).to_owned(), CAN_FORWARD.into()))
                .collect(),
        )
    };
    let list = flv::VIDEO_FOUR_CC
        .iter()
        .chain(flv::AUDIO_FOUR_CC)
        .map(|code| Value::from(*code))
        .collect();
    vec![
        ("capsEx".to_owned(), f64::from(caps::ALL).into()),
        ("fourCcList".to_owned(), Value::StrictArray(list)),
        ("videoFourCcInfoMap".to_owned(), map(flv::VIDEO_FOUR_CC)),
        ("audioFourCcInfoMap".to_owned(), map(flv::AUDIO_FOUR_CC)),
    ]
}

fn status_info(level: &str, code: &str, description: &str) -> Value {
    Value::object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ])
}
