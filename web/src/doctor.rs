//! `nova doctor`: what would keep the server from working on this machine, each with its fix.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use nova_core::clock::{Clock, Timestamp};
use nova_core::config::{Config, PublishAuth};

/// No machine that runs this program has a right clock before this time (2025-01-01).
const EARLIEST: Timestamp = Timestamp(1_735_689_600_000_000);

enum Finding {
    Good(String),
    Note(String, &'static str),
    Bad(String, &'static str),
}

/// Prints a line per check; fails when something needed is missing.
pub(crate) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut findings = vec![
        port(
            "HTTP",
            config.http.addr,
            "stop what listens there, or set NOVA_HTTP__ADDR",
        ),
        port(
            "RTMP",
            config.rtmp.addr,
            "stop what listens there, or set NOVA_RTMP__ADDR",
        ),
        port(
            "admin",
            config.admin.addr,
            "stop what listens there, or set NOVA_ADMIN__ADDR",
        ),
        clock(),
        data_dir(config),
        file_limit(),
        publishers(config),
    ];
    for (name, listener) in [("HTTPS", &config.https), ("RTMPS", &config.rtmps)] {
        if let (Some(addr), Some(cert), Some(key)) = (listener.addr, &listener.cert, &listener.key) {
            findings.push(port(name, addr, "stop what listens there, or choose another address"));
            findings.push(match crate::tls::Certificates::load(cert, key, &[]) {
                Ok(_) => Finding::Good(format!("{name} certificate {} fits its key", cert.display())),
                Err(error) => Finding::Bad(
                    format!("{name} certificate: {error:#}"),
                    "check the PEM files and who may read them",
                ),
            });
        }
    }
    let mut out = std::io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    for finding in findings {
        match finding {
            Finding::Good(text) => writeln!(out, "ok    {text}")?,
            Finding::Note(text, fix) => writeln!(out, "note  {text}: {fix}")?,
            Finding::Bad(text, fix) => {
                code = ExitCode::FAILURE;
                writeln!(out, "FAIL  {text}: {fix}")?;
            }
        }
    }
    Ok(code)
}

fn port(name: &str, addr: SocketAddr, fix: &'static str) -> Finding {
    match TcpListener::bind(addr) {
        Ok(_) => Finding::Good(format!("{name} can listen on {addr}")),
        Err(error) => Finding::Bad(format!("{name} cannot listen on {addr} ({error})"), fix),
    }
}

fn clock() -> Finding {
    let now = Clock::system().now();
    if now < EARLIEST {
        Finding::Bad(
            format!("the clock says {}", now.to_rfc3339_millis()),
            "run an NTP client: playlists carry the time",
        )
    } else {
        Finding::Good(format!("the clock says {}", now.to_rfc3339_millis()))
    }
}

fn data_dir(config: &Config) -> Finding {
    let folder = &config.data_dir;
    let probe = folder.join(".nova-doctor");
    let tried = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b"x"))
        .and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Finding::Good(format!("data directory {} can be written", folder.display())),
        Err(error) => Finding::Bad(
            format!("data directory {} ({error})", folder.display()),
            "give this user a folder with NOVA_DATA_DIR",
        ),
    }
}

fn file_limit() -> Finding {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    match soft {
        Some(limit) if limit < 4096 => Finding::Note(
            format!("{limit} open files are allowed"),
            "each viewer needs one; raise it with ulimit -n or LimitNOFILE=",
        ),
        Some(limit) => Finding::Good(format!("{limit} open files are allowed")),
        None => Finding::Note("the limit of open files is not known".into(), "check ulimit -n"),
    }
}

fn publishers(config: &Config) -> Finding {
    match config.publish.auth {
        PublishAuth::Open => Finding::Note(
            "anybody may publish".into(),
            "right for development; set NOVA_PUBLISH__AUTH=key elsewhere",
        ),
        PublishAuth::Key if config.publish.keys.is_empty() => Finding::Note(
            "no stream key is configured, so nobody can publish".into(),
            "add [publish.keys] NAME = \"KEY\" to nova.toml",
        ),
        PublishAuth::Key => Finding::Good(format!("{} stream keys are configured", config.publish.keys.len())),
    }
}
