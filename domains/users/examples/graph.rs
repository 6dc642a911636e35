//! How long the graph takes to answer: 100 000 people and 1 000 000 follows, on both engines, through the routes.
//!
//! `cargo run --release -p nova-users --example graph`. A few people are followed by very many, as everywhere; the tables in the crate's
//! documentation are what it printed.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use nova_core::clock::{Clock, Timestamp};
use nova_core::store::BoxFuture;
use nova_domain::accounts::{Accounts, Images, Standing};
use nova_domain::db::{Db, Engine, Error, SessionId, Tx, UserId};
use nova_domain::http::caller::{Proof, known};
use nova_domain::http::limit::Limits;
use nova_domain::{Caller, Context, Role, testing};
use nova_users::Config;
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;

const PEOPLE: usize = 100_000;
const FOLLOWS: usize = 1_000_000;
const BLOCKS: usize = 20_000;
/// Rows of one statement.
const CHUNK: usize = 2_000;

struct Nobody;

impl Accounts for Nobody {
    fn standing(&self, _: UserId) -> BoxFuture<'_, Result<Option<Standing>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn suspend<'a>(
        &'a self,
        _: &'a mut Tx,
        _: UserId,
        _: Option<Timestamp>,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Images for Nobody {
    fn path<'a>(
        &'a self,
        _: &'a mut Tx,
        _: UserId,
        _: &'static str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// The same numbers at every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap_or(0) % most
    }

    /// The first is drawn in one of a hundred times, the next twenty in four, the first of the others far more often than the last.
    fn popular(&mut self) -> usize {
        match self.below(100) {
            0 => return 0,
            1..=4 => return 1 + self.below(20),
            _ => {}
        }
        let (a, b, c) = (self.below(PEOPLE), self.below(PEOPLE), self.below(PEOPLE));
        a * b / PEOPLE * c / PEOPLE
    }
}

async fn insert(db: &Db, into: &str, rows: impl Iterator<Item = String>) {
    let mut tx = db.begin().await.expect("a transaction");
    let rows: Vec<String> = rows.collect();
    for chunk in rows.chunks(CHUNK) {
        let sql = format!("INSERT INTO {into} VALUES {} ON CONFLICT DO NOTHING", chunk.join(", "));
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(tx.conn())
            .await
            .expect("rows");
    }
    tx.commit().await.expect("a commit");
}

async fn fill(db: &Db, now: Timestamp) -> Vec<UserId> {
    let people: Vec<UserId> = (0..PEOPLE).map(|_| UserId::new(now)).collect();
    let at = now.0;
    let profiles = people
        .iter()
        .enumerate()
        .map(|(n, id)| format!("('{id}', 'person_{n}', {at}, {at})"));
    insert(
        db,
        "users_profiles (user_id, username, created_at, updated_at)",
        profiles,
    )
    .await;
    let names = people
        .iter()
        .enumerate()
        .map(|(n, id)| format!("('person_{n}', '{id}')"));
    insert(db, "users_names (name, user_id)", names).await;
    let mut dice = Dice(7);
    let follows = (0..FOLLOWS).map(|n| {
        // One person follows thousands.
        let one = if n % 200 == 0 { 0 } else { dice.below(PEOPLE) };
        let other = dice.popular();
        format!(
            "('{}', '{}', {})",
            people[one],
            people[other],
            at + i64::try_from(n).unwrap_or(0)
        )
    });
    insert(db, "users_follows (follower_id, followee_id, created_at)", follows).await;
    let mut dice = Dice(11);
    let blocks = (0..BLOCKS).map(|_| {
        let (one, other) = (dice.below(PEOPLE), dice.below(PEOPLE));
        format!("('{}', '{}', {at})", people[one], people[other])
    });
    insert(db, "users_blocks (blocker_id, blocked_id, created_at)", blocks).await;
    let counts = "INSERT INTO users_counts (user_id, followers, following) SELECT followee_id, COUNT(*), 10 FROM users_follows GROUP BY followee_id";
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::raw_sql(counts).execute(tx.conn()).await.expect("counts");
    if db.engine() == Engine::Postgres {
        // As autovacuum does within a minute. SQLite is measured without statistics, as it runs.
        sqlx::raw_sql("ANALYZE").execute(tx.conn()).await.expect("statistics");
    }
    tx.commit().await.expect("a commit");
    people
}

struct Asked {
    router: Router,
    clock: Clock,
}

impl Asked {
    async fn ask(&self, user: UserId, method: &str, path: &str) -> (i64, String) {
        let caller = Caller {
            user,
            session: SessionId::new(Timestamp(0)),
            role: Role::Viewer,
            proof: Proof::Session,
            authenticated_at: Timestamp(0),
            suspended: false,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .expect("a request");
        request.extensions_mut().insert(known(caller));
        let from = self.clock.now();
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let took = self.clock.now().0 - from.0;
        assert!(
            status.is_success() || status.as_u16() == 404,
            "{method} {path}: {status}"
        );
        (took, String::from_utf8_lossy(&body).into_owned())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    for db in testing::databases().await {
        let clock = Clock::system();
        let from = clock.now();
        let people = fill(&db, from).await;
        let filled = (clock.now().0 - from.0) / 1_000_000;
        let context = Context {
            db: db.db.clone(),
            clock: clock.clone(),
            limits: Limits::new(0),
            public_url: String::new(),
            personal: Arc::default(),
        };
        let domain = nova_users::domain(
            &context,
            Config::default(),
            Arc::new(Nobody),
            Arc::new(Nobody),
            Vec::new(),
        );
        let (router, _) = OpenApiRouter::new().merge(domain.routes).split_for_parts();
        let asked = Asked { router, clock };
        let star = people[0];
        let followers: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users_follows WHERE followee_id = $1")
            .bind(star)
            .fetch_one(db.read())
            .await
            .expect("a count");
        println!(
            "{:?}: filled in {filled} s; the most popular person has {followers} followers",
            db.engine()
        );
        let deep = middle(&asked, star, followers).await;
        let mut dice = Dice(13);
        type Path = Box<dyn Fn(&mut Dice) -> String>;
        let somebody = people.clone();
        let others = people.clone();
        let batch = people.clone();
        let lines: Vec<(&str, &str, Path)> = vec![
            (
                "a profile by name",
                "GET",
                Box::new(|dice| format!("/users/person_{}", dice.below(PEOPLE))),
            ),
            (
                "50 profiles by id",
                "GET",
                Box::new(move |dice| {
                    let ids: Vec<String> = (0..50).map(|_| batch[dice.below(PEOPLE)].to_string()).collect();
                    format!("/users?ids={}", ids.join(","))
                }),
            ),
            (
                "followers of the most popular",
                "GET",
                Box::new(move |_| format!("/users/{star}/followers")),
            ),
            (
                "the same, a page in the middle",
                "GET",
                Box::new(move |_| format!("/users/{star}/followers?cursor={deep}")),
            ),
            (
                "whom somebody follows",
                "GET",
                Box::new(move |dice| format!("/users/{}/following", somebody[dice.below(PEOPLE)])),
            ),
            ("suggestions", "GET", Box::new(|_| "/users/suggestions".into())),
            (
                "suggestions for who follows thousands",
                "GET",
                Box::new(|_| "/users/suggestions?limit=50".into()),
            ),
            (
                "follow",
                "PUT",
                Box::new(move |dice| format!("/users/{}/follow", others[dice.below(PEOPLE)])),
            ),
        ];
        for (what, method, path) in lines {
            let mut times = Vec::new();
            for _ in 0..300 {
                let asker = if what.ends_with("thousands") {
                    0
                } else {
                    dice.below(PEOPLE)
                };
                let (user, path) = (people[asker], path(&mut dice));
                times.push(asked.ask(user, method, &path).await.0);
            }
            times.sort_unstable();
            let milliseconds = |micros: i64| format!("{}.{:02}", micros / 1000, micros % 1000 / 10);
            let mut line = String::new();
            let _infallible = write!(
                line,
                "{what:<38} median {:>6} ms, 99% {:>6} ms",
                milliseconds(times[150]),
                milliseconds(times[297])
            );
            println!("{line}");
        }
    }
}

/// The cursor of a page in the middle of the followers of `star`.
async fn middle(asked: &Asked, star: UserId, followers: i64) -> String {
    let mut cursor = String::new();
    for _ in 0..(followers / 200) {
        let path = format!("/users/{star}/followers?limit=100{cursor}");
        let (_, body) = asked.ask(star, "GET", &path).await;
        let page: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    cursor.trim_start_matches("&cursor=").to_owned()
}
