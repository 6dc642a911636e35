//! The dialogue of a session, command by command.

use nova_core::publish::Denied;
use nova_ingest::rtmp::amf0::{self, Value};
use nova_ingest::rtmp::chunk::{ChunkReader, ChunkWriter, Limits, Message, kind};
use nova_ingest::rtmp::{Cause, Config, Output, Publish, Refusal, Session};

/// A client that says what a test tells it to, past the handshake.
struct Client {
    session: Session,
    reader: ChunkReader,
    writer: ChunkWriter,
    /// What the server said, and what it asked its driver for.
    said: Vec<Message>,
    outputs: Vec<Output>,
}

/// An AVC sequence header: baseline, 160x90 by ffmpeg's encoder.
const AVC_CONFIG: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x0b, 0xff, 0xe1, 0, 0x17, 0x67, 0x42, 0xc0, 0x0b, 0xda, 0x0a, 0x0d, 0xf9, 0x70,
    0x16, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x0f, 0x07, 0x8a, 0x15, 0x50, 1, 0, 4, 0x68, 0xce, 0x3c,
    0x80,
];
const AVC_FRAME: &[u8] = &[0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65, 1, 2];

impl Client {
    fn new() -> Self {
        let mut session = Session::new(Config::default(), 1);
        assert!(!session.is_open());
        session.feed(&[&[3][..], &[0; 2 * 1536]].concat()).unwrap();
        assert!(session.is_open());
        assert!(matches!(session.poll(), Some(Output::Bytes(bytes)) if bytes.len() == 1 + 2 * 1536));
        Self {
            session,
            reader: ChunkReader::new(Limits::default()),
            writer: ChunkWriter::default(),
            said: Vec::new(),
            outputs: Vec::new(),
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Bytes(bytes) => {
                    let mut bytes = &bytes[..];
                    while let Some(message) = self.reader.next(&mut bytes).unwrap() {
                        self.said.push(message);
                    }
                }
                other => self.outputs.push(other),
            }
        }
    }

    fn message(&mut self, kind: u8, stream: u32, time: u32, body: &[u8]) -> &mut Self {
        let mut bytes = Vec::new();
        self.writer.write(3, kind, stream, time, body, &mut bytes);
        self.session.feed(&bytes).unwrap();
        self.collect();
        self
    }

    fn command_on(&mut self, stream: u32, values: &[Value]) -> &mut Self {
        let mut body = Vec::new();
        values.iter().for_each(|value| value.encode(&mut body));
        self.message(kind::COMMAND_AMF0, stream, 0, &body)
    }

    fn command(&mut self, values: &[Value]) -> &mut Self {
        self.command_on(0, values)
    }

    fn connect(&mut self, properties: &[(&str, Value)]) -> &mut Self {
        let mut object = vec![
            ("app".to_owned(), "live".into()),
            ("tcUrl".to_owned(), "rtmp://host/live".into()),
            ("flashVer".to_owned(), "FMLE/3.0 (test)".into()),
        ];
        object.extend(
            properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        self.command(&["connect".into(), 1.0.into(), Value::Object(object)])
    }

    fn publish(&mut self) -> &mut Self {
        self.connect(&[])
            .command(&["createStream".into(), 4.0.into(), Value::Null]);
        self.command_on(
            1,
            &["publish".into(), 5.0.into(), Value::Null, "KEY".into(), "live".into()],
        )
    }

    fn accepted() -> Self {
        let mut client = Self::new();
        client.publish();
        client.session.accept().unwrap();
        client.collect();
        client.outputs.clear();
        client
    }

    /// The commands that have come since the last call: stream, name, transaction, and the info object or value.
    fn commands(&mut self) -> Vec<(u32, String, f64, Value)> {
        std::mem::take(&mut self.said)
            .into_iter()
            .filter(|message| message.kind == kind::COMMAND_AMF0)
            .map(|message| {
                let mut values = amf0::decode_all(&message.payload, amf0::Limits::default()).unwrap();
                let name = values[0].as_str().unwrap().to_owned();
                (
                    message.stream_id,
                    name,
                    values[1].as_number().unwrap(),
                    values.pop().unwrap(),
                )
            })
            .collect()
    }

    fn codes(&mut self) -> Vec<(u32, String, String)> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        self.commands()
            .iter()
            .filter(|command| command.1 == "onStatus")
            .map(|(stream, _, _, info)| (*stream, text(info, "level"), text(info, "code")))
            .collect()
    }
}

fn code(stream: u32, level: &str, code: &str) -> (u32, String, String) {
    (stream, level.to_owned(), code.to_owned())
}

#[test]
fn connect_is_answered_in_the_order_encoders_know() {
    // Conformance 15, 16.
    let mut client = Client::new();
    client.connect(&[("objectEncoding", 3.0.into())]);
    let kinds: Vec<_> = client
        .said
        .iter()
        .map(|message| (message.kind, message.stream_id))
        .collect();
    let expected = [
        kind::WINDOW_ACK_SIZE,
        kind::SET_PEER_BANDWIDTH,
        kind::SET_CHUNK_SIZE,
        kind::USER_CONTROL,
        kind::COMMAND_AMF0,
    ];
    assert_eq!(kinds, expected.map(|kind| (kind, 0)));
    let commands = client.commands();
    let (_, name, transaction, info) = &commands[0];
    assert_eq!((name.as_str(), *transaction), ("_result", 1.0));
    assert_eq!(info.get("code"), Some(&"NetConnection.Connect.Success".into()));
    // Conformance 19.
    assert_eq!(info.get("objectEncoding"), Some(&3.0.into()));
    assert_eq!(client.session.encoder(), "FMLE/3.0 (test)");
    // Who does not speak Enhanced RTMP hears nothing of it.
    assert_eq!(info.get("capsEx"), None);
}

#[test]
fn an_enhanced_client_hears_what_the_server_takes_in_both_forms() {
    // Conformance 32: asked by list or by map.
    for asked in [
        ("fourCcList", Value::StrictArray(vec!["hvc1".into()])),
        ("videoFourCcInfoMap", Value::object([("*", 7.0.into())])),
        ("capsEx", 1.0.into()),
    ] {
        let mut client = Client::new();
        client.connect(&[asked]);
        let info = client.commands().remove(0).3;
        assert_eq!(info.get("capsEx"), Some(&15.0.into()));
        let Some(Value::StrictArray(list)) = info.get("fourCcList") else {
            panic!("a list")
        };
        assert!(
            [
                "avc1", "hvc1", "av01", "vp09", "mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"
            ]
            .iter()
            .all(|c| list.contains(&(*c).into()))
        );
        assert_eq!(info.get("videoFourCcInfoMap").unwrap().get("hvc1"), Some(&4.0.into()));
        assert_eq!(info.get("audioFourCcInfoMap").unwrap().get("Opus"), Some(&4.0.into()));
    }
}

#[test]
fn the_questions_of_fmle_are_answered_at_once() {
    // Conformance 20.
    let mut client = Client::new();
    client.connect(&[]).commands();
    for (index, name) in ["releaseStream", "FCPublish", "_checkbw", "getStreamLength"]
        .into_iter()
        .enumerate()
    {
        let transaction = 2.0 + index as f64;
        client.command(&[name.into(), transaction.into(), Value::Null, "KEY".into()]);
        let answers = client.commands();
        assert_eq!(
            (answers[0].1.as_str(), answers[0].2),
            ("_result", transaction),
            "{name}"
        );
        assert_eq!(
            answers.get(1).map(|answer| answer.1.as_str()),
            (name == "FCPublish").then_some("onFCPublish")
        );
    }
}

#[test]
fn streams_are_created_before_or_after_fcpublish_and_publish_needs_no_type() {
    // Conformance 21.
    let publish = |name: &str| vec!["publish".into(), 5.0.into(), Value::Null, name.into()];
    for with_type in [None, Some(Value::Null), Some("record".into())] {
        for stream_first in [true, false] {
            let mut client = Client::new();
            client.connect(&[]).commands();
            let create = ["createStream".into(), 3.0.into(), Value::Null];
            let fcpublish = ["FCPublish".into(), 4.0.into(), Value::Null, "KEY".into()];
            if stream_first {
                client.command(&create).command(&fcpublish);
            } else {
                client.command(&fcpublish).command(&create);
            }
            let created = client.commands().into_iter().find(|command| command.2 == 3.0).unwrap();
            assert_eq!(created.3, 1.0.into());
            let mut values = publish("KEY");
            values.extend(with_type.clone());
            client.command_on(1, &values);
            let [Output::Publish(publish)] = &client.outputs[..] else {
                panic!("{:?}", client.outputs)
            };
            assert_eq!((publish.app.as_str(), publish.key.as_str()), ("live", "KEY"));
        }
    }
}

#[test]
fn the_key_comes_without_its_query_and_is_never_printed() {
    // Conformance 22.
    let mut client = Client::new();
    client.connect(&[]);
    client.command_on(
        1,
        &[
            "publish".into(),
            5.0.into(),
            Value::Null,
            "s%33cret?token=x".into(),
            "live".into(),
        ],
    );
    let [Output::Publish(publish)] = &client.outputs[..] else {
        panic!("{:?}", client.outputs)
    };
    let expected = Publish {
        app: "live".into(),
        key: "s3cret".into(),
        query: "token=x".into(),
        encoder: "FMLE/3.0 (test)".into(),
    };
    assert!(*publish == expected);
    let printed = format!("{publish:?} {:?}", client.session);
    assert!(!printed.contains("s3cret") && !printed.contains("token"), "{printed}");
}

#[test]
fn an_accepted_publisher_hears_stream_begin_and_start_and_its_media_becomes_frames() {
    // Conformance 16.
    let mut client = Client::new();
    client.publish();
    client.said.clear();
    // Sent without waiting for the answer: kept until it is there.
    client
        .message(kind::VIDEO, 1, 0, AVC_CONFIG)
        .message(kind::VIDEO, 1, 40, AVC_FRAME);
    assert_eq!(client.outputs.len(), 1);
    client.session.accept().unwrap();
    client.collect();
    assert_eq!(client.said[0].payload[..], [0, 0, 0, 0, 0, 1]);
    assert_eq!(client.codes(), [code(1, "status", "NetStream.Publish.Start")]);
    assert!(client.session.is_publishing());
    let [Output::Publish(_), Output::Track(track), Output::Frame(frame)] = &client.outputs[..] else {
        panic!("{:?}", client.outputs)
    };
    assert_eq!((track.codec_string.as_str(), frame.dts), ("avc1.42c00b", 3600));
}

#[test]
fn a_refused_publisher_is_told_why_and_closed() {
    // Conformance 23.
    for (refusal, expected) in [
        (Refusal::Denied(Denied::UnknownKey), "NetStream.Publish.Denied"),
        (Refusal::Denied(Denied::BadApp), "NetStream.Publish.Denied"),
        (Refusal::Denied(Denied::Unavailable), "NetStream.Publish.Denied"),
        (Refusal::Denied(Denied::BadName), "NetStream.Publish.BadName"),
        (Refusal::InUse, "NetStream.Publish.BadName"),
        (Refusal::ShuttingDown, "NetConnection.Connect.AppShutdown"),
    ] {
        let mut client = Client::new();
        client.publish();
        client.said.clear();
        client.session.refuse(&refusal);
        client.collect();
        let info = client.said[0].payload.clone();
        assert_eq!(client.codes(), [code(1, "error", expected)]);
        assert!(info.windows(11).any(|window| window == b"description"));
        assert!(
            matches!(client.outputs[..], [Output::Publish(_), Output::Close]),
            "{:?}",
            client.outputs
        );
        // Nothing comes of what it still sends.
        client.message(kind::VIDEO, 1, 0, AVC_CONFIG);
        assert_eq!(client.outputs.len(), 2);
    }
    let mut client = Client::accepted();
    client.session.refuse(&Refusal::TakenOver);
    client.collect();
    assert_eq!(
        client.codes().pop(),
        Some(code(1, "error", "NetStream.Publish.BadName"))
    );
    assert!(matches!(client.outputs[..], [Output::Close]));
}

#[test]
fn every_way_to_end_a_stream_is_the_same_end_and_another_may_follow() {
    // Conformance 24.
    let ends: [(u32, Vec<Value>); 4] = [
        (0, vec!["FCUnpublish".into(), 6.0.into(), Value::Null, "KEY".into()]),
        (1, vec!["closeStream".into(), 0.0.into(), Value::Null]),
        (0, vec!["deleteStream".into(), 7.0.into(), Value::Null, 1.0.into()]),
        (0, vec!["deleteStream".into(), 7.0.into(), Value::Null]),
    ];
    for (stream, values) in ends {
        let mut client = Client::accepted();
        client.message(kind::VIDEO, 1, 0, AVC_CONFIG);
        client.command_on(stream, &values);
        assert!(
            matches!(client.outputs[..], [Output::Track(_), Output::Unpublish]),
            "{values:?}"
        );
        assert!(
            client
                .codes()
                .contains(&code(1, "status", "NetStream.Unpublish.Success"))
        );
        // Said twice, it ends once; media for nobody is dropped.
        client.command_on(stream, &values).message(kind::VIDEO, 1, 0, AVC_FRAME);
        assert_eq!(client.outputs.len(), 2);
        client.command_on(2, &["publish".into(), 8.0.into(), Value::Null, "OTHER".into()]);
        assert!(matches!(&client.outputs[2], Output::Publish(publish) if publish.key == "OTHER"));
        client.session.accept().unwrap();
        client.message(kind::VIDEO, 2, 0, AVC_CONFIG);
        assert!(matches!(client.outputs.last(), Some(Output::Track(_))));
    }
    // Another stream's deletion is not this one's.
    let mut client = Client::accepted();
    client.command(&["deleteStream".into(), 7.0.into(), Value::Null, 9.0.into()]);
    assert!(client.outputs.is_empty() && client.session.is_publishing());
}

#[test]
fn pings_are_answered_and_buffer_lengths_ignored() {
    // Conformance 16.
    let mut client = Client::accepted();
    client.said.clear();
    client.message(kind::USER_CONTROL, 0, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 0, 9]);
    client
        .message(kind::USER_CONTROL, 0, 0, &[0, 6])
        .message(kind::USER_CONTROL, 0, 0, &[0]);
    assert!(client.said.is_empty());
    client.message(kind::USER_CONTROL, 0, 0, &[0, 6, 1, 2, 3, 4]);
    assert_eq!(client.said[0].payload[..], [0, 7, 1, 2, 3, 4]);
}

#[test]
fn the_window_of_the_peer_is_honoured_with_the_total_of_bytes() {
    // Conformance 15.
    let mut client = Client::accepted();
    client.said.clear();
    client.message(kind::WINDOW_ACK_SIZE, 0, 0, &5000_u32.to_be_bytes());
    client.said.clear();
    let mut total = 0;
    for _ in 0..20 {
        client.message(kind::AUDIO, 1, 0, &[0; 1000]);
    }
    let acknowledged: Vec<u32> = client
        .said
        .iter()
        .filter(|message| message.kind == kind::ACKNOWLEDGEMENT)
        .map(|message| u32::from_be_bytes(message.payload[..4].try_into().unwrap()))
        .collect();
    assert!((3..=5).contains(&acknowledged.len()), "{acknowledged:?}");
    for count in acknowledged {
        assert!(count - total >= 5000);
        total = count;
    }
    assert!(total > 2 * 1536 + 15_000);
}

#[test]
fn amf3_commands_and_data_are_amf0_behind_a_zero() {
    // Conformance 18.
    let mut client = Client::new();
    client.connect(&[]).commands();
    let mut body = vec![0];
    for value in ["createStream".into(), 2.0.into(), Value::Null] {
        value.encode(&mut body);
    }
    client.message(kind::COMMAND_AMF3, 0, 0, &body);
    client.message(kind::COMMAND_AMF3, 0, 0, &body[1..]);
    assert_eq!(client.commands().len(), 2);
    client
        .message(kind::DATA_AMF3, 1, 0, &[0, 2, 0])
        .message(kind::COMMAND_AMF3, 0, 0, &[0]);
}

#[test]
fn an_aggregate_is_split_and_moved_to_its_own_time() {
    // Conformance 18.
    let tag = |kind: u8, time: u32, body: &[u8]| {
        let length = (body.len() as u32).to_be_bytes();
        let time = time.to_be_bytes();
        let back = (body.len() as u32 + 11).to_be_bytes();
        [&[kind], &length[1..], &time[1..], &time[..1], &[0, 0, 0], body, &back].concat()
    };
    let mut client = Client::accepted();
    let body = [
        tag(9, 1000, AVC_CONFIG),
        tag(9, 1000, AVC_FRAME),
        tag(8, 1010, &[0xaf, 0, 0x12, 0x10]),
        tag(9, 1040, AVC_FRAME),
    ]
    .concat();
    client.message(kind::AGGREGATE, 1, 500, &body);
    let times: Vec<_> = client
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Frame(frame) => Some(frame.dts),
            _ => None,
        })
        .collect();
    assert_eq!(times, [500 * 90, 540 * 90]);
    // Cut off, it yields what is whole.
    client.outputs.clear();
    client.message(kind::AGGREGATE, 1, 600, &body[..body.len() - 8]);
    assert_eq!(client.outputs.len(), 1);
}

#[test]
fn metadata_changes_nothing() {
    // Conformance 26: with and without @setDataFrame, wrong, and repeated.
    let mut client = Client::accepted();
    for prefix in [true, false] {
        let mut body = Vec::new();
        if prefix {
            Value::from("@setDataFrame").encode(&mut body);
        }
        Value::from("onMetaData").encode(&mut body);
        Value::object([("width", 1.0.into()), ("videocodecid", "nonsense".into())]).encode(&mut body);
        client
            .message(kind::DATA_AMF0, 1, 0, &body)
            .message(kind::DATA_AMF0, 1, 0, &[0xff; 300]);
    }
    client.message(kind::VIDEO, 1, 0, AVC_CONFIG);
    let [Output::Track(track)] = &client.outputs[..] else {
        panic!("{:?}", client.outputs)
    };
    assert_eq!(track.codec_string, "avc1.42c00b");
}

#[test]
fn only_a_client_that_can_is_asked_to_reconnect() {
    // Conformance 33.
    let mut plain = Client::accepted();
    assert!(!plain.session.request_reconnect());
    let mut client = Client::new();
    client.connect(&[("capsEx", 3.0.into())]).commands();
    assert!(client.session.request_reconnect());
    client.collect();
    assert_eq!(
        client.codes(),
        [code(0, "status", "NetConnection.Connect.ReconnectRequest")]
    );
}

#[test]
fn who_wants_to_play_is_sent_elsewhere() {
    let mut client = Client::new();
    client.connect(&[]).commands();
    client.command_on(1, &["play".into(), 0.0.into(), Value::Null, "KEY".into()]);
    assert_eq!(client.codes(), [code(1, "error", "NetStream.Play.StreamNotFound")]);
    assert!(matches!(client.outputs[..], [Output::Close]));
}

#[test]
fn a_stranger_may_not_send_much() {
    // Conformance 14: no large message before a publisher is accepted, and no stream of bytes while it waits.
    let mut session = Client::new().session;
    let mut bytes = Vec::new();
    ChunkWriter::default().write(3, kind::COMMAND_AMF0, 0, 0, &[0; 70_000], &mut bytes);
    assert!(matches!(session.feed(&bytes).unwrap_err().source, Cause::Chunk(_)));
    let mut client = Client::new();
    client.publish();
    let error = (0..100)
        .find_map(|_| client.session.feed(&[0; 64 << 10]).err())
        .unwrap();
    assert!(matches!(error.source, Cause::Impatient(_)), "{error}");
}

#[test]
fn commands_of_no_sense_are_survived_and_bombs_are_not() {
    let mut client = Client::accepted();
    client
        .command(&["nobodyKnowsThis".into(), 9.0.into(), Value::Null])
        .command(&[1.0.into()])
        .command(&[]);
    client
        .command(&["publish".into()])
        .command(&["connect".into()])
        .command(&["createStream".into()]);
    assert!(client.session.is_publishing());
    let mut bytes = Vec::new();
    client
        .writer
        .write(3, kind::COMMAND_AMF0, 0, 0, &[3, 0, 1, b'a'].repeat(1000), &mut bytes);
    let error = client.session.feed(&bytes).unwrap_err();
    assert!(matches!(error.source, Cause::Amf(amf0::Error::TooDeep(16))), "{error}");
    assert!(error.offset > 3000);
}

#[test]
fn rml_rtmp_publishes_and_both_agree_on_every_byte() {
    use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
    use rml_rtmp::sessions::{
        ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    };
    use rml_rtmp::time::RtmpTimestamp;

    let mut session = Session::new(Config::default(), 1);
    let mut frames = Vec::new();
    let exchange = |session: &mut Session, bytes: &[u8], frames: &mut Vec<(i64, Vec<u8>)>| {
        let mut out = Vec::new();
        session.feed(bytes).unwrap();
        while let Some(output) = session.poll() {
            match output {
                Output::Bytes(bytes) => out.extend_from_slice(&bytes),
                Output::Publish(publish) => {
                    assert_eq!((publish.app.as_str(), publish.key.as_str()), ("live", "KEY"));
                    session.accept().unwrap();
                }
                Output::Frame(frame) => frames.push((frame.dts, frame.payload.to_vec())),
                _ => {}
            }
        }
        out
    };
    let mut handshake = Handshake::new(PeerType::Client);
    let first = handshake.generate_outbound_p0_and_p1().unwrap();
    let answer = exchange(&mut session, &first, &mut frames);
    let HandshakeProcessResult::Completed { response_bytes, .. } = handshake.process_bytes(&answer).unwrap() else {
        panic!("handshake goes on")
    };
    assert!(exchange(&mut session, &response_bytes, &mut frames).is_empty());
    let (mut client, start) = ClientSession::new(ClientSessionConfig::new()).unwrap();
    let mut to_do: std::collections::VecDeque<ClientSessionResult> = start.into();
    to_do.push_back(client.request_connection("live".into()).unwrap());
    let mut publishing = false;
    while let Some(result) = to_do.pop_front() {
        match result {
            ClientSessionResult::OutboundResponse(packet) => {
                let answer = exchange(&mut session, &packet.bytes, &mut frames);
                to_do.extend(client.handle_input(&answer).unwrap());
            }
            ClientSessionResult::RaisedEvent(ClientSessionEvent::ConnectionRequestAccepted) => {
                to_do.push_back(
                    client
                        .request_publishing("KEY".into(), PublishRequestType::Live)
                        .unwrap(),
                );
            }
            ClientSessionResult::RaisedEvent(ClientSessionEvent::PublishRequestAccepted) => publishing = true,
            _ => {}
        }
    }
    assert!(publishing);
    let mut send = |result: ClientSessionResult, frames: &mut Vec<(i64, Vec<u8>)>| {
        let ClientSessionResult::OutboundResponse(packet) = result else {
            panic!("a packet")
        };
        exchange(&mut session, &packet.bytes, frames);
    };
    let config = client
        .publish_video_data(AVC_CONFIG.to_vec().into(), RtmpTimestamp::new(0), false)
        .unwrap();
    send(config, &mut frames);
    let mut expected = Vec::new();
    for index in 0..200_u32 {
        // Lengths around the chunk size, times around the extended timestamp.
        let nal = vec![index as u8; 1 + (index as usize * 37) % 5000];
        let mut body = vec![0x17, 1, 0, 0, 0];
        body.extend_from_slice(&(nal.len() as u32 + 1).to_be_bytes());
        body.push(0x65);
        body.extend_from_slice(&nal);
        let time = 0x00ff_fff0 + index * 7;
        expected.push((i64::from(time) * 90, body[5..].to_vec()));
        send(
            client
                .publish_video_data(body.into(), RtmpTimestamp::new(time), false)
                .unwrap(),
            &mut frames,
        );
    }
    assert_eq!(frames, expected);
}
