//! Sign-in through a provider that nobody at Nova wrote, from the first redirect to the session, and the attacks on it.

use std::collections::BTreeMap;
use std::process::Stdio;

use http::Request;
use nova_identity::{Config, ProviderConfig};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::house::{Answer, House, PASSWORD, code};
use crate::second_factor::{arm, shown};

/// The provider, and people with browsers who use it.
pub(crate) struct Provider {
    issuer: String,
    browser: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Provider {
    async fn start() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
        let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))).unwrap();
        let modules = cache.join("nova/tools/oidc");
        assert!(
            modules.join("node_modules/oidc-provider").is_dir(),
            "scripts/setup tools"
        );
        let mut child = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc/provider.mjs"))
            .arg(modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let browser = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            issuer: lines.next_line().await.unwrap().unwrap(),
            browser,
            lines,
            _child: child,
        }
    }

    fn config(&self) -> Config {
        let provider = ProviderConfig {
            client_id: "nova".into(),
            client_secret: "s3cret".into(),
            issuer: self.issuer.clone(),
            ..ProviderConfig::default()
        };
        Config {
            providers: BTreeMap::from([("op".to_owned(), provider)]),
            ..Config::default()
        }
    }

    /// `who` opens an address; where they are sent back to.
    pub(crate) async fn browse(&mut self, who: &str, address: &str) -> String {
        self.browser
            .write_all(format!("{who} {address}\n").as_bytes())
            .await
            .unwrap();
        self.lines.next_line().await.unwrap().unwrap()
    }
}

/// A provider and a house with the clock of this machine, on each engine.
pub(crate) async fn scenes() -> Vec<(Provider, House)> {
    scenes_behind(std::time::Duration::ZERO).await
}

/// The same, the clock of the house so much behind.
pub(crate) async fn scenes_behind(late: std::time::Duration) -> Vec<(Provider, House)> {
    let now = nova_core::clock::Clock::system().now();
    let mut scenes = Vec::new();
    for db in nova_domain::testing::databases().await {
        let provider = Provider::start().await;
        let house = House::new(db, 0, provider.config()).await;
        let behind = u64::try_from(now.0 - house.clock.now().0).unwrap();
        house.clock.advance(std::time::Duration::from_micros(behind) - late);
        scenes.push((provider, house));
    }
    scenes
}

pub(crate) fn header(answer: &Answer, name: &str) -> String {
    answer.headers[name].to_str().unwrap().to_owned()
}

/// GET of a path with a cookie.
async fn visit(house: &House, path: &str, cookie: &str) -> Answer {
    let request = Request::builder().uri(path).header("cookie", cookie);
    let mut request = request.body(axum::body::Body::empty()).unwrap();
    request.extensions_mut().insert(nova_domain::http::Client {
        ip: "192.0.2.1".parse().unwrap(),
        secure: true,
        agent: "a browser".into(),
        request_id: String::new(),
    });
    house.send(request).await
}

/// Begins; the provider's address, and the cookie of this browser.
async fn begin(house: &House, query: &str) -> (String, String) {
    let answer = visit(house, &format!("/auth/oauth/op/start{query}"), "")
        .await
        .expect(303);
    let cookie = header(&answer, "set-cookie");
    assert!(
        cookie.starts_with("__Host-nova_oauth=") && cookie.contains("; Secure; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    (
        header(&answer, "location"),
        cookie.split(';').next().unwrap().to_owned(),
    )
}

/// Begins to add an identity to the account of `token`.
pub(crate) async fn begin_link(house: &House, token: &str, return_to: &str) -> (String, String) {
    let body = json!({ "return_to": return_to });
    let answer = house
        .call("POST", "/auth/oauth/op/link", token, Some(body))
        .await
        .expect(200);
    let cookie = header(&answer, "set-cookie");
    (answer.text("location"), cookie.split(';').next().unwrap().to_owned())
}

/// The page that the callback leads to, and the cookie of this browser from then on.
pub(crate) async fn arrive(house: &House, url: &str, cookie: &str) -> (String, String) {
    let path = url.strip_prefix("https://nova.example/api/v1").unwrap();
    let answer = visit(house, path, cookie).await.expect(303);
    let cookie = header(&answer, "set-cookie");
    (
        header(&answer, "location"),
        cookie.split(';').next().unwrap().to_owned(),
    )
}

async fn back(house: &House, url: &str, cookie: &str) -> String {
    arrive(house, url, cookie).await.0
}

/// The whole way, to the page with its fragment.
pub(crate) async fn sign_in(house: &House, provider: &mut Provider, who: &str) -> (String, String) {
    let (address, cookie) = begin(house, "?return_to=/watch/v/1%3Ft=3%26a=%252F").await;
    let url = provider.browse(who, &address).await;
    arrive(house, &url, &cookie).await
}

/// What the login page reads.
fn fragment(page: &str) -> BTreeMap<String, String> {
    let fragment = page
        .strip_prefix("https://nova.example/login#")
        .unwrap_or_else(|| panic!("{page}"));
    let pairs = openidconnect::url::form_urlencoded::parse(fragment.as_bytes());
    pairs.into_owned().collect()
}

pub(crate) fn ticket(page: &str) -> String {
    fragment(page).remove("ticket").unwrap_or_else(|| panic!("{page}"))
}

pub(crate) async fn complete(house: &House, (page, cookie): &(String, String), totp: Option<&str>) -> Answer {
    let body = json!({ "ticket": ticket(page), "totp": totp }).to_string();
    let mut request = Request::builder()
        .method("POST")
        .uri("/auth/oauth/complete")
        .header("content-type", "application/json")
        .header("cookie", cookie)
        .body(axum::body::Body::from(body))
        .unwrap();
    request.extensions_mut().insert(nova_domain::http::Client {
        ip: "192.0.2.1".parse().unwrap(),
        secure: true,
        agent: "a browser".into(),
        request_id: String::new(),
    });
    house.send(request).await
}

#[tokio::test]
async fn somebody_new_gets_an_account_and_comes_back_to_it() {
    for (mut provider, house) in scenes().await {
        assert_eq!(visit(&house, "/auth/oauth", "").await.body["providers"], json!(["op"]));
        let page = sign_in(&house, &mut provider, "alice").await;
        assert_eq!(fragment(&page.0)["to"], "/watch/v/1?t=3&a=%2F", "{page:?}");
        let first = complete(&house, &page, None).await.expect(200);
        assert_eq!(first.body["user"]["username"], "alice_liddell");
        assert_eq!(first.body["user"]["email"], "alice@example.org");
        assert!(house.is_open(&first.text("access_token")).await);
        // A ticket counts once.
        assert_eq!(
            complete(&house, &page, None).await.expect(401).body["code"],
            "ticket_gone"
        );
        let page = sign_in(&house, &mut provider, "alice").await;
        let second = complete(&house, &page, None).await.expect(200);
        assert_eq!(first.body["user"]["id"], second.body["user"]["id"]);
        // It is the last way in, until there is a password.
        let token = second.text("access_token");
        let links = house.call("GET", "/auth/links", &token, None).await.expect(200);
        let id = links.body["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(links.body["items"][0]["provider"], "op");
        house
            .call("DELETE", &format!("/auth/links/{id}"), &token, None)
            .await
            .expect(409);
    }
}

#[tokio::test]
async fn whoever_registered_with_somebody_elses_address_before_them_has_nothing_of_it() {
    for (mut provider, house) in scenes().await {
        // The attacker waits with a registration whose code was never typed.
        let body = json!({ "email": "alice@example.org", "username": "trap", "password": PASSWORD });
        house.post("/auth/register", body).await.expect(202);
        let mail = house.mail("alice@example.org").await.unwrap();
        let page = sign_in(&house, &mut provider, "alice").await;
        complete(&house, &page, None).await.expect(200);
        let typed = json!({ "email": "alice@example.org", "code": code(&mail) });
        house.post("/auth/verify-email", typed).await.expect(422);
        let login = json!({ "email_or_username": "alice@example.org", "password": PASSWORD });
        house.post("/auth/login", login).await.expect(401);
    }
}

#[tokio::test]
async fn an_account_is_joined_when_both_sides_have_proved_the_address_and_not_otherwise() {
    for (mut provider, house) in scenes().await {
        let id = house.person("alice").await;
        // Mallory's address is alice's by her own word only.
        let page = sign_in(&house, &mut provider, "mallory").await;
        assert_eq!(page.0, "https://nova.example/login#oauth=login_first");
        let page = sign_in(&house, &mut provider, "alice").await;
        let joined = complete(&house, &page, None).await.expect(200);
        assert_eq!(joined.body["user"]["id"], id.as_str());
        // The password goes on being good.
        house.login("alice").await;
    }
}

#[tokio::test]
async fn a_callback_counts_for_the_browser_that_began_it_and_once() {
    for (mut provider, house) in scenes().await {
        let (address, cookie) = begin(&house, "").await;
        let url = provider.browse("alice", &address).await;
        let failed = "https://nova.example/login#oauth=failed";
        // Another browser: with no cookie, or with one of its own sign-in (login CSRF).
        let (_, other) = begin(&house, "").await;
        assert_eq!(back(&house, &url, "").await, failed);
        assert_eq!(back(&house, &url, &other).await, failed);
        let page = arrive(&house, &url, &cookie).await;
        assert!(page.0.contains("#ticket="), "{page:?}");
        // The ticket of one browser opens nothing in another: a link that somebody sends logs nobody in (login CSRF).
        for stranger in ["", other.as_str()] {
            let elsewhere = (page.0.clone(), stranger.to_owned());
            assert_eq!(
                complete(&house, &elsewhere, None).await.expect(401).body["code"],
                "ticket_gone"
            );
        }
        assert_eq!(back(&house, &url, &cookie).await, failed, "a second time");
        // Too late.
        let (address, cookie) = begin(&house, "").await;
        let url = provider.browse("alice", &address).await;
        house.pass(601);
        assert_eq!(back(&house, &url, &cookie).await, failed);
        // A ticket ends, too.
        house.pass(600);
        assert_eq!(
            complete(&house, &page, None).await.expect(401).body["code"],
            "ticket_gone"
        );
        visit(&house, "/auth/oauth/nobody/start", "").await.expect(404);
    }
}

#[tokio::test]
async fn an_identity_is_added_to_who_is_logged_in_and_belongs_to_one_account() {
    for (mut provider, house) in scenes().await {
        house.person("bob").await;
        let token = house.access("bob").await;
        house.post("/auth/oauth/op/link", json!({})).await.expect(401);
        let (address, cookie) = begin_link(&house, &token, "/account").await;
        let url = provider.browse("mallory", &address).await;
        assert_eq!(back(&house, &url, &cookie).await, "https://nova.example/account");
        let page = sign_in(&house, &mut provider, "mallory").await;
        let same = complete(&house, &page, None).await.expect(200);
        assert_eq!(same.body["user"]["username"], "bob");
        // Nobody else can add it.
        house.person("eve").await;
        let eve = house.access("eve").await;
        let (address, cookie) = begin_link(&house, &eve, "/account").await;
        let url = provider.browse("mallory", &address).await;
        assert_eq!(
            back(&house, &url, &cookie).await,
            "https://nova.example/account#oauth=taken"
        );
        // An old proof is not enough to add or to take away.
        let links = house.call("GET", "/auth/links", &token, None).await.expect(200);
        let id = links.body["items"][0]["id"].as_str().unwrap().to_owned();
        house.pass(11 * 60);
        let refused = house
            .call("POST", "/auth/oauth/op/link", &token, Some(json!({})))
            .await
            .expect(403);
        assert_eq!(refused.body["code"], "sudo_required");
        house
            .call("DELETE", &format!("/auth/links/{id}"), &token, None)
            .await
            .expect(403);
        let fresh = house.access("bob").await;
        house
            .call("DELETE", &format!("/auth/links/{id}"), &eve_again(&house).await, None)
            .await
            .expect(404);
        house
            .call("DELETE", &format!("/auth/links/{id}"), &fresh, None)
            .await
            .expect(204);
    }
}

async fn eve_again(house: &House) -> String {
    house.access("eve").await
}

#[tokio::test]
async fn the_second_factor_is_asked_for_here_as_well() {
    for (mut provider, house) in scenes().await {
        house.person("alice").await;
        let armed = arm(&house, "alice").await;
        let page = sign_in(&house, &mut provider, "alice").await;
        assert_eq!(
            complete(&house, &page, None).await.expect(401).body["code"],
            "totp_required"
        );
        assert_eq!(
            complete(&house, &page, Some("000000")).await.expect(401).body["code"],
            "totp_wrong"
        );
        house.pass(30);
        let digits = shown(&house, &armed.secret);
        let answer = complete(&house, &page, Some(&digits)).await.expect(200);
        assert_eq!(answer.body["user"]["username"], "alice");
    }
}

/// The attacker's identity waits in the victim's browser at the provider, and an address opened there begins to add it (forced linking).
#[tokio::test]
async fn an_address_that_somebody_is_made_to_open_adds_no_identity() {
    for (mut provider, house) in scenes().await {
        house.person("alice").await;
        let token = house.access("alice").await;
        let request = Request::builder()
            .uri("/auth/oauth/op/link")
            .header("authorization", format!("Bearer {token}"));
        house
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await
            .expect(405);
        // What the address of a sign-in begins is a sign-in, whoever is logged in and whatever it asks for.
        let (address, cookie) = begin(&house, "?link=true").await;
        let url = provider.browse("mallory", &address).await;
        assert_eq!(
            back(&house, &url, &cookie).await,
            "https://nova.example/login#oauth=login_first"
        );
        let links = house.call("GET", "/auth/links", &token, None).await.expect(200);
        assert_eq!(links.body["items"], json!([]));
    }
}

#[tokio::test]
async fn a_session_that_has_ended_meanwhile_adds_no_identity() {
    for (mut provider, house) in scenes().await {
        house.person("alice").await;
        let stolen = house.access("alice").await;
        let (address, cookie) = begin_link(&house, &stolen, "/account").await;
        let url = provider.browse("mallory", &address).await;
        house.call("POST", "/auth/logout", &stolen, None).await;
        assert!(!house.is_open(&stolen).await);
        assert_eq!(
            back(&house, &url, &cookie).await,
            "https://nova.example/account#oauth=failed"
        );
        let mine = house.access("alice").await;
        let links = house.call("GET", "/auth/links", &mine, None).await.expect(200);
        assert_eq!(links.body["items"], json!([]));
    }
}

#[tokio::test]
async fn a_ticket_opens_nothing_once_its_identity_is_taken_away() {
    for (mut provider, house) in scenes().await {
        house.person("alice").await;
        let page = sign_in(&house, &mut provider, "alice").await;
        let token = house.access("alice").await;
        let links = house.call("GET", "/auth/links", &token, None).await.expect(200);
        let id = links.body["items"][0]["id"].as_str().unwrap();
        house
            .call("DELETE", &format!("/auth/links/{id}"), &token, None)
            .await
            .expect(204);
        assert_eq!(
            complete(&house, &page, None).await.expect(401).body["code"],
            "ticket_gone"
        );
    }
}

#[tokio::test]
async fn whoever_is_called_what_is_reserved_gets_another_name() {
    for (mut provider, house) in scenes().await {
        let page = sign_in(&house, &mut provider, "support").await;
        let answer = complete(&house, &page, None).await.expect(200);
        let name = answer.body["user"]["username"].as_str().unwrap();
        assert!(name.starts_with("support") && name != "support", "{name}");
    }
}

#[tokio::test]
async fn an_identity_at_a_provider_that_is_no_longer_configured_is_no_way_in() {
    for (mut provider, house) in scenes().await {
        let page = sign_in(&house, &mut provider, "alice").await;
        let token = complete(&house, &page, None).await.expect(200).text("access_token");
        let (address, cookie) = begin_link(&house, &token, "/account").await;
        let url = provider.browse("mallory", &address).await;
        back(&house, &url, &cookie).await;
        let mut tx = house.db.begin().await.unwrap();
        sqlx::query("UPDATE identity_links SET provider = 'gone' WHERE subject = 'mallory'")
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let links = house.call("GET", "/auth/links", &token, None).await.expect(200);
        let id = links.body["items"][0]["id"].as_str().unwrap();
        house
            .call("DELETE", &format!("/auth/links/{id}"), &token, None)
            .await
            .expect(409);
    }
}

/// ASVS 6.8.1: who somebody is at one provider says nothing about who they are at another.
#[tokio::test]
async fn one_subject_at_two_issuers_is_two_people() {
    for db in nova_domain::testing::databases().await {
        let (mut one, mut another) = (Provider::start().await, Provider::start().await);
        let mut config = one.config();
        let at_another = another.config().providers.remove("op").unwrap();
        config.providers.insert("another".to_owned(), at_another);
        let house = House::new(db, 0, config).await;
        let behind = nova_core::clock::Clock::system().now().0 - house.clock.now().0;
        house
            .clock
            .advance(std::time::Duration::from_micros(u64::try_from(behind).unwrap()));
        house.person("bob").await;
        let token = house.access("bob").await;
        let (address, cookie) = begin_link(&house, &token, "/account").await;
        let url = one.browse("mallory", &address).await;
        assert_eq!(back(&house, &url, &cookie).await, "https://nova.example/account");
        // The same subject with the same address, by the word of somebody else, and what one says is nothing to the other.
        let begin_at_another = async || {
            let answer = visit(&house, "/auth/oauth/another/start", "").await.expect(303);
            let cookie = header(&answer, "set-cookie").split(';').next().unwrap().to_owned();
            (header(&answer, "location"), cookie)
        };
        let (address, cookie) = begin_at_another().await;
        let url = another.browse("mallory", &address).await;
        assert_eq!(
            back(&house, &url, &cookie).await,
            "https://nova.example/login#oauth=no_account"
        );
        let (address, cookie) = begin_at_another().await;
        let url = another.browse("mallory", &address).await;
        let mixed_up = url.replace("/another/", "/op/");
        assert_eq!(
            back(&house, &mixed_up, &cookie).await,
            "https://nova.example/login#oauth=failed"
        );
        let page = sign_in(&house, &mut one, "mallory").await;
        assert_eq!(
            complete(&house, &page, None).await.expect(200).body["user"]["username"],
            "bob"
        );
    }
}
