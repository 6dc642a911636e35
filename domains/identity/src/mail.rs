//! What Nova writes to people about their account, and how it leaves.
//!
//! [`Message`] says what happened; [`render`] makes the subject, the text and the HTML of it, which always say the same. [`Mailer`] sends:
//! over SMTP, or, when none is configured, into `.eml` files that a mail program opens. Retries are the job queue's: an [`Error`] says
//! whether trying again can help. Secrets stand in links' fragments, which no server or proxy logs (ASVS 5.0 14.2.1).
//!
//! Mail to an address that nobody has proved yet carries no word that the sender of a request could choose: otherwise registration would
//! send anybody's advertising under Nova's name.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use nova_core::clock::Timestamp;
use nova_core::error::Kind;
use serde::Serialize;

use crate::random::Random;

/// How long a server may take to be reached, and for a whole message.
const CONNECT: Duration = Duration::from_secs(20);
const SEND: Duration = Duration::from_secs(60);

/// What happened. Times are shown in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody registered, or changes to, this address.
    VerifyAddress {
        /// Eight digits.
        code: String,
        /// The page that takes the secret from its fragment.
        link: String,
    },
    /// Somebody asked for a new password.
    PasswordReset {
        /// Eight digits.
        code: String,
        /// The page that takes the secret from its fragment.
        link: String,
    },
    /// Somebody registered with an address that has an account. It is told to its owner only (ASVS 6.3.8).
    AlreadyRegistered {
        /// The page to sign in or to choose a new password.
        link: String,
    },
    /// A login from a device not seen before (ASVS 6.3.5).
    NewDevice {
        /// What it calls itself.
        device: String,
        /// Where from, if it is known.
        place: Option<String>,
        /// When.
        at: Timestamp,
        /// The list of sessions.
        link: String,
    },
    /// A refresh token came twice: somebody else has a copy of the session, and it was ended.
    RefreshReuse {
        /// The session's device.
        device: String,
        /// When.
        at: Timestamp,
        /// The list of sessions.
        link: String,
    },
    /// ASVS 6.3.7.
    PasswordChanged {
        /// When.
        at: Timestamp,
        /// The page to choose a new password.
        link: String,
    },
    /// A way into the account was added, changed or taken away (ASVS 6.3.7).
    FactorChanged {
        /// What happened, as a sentence.
        what: String,
        /// When.
        at: Timestamp,
        /// The page of the account.
        link: String,
    },
    /// To the address that was (ASVS 6.3.7).
    AddressChangedFrom {
        /// The address that is.
        new: String,
        /// When.
        at: Timestamp,
        /// The page to undo it or to ask for help.
        link: String,
    },
    /// To the address that is.
    AddressChangedTo {
        /// When.
        at: Timestamp,
    },
    /// The account and what belonged to it are gone.
    AccountDeleted {
        /// When.
        at: Timestamp,
    },
    /// The archive that somebody asked for (GDPR Art. 15, 20).
    ExportReady {
        /// The page to fetch it, signed in.
        link: String,
        /// When it is deleted.
        until: Timestamp,
    },
}

/// Who writes.
#[derive(Clone, Debug, Serialize)]
pub struct Site {
    /// The site's name.
    pub name: String,
    /// Its address, `https://…`.
    pub url: String,
}

/// A message ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What it is, for logs and file names.
    pub kind: Cow<'static, str>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same in HTML.
    pub html: String,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Content<'a> {
    subject: String,
    before: Vec<String>,
    code: Option<&'a str>,
    action: Option<Action<'a>>,
    after: Vec<String>,
}

#[derive(Serialize)]
struct Context<'a> {
    site: &'a Site,
    #[serde(flatten)]
    content: &'a Content<'a>,
}

#[derive(Serialize)]
struct Action<'a> {
    label: &'static str,
    url: &'a str,
}

/// Foreign text as part of a sentence: one line, not long.
fn quote(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(100)
        .collect();
    line.trim().to_owned()
}

fn minute(at: Timestamp) -> String {
    let text = at.to_rfc3339_millis();
    format!("{} {} UTC", &text[..10], &text[11..16])
}

impl Message {
    /// What it is, for logs and file names.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::VerifyAddress { .. } => "verify-address",
            Self::PasswordReset { .. } => "password-reset",
            Self::AlreadyRegistered { .. } => "already-registered",
            Self::NewDevice { .. } => "new-device",
            Self::RefreshReuse { .. } => "refresh-reuse",
            Self::PasswordChanged { .. } => "password-changed",
            Self::FactorChanged { .. } => "factor-changed",
            Self::AddressChangedFrom { .. } => "address-changed-from",
            Self::AddressChangedTo { .. } => "address-changed-to",
            Self::AccountDeleted { .. } => "account-deleted",
            Self::ExportReady { .. } => "export-ready",
        }
    }

    fn content<'a>(&'a self, site: &Site) -> Content<'a> {
        let name = &site.name;
        let content =
            |subject: String, before: &[String], code, action: Option<(&'static str, &'a str)>, after: &[&str]| {
                Content {
                    subject,
                    before: before.to_vec(),
                    code,
                    action: action.map(|(label, url)| Action { label, url }),
                    after: after.iter().map(|&text| text.to_owned()).collect(),
                }
            };
        match self {
            Self::VerifyAddress { code, link } => content(
                format!("Confirm your address for {name}"),
                &[format!(
                    "Type this code to confirm that this address is yours. It is good for ten minutes, on {name} only."
                )],
                Some(code),
                Some(("Or follow this link", link)),
                &["If you did not ask for it, ignore this message: without the code nothing happens."],
            ),
            Self::PasswordReset { code, link } => content(
                format!("Choose a new password for {name}"),
                &[format!(
                    "Somebody asked for a new password for your account on {name}. The code is good for ten minutes."
                )],
                Some(code),
                Some(("Choose a new password", link)),
                &["If it was not you, ignore this message: your password stays as it is. Tell the code to nobody."],
            ),
            Self::AlreadyRegistered { link } => content(
                format!("You have an account on {name} already"),
                &[format!(
                    "Somebody tried to register on {name} with this address. It has an account already, so nothing was changed."
                )],
                None,
                Some(("Sign in, or choose a new password", link)),
                &["If it was not you, ignore this message."],
            ),
            Self::NewDevice {
                device,
                place,
                at,
                link,
            } => {
                let place = place
                    .as_ref()
                    .map_or_else(String::new, |place| format!(", near {}", quote(place)));
                content(
                    format!("New sign-in to {name}"),
                    &[format!(
                        "Your account was signed in to on {}{place}, from: {}",
                        minute(*at),
                        quote(device)
                    )],
                    None,
                    Some(("Look at your sessions", link)),
                    &["If it was not you, end that session and choose a new password."],
                )
            }
            Self::RefreshReuse { device, at, link } => content(
                format!("A session on {name} was ended for your safety"),
                &[
                    format!(
                        "On {} somebody used a copy of your session on: {}",
                        minute(*at),
                        quote(device)
                    ),
                    "We cannot tell who had the copy, so the session was ended everywhere. Please sign in again."
                        .to_owned(),
                ],
                None,
                Some(("Look at your sessions", link)),
                &["If you see one that you do not know, end it and choose a new password."],
            ),
            Self::PasswordChanged { at, link } => content(
                format!("Your password for {name} was changed"),
                &[format!("The password of your account was changed on {}.", minute(*at))],
                None,
                Some(("If it was not you, choose a new one", link)),
                &[],
            ),
            Self::FactorChanged { what, at, link } => content(
                format!("The ways into your account on {name} have changed"),
                &[format!("{what} on {}.", minute(*at))],
                None,
                Some(("Look at your account", link)),
                &["If it was not you, choose a new password at once: that ends every other session."],
            ),
            Self::AddressChangedFrom { new, at, link } => content(
                format!("Your address on {name} was changed"),
                &[format!(
                    "Since {} your account uses the address {} instead of this one.",
                    minute(*at),
                    quote(new)
                )],
                None,
                Some(("If it was not you, tell us", link)),
                &[],
            ),
            Self::AddressChangedTo { at } => content(
                format!("This is your address on {name} now"),
                &[format!(
                    "Since {} your account uses this address. The old one was told, too.",
                    minute(*at)
                )],
                None,
                None,
                &[],
            ),
            Self::AccountDeleted { at } => content(
                format!("Your account on {name} was deleted"),
                &[format!(
                    "Your account and what belonged to it were deleted on {}. This is the last message to this address.",
                    minute(*at)
                )],
                None,
                None,
                &[],
            ),
            Self::ExportReady { link, until } => content(
                format!("Your data from {name} is ready"),
                &[format!(
                    "The archive that you asked for can be fetched until {}. You will be asked to sign in.",
                    minute(*until)
                )],
                None,
                Some(("Fetch the archive", link)),
                &["If you did not ask for it, choose a new password: somebody else is signed in as you."],
            ),
        }
    }
}

/// A template does not render: a defect.
#[derive(Debug, thiserror::Error)]
#[error("render a message: {0}")]
pub struct TemplateFailed(#[from] minijinja::Error);

/// Renders a message.
pub fn render(site: &Site, message: &Message) -> Result<Rendered, TemplateFailed> {
    let content = message.content(site);
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") {
            AutoEscape::Html
        } else {
            AutoEscape::None
        }
    });
    let context = Context {
        site,
        content: &content,
    };
    let one = |name, source| environment.render_named_str(name, source, Serde(&context));
    Ok(Rendered {
        kind: message.kind().into(),
        text: one("message.txt", include_str!("../templates/message.txt"))?,
        html: one("message.html", include_str!("../templates/message.html"))?,
        subject: content.subject,
    })
}

/// Why a message did not leave.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is no way to send mail. The URL is not shown: it may hold a password.
    #[error("mail.url must be smtp://user:password@host:port or smtps://…: {0}")]
    Url(#[source] lettre::transport::smtp::Error),
    /// Not an address.
    #[error("{what} is not an e-mail address")]
    Address {
        /// Which one.
        what: &'static str,
    },
    /// The message cannot be put together.
    #[error("compose a message: {0}")]
    Compose(#[from] lettre::error::Error),
    /// The server said no, for good (RFC 5321 section 4.2.1: 5yz).
    #[error("the mail server refused the message: {0}")]
    Refused(#[source] lettre::transport::smtp::Error),
    /// The server cannot be reached, or said not now.
    #[error("the mail server cannot take the message now: {0}")]
    NotNow(#[source] lettre::transport::smtp::Error),
    /// The server was asked and did not answer.
    #[error("the mail server did not take the message within {} s", .0.as_secs())]
    Silent(Duration),
    /// The file cannot be written.
    #[error("write a message to {}: {source}", .path.display())]
    File {
        /// Its place.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether sending the same message later can help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::NotNow(_) | Self::Silent(_) | Self::File { .. })
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Address { .. } => Kind::Invalid,
            Self::NotNow(_) | Self::File { .. } => Kind::Unavailable,
            Self::Silent(_) => Kind::TimedOut,
            _ => Kind::Internal,
        }
    }
}

/// `Auto-Submitted: auto-generated` (RFC 3834 section 5): no out-of-office answers, please.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Sends messages from one address.
#[derive(Debug)]
pub struct Mailer {
    from: Mailbox,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    Files { dir: PathBuf, count: AtomicU64 },
}

impl Mailer {
    /// Through a mail server: `smtps://user:password@host` is TLS from the first byte (RFC 8314), `smtp://` is STARTTLS. With a password
    /// or `?tls=required` nothing leaves unencrypted; without, `smtp://` falls back to plain text where the server knows no TLS. To this machine
    /// (`127.0.0.1`, `localhost`, `[::1]`) `smtp://` is plain text.
    pub fn smtp(url: &str, from_name: &str, from: &str) -> Result<Self, Error> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&with_tls(url))
            .map_err(Error::Url)?
            .timeout(Some(CONNECT))
            .pool_config(PoolConfig::new().max_size(4));
        Ok(Self {
            from: mailbox(from_name, from)?,
            way: Way::Smtp(Box::new(transport.build())),
        })
    }

    /// Into files in `dir`, named by time.
    pub fn files(dir: &Path, from_name: &str, from: &str) -> Result<Self, Error> {
        Ok(Self {
            from: mailbox(from_name, from)?,
            way: Way::Files {
                dir: dir.to_owned(),
                count: AtomicU64::new(0),
            },
        })
    }

    /// Sends one message. Whoever calls it again after an error may send it twice.
    pub async fn send(&self, to: &str, message: &Rendered, now: Timestamp, random: &Random) -> Result<(), Error> {
        let to = Mailbox::new(None, to.parse().map_err(|_| Error::Address { what: "the recipient" })?);
        let date = UNIX_EPOCH + Duration::from_micros(u64::try_from(now.0).unwrap_or_default());
        let id = format!(
            "<{}@{}>",
            HEXLOWER.encode(&random.bytes::<16>()),
            self.from.email.domain()
        );
        let composed = lettre::Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&message.subject)
            .date(date)
            .message_id(Some(id))
            .header(AutoSubmitted)
            .multipart(MultiPart::alternative_plain_html(
                message.text.clone(),
                message.html.clone(),
            ))?;
        match &self.way {
            // lettre bounds the connecting only: a server that falls silent later would be waited for without end.
            Way::Smtp(transport) => match tokio::time::timeout(SEND, transport.send(composed)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) if error.is_permanent() => Err(Error::Refused(error)),
                Ok(Err(error)) => Err(Error::NotNow(error)),
                Err(_) => Err(Error::Silent(SEND)),
            },
            Way::Files { dir, count } => {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let name = format!(
                    "{}-{number:06}-{}.eml",
                    now.to_rfc3339_millis().replace(':', "-"),
                    message.kind
                );
                let path = dir.join(name);
                let bytes = composed.formatted();
                let written = {
                    let path = path.clone();
                    tokio::task::spawn_blocking(move || write(&path, &bytes)).await
                };
                let failed = |source| Error::File {
                    path: path.clone(),
                    source,
                };
                written
                    .map_err(|error| failed(std::io::Error::other(error)))?
                    .map_err(failed)?;
                tracing::info!(file = %path.display(), "no mail server is configured (mail.url): the message is in a file");
                Ok(())
            }
        }
    }
}

fn mailbox(name: &str, address: &str) -> Result<Mailbox, Error> {
    let address: Address = address.parse().map_err(|_| Error::Address { what: "mail.from" })?;
    Ok(Mailbox::new(Some(name.to_owned()), address))
}

/// The URL with the TLS that its host and password ask for, where it says nothing itself.
fn with_tls(url: &str) -> String {
    let Some(rest) = url.strip_prefix("smtp://").filter(|rest| !rest.contains("tls=")) else {
        return url.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    let local = ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| {
        host.strip_prefix(local)
            .is_some_and(|port| port.is_empty() || port.starts_with(':'))
    });
    if local {
        return url.to_owned();
    }
    let tls = if user.is_some() { "required" } else { "opportunistic" };
    let joint = if rest.contains('?') { '&' } else { '?' };
    format!("{url}{joint}tls={tls}")
}

/// A file that is there whole or not at all, and that only its owner reads: it may hold a code.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let unfinished = path.with_extension("tmp");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(1_795_478_399_000_000);

    fn site() -> Site {
        Site {
            name: "Nova".to_owned(),
            url: "https://nova.example".to_owned(),
        }
    }

    fn all() -> Vec<Message> {
        let (code, device) = ("12345678".to_owned(), "Firefox on Debian".to_owned());
        let link = |page: &str| format!("https://nova.example/{page}");
        vec![
            Message::VerifyAddress {
                code: code.clone(),
                link: link("verify#token=nova_ln_x"),
            },
            Message::PasswordReset {
                code,
                link: link("reset#token=nova_ln_x"),
            },
            Message::AlreadyRegistered { link: link("login") },
            Message::NewDevice {
                device: device.clone(),
                place: Some("Lyon, France".to_owned()),
                at: AT,
                link: link("sessions"),
            },
            Message::RefreshReuse {
                device,
                at: AT,
                link: link("sessions"),
            },
            Message::PasswordChanged {
                at: AT,
                link: link("reset"),
            },
            Message::FactorChanged {
                what: "A passkey was added to your account".to_owned(),
                at: AT,
                link: link("account"),
            },
            Message::AddressChangedFrom {
                new: "new@example.org".to_owned(),
                at: AT,
                link: link("help"),
            },
            Message::AddressChangedTo { at: AT },
            Message::AccountDeleted { at: AT },
            Message::ExportReady {
                link: link("export"),
                until: AT,
            },
        ]
    }

    #[test]
    fn every_message_reads_well_as_text() {
        let texts: Vec<String> = all()
            .iter()
            .map(|message| render(&site(), message).unwrap())
            .map(|message| {
                format!(
                    "==== {}\nSubject: {}\n\n{}",
                    message.kind, message.subject, message.text
                )
            })
            .collect();
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_message_in_html_says_the_same() {
        let message = render(&site(), &all()[0]).unwrap();
        insta::assert_snapshot!(message.html);
        for message in all() {
            let message = render(&site(), &message).unwrap();
            for line in message
                .text
                .lines()
                .filter(|line| line.len() > 8 && !line.contains("://"))
            {
                let line = line.trim().trim_end_matches(':').replace('\'', "&#x27;");
                assert!(message.html.contains(&line), "{}: {line}", message.kind);
            }
        }
    }

    #[test]
    fn foreign_words_are_text_whatever_they_look_like() {
        let message = Message::NewDevice {
            device: "<img src=x onerror=alert(1)>\"'&\r\n\r\nPay here: {{ site.url }}".to_owned() + &"x".repeat(500),
            place: None,
            at: AT,
            link: "https://nova.example/?a=\"><script>".to_owned(),
        };
        let message = render(&site(), &message).unwrap();
        assert!(
            !message.html.contains("<img") && !message.html.contains("<script"),
            "{}",
            message.html
        );
        assert!(
            message
                .html
                .contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;"),
            "{}",
            message.html
        );
        assert!(
            !message.text.contains("\nPay") && message.text.contains("{{ site.url }}"),
            "{}",
            message.text
        );
        assert!(message.text.len() < 500);
    }

    #[test]
    fn passwords_do_not_travel_in_the_clear() {
        for (url, used) in [
            ("smtp://mail.example:587", "smtp://mail.example:587?tls=opportunistic"),
            ("smtp://u:p@mail.example", "smtp://u:p@mail.example?tls=required"),
            (
                "smtp://u:p@mail.example?tls=opportunistic",
                "smtp://u:p@mail.example?tls=opportunistic",
            ),
            (
                "smtp://u:p@localhost.evil.example:25",
                "smtp://u:p@localhost.evil.example:25?tls=required",
            ),
            ("smtp://u:p@127.0.0.1:4025", "smtp://u:p@127.0.0.1:4025"),
            ("smtp://[::1]:25", "smtp://[::1]:25"),
            ("smtps://u:p@mail.example", "smtps://u:p@mail.example"),
        ] {
            assert_eq!(with_tls(url), used);
        }
        let error = Mailer::smtp("http://u:hunter2@mail.example", "Nova", "nova@nova.example").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn without_a_server_messages_are_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mailer = Mailer::files(&dir.path().join("mail"), "Nova", "nova@nova.example").unwrap();
        let random = Random::seeded(1);
        for message in [&all()[0], &all()[1]] {
            mailer
                .send("bob@example.org", &render(&site(), message).unwrap(), AT, &random)
                .await
                .unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path().join("mail"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "2026-11-23T23-59-59.000Z-000000-verify-address.eml",
                "2026-11-23T23-59-59.000Z-000001-password-reset.eml"
            ]
        );
        let eml = std::fs::read_to_string(dir.path().join("mail").join(&names[0])).unwrap();
        for part in [
            "From: Nova <nova@nova.example>\r\n",
            "To: bob@example.org\r\n",
            "Subject: Confirm your address for Nova\r\n",
            "Date: Mon, 23 Nov 2026 23:59:59 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "multipart/alternative",
            "12345678",
        ] {
            assert!(eml.contains(part), "{part}: {eml}");
        }
        let error = mailer
            .send("nobody", &render(&site(), &all()[0]).unwrap(), AT, &random)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    }
}
