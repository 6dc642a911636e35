//! The domain by itself, on both engines, with a hub whose clock stands still: its routes, its authorizer, its task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use nova_core::clock::{Clock, Timestamp};
use nova_core::live::{Hub, HubConfig, Publisher, SecondPublisher, Status};
use nova_core::media::{Codec, Frame, Media as Kind, Track, TrackId};
use nova_core::publish::{Denied, PublishRequest, StaticAuthorizer};
use nova_core::store::{BoxFuture, ObjectStore, StoreError};
use nova_domain::accounts::{Accounts, Directory, Standing};
use nova_domain::db::{Error, SessionId, Tx, UserId};
use nova_domain::http::caller::{Caller, Proof, known};
use nova_domain::http::limit::Limits;
use nova_domain::outbox::Relay;
use nova_domain::personal::Personal;
use nova_domain::testing::{self, Names, TestDb};
use nova_domain::{Context, Domain, Role, Task};
use nova_media::{
    Config, Cut, Facts, Health, Kept, Library, Live, MadePicture, MakeError, Media, OnAir, PictureError, PictureFile,
    PictureKind, Pictures, Purge, PurgeError,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Accounts as a test wants them.
#[derive(Default)]
pub(crate) struct Standings(pub(crate) Mutex<HashMap<UserId, Option<Timestamp>>>);

impl Accounts for Standings {
    fn standing(&self, user: UserId) -> BoxFuture<'_, Result<Option<Standing>, Error>> {
        let known = self.0.lock().unwrap().get(&user).copied();
        let standing = known.map(|suspended_until| Standing {
            role: Role::Viewer,
            suspended_until,
            created_at: Timestamp(0),
        });
        Box::pin(std::future::ready(Ok(standing)))
    }

    fn suspend<'a>(
        &'a self,
        _tx: &'a mut Tx,
        user: UserId,
        until: Option<Timestamp>,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.0.lock().unwrap().insert(user, until);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A library as a test wants it: what is in each folder, what was removed, and what was cut.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) kept: Mutex<HashMap<String, Kept>>,
    pub(crate) removed: Mutex<Vec<String>>,
    pub(crate) cuts: Mutex<Vec<Cut>>,
    pub(crate) storyboards: Mutex<Vec<String>>,
    /// Nothing can be removed.
    pub(crate) is_away: std::sync::atomic::AtomicBool,
}

impl Library for Shelf {
    fn make<'a>(
        &'a self,
        folder: &'a str,
        source: &'a std::path::Path,
        _progress: Arc<std::sync::atomic::AtomicU8>,
    ) -> BoxFuture<'a, Result<Facts, MakeError>> {
        Box::pin(async move {
            let file = tokio::fs::read(source)
                .await
                .map_err(|error| MakeError::Machine(error.into()))?;
            if file.starts_with(b"rubbish") {
                return Err(MakeError::Input("this file cannot be read".into()));
            }
            self.kept
                .lock()
                .unwrap()
                .insert(folder.to_owned(), Kept::Whole(Facts::default()));
            Ok(Facts {
                bytes: file.len() as u64,
                ..Facts::default()
            })
        })
    }

    fn clip<'a>(&'a self, _folder: &'a str, cut: &'a Cut) -> BoxFuture<'a, Result<Facts, MakeError>> {
        self.cuts.lock().unwrap().push(cut.clone());
        Box::pin(std::future::ready(Ok(Facts {
            duration_us: cut.end_us - cut.start_us,
            bytes: 77,
            ..Facts::default()
        })))
    }

    fn storyboard<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<bool>> {
        self.storyboards.lock().unwrap().push(folder.to_owned());
        Box::pin(std::future::ready(Ok(true)))
    }

    fn kept<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<Kept>> {
        let kept = self.kept.lock().unwrap().get(folder).cloned();
        Box::pin(std::future::ready(Ok(kept.unwrap_or(Kept::Nothing))))
    }

    fn remove<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        let away = self.is_away.load(std::sync::atomic::Ordering::SeqCst);
        if !away {
            self.removed.lock().unwrap().push(folder.to_owned());
        }
        Box::pin(std::future::ready(
            (!away)
                .then_some(())
                .ok_or_else(|| anyhow::anyhow!("the store is away")),
        ))
    }
}

/// Makes of a file that begins with `picture` two sizes that hold it, and knows no other.
pub(crate) struct Painter;

impl Pictures for Painter {
    fn make(
        &self,
        file: Bytes,
        _kind: PictureKind,
        most_pixels: u64,
    ) -> BoxFuture<'_, Result<MadePicture, PictureError>> {
        assert!(most_pixels > 0);
        let sized = |width: u32| PictureFile {
            name: format!("{width}.jpg"),
            width,
            height: width,
            media_type: "image/jpeg",
            bytes: file.clone(),
        };
        let made = match &file[..] {
            b"damaged" => Err(PictureError::Refused("the picture is damaged".into())),
            b"one too many" => Err(PictureError::Busy),
            other if other.starts_with(b"picture") => Ok(MadePicture {
                width: 600,
                height: 600,
                hash: [file.len().to_le_bytes()[0]; 32],
                files: vec![sized(512), sized(256)],
            }),
            _ => Err(PictureError::Unknown("this is no picture".into())),
        };
        Box::pin(std::future::ready(made))
    }
}

/// A store in memory, whose disk may be full.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) kept: Mutex<std::collections::BTreeMap<String, Bytes>>,
    pub(crate) full: std::sync::atomic::AtomicBool,
}

impl ObjectStore for Objects {
    fn put<'a>(&'a self, key: &'a str, pieces: Vec<Bytes>) -> BoxFuture<'a, Result<(), StoreError>> {
        let full = self.full.load(std::sync::atomic::Ordering::Relaxed);
        let stored = if full && key.ends_with("256.jpg") {
            Err(StoreError::Full {
                key: key.to_owned(),
                source: std::io::ErrorKind::StorageFull.into(),
            })
        } else {
            self.kept.lock().unwrap().insert(key.to_owned(), pieces.concat().into());
            Ok(())
        };
        Box::pin(std::future::ready(stored))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        let object = self.kept.lock().unwrap().get(key).cloned();
        Box::pin(std::future::ready(
            object.ok_or_else(|| StoreError::NotFound(key.to_owned())),
        ))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.kept.lock().unwrap().remove(key);
        Box::pin(std::future::ready(Ok(())))
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.kept.lock().unwrap().retain(|key, _| !key.starts_with(prefix));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A CDN as a test wants it: what it was told, by which reference, and how it answers.
#[derive(Default)]
pub(crate) struct Cdn {
    /// Reference, paths, and whether it is done, in the order in which they were begun.
    pub(crate) begun: Mutex<Vec<(String, Vec<String>, bool)>>,
    /// How the next calls fail.
    pub(crate) fails: Mutex<std::collections::VecDeque<PurgeError>>,
    /// Calls that came, those that failed and those that were the same again included.
    pub(crate) calls: std::sync::atomic::AtomicUsize,
    /// What it takes, and never answers.
    pub(crate) is_silent: std::sync::atomic::AtomicBool,
}

impl Cdn {
    /// What it was told, each time.
    pub(crate) fn told(&self) -> Vec<Vec<String>> {
        let begun = self.begun.lock().unwrap();
        begun.iter().map(|(_, paths, _)| paths.clone()).collect()
    }

    /// Ends what was begun.
    pub(crate) fn finish(&self) {
        for one in self.begun.lock().unwrap().iter_mut() {
            one.2 = true;
        }
    }

    fn failure(&self) -> Result<(), PurgeError> {
        self.calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.fails.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

impl Purge for Cdn {
    fn begin<'a>(&'a self, reference: &'a str, paths: &'a [String]) -> BoxFuture<'a, Result<String, PurgeError>> {
        Box::pin(async move {
            self.failure()?;
            {
                let mut begun = self.begun.lock().unwrap();
                match begun.iter().find(|(known, ..)| known == reference) {
                    Some((_, known, _)) => assert_eq!(known, paths, "a reference stands for its paths"),
                    None => begun.push((reference.to_owned(), paths.to_vec(), false)),
                }
            }
            if self.is_silent.load(std::sync::atomic::Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Ok(format!("I{reference}"))
        })
    }

    fn is_done<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, PurgeError>> {
        Box::pin(async move {
            self.failure()?;
            let begun = self.begun.lock().unwrap();
            Ok(begun.iter().any(|(known, _, done)| *done && id == format!("I{known}")))
        })
    }

    fn most(&self) -> (usize, usize) {
        (4, 3)
    }
}

pub(crate) struct House {
    pub(crate) db: TestDb,
    pub(crate) clock: Clock,
    pub(crate) hub: Arc<Hub>,
    pub(crate) media: Media,
    pub(crate) router: Router,
    pub(crate) relay: Arc<Relay>,
    pub(crate) tasks: Vec<(&'static str, Task)>,
    pub(crate) standings: Arc<Standings>,
    pub(crate) names: Arc<Names>,
    pub(crate) cdn: Arc<Cdn>,
    pub(crate) library: Arc<Shelf>,
    pub(crate) store: Arc<Objects>,
    pub(crate) personal: Personal,
    context: Context,
    live: Live,
    _data: tempfile::TempDir,
    _starts: tokio::sync::mpsc::Receiver<Arc<nova_core::live::Broadcast>>,
}

pub(crate) async fn houses(listed: fn() -> StaticAuthorizer) -> Vec<House> {
    houses_with(listed, |_config| {}).await
}

pub(crate) async fn houses_with(listed: fn() -> StaticAuthorizer, change: fn(&mut Config)) -> Vec<House> {
    build(listed, change, false).await
}

/// Behind a CDN that can be made to forget.
pub(crate) async fn houses_behind_a_cdn() -> Vec<House> {
    build(|| StaticAuthorizer::Open, |_config| {}, true).await
}

async fn build(listed: fn() -> StaticAuthorizer, change: fn(&mut Config), behind_cdn: bool) -> Vec<House> {
    let mut houses = Vec::new();
    for db in testing::databases().await {
        let mut tx = db.begin().await.unwrap();
        // The users domain keeps this view for everybody; here it is a table that a test fills.
        let _there = sqlx::raw_sql("DROP VIEW IF EXISTS users_hidden")
            .execute(tx.conn())
            .await;
        sqlx::raw_sql("CREATE TABLE users_hidden (viewer_id TEXT NOT NULL, hidden_id TEXT NOT NULL)")
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let clock = Clock::manual(Timestamp(1_795_478_399_000_000));
        let context = Context {
            db: db.db.clone(),
            clock: clock.clone(),
            limits: Limits::new(0),
            public_url: "https://nova.example".into(),
            personal: Arc::default(),
        };
        let config = HubConfig {
            reconnect: Duration::from_secs(60),
            second_publisher: SecondPublisher::TakeOver,
        };
        let (hub, starts) = Hub::new(clock.clone(), config);
        let watched = Arc::clone(&hub);
        let library = Arc::new(Shelf::default());
        let store = Arc::new(Objects::default());
        let cdn = Arc::new(Cdn::default());
        let live = Live {
            hub: Arc::clone(&hub),
            look: Arc::new(move |name| {
                let broadcast = watched.get(name)?;
                Some(OnAir {
                    status: match broadcast.status() {
                        Status::Starting => "starting",
                        Status::Live => "live",
                        Status::Reconnecting => "reconnecting",
                        Status::Ended => "ended",
                    },
                    viewers: 3,
                    started_at: broadcast.started(),
                    video: None,
                    audio: None,
                    health: Health::default(),
                })
            }),
            library: Arc::clone(&library) as _,
            pictures: Arc::new(Painter),
            store: Arc::clone(&store) as _,
            ingest_url: "rtmp://nova.example:1935/live".into(),
            media_url: String::new(),
            sign: None,
            purge: behind_cdn.then(|| Arc::clone(&cdn) as _),
        };
        let data = tempfile::tempdir().unwrap();
        let (standings, names) = (Arc::new(Standings::default()), Names::new(db.db.clone()).await);
        let mut settings = Config {
            most_streams: 3,
            ..Config::default()
        };
        change(&mut settings);
        let (media, domain) = Media::new(
            &context,
            settings,
            live.clone(),
            listed(),
            data.path(),
            Arc::clone(&names) as _,
            Arc::clone(&standings) as _,
        )
        .unwrap();
        let mut domains = [domain];
        Domain::join(&domains, &context);
        let tasks = std::mem::take(&mut domains[0].tasks);
        let [domain] = domains;
        let personal = domain.personal.clone().unwrap();
        houses.push(House {
            relay: Relay::new(db.db.clone(), clock.clone()),
            router: Router::from(domain.routes),
            db,
            clock,
            hub,
            media,
            tasks,
            standings,
            names,
            cdn,
            library,
            store,
            personal,
            context,
            live,
            _data: data,
            _starts: starts,
        });
    }
    houses
}

/// The people of a test of who may do what.
pub(crate) struct Cast {
    pub(crate) owner: Caller,
    pub(crate) other: Caller,
    /// Whom the owner has blocked.
    pub(crate) blocked: Caller,
    pub(crate) moderator: Caller,
    /// The owner when suspended.
    pub(crate) suspended: Caller,
}

impl Cast {
    /// A guest, the owner, another, one who is blocked, a moderator, the owner when suspended.
    pub(crate) fn who(&self) -> [Option<&Caller>; 6] {
        [
            None,
            Some(&self.owner),
            Some(&self.other),
            Some(&self.blocked),
            Some(&self.moderator),
            Some(&self.suspended),
        ]
    }
}

impl House {
    pub(crate) async fn cast(&self) -> Cast {
        let (owner, other, blocked) = (
            self.person("owner").await,
            self.person("other").await,
            self.person("blocked").await,
        );
        let mut tx = self.db.begin().await.unwrap();
        sqlx::query("INSERT INTO users_hidden (viewer_id, hidden_id) VALUES ($1, $2)")
            .bind(blocked.user)
            .bind(owner.user)
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        Cast {
            moderator: Caller {
                role: Role::Moderator,
                ..self.person("moderator").await
            },
            suspended: Caller {
                suspended: true,
                ..owner.clone()
            },
            owner,
            other,
            blocked,
        }
    }

    pub(crate) async fn person(&self, name: &str) -> Caller {
        let now = self.clock.now();
        let user = UserId::new(now);
        let mut tx = self.db.begin().await.unwrap();
        self.names.claim(&mut tx, user, name, now).await.unwrap();
        tx.commit().await.unwrap();
        self.standings.0.lock().unwrap().insert(user, None);
        Caller {
            user,
            session: SessionId::new(now),
            role: Role::Viewer,
            proof: Proof::Session,
            authenticated_at: now,
            suspended: false,
        }
    }

    pub(crate) async fn call(
        &self,
        caller: Option<&Caller>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = http::Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let mut request = request
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .unwrap();
        if let Some(caller) = caller {
            let found = known(caller.clone());
            request = with(request, found);
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// A request with any body.
    pub(crate) async fn send(
        &self,
        caller: Option<&Caller>,
        method: &str,
        path: &str,
        kind: &str,
        body: impl Into<Body>,
    ) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind);
        let mut request = request.body(body.into()).unwrap();
        if let Some(caller) = caller {
            request = with(request, known(caller.clone()));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// A request of tus: its status and headers.
    pub(crate) async fn tus(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &'static [u8],
    ) -> (u16, http::HeaderMap) {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("tus-resumable", "1.0.0");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let request = with(request, known(caller.clone()));
        let response = self.router.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), response.headers().clone())
    }

    pub(crate) async fn create(&self, caller: &Caller, visibility: &str) -> Value {
        self.create_recorded(caller, visibility, false).await
    }

    pub(crate) async fn create_recorded(&self, caller: &Caller, visibility: &str, record: bool) -> Value {
        let body = json!({ "title": "My show", "description": "about it", "visibility": visibility, "record": record });
        let (status, stream) = self.call(Some(caller), "POST", "/streams", Some(body)).await;
        assert_eq!(status, 201, "{stream}");
        stream
    }

    pub(crate) async fn authorize(&self, key: &str) -> Result<String, Denied> {
        let request = PublishRequest {
            peer: [127, 0, 0, 1].into(),
            app: "live".into(),
            key: key.into(),
            encoder: String::new(),
        };
        self.media.authorizer.authorize(request).await.map(|grant| grant.stream)
    }

    /// A publisher with this key and its first picture.
    pub(crate) async fn publish(&self, key: &str) -> Publisher {
        let name = self.authorize(key).await.unwrap();
        let mut publisher = self.hub.publish(&name).unwrap();
        publisher.track(Track {
            id: TrackId(0),
            codec: Codec::Avc,
            timescale: 90_000,
            config: Bytes::new(),
            codec_string: "avc1.640028".into(),
            media: Kind::Video {
                width: 640,
                height: 360,
                sar: (1, 1),
                frame_rate: None,
                colour: None,
            },
        });
        for n in 0..90_i64 {
            publisher.frame(Frame {
                track: TrackId(0),
                dts: n * 3000,
                composition_offset: 0,
                duration: None,
                keyframe: n % 30 == 0,
                payload: Bytes::from_static(b"picture"),
            });
            self.clock.advance(Duration::from_millis(33));
        }
        publisher
    }

    /// The domain's tasks once more, as after a restart.
    pub(crate) async fn again(&self) -> Vec<(&'static str, Task)> {
        let (_, domain) = Media::new(
            &self.context,
            Config::default(),
            self.live.clone(),
            StaticAuthorizer::Open,
            self._data.path(),
            Arc::clone(&self.names) as _,
            Arc::clone(&self.standings) as _,
        )
        .unwrap();
        domain.tasks
    }

    /// Runs the domain's task until `seen`.
    pub(crate) async fn watch(&mut self, mut seen: impl AsyncFnMut(&Self) -> bool) {
        let stop = CancellationToken::new();
        let running: Vec<_> = self
            .tasks
            .drain(..)
            .map(|(_, task)| tokio::spawn(task(stop.clone())))
            .collect();
        while !seen(self).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        for task in running {
            task.await.unwrap();
        }
    }
}

pub(crate) fn with<T: Clone + Send + Sync + 'static>(
    mut request: http::Request<Body>,
    extension: T,
) -> http::Request<Body> {
    request.extensions_mut().insert(extension);
    request
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}
