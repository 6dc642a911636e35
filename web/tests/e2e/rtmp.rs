//! A publisher in a hundred lines that says of itself what the test wants: raw RTMP with a little AMF0.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A connection whose handshake is done.
pub(crate) struct Client {
    stream: TcpStream,
    /// All that the server has sent since the handshake.
    pub(crate) heard: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(addr: &str) -> Self {
        let mut stream = TcpStream::connect(addr).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a socket");
        let mut hello = vec![3];
        hello.extend([0; 1536]);
        stream.write_all(&hello).expect("sent");
        let mut answer = [0; 1 + 1536 + 1536];
        stream.read_exact(&mut answer).expect("S0, S1 and S2");
        stream.write_all(&answer[1..1537]).expect("sent");
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    /// A command on a message stream; `body` is what follows the name.
    pub(crate) fn command(&mut self, message_stream: u8, name: &str, body: &[&[u8]]) {
        let payload = [&text(name)[..], &body.concat()].concat();
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let mut bytes = vec![3, 0, 0, 0, length[1], length[2], length[3], 20, message_stream, 0, 0, 0];
        for (number, piece) in payload.chunks(128).enumerate() {
            if number > 0 {
                bytes.push(0xc3);
            }
            bytes.extend_from_slice(piece);
        }
        self.stream.write_all(&bytes).expect("sent");
    }

    /// Reads until the server has said this, or closed, or `seconds` are over.
    pub(crate) fn hears(&mut self, what: &str, seconds: u64) -> bool {
        let start = Instant::now();
        let mut buffer = [0; 4096];
        while start.elapsed() < Duration::from_secs(seconds) {
            if self.heard.windows(what.len()).any(|window| window == what.as_bytes()) {
                return true;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.heard.extend_from_slice(&buffer[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Whether the server closes the connection within `seconds`.
    pub(crate) fn is_hung_up_on(&mut self, seconds: u64) -> bool {
        let start = Instant::now();
        let mut buffer = [0; 4096];
        while start.elapsed() < Duration::from_secs(seconds) {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return true,
            }
        }
        false
    }

    /// Connects, creates a stream and publishes under this key; `more` goes into the connect object.
    pub(crate) fn publish(&mut self, key: &str, more: &[u8]) {
        let object = [
            &[3][..],
            &field("app", &text("live")),
            &field("tcUrl", &text("rtmp://127.0.0.1/live")),
            more,
            &[0, 0, 9],
        ]
        .concat();
        self.command(0, "connect", &[&number(1.0), &object]);
        assert!(
            self.hears("NetConnection.Connect.Success", 5),
            "{:?}",
            String::from_utf8_lossy(&self.heard)
        );
        self.heard.clear();
        self.command(0, "createStream", &[&number(2.0), &[5]]);
        assert!(self.hears("_result", 5));
        self.command(1, "publish", &[&number(3.0), &[5], &text(key), &text("live")]);
    }
}

/// Binds to this source address first, so that a crowd may come from several.
pub(crate) fn connect_from(source: [u8; 4], to: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((source, 0)).into())
        .expect("a source address");
    let to: SocketAddr = to.parse().expect("an address");
    socket.connect(&to.into()).expect("a connection");
    socket.into()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short").to_be_bytes();
    [&[2][..], &length, text.as_bytes()].concat()
}

pub(crate) fn number(number: f64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

pub(crate) fn field(name: &str, value: &[u8]) -> Vec<u8> {
    [&text(name)[1..], value].concat()
}
