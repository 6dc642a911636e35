//! A server with identity alone, its clock in the test's hands, its mails in a folder.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use nova_core::clock::{Clock, Timestamp};
use nova_domain::http::limit::Limits;
use nova_domain::http::{Client, caller};
use nova_domain::outbox::Relay;
use nova_domain::testing::{self, Names, TestDb};
use nova_domain::{Context, Domain};
use nova_identity::{Config, Identity, Outgoing};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const PASSWORD: &str = "a rather long phrase of mine";

pub(crate) struct House {
    pub(crate) db: TestDb,
    pub(crate) clock: Clock,
    pub(crate) identity: Identity,
    pub(crate) data_dir: tempfile::TempDir,
    pub(crate) relay: Arc<Relay>,
    router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field]
            .as_str()
            .unwrap_or_else(|| panic!("{field} in {}", self.body))
            .to_owned()
    }

    /// The body of an answer that must have this status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

/// One server on each engine.
pub(crate) async fn houses() -> Vec<House> {
    houses_with(0, Config::default()).await
}

pub(crate) async fn houses_with(limits: u32, config: Config) -> Vec<House> {
    let mut houses = Vec::new();
    for db in testing::databases().await {
        houses.push(House::new(db, limits, config.clone()).await);
    }
    houses
}

impl House {
    pub(crate) async fn new(db: TestDb, limits: u32, config: Config) -> Self {
        let clock = Clock::manual(Timestamp(1_795_478_399_000_000));
        let data_dir = tempfile::tempdir().unwrap();
        let (identity, router, relay) = build(&db, &clock, limits, config, data_dir.path()).await;
        Self {
            db,
            clock,
            identity,
            data_dir,
            relay,
            router,
        }
    }

    pub(crate) async fn call_from(
        &self,
        ip: &str,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Client {
            ip: ip.parse::<IpAddr>().unwrap(),
            secure: false,
            agent: format!("test from {ip}"),
            request_id: String::new(),
        });
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call_from("192.0.2.1", "POST", path, None, Some(body)).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        self.call_from("192.0.2.1", method, path, Some(token), body).await
    }

    /// The newest mail to `to`, with its lines joined again; its jobs are done first.
    pub(crate) async fn mail(&self, to: &str) -> Option<String> {
        self.mails(to).await.pop()
    }

    pub(crate) async fn mails(&self, to: &str) -> Vec<String> {
        self.relay.drain().await.unwrap();
        let mut files: Vec<_> = std::fs::read_dir(self.data_dir.path().join("mail"))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        let texts = files.iter().map(|path| {
            std::fs::read_to_string(path)
                .unwrap()
                .replace("\r\n", "\n")
                .replace("=\n", "")
        });
        texts.filter(|text| text.contains(&format!("\nTo: {to}\n"))).collect()
    }

    /// Makes an account as a person would, and gives its id.
    pub(crate) async fn person(&self, name: &str) -> String {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "username": name, "password": PASSWORD });
        self.post("/auth/register", body).await.expect(202);
        let mail = self.mail(&email).await.expect("a mail");
        self.post("/auth/verify-email", json!({ "email": email, "code": code(&mail) }))
            .await
            .expect(200);
        self.login(name).await.body["user"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn login(&self, name: &str) -> Answer {
        self.post(
            "/auth/login",
            json!({ "email_or_username": name, "password": PASSWORD }),
        )
        .await
        .expect(200)
    }

    pub(crate) async fn access(&self, name: &str) -> String {
        self.login(name).await.text("access_token")
    }

    /// Whether an access token opens anything.
    pub(crate) async fn is_open(&self, token: &str) -> bool {
        self.call("GET", "/auth/account", token, None).await.status == StatusCode::OK
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Another process on the same database and data folder.
    pub(crate) async fn twin(&self) -> (Router, Vec<(&'static str, nova_domain::Task)>) {
        let db = nova_domain::db::Db::connect(&self.db.url, 2, Duration::from_secs(5))
            .await
            .unwrap();
        let context = context(&db, &self.clock, 0);
        let names = Names::new(db.clone()).await;
        let (identity, domain) = Identity::new(&context, Config::default(), &outgoing(), self.data_dir.path(), names)
            .await
            .unwrap();
        let router = Router::from(domain.routes).layer(axum::middleware::from_fn_with_state(
            identity.authenticator(),
            caller::identify,
        ));
        (router, domain.tasks)
    }
}

fn outgoing() -> Outgoing {
    Outgoing {
        url: String::new(),
        from: "nova@example.net".into(),
        name: "Nova".into(),
    }
}

fn context(db: &nova_domain::db::Db, clock: &Clock, limits: u32) -> Context {
    Context {
        db: db.clone(),
        clock: clock.clone(),
        limits: Limits::new(limits),
        public_url: "https://nova.example".into(),
        personal: Arc::default(),
    }
}

async fn build(
    db: &TestDb,
    clock: &Clock,
    limits: u32,
    config: Config,
    data_dir: &std::path::Path,
) -> (Identity, Router, Arc<Relay>) {
    let context = context(db, clock, limits);
    let names = Names::new(db.db.clone()).await;
    let (identity, domain) = Identity::new(&context, config, &outgoing(), data_dir, names)
        .await
        .unwrap();
    let domains = [domain];
    Domain::join(&domains, &context);
    let [domain] = domains;
    let router = Router::from(domain.routes).layer(axum::middleware::from_fn_with_state(
        identity.authenticator(),
        caller::identify,
    ));
    (identity, router, Relay::new(db.db.clone(), clock.clone()))
}

/// The eight digits of a mail.
pub(crate) fn code(mail: &str) -> String {
    let line = mail
        .lines()
        .map(str::trim)
        .find(|line| line.len() == 8 && line.bytes().all(|b| b.is_ascii_digit()));
    line.unwrap_or_else(|| panic!("a code in {mail}")).to_owned()
}

/// The secret in the fragment of a mail's link.
pub(crate) fn link(mail: &str) -> String {
    let (_, rest) = mail.split_once('#').unwrap_or_else(|| panic!("a link in {mail}"));
    rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .next()
        .unwrap()
        .to_owned()
}
