//! Mail through a real SMTP server that nobody at Nova wrote: aiosmtpd, which `scripts/setup tools` installs.

use std::process::Stdio;

use nova_core::clock::Timestamp;
use nova_core::error::Kind;
use nova_identity::mail::{Mailer, Message, Rendered, Site, render};
use nova_identity::random::Random;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const AT: Timestamp = Timestamp(1_795_478_399_000_000);

struct Server {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    async fn start() -> Self {
        // Its command lies beside the Python that has it.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
        let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
        let mut folders = std::env::split_paths(&path).chain(cache.map(|cache| cache.join("nova/tools/bin")));
        let folder = folders
            .find(|folder| folder.join("aiosmtpd").is_file())
            .expect("aiosmtpd is installed: scripts/setup tools");
        let mut child = Command::new(folder.join("python3"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().unwrap().parse().unwrap();
        Self {
            _child: child,
            lines,
            port,
        }
    }

    fn mailer(&self, user: &str) -> Mailer {
        let url = format!("smtp://{user}@127.0.0.1:{}", self.port);
        Mailer::smtp(&url, "Nova", "nova@nova.example").unwrap()
    }
}

/// A server that greets and says no more. Time stands still but for the waiting.
#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_given_up() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let mailer = Mailer::smtp(&url, "Nova", "nova@nova.example").unwrap();
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"220 silent\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let (message, random) = (message(), Random::seeded(1));
    let error = tokio::select! {
        sent = mailer.send("bob@example.org", &message, AT, &random) => sent.unwrap_err(),
        () = server => unreachable!("it never ends"),
    };
    assert_eq!((error.kind(), error.is_transient()), (Kind::TimedOut, true), "{error}");
}

fn message() -> Rendered {
    let site = Site {
        name: "Nova".to_owned(),
        url: "https://nova.example".to_owned(),
    };
    let message = Message::NewDevice {
        device: "Télé du salon 📺 <b>.\n.".to_owned(),
        place: None,
        at: AT,
        link: "https://nova.example/sessions".to_owned(),
    };
    render(&site, &message).unwrap()
}

#[tokio::test]
async fn a_message_arrives_as_it_was_rendered() {
    let mut server = Server::start().await;
    let message = message();
    let mailer = server.mailer("nova:p%40ss%20word");
    mailer
        .send("bob@example.org", &message, AT, &Random::seeded(1))
        .await
        .unwrap();
    let line = server.lines.next_line().await.unwrap().unwrap();
    let got: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(got["from"], "nova@nova.example");
    assert_eq!(got["to"], serde_json::json!(["bob@example.org"]));
    assert_eq!(got["user"], "nova");
    assert_eq!(got["headers"]["subject"], message.subject);
    assert_eq!(got["headers"]["auto-submitted"], "auto-generated");
    assert!(
        got["headers"]["message-id"]
            .as_str()
            .unwrap()
            .ends_with("@nova.example>")
    );
    let lines = |text: &str| {
        text.lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
            .trim_end()
            .to_owned()
    };
    assert_eq!(lines(got["text"].as_str().unwrap()), lines(&message.text));
    assert_eq!(lines(got["html"].as_str().unwrap()), lines(&message.html));
    assert!(message.text.contains("Télé du salon 📺"));
}

#[tokio::test]
async fn what_will_never_work_is_told_from_what_may_work_later() {
    let server = Server::start().await;
    let (message, random) = (message(), Random::seeded(1));
    let mailer = server.mailer("nova:p%40ss%20word");
    let gone = mailer
        .send("gone@example.org", &message, AT, &random)
        .await
        .unwrap_err();
    assert!(!gone.is_transient(), "{gone}");
    let later = mailer
        .send("later@example.org", &message, AT, &random)
        .await
        .unwrap_err();
    assert_eq!(
        (later.is_transient(), later.kind()),
        (true, Kind::Unavailable),
        "{later}"
    );
    // The connection goes on being good for the next message.
    mailer.send("bob@example.org", &message, AT, &random).await.unwrap();
    let stranger = server
        .mailer("nova:wrong")
        .send("bob@example.org", &message, AT, &random)
        .await
        .unwrap_err();
    assert!(
        !stranger.is_transient() && !stranger.to_string().contains("wrong"),
        "{stranger}"
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("smtp://{}", listener.local_addr().unwrap());
    drop(listener);
    let away = Mailer::smtp(&nobody, "Nova", "nova@nova.example").unwrap();
    assert!(
        away.send("bob@example.org", &message, AT, &random)
            .await
            .unwrap_err()
            .is_transient()
    );
}
