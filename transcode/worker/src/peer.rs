//! The server's end of the socket: requests are read and done one after another, replies are written by whichever thread has them.
//!
//! Nothing here waits for a decoder: the server keeps count of what is under way. Writing waits for the server, and so do then the
//! encoders; that is how it holds a worker back.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::BytesMut;
use nova_transcode::wire::{Reply, Request};

use crate::ladder::Ladder;
use crate::still;

/// Bytes read at once.
const READ: usize = 64 << 10;

/// Where replies go. Clones share the socket.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<UnixStream>>);

impl Server {
    /// Writes the reply. When the server has gone, the reading side ends the process.
    pub(crate) fn send(&self, reply: &Reply) {
        let mut message = BytesMut::new();
        reply.encode(&mut message);
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = socket.write_all(&message);
    }
}

/// The socket that came as standard input, which is nothing from now on.
pub(crate) fn socket() -> anyhow::Result<UnixStream> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(socket)
}

/// Does what the server asks until it closes the socket.
pub(crate) fn serve(mut socket: UnixStream) -> anyhow::Result<()> {
    let server = Server(Arc::new(Mutex::new(socket.try_clone()?)));
    let mut ladder: Option<Ladder> = None;
    let mut input = BytesMut::new();
    let mut chunk = vec![0; READ];
    loop {
        let len = socket.read(&mut chunk).context("socket")?;
        if len == 0 {
            // What is still under way is of no use to anybody.
            std::process::exit(0);
        }
        input.extend_from_slice(&chunk[..len]);
        while let Some(request) = Request::decode(&mut input).context("the server speaks another language")? {
            if let Err(error) = handle(request, &mut ladder, &server) {
                server.send(&Reply::Fault(format!("{error:#}")));
            }
        }
    }
}

fn handle(request: Request, ladder: &mut Option<Ladder>, server: &Server) -> anyhow::Result<()> {
    match request {
        Request::Start(start) => {
            // The old one's elements are gone before the new ones come: memory is bounded.
            *ladder = None;
            *ladder = Some(Ladder::start(*start, server)?);
        }
        Request::Frame(frame) => {
            if let Some(ladder) = ladder {
                ladder.push(frame)?;
            }
        }
        Request::Shed(track) => ladder.iter().for_each(|ladder| ladder.shed(track)),
        Request::Restore(track) => ladder.iter().for_each(|ladder| ladder.restore(track)),
        Request::Flush => match ladder {
            Some(ladder) => ladder.flush()?,
            None => server.send(&Reply::Flushed),
        },
        Request::Still {
            id,
            width,
            track,
            frame,
        } => {
            let picture = still::jpeg(&track, frame, width).map_err(|error| format!("{error:#}"));
            server.send(&Reply::Still { id, picture });
        }
    }
    Ok(())
}
