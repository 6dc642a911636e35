//! The platform as its users meet it: accounts by mail, the API's own description, restarts, both engines.

use std::path::Path;
use std::process::Command;

use nova_domain::testing;
use serde_json::{Value, json};

use crate::publisher::Publisher;
use crate::server::{Answer, Server, nova, send, until};

pub(crate) const PASSWORD: &str = "a rather long phrase of mine";

/// Somebody with the API at hand.
pub(crate) struct Person<'a> {
    server: &'a Server,
    pub(crate) token: String,
    pub(crate) refresh: String,
}

pub(crate) fn call(server: &Server, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
    let mut headers = Vec::new();
    let bearer = token.map(|token| format!("Bearer {token}"));
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer.as_str()));
    }
    let body = body.map(ToString::to_string).unwrap_or_default().into_bytes();
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    send(method, &server.url(&format!("/api/v1{path}")), &headers, body)
}

pub(crate) fn json_of(answer: Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{}: {error}", answer.url))
}

impl<'a> Person<'a> {
    /// Registers, types the code of the mail, and logs in.
    pub(crate) fn register(server: &'a Server, name: &str) -> Self {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "username": name, "password": PASSWORD });
        call(server, "POST", "/auth/register", None, Some(&body)).is(202);
        let code = until("the mail with the code", 10, || code_for(server.data(), &email));
        let body = json!({ "email": email, "code": code });
        call(server, "POST", "/auth/verify-email", None, Some(&body)).is(200);
        Self::login(server, name)
    }

    pub(crate) fn login(server: &'a Server, name: &str) -> Self {
        let body = json!({ "email_or_username": name, "password": PASSWORD });
        let login = json_of(call(server, "POST", "/auth/login", None, Some(&body)).is(200));
        let text = |field: &str| login[field].as_str().expect("a token").to_owned();
        Self {
            server,
            token: text("access_token"),
            refresh: text("refresh_token"),
        }
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        call(self.server, method, path, Some(&self.token), body)
    }
}

/// The code in the newest mail to `email`.
pub(crate) fn code_for(data: &Path, email: &str) -> Option<String> {
    let mut files: Vec<_> = std::fs::read_dir(data.join("mail"))
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let mut texts = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let mail = texts.rfind(|text| text.contains(&format!("To: {email}")))?;
    let mut lines = mail.lines().map(str::trim);
    lines
        .find(|line| line.len() == 8 && line.bytes().all(|b| b.is_ascii_digit()))
        .map(str::to_owned)
}

fn accounts_outlive_a_kill(variables: &[(&str, &str)]) {
    let data = tempfile::tempdir().expect("a folder");
    let kept = data.path().to_owned();
    let (token, refresh) = {
        let mut server = Server::start_in(data, variables);
        let person = Person::register(&server, "ada");
        let me = json_of(person.call("GET", "/users/me", None).ok());
        assert_eq!(me["username"], "ada");
        let tokens = (person.token.clone(), person.refresh.clone());
        server.signal("KILL");
        server.until_gone(10);
        // The folder must outlive the server that it belongs to.
        let saved = tempfile::tempdir().expect("a folder");
        copy_folder(&kept, saved.path());
        let again = Server::start_in(saved, variables);
        assert_eq!(
            call(&again, "GET", "/users/me", Some(&tokens.0), None).status,
            401,
            "another port is another issuer"
        );
        let next = json_of(
            call(
                &again,
                "POST",
                "/auth/refresh",
                None,
                Some(&json!({ "refresh_token": tokens.1 })),
            )
            .is(200),
        );
        let next = next["access_token"].as_str().expect("a token").to_owned();
        call(&again, "GET", "/users/me", Some(&next), None).is(200);
        tokens
    };
    assert!(token.starts_with("ey") && refresh.starts_with("nova_rt_"));
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", from.display()))
        .arg(to)
        .status()
        .expect("cp");
    assert!(copied.success());
}

#[test]
fn accounts_and_sessions_outlive_a_killed_server_on_sqlite() {
    accounts_outlive_a_kill(&[]);
}

#[test]
fn accounts_and_sessions_outlive_a_killed_server_on_postgresql() {
    let url = postgres();
    accounts_outlive_a_kill(&[("NOVA_DATABASE_URL", url.as_str())]);
}

fn postgres() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(testing::postgres_url())
}

#[test]
fn an_installation_moves_from_sqlite_to_postgresql() {
    let data = tempfile::tempdir().expect("a folder");
    let kept = data.path().to_owned();
    let mut server = Server::start_in(data, &[]);
    Person::register(&server, "ada");
    server.signal("TERM");
    server.until_gone(30);
    let saved = tempfile::tempdir().expect("a folder");
    copy_folder(&kept, saved.path());
    drop(server);
    let (from, to) = (format!("sqlite://{}/nova.db", saved.path().display()), postgres());
    let output = nova()
        .args(["db", "copy", "--from", &from, "--to", &to])
        .output()
        .expect("nova runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        output.status.success() && said.contains("rows copied and verified"),
        "{said}"
    );
    let moved = Server::start_in(saved, &[("NOVA_DATABASE_URL", to.as_str())]);
    let person = Person::login(&moved, "ada");
    assert_eq!(json_of(person.call("GET", "/users/me", None).ok())["username"], "ada");
}

#[test]
fn every_operation_of_the_api_answers_as_its_description_says() {
    let data = tempfile::tempdir().expect("a folder");
    let output = nova()
        .args([
            "admin",
            "create-user",
            "--email",
            "root@example.org",
            "--username",
            "rooty",
            "--admin",
        ])
        .env("NOVA_DATA_DIR", data.path())
        .output()
        .expect("nova runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let link = said
        .split_once('#')
        .map(|(_, rest)| rest.lines().next().unwrap_or_default().to_owned());
    let link = link.unwrap_or_else(|| panic!("a link in {said}"));
    let server = Server::start_in(data, &[("NOVA_LIMITS__SCALE", "0")]);
    let body = json!({ "token": link, "password": PASSWORD });
    call(&server, "POST", "/auth/password-reset/confirm", None, Some(&body)).is(200);
    let admin = Person::login(&server, "rooty");
    let person = Person::register(&server, "ada");
    // As a guest, as anybody with an account, and as an admin, who comes last: they may suspend the others. Ending the session that asks would
    // end the run.
    for token in [None, Some(&person.token), Some(&admin.token)] {
        let mut tool = Command::new("schemathesis");
        // It keeps what it found beside where it runs.
        tool.current_dir(server.data());
        // One worker: two threads that parse at once trip over each other in Python 3.11 (CPython issue 106905), now and then.
        tool.args([
            "run",
            &server.url("/api/openapi.json"),
            "--no-color",
            "--workers",
            "1",
            "--seed",
            "1",
            "--max-examples",
            "8",
        ]);
        tool.args([
            "--phases",
            "examples,coverage,fuzzing",
            "--exclude-path",
            "/api/v1/auth/logout",
        ]);
        tool.args([
            "--checks",
            "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance",
        ]);
        tool.args(["--continue-on-failure", "--warnings", "off"]);
        if let Some(token) = token {
            tool.args(["--header", &format!("Authorization: Bearer {token}")]);
            tool.args(["--exclude-path-regex", "/auth/(logout|sessions/.id.)$"]);
        }
        let path = format!(
            "{}:{}/.cache/nova/tools/bin",
            std::env::var("PATH").unwrap_or_default(),
            std::env::var("HOME").unwrap_or_default()
        );
        let output = tool
            .env("PATH", path)
            .env(
                "SCHEMATHESIS_HOOKS",
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/serializers.py"),
            )
            .output()
            .expect("schemathesis: scripts/setup tools");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn what_is_wrong_with_a_request_is_told_in_one_form() {
    let server = Server::start(&[]);
    for (method, path, kind, body, status) in [
        ("GET", "/nothing/here", "", "", 404),
        ("PATCH", "/auth/login", "", "", 405),
        ("POST", "/auth/login", "text/plain", "{}", 415),
        ("POST", "/auth/login", "application/json", "{", 400),
        ("POST", "/auth/login", "application/json", "{}", 422),
        ("GET", "/users/me", "", "", 401),
        ("GET", "/users/nobody", "", "", 404),
    ] {
        let headers = if kind.is_empty() {
            vec![]
        } else {
            vec![("content-type", kind)]
        };
        let answer = send(method, &server.url(&format!("/api/v1{path}")), &headers, body.into()).is(status);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{method} {path}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), value, "{method} {path}");
        }
        assert!(!answer.header("x-request-id").is_empty() && !answer.header("ratelimit-limit").is_empty());
        let problem = json_of(answer);
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
    }
    let large = send(
        "POST",
        &server.url("/api/v1/auth/login"),
        &[("content-type", "application/json")],
        vec![b' '; 300 << 10],
    );
    assert_eq!(large.status, 413);
}

#[test]
fn a_forwarded_address_is_believed_from_a_configured_proxy_only() {
    let limits = |proxies: &str| {
        let server = Server::start(&[("NOVA_LIMITS__SCALE", "1"), ("NOVA_HTTP__TRUSTED_PROXIES", proxies)]);
        let mut refused = 0;
        for n in 0..14 {
            let from = format!("203.0.113.{n}");
            let body = json!({ "email_or_username": "nobody", "password": "guess" }).to_string();
            let headers = [("content-type", "application/json"), ("x-forwarded-for", from.as_str())];
            let answer = send("POST", &server.url("/api/v1/auth/login"), &headers, body.into());
            refused += u32::from(answer.status == 429);
        }
        refused
    };
    assert_eq!(limits("127.0.0.0/8"), 0, "fourteen clients");
    assert!(limits("") >= 4, "one client");
}

#[test]
fn a_stream_plays_on_while_the_database_is_gone() {
    let url = postgres();
    let database = url
        .split('?')
        .next()
        .and_then(|url| url.rsplit('/').next())
        .expect("a name")
        .to_owned();
    let server = Server::start(&[("NOVA_DATABASE_URL", url.as_str())]);
    let person = Person::register(&server, "ada");
    let _publisher = Publisher::endless(&format!("{}/show", server.rtmp));
    server.until_live("show");
    // The server loses every connection, and cannot make new ones.
    let admin = url.replace(&format!("/{database}?"), "/postgres?");
    let forbid = |allow: bool| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            use sqlx::Connection as _;
            let mut connection = sqlx::PgConnection::connect(&admin).await.expect("the test server");
            let allowed = format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allow}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(allowed))
                .execute(&mut connection)
                .await
                .expect("allowed to");
            if !allow {
                sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
                    .bind(&database)
                    .execute(&mut connection)
                    .await
                    .expect("terminated");
            }
        });
    };
    forbid(false);
    let refused = person.call("GET", "/users/me", None).is(503);
    assert!(!refused.header("retry-after").is_empty());
    let before = server.text("/live/show/master.m3u8");
    assert!(before.contains("#EXT-X-STREAM-INF"));
    server.until_status("show", "live", 5);
    forbid(true);
    until("the API to be back", 20, || {
        (person.call("GET", "/users/me", None).status == 200).then_some(())
    });
}

#[test]
fn a_domain_that_is_switched_off_is_not_there_and_the_others_are() {
    let server = Server::start(&[("NOVA_DOMAINS__USERS__ENABLED", "false")]);
    let description: Value = serde_json::from_str(&server.text("/api/openapi.json")).expect("JSON");
    let paths: Vec<&String> = description["paths"].as_object().expect("paths").keys().collect();
    assert!(paths.iter().any(|path| *path == "/api/v1/streams"), "{paths:?}");
    assert!(!paths.iter().any(|path| path.starts_with("/api/v1/users")), "{paths:?}");
    server.get("/api/v1/streams").ok();
    server.get("/api/v1/users/suggestions").is(404);
}
