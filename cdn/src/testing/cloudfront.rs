//! A server that speaks CloudFront's control API, with something before it that fails as it is told: ministack, which nobody at Nova wrote and
//! `scripts/setup tools` installs.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use nova_core::config::CloudFrontConfig;

const API: &str = "/2020-05-31/distribution";
const DISTRIBUTION: &str = "<DistributionConfig xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><CallerReference>nova</CallerReference>\
    <Aliases><Quantity>1</Quantity><Items><CNAME>cdn.example</CNAME></Items></Aliases><Comment></Comment><Enabled>true</Enabled><Origins><Quantity>1\
    </Quantity><Items><Origin><Id>nova</Id><DomainName>origin.example</DomainName></Origin></Items></Origins><DefaultCacheBehavior><TargetOriginId>nova\
    </TargetOriginId><ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy></DefaultCacheBehavior></DistributionConfig>";

/// What becomes of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status and CloudFront's word, and the server never hears of it.
    Refuse(u16, &'static str),
    /// The connection is closed without an answer, and the server never hears of it.
    Close,
    /// The server does it, and the answer never comes.
    Hold,
    /// The server does it, and the answer ends in the middle.
    Truncate,
}

#[derive(Default)]
struct Plan {
    faults: VecDeque<Fault>,
    /// `METHOD path` of each call, and its body.
    calls: Vec<(String, String)>,
}

/// A running server; dropping it ends it.
pub struct CloudFrontServer {
    child: Child,
    server: SocketAddr,
    door: SocketAddr,
    distribution: String,
    plan: Arc<(Mutex<Plan>, Condvar)>,
}

/// The folder that has ministack: on the path, or where `scripts/setup tools` puts it.
fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let mut folders = std::env::split_paths(&path).chain(cache.map(|cache| cache.join("nova/tools/bin")));
    let found = folders.find_map(|folder| Some(folder.join("ministack")).filter(|file| file.is_file()));
    found.ok_or_else(|| Error::other("there is no ministack: scripts/setup tools"))
}

impl CloudFrontServer {
    /// Starts one on a free port of the loopback interface, with one distribution.
    pub fn start() -> Result<Self> {
        // It cannot tell a port that it picks itself.
        let server = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut child = Command::new(program()?)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", server.port().to_string())
            .env("SERVICES", "cloudfront")
            .env("IOT_MTLS_ENABLED", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stderr.take().ok_or_else(|| Error::other("piped"))?);
        let mut line = String::new();
        while !line.contains("Running on http://") {
            line.clear();
            if said.read_line(&mut line)? == 0 {
                let _reaped = child.wait();
                return Err(Error::other("ministack ended at its start"));
            }
        }
        // What it says must go on being read, or it would stand still.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let made = exchange(server, "POST", API, DISTRIBUTION)?;
        let distribution = between(&made, "<Id>", "</Id>").ok_or_else(|| Error::other(made.clone()))?;
        let door = TcpListener::bind("127.0.0.1:0")?;
        let running = Self {
            child,
            server,
            door: door.local_addr()?,
            distribution: distribution.to_owned(),
            plan: Arc::default(),
        };
        let plan = Arc::clone(&running.plan);
        std::thread::spawn(move || {
            for socket in door.incoming().flatten() {
                let plan = Arc::clone(&plan);
                // A client that goes away in the middle is what some of the faults are for.
                std::thread::spawn(move || answer(socket, server, &plan).is_ok());
            }
        });
        Ok(running)
    }

    /// A configuration that leads here.
    pub fn config(&self) -> CloudFrontConfig {
        CloudFrontConfig {
            distribution_id: self.distribution.clone(),
            endpoint: format!("http://{}", self.door),
            ..CloudFrontConfig::default()
        }
    }

    /// The next calls fail so, one after the other.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// `METHOD path` of each call that came, with its body.
    pub fn calls(&self) -> Vec<(String, String)> {
        self.lock().calls.clone()
    }

    /// Waits until the calls fit.
    pub fn until_called(&self, mut fits: impl FnMut(&[(String, String)]) -> bool) {
        let (plan, changed) = &*self.plan;
        let plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        let _fits = changed.wait_while(plan, |plan| !fits(&plan.calls));
    }

    /// The paths of each invalidation that the server knows, in no order.
    pub fn invalidations(&self) -> Result<Vec<Vec<String>>> {
        let base = format!("{API}/{}/invalidation", self.distribution);
        let list = exchange(self.server, "GET", &base, "")?;
        let ids = all_between(&list, "<Id>", "</Id>");
        ids.iter()
            .map(|id| {
                let one = exchange(self.server, "GET", &format!("{base}/{id}"), "")?;
                Ok(all_between(&one, "<Path>", "</Path>"))
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CloudFrontServer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// One request on a connection of its own; the whole answer.
fn exchange(server: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: cloudfront.amazonaws.com\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/us-east-1/cloudfront/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    forward(server, &[head.as_bytes(), body.as_bytes()].concat())
}

fn forward(server: SocketAddr, request: &[u8]) -> Result<String> {
    let mut socket = TcpStream::connect(server)?;
    socket.write_all(request)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(found, _)| found)
}

fn all_between(text: &str, from: &str, to: &str) -> Vec<String> {
    let parts = text.split(from).skip(1);
    parts
        .filter_map(|part| part.split_once(to).map(|(found, _)| found.to_owned()))
        .collect()
}

/// Takes one request and closes the connection after its answer.
fn answer(mut socket: TcpStream, server: SocketAddr, plan: &(Mutex<Plan>, Condvar)) -> Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(bytes) = lower.strip_prefix("content-length:") {
            length = bytes.trim().parse().map_err(Error::other)?;
        }
        if first.is_empty() {
            first.clone_from(&line);
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    head.push_str("Connection: close\r\n\r\n");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let call = first.rsplit_once(' ').map_or("", |(call, _)| call).to_owned();
    let fault = {
        let mut plan = plan.0.lock().unwrap_or_else(PoisonError::into_inner);
        plan.calls.push((call, String::from_utf8_lossy(&body).into_owned()));
        plan.faults.pop_front()
    };
    let request = [head.as_bytes(), &body].concat();
    let told = match &fault {
        Some(Fault::Refuse(status, code)) => {
            let text = format!(
                "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Error><Type>Sender</Type>\
                 <Code>{code}</Code><Message>as told</Message></Error><RequestId>1</RequestId></ErrorResponse>"
            );
            Some(format!(
                "HTTP/1.1 {status} Told\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            ))
        }
        Some(Fault::Close) => None,
        Some(Fault::Hold | Fault::Truncate) | None => Some(forward(server, &request)?),
    };
    // Whoever waits for a call finds that the server has done it.
    plan.1.notify_all();
    match (fault, told) {
        (_, None) => Ok(()),
        (Some(Fault::Hold), _) => {
            // Until the client goes.
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).map(drop)
        }
        (Some(Fault::Truncate), Some(told)) => {
            let head = told.find("\r\n\r\n").map_or(0, |end| end + 4);
            socket.write_all(&told.as_bytes()[..head + (told.len() - head) / 2])
        }
        (_, Some(told)) => socket.write_all(told.as_bytes()),
    }
}
