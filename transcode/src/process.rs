//! One worker process and the socket to it. Dropping a [`Worker`] kills it.
//!
//! The socket is the worker's standard input (no path in the file system, nobody else can connect); what the worker prints is logged. The
//! environment is passed on by name only: the server's holds secrets.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::Stdio;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, Command};
use tokio::runtime::Handle;

use crate::transcoder::{Error, Settings};
use crate::wire::{Reply, Request};

/// Variables a worker sees: where programs, plug-ins, drivers and their caches are.
const ENVIRONMENT: [&str; 7] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
];
/// And those that begin so.
const ENVIRONMENT_PREFIXES: [&str; 4] = ["GST_", "LIBVA_", "CUDA_", "NVIDIA_"];
/// Bytes read at once; a keyframe of a rung is 50 to 150 kB.
const READ: usize = 64 << 10;
/// The longest line that is logged.
const LINE_MAX: usize = 500;
/// Lines logged for one worker.
const LINES_MAX: usize = 1000;

/// How a worker gives way to the server, as `nice` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nice {
    Live = 10,
    File = 15,
}

/// The command that starts a worker.
pub(crate) fn command(settings: &Settings, task: &str, nice: Nice) -> Command {
    let mut command = Command::new(&settings.worker);
    command
        .arg(task)
        .arg((nice as i32).to_string())
        .arg(settings.memory_mb.to_string())
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| passes(name)))
        // Each arena of the allocator keeps what its threads once needed.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn passes(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| {
        ENVIRONMENT.contains(&name) || ENVIRONMENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

pub(crate) struct Worker {
    child: Child,
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    input: BytesMut,
    output: BytesMut,
}

impl Worker {
    /// Starts a worker that waits for requests.
    pub(crate) fn start(settings: &Settings, runtime: &Handle, name: &str) -> io::Result<Self> {
        Self::spawn(command(settings, "work", Nice::Live), runtime, name)
    }

    /// Starts one that gives way to what is live.
    pub(crate) fn start_beside(settings: &Settings, runtime: &Handle, name: &str) -> io::Result<Self> {
        Self::spawn(command(settings, "work", Nice::File), runtime, name)
    }

    /// Starts a worker that may also read one file.
    pub(crate) fn start_for(settings: &Settings, runtime: &Handle, file: &Path) -> io::Result<Self> {
        let mut command = command(settings, "work", Nice::File);
        command.arg(file);
        Self::spawn(command, runtime, &file.to_string_lossy())
    }

    fn spawn(mut command: Command, runtime: &Handle, name: &str) -> io::Result<Self> {
        let _entered = runtime.enter();
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(stderr) = child.stderr.take() {
            runtime.spawn(log(stderr, name.to_owned()));
        }
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        Ok(Self {
            child,
            read,
            write,
            input: BytesMut::new(),
            output: BytesMut::new(),
        })
    }

    /// The process, as long as it has not been waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Queues a request; [`Worker::receive`] writes it. The caller bounds what is under way.
    pub(crate) fn send(&mut self, request: &Request) {
        request.encode(&mut self.output);
    }

    /// The next reply; meanwhile, what is queued is written. Cancel-safe. An error means that the worker is to be given up.
    pub(crate) async fn receive(&mut self) -> Result<Reply, Error> {
        loop {
            if let Some(reply) = Reply::decode(&mut self.input)? {
                return Ok(reply);
            }
            self.input.reserve(READ);
            tokio::select! {
                read = self.read.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Err(Error::Gone);
                    }
                }
                written = self.write.write_buf(&mut self.output), if !self.output.is_empty() => {
                    written?;
                }
            }
        }
    }

    /// Writes what is queued, without reading. Cancel-safe; never ends when there is nothing to write.
    pub(crate) async fn write(&mut self) -> Result<(), Error> {
        while !self.output.is_empty() {
            self.write.write_buf(&mut self.output).await?;
        }
        std::future::pending().await
    }
}

/// Logs what the worker prints, line by line and bounded.
async fn log(stderr: ChildStderr, name: String) {
    let mut stderr = BufReader::new(stderr);
    let (mut line, mut lines) = (Vec::with_capacity(LINE_MAX), 0);
    while let Ok(byte) = stderr.read_u8().await {
        if byte != b'\n' {
            if line.len() < LINE_MAX {
                line.push(byte);
            }
            continue;
        }
        if lines < LINES_MAX {
            tracing::debug!(stream = %name, "worker: {}", String::from_utf8_lossy(&line));
        }
        lines += 1;
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_server_stay_with_it() {
        for name in ["NOVA_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "NOVA_S3__SECRET"] {
            assert!(!passes(&name.into()), "{name}");
        }
        assert!(passes(&"PATH".into()) && passes(&"GST_PLUGIN_PATH".into()));
    }
}
