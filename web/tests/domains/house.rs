//! The domains on one database, with nothing on air, and people whose tokens a test gives out itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use nova_core::clock::{Clock, Timestamp};
use nova_core::live::{Hub, HubConfig, SecondPublisher};
use nova_core::publish::StaticAuthorizer;
use nova_core::store::BoxFuture;
use nova_domain::db::{Db, Id, SessionId, UserId};
use nova_domain::http::caller::{self, Authenticator, Caller, Proof, Refused};
use nova_domain::http::limit::Limits;
use nova_domain::outbox::Relay;
use nova_domain::testing::TestDb;
use nova_domain::{Context, Domain, Role};
use nova_identity::{Identity, Outgoing, ProviderConfig};
use nova_media::{Live, MadePicture, Media, PictureError, PictureFile, PictureKind, Pictures, Purge, PurgeError};
use serde_json::{Value, json};
use tower::ServiceExt;
use utoipa_axum::router::OpenApiRouter;

const START: Timestamp = Timestamp(1_795_478_399_000_000);

/// Makes one size of whatever it is given.
struct Painter;

impl Pictures for Painter {
    fn make(&self, file: Bytes, _kind: PictureKind, _most: u64) -> BoxFuture<'_, Result<MadePicture, PictureError>> {
        let made = MadePicture {
            width: 256,
            height: 256,
            hash: [0; 32],
            files: vec![PictureFile {
                name: "256.jpg".into(),
                width: 256,
                height: 256,
                media_type: "image/jpeg",
                bytes: file,
            }],
        };
        Box::pin(std::future::ready(Ok(made)))
    }
}

/// A CDN that is never reached.
struct Silent;

impl Purge for Silent {
    fn begin<'a>(&'a self, _reference: &'a str, _paths: &'a [String]) -> BoxFuture<'a, Result<String, PurgeError>> {
        Box::pin(std::future::pending())
    }

    fn is_done<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<bool, PurgeError>> {
        Box::pin(std::future::pending())
    }

    fn most(&self) -> (usize, usize) {
        (1, 1)
    }
}

/// The domains as the binary builds them, joined.
pub(crate) async fn domains(context: &Context, data_dir: &std::path::Path) -> (Identity, Vec<Domain>) {
    let outgoing = Outgoing {
        url: String::new(),
        from: "nova@example.net".into(),
        name: "Nova".into(),
    };
    let facebook = ProviderConfig {
        client_id: "nova".into(),
        client_secret: "s3cret".into(),
        notices: true,
        ..ProviderConfig::default()
    };
    let config = nova_identity::Config {
        providers: BTreeMap::from([("facebook".to_owned(), facebook)]),
        ..nova_identity::Config::default()
    };
    let directory = nova_users::directory(context.db.clone(), &context.public_url);
    let (identity, accounts) = Identity::new(context, config, &outgoing, data_dir, Arc::clone(&directory))
        .await
        .unwrap();
    let hub = HubConfig {
        reconnect: Duration::ZERO,
        second_publisher: SecondPublisher::TakeOver,
    };
    let nothing_on_air = Live {
        hub: Hub::new(context.clock.clone(), hub).0,
        look: Arc::new(|_| None),
        library: Arc::new(nova_media::Nowhere),
        pictures: Arc::new(Painter),
        store: Arc::new(nova_cdn::LocalStore::open(&data_dir.join("media")).unwrap()),
        ingest_url: "rtmp://nova.example/live".into(),
        media_url: "https://cdn.example".into(),
        sign: Some(Arc::new(|base, place, until| {
            Some(nova_media::Signature {
                base: format!("{base}{place}"),
                query: format!("Policy={place}&Expires={until}"),
                cookies: vec![("CloudFront-Policy", place.to_owned())],
            })
        })),
        purge: Some(Arc::new(Silent)),
    };
    let (media, streams) = Media::new(
        context,
        nova_media::Config::default(),
        nothing_on_air,
        StaticAuthorizer::Open,
        data_dir,
        directory,
        identity.accounts(),
    )
    .unwrap();
    let users = nova_users::domain(
        context,
        nova_users::Config::default(),
        identity.accounts(),
        media.images,
        vec![media.reportable],
    );
    (identity, vec![accounts, users, streams])
}

pub(crate) fn context(db: &Db, clock: Clock) -> Context {
    Context {
        db: db.clone(),
        clock,
        limits: Limits::new(0),
        public_url: "https://nova.example".into(),
        personal: Arc::default(),
    }
}

/// Whose token is which: the matrix is about what callers may do, and says itself who they are.
#[derive(Default)]
struct Tokens(Mutex<HashMap<String, Caller>>);

impl Authenticator for Tokens {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, Refused>> {
        let known = self.0.lock().unwrap().get(token).cloned();
        Box::pin(std::future::ready(known.ok_or(Refused::Invalid)))
    }
}

/// Somebody with an account, and what opens it.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) name: String,
    pub(crate) token: String,
    /// Sets a first password, once.
    invitation: String,
}

pub(crate) struct House {
    pub(crate) api: Value,
    db: TestDb,
    clock: Clock,
    identity: Identity,
    router: Router,
    relay: Arc<Relay>,
    tokens: Arc<Tokens>,
    passwords: Mutex<HashSet<UserId>>,
    _data: tempfile::TempDir,
}

/// One line of captions.
pub(crate) const CAPTIONS: &str = "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n";

pub(crate) const PASSWORD: &str = "a rather long phrase of mine";

impl House {
    pub(crate) async fn new(db: TestDb) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let context = context(&db.db, clock.clone());
        let (identity, domains) = domains(&context, data.path()).await;
        Domain::join(&domains, &context);
        let (mut routes, mut root) = (OpenApiRouter::new(), OpenApiRouter::new());
        for domain in domains {
            routes = routes.nest("/api/v1", domain.routes);
            root = root.merge(domain.root);
        }
        let (router, api) = routes.merge(root).split_for_parts();
        let tokens = Arc::new(Tokens::default());
        let authenticator: Arc<dyn Authenticator> = Arc::clone(&tokens) as _;
        Self {
            api: serde_json::to_value(api).unwrap(),
            relay: Relay::new(db.db.clone(), clock.clone()),
            router: router.layer(axum::middleware::from_fn_with_state(authenticator, caller::identify)),
            db,
            clock,
            identity,
            tokens,
            passwords: Mutex::default(),
            _data: data,
        }
    }

    /// Somebody new, with a session that has just begun.
    pub(crate) async fn person(&self, name: &str, role: Role) -> Person {
        let email = format!("{name}@example.org");
        let (id, invitation) = self
            .identity
            .create_user(&email, name, role == Role::Admin)
            .await
            .unwrap();
        let now = self.clock.now();
        let caller = Caller {
            user: id,
            session: SessionId::new(now),
            role,
            proof: Proof::Session,
            authenticated_at: now,
            suspended: false,
        };
        self.run(&format!(
            "UPDATE identity_users SET role = '{}' WHERE id = '{id}'",
            role.as_str()
        ))
        .await;
        self.session(caller.session, id).await;
        let token = format!("token-of-{name}");
        self.tokens.0.lock().unwrap().insert(token.clone(), caller);
        Person {
            id,
            name: name.to_owned(),
            token,
            invitation,
        }
    }

    /// Another way in which `person` asks.
    pub(crate) fn as_well(&self, person: &Person, name: &str, change: impl FnOnce(&mut Caller)) -> Person {
        let mut tokens = self.tokens.0.lock().unwrap();
        let mut caller = tokens[&person.token].clone();
        change(&mut caller);
        let token = format!("{}-{name}", person.token);
        tokens.insert(token.clone(), caller);
        Person {
            token,
            ..person.clone()
        }
    }

    pub(crate) fn change(&self, person: &Person, change: impl FnOnce(&mut Caller)) {
        change(self.tokens.0.lock().unwrap().get_mut(&person.token).unwrap());
    }

    pub(crate) async fn suspend(&self, person: &Person) {
        let now = self.clock.now();
        let mut tx = self.db.begin().await.unwrap();
        self.identity
            .accounts()
            .suspend(&mut tx, person.id, Some(Timestamp(i64::MAX)), now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.change(person, |caller| caller.suspended = true);
    }

    /// Gives `person` the password of this test, if they have none yet.
    pub(crate) async fn set_password(&self, person: &Person) {
        if !self.passwords.lock().unwrap().insert(person.id) {
            return;
        }
        let body = json!({ "token": person.invitation, "password": PASSWORD });
        let body = (Some("application/json"), body.to_string());
        let (status, answer) = self
            .send(None, "POST", "/api/v1/auth/password-reset/confirm", body, &[])
            .await;
        assert_eq!(status, 200, "{answer}");
        // A reset ends every session; those of this test go on.
        self.run(&format!(
            "UPDATE identity_sessions SET ended_at = NULL WHERE user_id = '{}'",
            person.id
        ))
        .await;
    }

    async fn session(&self, id: SessionId, user: UserId) {
        let now = self.clock.now().0;
        self.run(&format!(
            "INSERT INTO identity_sessions (id, user_id, device_name, user_agent, amr, authenticated_at, created_at, last_seen_at, expires_at) VALUES \
             ('{id}', '{user}', '', '', 'pwd', {now}, {now}, {now}, {})",
            now + 86_400_000_000
        ))
        .await;
    }

    /// Writes a row of somebody's that no request can make by itself; its id.
    async fn row(&self, sql: impl FnOnce(&str, i64) -> String) -> String {
        let now = self.clock.now();
        let id = Id::<Self>::new(now).to_string();
        self.run(&sql(&id, now.0)).await;
        id
    }

    async fn run(&self, sql: &str) {
        let mut tx = self.db.begin().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// One request: its status, and its body where that is JSON.
    pub(crate) async fn send(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        (kind, body): (Option<&str>, String),
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let (response, body) = self.send_whole(token, method, path, (kind, body), headers).await;
        (response.status.as_u16(), body)
    }

    async fn send_whole(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        (kind, body): (Option<&str>, String),
        headers: &[(&str, &str)],
    ) -> (http::response::Parts, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// A request of JSON that must succeed.
    pub(crate) async fn must(&self, who: &Person, method: &str, path: &str, body: Option<Value>) -> Value {
        let kind = body.is_some().then_some("application/json");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let path = format!("/api/v1{path}");
        let (status, answer) = self.send(Some(&who.token), method, &path, (kind, body), &[]).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Makes what `name` stands for in the table, of `owner`; its id.
    pub(crate) async fn make(&self, name: &str, owner: &Person, other: &Person, moderator: &Person) -> String {
        let id_of = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let user = owner.id;
        match name {
            "stream" | "private_stream" => {
                let visibility = if name == "stream" { "public" } else { "private" };
                let new = json!({ "title": "My show", "visibility": visibility });
                let made = self.must(owner, "POST", "/streams", Some(new)).await;
                id_of(&made)
            }
            "video" | "private_video" | "draft" | "failed" => {
                let (visibility, status) = match name {
                    "video" => ("public", "ready"),
                    "private_video" => ("private", "ready"),
                    "draft" => ("public", "processing"),
                    _ => ("public", "failed"),
                };
                let upload = Id::<Self>::new(self.clock.now());
                self.row(|id, now| {
                    format!(
                        "INSERT INTO media_videos (id, owner_user_id, source, folder, title, description, visibility, status, progress, error, \
                         duration_us, width, height, bytes, upload_id, created_at) VALUES ('{id}', '{user}', 'upload', 'u{id}', 'A film', '', \
                         '{visibility}', '{status}', 0, '', 60000000, 0, 0, 0, '{upload}', {now})"
                    )
                })
                .await
            }
            "invalidation" => {
                self.row(|id, now| {
                    format!(
                        "INSERT INTO media_invalidations (id, reason, paths, status, created_at, available_at) VALUES ('{id}', 'asked', \
                         '[\"/x\"]', 'pending', {now}, {now})"
                    )
                })
                .await
            }
            "captioned" => {
                let video = Box::pin(self.make("video", owner, other, moderator)).await;
                let path = format!("/api/v1/videos/{video}/captions/en");
                let captions = (Some("text/vtt"), CAPTIONS.to_owned());
                let (status, answer) = self.send(Some(&owner.token), "PUT", &path, captions, &[]).await;
                assert_eq!(status, 200, "{answer}");
                video
            }
            "upload" => {
                self.run(&format!("DELETE FROM media_uploads WHERE owner_user_id = '{user}'"))
                    .await;
                let headers = [("tus-resumable", "1.0.0"), ("upload-length", "5")];
                let nothing = (None, String::new());
                let (made, _) = self
                    .send_whole(Some(&owner.token), "POST", "/api/v1/uploads", nothing, &headers)
                    .await;
                let location = made.headers["location"].to_str().unwrap();
                location.rsplit('/').next().unwrap().to_owned()
            }
            "image" => {
                let picture = (Some("image/png"), "picture".to_owned());
                let (_, made) = self
                    .send(Some(&owner.token), "POST", "/api/v1/images?kind=avatar", picture, &[])
                    .await;
                id_of(&made)
            }
            "session" => {
                let id = SessionId::new(self.clock.now());
                self.session(id, user).await;
                id.to_string()
            }
            "token" => {
                let new = json!({ "name": "mine", "scopes": ["read"] });
                id_of(&self.must(owner, "POST", "/auth/tokens", Some(new)).await)
            }
            "passkey" | "link" => {
                let passkey = |id: &str, now: i64| {
                    format!(
                        "INSERT INTO identity_passkeys (id, user_id, name, credential_id, credential, created_at) VALUES ('{id}', '{user}', 'mine', \
                         '{id}', '', {now})"
                    )
                };
                // There are two, for the last way in stays.
                let one = self.row(passkey).await;
                if name == "passkey" {
                    self.row(passkey).await;
                    return one;
                }
                self.row(|id, now| {
                    format!(
                        "INSERT INTO identity_links (id, user_id, provider, issuer, subject, created_at) VALUES ('{id}', '{user}', 'facebook', \
                         'https://www.facebook.com', '{id}', {now})"
                    )
                })
                .await
            }
            "export" => {
                let id = id_of(&self.must(owner, "POST", "/auth/exports", None).await);
                self.relay.drain().await.unwrap();
                id
            }
            "request" => {
                let private = json!({ "privacy_level": "private" });
                self.must(owner, "PUT", "/users/me/preferences", Some(private)).await;
                self.must(other, "PUT", &format!("/users/{user}/follow"), None).await;
                other.id.to_string()
            }
            "report" => {
                // Reported again before anybody has decided, it would be the same report.
                self.run(&format!("DELETE FROM users_reports WHERE subject_id = '{user}'"))
                    .await;
                let new = json!({ "target_type": "user", "target_id": user.to_string(), "reason": "spam" });
                id_of(&self.must(other, "POST", "/reports", Some(new)).await)
            }
            "strike" | "appeal" => {
                let warn = format!("/moderation/users/{user}/warn");
                let warned = self
                    .must(moderator, "POST", &warn, Some(json!({ "statement": "why" })))
                    .await;
                let strike = id_of(&warned["strike"]);
                if name == "strike" {
                    return strike;
                }
                let new = json!({ "strike_id": strike, "text": "no" });
                id_of(&self.must(owner, "POST", "/users/me/appeals", Some(new)).await)
            }
            other => panic!("nobody knows how to make a {other}"),
        }
    }
}
