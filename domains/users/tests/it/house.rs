//! A house with this one domain in it, somebody who keeps accounts, and a listener to all that is said.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use nova_core::clock::{Clock, Timestamp};
use nova_core::store::BoxFuture;
use nova_domain::accounts::{Accounts, ClaimError, Directory, Images, Standing};
use nova_domain::db::{Db, Error, SessionId, Tx, UserId};
use nova_domain::events::{
    BlockCreated, FollowCreated, FollowRemoved, FollowRequested, ModerationAction, ProfileUpdated, ReportCreated,
    ReportResolved,
};
use nova_domain::http::caller::{Proof, known};
use nova_domain::http::limit::Limits;
use nova_domain::outbox::{Event, Relay};
use nova_domain::personal::Personal;
use nova_domain::reports::{Exhibit, Reportable};
use nova_domain::{Caller, Context, Domain, Role};
use nova_users::Config;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;

use crate::contract;

pub(crate) const START: Timestamp = Timestamp(1_795_478_399_000_000);

/// What was told about whom: suspended until when, or not any more.
type Suspension = (UserId, Option<Timestamp>);

/// Accounts as identity keeps them, in memory; a suspension counts from the commit on.
#[derive(Default)]
pub(crate) struct Book {
    standings: Arc<Mutex<HashMap<UserId, Standing>>>,
    suspensions: Arc<Mutex<Vec<Suspension>>>,
}

impl Accounts for Book {
    fn standing(&self, user: UserId) -> BoxFuture<'_, Result<Option<Standing>, Error>> {
        let standing = self.standings.lock().unwrap().get(&user).copied();
        Box::pin(std::future::ready(Ok(standing)))
    }

    fn suspend<'a>(
        &'a self,
        tx: &'a mut Tx,
        user: UserId,
        until: Option<Timestamp>,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (standings, suspensions) = (Arc::clone(&self.standings), Arc::clone(&self.suspensions));
        tx.on_commit(move || {
            suspensions.lock().unwrap().push((user, until));
            if let Some(standing) = standings.lock().unwrap().get_mut(&user) {
                standing.suspended_until = until;
            }
        });
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Pictures as the media domain keeps them: id, owner and kind to path.
#[derive(Default)]
pub(crate) struct Album(pub(crate) Mutex<HashMap<(String, UserId, &'static str), String>>);

impl Images for Album {
    fn path<'a>(
        &'a self,
        _tx: &'a mut Tx,
        owner: UserId,
        kind: &'static str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Error>> {
        let path = self.0.lock().unwrap().get(&(id.to_owned(), owner, kind)).cloned();
        Box::pin(std::future::ready(Ok(path)))
    }
}

/// Another domain with posts in it.
#[derive(Default)]
pub(crate) struct Shelf(pub(crate) Mutex<HashMap<String, Exhibit>>);

impl Reportable for Shelf {
    fn kinds(&self) -> &'static [&'static str] {
        &["post"]
    }

    fn exhibit<'a>(
        &'a self,
        _viewer: UserId,
        _kind: &'a str,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<Exhibit>, Error>> {
        let exhibit = self.0.lock().unwrap().get(id).cloned();
        Box::pin(std::future::ready(Ok(exhibit)))
    }
}

/// What was said, as `type key`.
type Heard = Arc<Mutex<Vec<String>>>;

pub(crate) struct House {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) api: Value,
    pub(crate) personal: Personal,
    tasks: Mutex<Vec<(&'static str, nova_domain::Task)>>,
    router: Router,
    book: Arc<Book>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) album: Arc<Album>,
    heard: Heard,
    relay: Arc<Relay>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The field at `pointer`.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The usernames of a list, at `pointer` within each item.
    pub(crate) fn names(&self, pointer: &str) -> Vec<String> {
        let items = self.body["items"].as_array().expect("a list");
        items
            .iter()
            .map(|item| {
                item.pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }
}

fn listen<E: Event>(domain: Domain, heard: &Heard) -> Domain {
    let heard = Arc::clone(heard);
    domain.on::<E>(move |_tx, envelope| {
        heard
            .lock()
            .unwrap()
            .push(format!("{} {}", E::TYPE, envelope.event.key()));
        Box::pin(std::future::ready(Ok(())))
    })
}

pub(crate) fn house(db: &Db) -> House {
    build(db, Limits::new(0), Config::default())
}

pub(crate) fn build(db: &Db, limits: Limits, config: Config) -> House {
    let clock = Clock::manual(START);
    let context = Context {
        db: db.clone(),
        clock: clock.clone(),
        limits,
        public_url: String::new(),
        personal: Arc::default(),
    };
    let book = Arc::new(Book::default());
    let shelf = Arc::new(Shelf::default());
    let album = Arc::new(Album::default());
    let mut domain = nova_users::domain(
        &context,
        config,
        Arc::clone(&book) as Arc<dyn Accounts>,
        Arc::clone(&album) as Arc<dyn Images>,
        vec![Arc::clone(&shelf) as Arc<dyn Reportable>],
    );
    let heard = Heard::default();
    let mut listener = Domain::new("listener");
    listener = listen::<ProfileUpdated>(listener, &heard);
    listener = listen::<FollowRequested>(listener, &heard);
    listener = listen::<FollowCreated>(listener, &heard);
    listener = listen::<FollowRemoved>(listener, &heard);
    listener = listen::<BlockCreated>(listener, &heard);
    listener = listen::<ReportCreated>(listener, &heard);
    listener = listen::<ReportResolved>(listener, &heard);
    listener = listen::<ModerationAction>(listener, &heard);
    let routes = std::mem::take(&mut domain.routes);
    let tasks = std::mem::take(&mut domain.tasks);
    let personal = domain.personal.clone().expect("what the domain keeps about people");
    Domain::join(&[domain, listener], &context);
    let (router, api) = OpenApiRouter::new().nest("/api/v1", routes).split_for_parts();
    House {
        directory: nova_users::directory(db.clone(), ""),
        relay: Relay::new(db.clone(), clock.clone()),
        db: db.clone(),
        api: serde_json::to_value(api).expect("a description"),
        personal,
        tasks: Mutex::new(tasks),
        clock,
        router,
        book,
        shelf,
        album,
        heard,
    }
}

pub(crate) fn caller(user: UserId, role: Role) -> Caller {
    Caller {
        user,
        session: SessionId::new(START),
        role,
        proof: Proof::Session,
        authenticated_at: START,
        suspended: false,
    }
}

impl House {
    /// Somebody new, with this role.
    pub(crate) async fn somebody(&self, name: &str, role: Role) -> Caller {
        let user = UserId::new(self.clock.now());
        self.claim(user, name).await.expect("a name nobody has");
        let standing = Standing {
            role,
            suspended_until: None,
            created_at: self.clock.now(),
        };
        self.book.standings.lock().unwrap().insert(user, standing);
        caller(user, role)
    }

    pub(crate) async fn viewer(&self, name: &str) -> Caller {
        self.somebody(name, Role::Viewer).await
    }

    pub(crate) async fn claim(&self, user: UserId, name: &str) -> Result<(), ClaimError> {
        let mut tx = self.db.begin().await?;
        self.directory.claim(&mut tx, user, name, self.clock.now()).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(crate) async fn call(
        &self,
        caller: impl Into<Option<&Caller>>,
        method: &str,
        path: &str,
        body: impl Into<Option<Value>>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("/api/v1{path}"));
        let body = match body.into() {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let mut request = request.body(body).expect("a request");
        if let Some(caller) = caller.into() {
            request.extensions_mut().insert(known(caller.clone()));
        }
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let full = format!("/api/v1{path}");
        contract::check(
            &self.api,
            method,
            &full,
            parts.status.as_u16(),
            kind.unwrap_or_default(),
            &answer,
        );
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: answer,
        }
    }

    pub(crate) async fn get(&self, caller: impl Into<Option<&Caller>>, path: &str) -> Answer {
        self.call(caller, "GET", path, None).await
    }

    pub(crate) async fn put(&self, caller: &Caller, path: &str) -> Answer {
        self.call(caller, "PUT", path, None).await
    }

    pub(crate) async fn delete(&self, caller: &Caller, path: &str) -> Answer {
        self.call(caller, "DELETE", path, None).await
    }

    pub(crate) async fn post(&self, caller: &Caller, path: &str, body: Value) -> Answer {
        self.call(caller, "POST", path, body).await
    }

    /// Somebody else says that `event` happened.
    pub(crate) async fn say<E: Event>(&self, event: &E) {
        let mut tx = self.db.begin().await.expect("a transaction");
        tx.emit(event, None, self.clock.now()).await.expect("an event");
        tx.commit().await.expect("a commit");
    }

    /// What was said since the last time, in order.
    pub(crate) async fn heard(&self) -> Vec<String> {
        self.relay.drain().await.expect("deliveries");
        let mut heard = std::mem::take(&mut *self.heard.lock().unwrap());
        heard.sort();
        heard
    }

    /// What identity was told about `user`, in order.
    pub(crate) fn suspensions(&self, user: UserId) -> Vec<Option<Timestamp>> {
        let told = self.book.suspensions.lock().unwrap();
        told.iter()
            .filter(|(one, _)| *one == user)
            .map(|(_, until)| *until)
            .collect()
    }

    /// Lets the task called `name` have one turn; there is one in each house.
    pub(crate) async fn turn(&self, name: &str) {
        let task = {
            let mut tasks = self.tasks.lock().unwrap();
            let index = tasks.iter().position(|(one, _)| *one == name).expect("a task");
            tasks.swap_remove(index).1
        };
        let stop = CancellationToken::new();
        stop.cancel();
        task(stop).await;
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(self.db.read())
            .await
            .unwrap()
    }

    pub(crate) fn days(&self, days: u64) {
        self.clock.advance(Duration::from_secs(days * 86_400));
    }
}
