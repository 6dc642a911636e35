//! An S3 server inside a test's process that can be made to fail: s3s-fs, which verifies signatures, behind a switch.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use nova_core::config::{StorageBackend, StorageConfig};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::{oneshot, watch};

pub mod cloudfront;

/// The only access key that the server knows.
pub const ACCESS_KEY: &str = "AKIATESTSERVER";
/// Its secret.
pub const SECRET_KEY: &str = "a-secret-that-appears-nowhere";
/// The bucket that there is.
pub const BUCKET: &str = "nova";

type Error = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Error>>;

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    Healthy,
    /// Closes the connection of each request without an answer.
    Away,
    /// Answers 503 `SlowDown`.
    Storm,
    /// Holds each request until it behaves otherwise.
    Slow,
    /// Ends the body of what is read in the middle.
    Truncating,
}

struct Switch {
    mode: watch::Sender<Mode>,
    /// Of the next so many requests each is answered 503, whatever the mode.
    failing: AtomicUsize,
    /// The next so many requests are held until the mode changes.
    held: AtomicUsize,
    /// `METHOD /path` of what was let through and answered with success, in order.
    done: watch::Sender<Vec<String>>,
    seen: AtomicUsize,
    service: S3Service,
}

/// A running server; dropping it ends it. What it keeps are files: see [`S3Server::path`].
pub struct S3Server {
    switch: Arc<Switch>,
    root: tempfile::TempDir,
    addr: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl S3Server {
    /// Starts one on a free port of the loopback interface, with an empty bucket.
    pub fn start() -> std::io::Result<Self> {
        let root = tempfile::tempdir()?;
        std::fs::create_dir(root.path().join(BUCKET))?;
        let files =
            s3s_fs::FileSystem::new(root.path()).map_err(|error| std::io::Error::other(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let switch = Arc::new(Switch {
            mode: watch::Sender::new(Mode::Healthy),
            failing: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            done: watch::Sender::new(Vec::new()),
            seen: AtomicUsize::new(0),
            service: builder.build(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let serving = Arc::clone(&switch);
        let thread = std::thread::spawn(move || runtime.block_on(serve(listener, serving, stopped)));
        Ok(Self {
            switch,
            root,
            addr,
            stop: Some(stop),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A configuration that leads here.
    pub fn config(&self) -> StorageConfig {
        StorageConfig {
            backend: StorageBackend::S3,
            bucket: BUCKET.into(),
            endpoint: self.endpoint(),
            path_style: true,
            ..StorageConfig::default()
        }
    }

    /// The file of an object.
    pub fn path(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// The keys of all objects below a prefix, sorted.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let bucket = self.root.path().join(BUCKET);
        let (mut keys, mut folders) = (Vec::new(), vec![bucket.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(key) = path.strip_prefix(&bucket).ok().and_then(Path::to_str) {
                    keys.push(key.to_owned());
                }
            }
        }
        keys.retain(|key| key.starts_with(prefix));
        keys.sort();
        keys
    }

    /// Behaves in this way from now on.
    pub fn behave(&self, mode: Mode) {
        self.switch.mode.send_replace(mode);
    }

    /// Answers the next `requests` with 503.
    pub fn fail_next(&self, requests: usize) {
        self.switch.failing.store(requests, Ordering::SeqCst);
    }

    /// Holds the next `requests` until [`S3Server::behave`] is called.
    pub fn hold_next(&self, requests: usize) {
        self.switch.held.store(requests, Ordering::SeqCst);
    }

    /// Requests that came.
    pub fn seen(&self) -> usize {
        self.switch.seen.load(Ordering::SeqCst)
    }

    /// `METHOD /bucket/key` of each request that succeeded, in the order in which they did.
    pub fn done(&self) -> Vec<String> {
        self.switch.done.borrow().clone()
    }

    /// Waits until what succeeded fits.
    pub async fn until_done(&self, fits: impl FnMut(&Vec<String>) -> bool) {
        let mut done = self.switch.done.subscribe();
        let _gone = done.wait_for(fits).await;
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ended = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, switch: Arc<Switch>, mut stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        let Ok((socket, _)) = accepted else { continue };
        let switch = Arc::clone(&switch);
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(Arc::clone(&switch), request));
            // A connection that is closed in the middle is what some of the modes are for.
            let _ended = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), answer)
                .await;
        });
    }
}

/// Takes one off a counter; false when there was none.
fn take_one(counter: &AtomicUsize) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

async fn answer(switch: Arc<Switch>, request: Request<Incoming>) -> Result<Answer, Error> {
    switch.seen.fetch_add(1, Ordering::SeqCst);
    let mut mode = switch.mode.subscribe();
    if take_one(&switch.held) {
        mode.borrow_and_update();
        mode.changed().await?;
    }
    if take_one(&switch.failing) {
        return Ok(slow_down());
    }
    let now = *mode.wait_for(|mode| *mode != Mode::Slow).await?;
    match now {
        Mode::Away => return Err("away".into()),
        Mode::Storm => return Ok(slow_down()),
        Mode::Healthy | Mode::Slow | Mode::Truncating => {}
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answer = switch
        .service
        .call(request.map(s3s::Body::from))
        .await
        .map_err(|error| format!("{error:?}"))?;
    let (head, body) = answer.into_parts();
    let succeeded = head.status.is_success();
    let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
    if now == Mode::Truncating && method == Method::GET && succeeded {
        let half = body.slice(..body.len() / 2);
        let pieces: [Result<Frame<Bytes>, Error>; 2] = [Ok(Frame::data(half)), Err("cut off".into())];
        return Ok(Response::from_parts(
            head,
            BodyExt::boxed(StreamBody::new(stream::iter(pieces))),
        ));
    }
    if succeeded {
        switch.done.send_modify(|done| done.push(format!("{method} {path}")));
    }
    Ok(Response::from_parts(
        head,
        Full::new(body).map_err(|never| match never {}).boxed(),
    ))
}

fn slow_down() -> Answer {
    let text =
        "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>please reduce your request rate</Message></Error>";
    let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed());
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}
