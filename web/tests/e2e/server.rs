//! The real `nova` program on free ports with a data folder of its own, and a plain HTTP client to look at it with.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::HeaderMap;

/// A running server. Dropping it kills it; when the test fails, its log is shown.
pub(crate) struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    data: tempfile::TempDir,
    /// `127.0.0.1:PORT`
    pub(crate) http: String,
    /// `rtmp://127.0.0.1:PORT/live`
    pub(crate) rtmp: String,
}

impl Server {
    /// Starts one in development mode with these variables and waits until it is ready.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"), variables)
    }

    /// The same with this data folder.
    pub(crate) fn start_in(data: tempfile::TempDir, variables: &[(&str, &str)]) -> Self {
        let mut command = nova();
        command.args(["serve", "--dev"]).env("NOVA_DATA_DIR", data.path());
        // What a test is not about must not take its machine.
        command.env("NOVA_TRANSCODE__LADDER", "off");
        for listener in ["HTTP", "RTMP", "ADMIN"] {
            command.env(format!("NOVA_{listener}__ADDR"), "127.0.0.1:0");
        }
        command.envs(variables.iter().copied());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nova starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        follow(child.stdout.take().expect("piped"), &log);
        follow(child.stderr.take().expect("piped"), &log);
        let mut server = Self {
            child,
            log,
            data,
            http: String::new(),
            rtmp: String::new(),
        };
        until("`nova is ready`", 20, || {
            server.log_has("nova is ready on").then_some(())
        });
        server.http = server.listener("HTTP");
        server.rtmp = format!("rtmp://{}/live", server.listener("RTMP"));
        server
    }

    /// Where the listener of this name is bound: `127.0.0.1:PORT`. The log comes by another pipe than `nova is ready`, so it may come later.
    pub(crate) fn listener(&self, name: &str) -> String {
        let told = format!("{name} listens on ");
        until(&format!("the log to tell where {name} listens"), 20, || {
            self.log().iter().find_map(|line| {
                let (before, addr) = line.split_once(&told)?;
                // `RTMPS` is not `RTMP`.
                before
                    .ends_with(|c: char| !c.is_alphanumeric())
                    .then(|| addr.trim().to_owned())
            })
        })
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn log_has(&self, text: &str) -> bool {
        self.log().iter().any(|line| line.contains(text))
    }

    pub(crate) fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// GET of a path of this server.
    pub(crate) fn get(&self, path: &str) -> Answer {
        get(&self.url(path))
    }

    /// The text of a path that must be there.
    pub(crate) fn text(&self, path: &str) -> String {
        self.get(path).ok().text()
    }

    /// GET with more of HTTP: a method and headers.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(method, &self.url(path), headers)
    }

    /// Waits until the stream can be watched, and returns the multivariant playlist.
    pub(crate) fn until_live(&self, stream: &str) -> String {
        until(&format!("{stream} to be live"), 25, || {
            let answer = self.get(&format!("/live/{stream}/master.m3u8"));
            (answer.status == 200).then(|| answer.text())
        })
    }

    /// What the API says of a stream's state; nothing when it is not known.
    pub(crate) fn status(&self, stream: &str) -> Option<String> {
        let answer = self.get(&format!("/api/v1/streams/{stream}"));
        let json: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        (answer.status == 200).then(|| json["status"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn until_status(&self, stream: &str, status: &str, seconds: u64) {
        until(&format!("{stream} to be {status}"), seconds, || {
            (self.status(stream).as_deref() == Some(status)).then_some(())
        });
    }

    /// The value of a metric: the sum over its labels that contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let text = get(&format!("http://{}/metrics", self.listener("admin"))).ok().text();
        text.lines()
            .filter(|line| line.starts_with(name) && line.contains(label))
            .filter(|line| matches!(line.as_bytes().get(name.len()), Some(b' ' | b'{')))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name: `TERM`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Ends the process by a signal; its data folder, for another one to go on with.
    pub(crate) fn leave(mut self, signal: &str) -> tempfile::TempDir {
        self.signal(signal);
        self.until_gone(30);
        let another = tempfile::tempdir().expect("a temporary folder");
        std::mem::replace(&mut self.data, another)
    }

    /// Waits for the process to end.
    pub(crate) fn until_gone(&mut self, seconds: u64) -> ExitStatus {
        until("nova to end", seconds, || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if thread::panicking() {
            eprintln!(
                "--- nova's log (it {}):",
                if running { "was running" } else { "had ended" }
            );
            for line in self.log() {
                eprintln!("    {line}");
            }
        }
    }
}

/// The program, with an environment that holds no configuration.
pub(crate) fn nova() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nova"));
    for (name, _) in std::env::vars_os() {
        if ["NOVA_", "AWS_"]
            .iter()
            .any(|ours| name.to_string_lossy().starts_with(ours))
        {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id())])
        .status()
        .expect("sh");
    assert!(sent.success(), "signal {name}");
}

fn follow(from: impl Read + Send + 'static, into: &Arc<Mutex<Vec<String>>>) {
    let into = Arc::clone(into);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

/// Asks again and again until there is something, and fails the test when there is nothing in time.
pub(crate) fn until<T>(what: &str, seconds: u64, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(it) = found() {
            return it;
        }
        assert!(
            start.elapsed() < Duration::from_secs(seconds),
            "waited {seconds} s for {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Itself, when it is a 200.
    pub(crate) fn ok(self) -> Self {
        self.is(200)
    }

    /// Itself, when it has this status.
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}: {}",
            self.url,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    pub(crate) fn text(self) -> String {
        String::from_utf8(self.body).expect("text")
    }

    /// A header's value, empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ascii"))
    }
}

pub(crate) fn get(url: &str) -> Answer {
    request("GET", url, &[])
}

pub(crate) fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
    send(method, url, headers, Vec::new())
}

/// A request with a body.
pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(40)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = agent
        .run(request.body(body).expect("a request"))
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let body = response
        .body_mut()
        .with_config()
        .limit(1 << 28)
        .read_to_vec()
        .unwrap_or_else(|error| panic!("{method} {url}: body: {error}"));
    Answer {
        url: url.to_owned(),
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body,
    }
}
