//! `nova doctor`: what would keep the server from working on this machine, each with its fix.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use nova_cdn::{CloudFront, S3Store};
use nova_core::clock::{Clock, Timestamp};
use nova_core::config::{Config, PublishAuth, StorageBackend};
use nova_core::store::StoreError;
use nova_domain::db::Db;

use crate::platform;

/// No machine that runs this program has a right clock before this time (2025-01-01).
const EARLIEST: Timestamp = Timestamp(1_735_689_600_000_000);

/// How long a database server and a mail server may take to answer.
const DATABASE_PATIENCE: Duration = Duration::from_secs(5);
const MAIL_PATIENCE: Duration = Duration::from_secs(3);
/// The same for an object store, which is asked three times.
const STORE_PATIENCE: Duration = Duration::from_secs(20);
/// Seconds between two clocks that are worth a word.
const SKEW_S: i64 = 10;

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
        database(config),
        store(config),
        mail(config),
        file_limit(),
        publishers(config),
    ];
    findings.extend(distribution(config));
    findings.extend(transcoding(config));
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

/// Whether the database answers; an embedded one is not made for it.
fn database(config: &Config) -> Finding {
    let url = platform::database_url(config);
    let server = !config.database_url.is_empty() && !config.database_url.starts_with("sqlite:");
    if !server && !config.data_dir.join("nova.db").exists() && config.database_url.is_empty() {
        return Finding::Good("the database will be made at the first start".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map(|runtime| {
        runtime.block_on(async {
            let db = Db::connect(&url, 1, DATABASE_PATIENCE).await?;
            let answers = db.is_reachable().await;
            db.close().await;
            Ok::<bool, nova_domain::db::Error>(answers)
        })
    });
    match asked {
        Ok(Ok(true)) => Finding::Good(if server {
            "the database server answers".into()
        } else {
            "the database can be opened".into()
        }),
        Ok(Ok(false)) => Finding::Bad("the database does not answer".into(), "see its log"),
        Ok(Err(error)) => Finding::Bad(
            format!("database: {error}"),
            "check NOVA_DATABASE_URL, and that the server runs and knows this user",
        ),
        Err(error) => Finding::Bad(format!("database: {error}"), "start again"),
    }
}

/// Whether the bucket takes, gives back and deletes an object, and whether its clock agrees with this one.
fn store(config: &Config) -> Finding {
    let storage = &config.storage;
    if storage.backend == StorageBackend::Local {
        return Finding::Good("objects are files in the data directory".into());
    }
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let bucket = &storage.bucket;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let probed = runtime.map(|runtime| {
        runtime.block_on(async {
            let store = S3Store::connect(storage, Clock::system()).await;
            tokio::time::timeout(STORE_PATIENCE, store.probe()).await
        })
    });
    let failed = |why: String| {
        Finding::Bad(
            format!("bucket {bucket}: {why}"),
            "check NOVA_STORAGE__BUCKET, __REGION, __ENDPOINT, and that AWS_ACCESS_KEY_ID (or a profile, or a role) may put, get, list and delete",
        )
    };
    match probed {
        Ok(Ok(Ok(skew))) if skew.abs() > SKEW_S => Finding::Note(
            format!("bucket {bucket} can be used, and this clock is {skew} s from its clock"),
            "run an NTP client: from five minutes on signatures are refused",
        ),
        Ok(Ok(Ok(_))) => Finding::Good(format!("bucket {bucket} takes, gives back and deletes an object")),
        Ok(Ok(Err(StoreError::Io { source, .. } | StoreError::Full { source, .. }))) => failed(source.to_string()),
        Ok(Ok(Err(error))) => failed(error.to_string()),
        Ok(Err(_elapsed)) => failed(format!("no answer within {} s", STORE_PATIENCE.as_secs())),
        Err(error) => failed(error.to_string()),
    }
}

/// Whether the distribution is there, and whether it answers by the name that playback addresses have. Nothing where none is configured.
fn distribution(config: &Config) -> Option<Finding> {
    let settings = &config.cdn.cloudfront;
    if settings.distribution_id.is_empty() {
        return None;
    }
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let id = &settings.distribution_id;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let probed = runtime.map(|runtime| {
        runtime.block_on(async {
            let cloudfront = CloudFront::connect(settings, Clock::system()).await?;
            Some(cloudfront.probe().await)
        })
    });
    let failed = |why: String| {
        Finding::Bad(
            format!("CloudFront distribution {id}: {why}"),
            "check NOVA_CDN__CLOUDFRONT__DISTRIBUTION_ID, __ENDPOINT, and that AWS_ACCESS_KEY_ID (or a profile, or a role) may \
             cloudfront:GetDistribution, CreateInvalidation and GetInvalidation",
        )
    };
    Some(match probed {
        Ok(Some(Ok(found))) if !found.enabled => Finding::Bad(
            format!("CloudFront distribution {id} is switched off"),
            "enable it in the console, or leave NOVA_CDN__CLOUDFRONT__DISTRIBUTION_ID out",
        ),
        Ok(Some(Ok(found))) => {
            let base = &config.cdn.base_url;
            let host = base.split_once("://").map_or("", |(_, rest)| rest);
            let host = host.split(['/', ':']).next().unwrap_or_default();
            let names = |name: &String| name.eq_ignore_ascii_case(host);
            if host.is_empty() || names(&found.domain) || found.aliases.iter().any(names) {
                Finding::Good(format!("CloudFront distribution {id} can be reached: {}", found.domain))
            } else {
                Finding::Note(
                    format!("CloudFront distribution {id} can be reached, and is not known as {host}"),
                    "NOVA_CDN__BASE_URL should be its domain name or one of its aliases",
                )
            }
        }
        Ok(Some(Err(error))) => failed(error.to_string()),
        Ok(None) => return None,
        Err(error) => failed(error.to_string()),
    })
}

/// Whether mail can leave: that the server's port can be reached.
fn mail(config: &Config) -> Finding {
    let url = &config.mail.url;
    if url.is_empty() {
        return Finding::Note(
            "no mail server: messages are files in the data directory".into(),
            "set NOVA_MAIL__URL",
        );
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let usual = if scheme == "smtps" { 465 } else { 25 };
    let addr = if host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        host.to_owned()
    } else {
        format!("{host}:{usual}")
    };
    let found = addr.to_socket_addrs().ok().and_then(|mut found| found.next());
    let reached = found.is_some_and(|found| TcpStream::connect_timeout(&found, MAIL_PATIENCE).is_ok());
    if reached {
        Finding::Good(format!("the mail server {addr} can be reached"))
    } else {
        Finding::Bad(
            format!("the mail server {addr} cannot be reached"),
            "check NOVA_MAIL__URL and the firewall",
        )
    }
}

/// What the worker program finds on this machine to decode and encode with.
fn transcoding(config: &Config) -> Vec<Finding> {
    let install = "build it (make build) and put it beside nova, or name it with NOVA_TRANSCODE__WORKER";
    let settings = match crate::transcoding::settings(&config.transcode, &Clock::system()) {
        Ok(settings) => settings,
        Err(error) => return vec![Finding::Bad(format!("transcoding: {error:#}"), install)],
    };
    if !settings.worker.exists() {
        let gone = format!(
            "there is no worker program {}: no ladder, no stills, no uploads",
            settings.worker.display()
        );
        return vec![Finding::Bad(gone, install)];
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(nova_transcode::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let inventory = nova_transcode::inventory(&settings).await?;
            Ok((inventory, nova_transcode::confined(&settings, &forbidden()).await?))
        })
    });
    let (inventory, attempts) = match asked {
        Ok(told) => told,
        Err(error) => {
            return vec![Finding::Bad(
                format!(
                    "the worker program {} does not work ({error})",
                    settings.worker.display()
                ),
                "install GStreamer 1.22 or newer with its base, good, bad, ugly and libav plug-ins",
            )];
        }
    };
    let mut findings = vec![match inventory.encoder() {
        Some(encoder) => Finding::Good(format!(
            "ladders are encoded by {}{}",
            encoder.name,
            if encoder.hardware { ", in hardware" } else { "" }
        )),
        None => Finding::Bad(
            "there is no H.264 encoder that works".into(),
            "install gstreamer1.0-plugins-ugly (x264enc) or a hardware encoder's plug-in",
        ),
    }];
    for found in inventory.unusable_hardware() {
        let why = found.why.as_deref().unwrap_or("nothing came out");
        findings.push(Finding::Note(
            format!(
                "the hardware encoder {} is installed and does not work here ({why})",
                found.name
            ),
            "check the card's driver and who may open its device; without it, the processor encodes",
        ));
    }
    let open: Vec<&str> = attempts
        .iter()
        .filter(|attempt| !attempt.refused)
        .map(|attempt| attempt.target.as_str())
        .collect();
    findings.push(if open.is_empty() {
        Finding::Good("workers are closed off: no other files, no network, no programs".into())
    } else {
        Finding::Note(
            format!("workers are not closed off here ({})", open.join(", ")),
            "decoders of strangers' files run there; use Linux 5.13 or newer with landlock and seccomp",
        )
    });
    for (codec, fix) in [
        ("h264", "install gstreamer1.0-libav"),
        ("hevc", "install gstreamer1.0-libav"),
        ("av1", "install gstreamer1.0-plugins-bad"),
        ("aac", "install gstreamer1.0-libav"),
        ("opus", "install gstreamer1.0-plugins-base"),
    ] {
        let works = inventory
            .found
            .iter()
            .any(|found| found.kind == "decoder" && found.codec == codec && found.works);
        if !works {
            findings.push(Finding::Note(
                format!("{codec} cannot be decoded here: sources in it get no ladder"),
                fix,
            ));
        }
    }
    findings
}

/// What a worker is asked to try.
fn forbidden() -> Vec<String> {
    let own = format!("read:/proc/{}/environ", std::process::id());
    let other = ["read:/etc/passwd", "udp:127.0.0.1:9", "run:/bin/true"];
    other.into_iter().map(str::to_owned).chain([own]).collect()
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
        PublishAuth::Key => Finding::Good(format!(
            "publishing takes a stream's key; {} more are configured",
            config.publish.keys.len()
        )),
    }
}
