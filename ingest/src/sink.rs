//! Receives a publisher and throws everything away: the floor that a server's cost per stream is measured against.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::rtmp::{Config, Output, Session};
use crate::server::{Gone, read_into};

/// What was thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Bytes received.
    pub bytes: u64,
    /// Frames parsed.
    pub frames: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
}

/// Speaks RTMP on `stream` until the peer is gone, lets it publish whatever it likes, and counts.
pub async fn discard<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, config: Config) -> io::Result<Discarded> {
    let mut session = Session::new(config, 1);
    let mut counts = Discarded::default();
    loop {
        match read_into(&mut stream, &mut session).await {
            Ok(bytes) => counts.bytes += bytes as u64,
            Err(Gone::Socket(error)) => return Err(error),
            Err(Gone::Closed) => return Ok(counts),
            Err(other) => return Err(io::Error::new(io::ErrorKind::InvalidData, other)),
        }
        while let Some(output) = session.poll() {
            match output {
                Output::Bytes(bytes) => stream.write_all(&bytes).await?,
                Output::Publish(_) => session
                    .accept()
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
                Output::Frame(frame) => {
                    counts.frames += 1;
                    counts.payload_bytes += frame.payload.len() as u64;
                }
                Output::Track(_) | Output::Unpublish => {}
                Output::Close => return Ok(counts),
            }
        }
    }
}
