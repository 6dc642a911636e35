//! What providers tell of their people, and what Apple wants back: with a stand-in for Apple, and requests signed as Facebook signs them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Request, StatusCode};
use nova_identity::{Config, ProviderConfig};
use ring::hmac;
use ring::signature::{self, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::house::{Answer, House, PASSWORD};
use crate::oauth::{complete, header};

const FACEBOOK: &str = "https://www.facebook.com";
const APP_SECRET: &str = "a secret of Facebook's app";

/// What Apple is asked, and how it stands.
#[derive(Default)]
struct Book {
    nonce: String,
    revoked: Vec<String>,
    /// Apple is away.
    away: bool,
}

/// A stand-in for Apple on this machine.
#[derive(Clone)]
struct Apple {
    issuer: String,
    key: Arc<Ed25519KeyPair>,
    book: Arc<Mutex<Book>>,
}

impl Apple {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let apple = Self {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            key: Arc::new(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()),
            book: Arc::default(),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(Self::metadata))
            .route("/keys", get(Self::keys))
            .route("/token", post(Self::token))
            .route("/auth/revoke", post(Self::revoke))
            .with_state(apple.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        apple
    }

    async fn metadata(State(apple): State<Self>) -> Json<Value> {
        let at = |path: &str| format!("{}{path}", apple.issuer);
        Json(json!({
            "issuer": apple.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"), "jwks_uri": at("/keys"),
            "response_types_supported": ["code"], "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["EdDSA"],
        }))
    }

    async fn keys(State(apple): State<Self>) -> Json<Value> {
        let x = BASE64URL_NOPAD.encode(apple.key.public_key().as_ref());
        Json(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "k", "x": x }] }))
    }

    async fn token(State(apple): State<Self>) -> Json<Value> {
        let claims = json!({
            "iss": apple.issuer, "aud": "nova", "sub": "alice-at-apple", "exp": 9_999_999_999_i64, "nonce": apple.book.lock().unwrap().nonce,
            "email": "relay@privaterelay.example", "email_verified": "true",
        });
        Json(
            json!({ "access_token": "at", "token_type": "Bearer", "refresh_token": "apples-refresh-token", "id_token": apple.sign(&claims) }),
        )
    }

    async fn revoke(State(apple): State<Self>, form: String) -> StatusCode {
        let mut book = apple.book.lock().unwrap();
        if book.away {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        book.revoked.push(form);
        StatusCode::OK
    }

    fn sign(&self, claims: &Value) -> String {
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", encode(&json!({ "alg": "EdDSA", "kid": "k" })), encode(claims));
        let signature = BASE64URL_NOPAD.encode(self.key.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }

    /// What it posts about alice.
    fn notice(&self, house: &House, id: &str, kind: &str) -> Value {
        let seconds = house.clock.now().0 / 1_000_000;
        let event = json!({ "type": kind, "sub": "alice-at-apple", "event_time": seconds * 1000 });
        json!({ "iss": self.issuer, "aud": "nova", "iat": seconds, "jti": id, "events": event.to_string() })
    }
}

/// A house that takes sign-ins from Apple and Facebook, on each engine.
async fn scenes(listens: bool) -> Vec<(Apple, House, tempfile::TempDir)> {
    let mut scenes = Vec::new();
    for db in nova_domain::testing::databases().await {
        let apple = Apple::start().await;
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key.p8");
        let signing = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = signature::EcdsaKeyPair::generate_pkcs8(signing, &ring::rand::SystemRandom::new()).unwrap();
        let armour = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64.encode(key.as_ref())
        );
        std::fs::write(&key_file, armour).unwrap();
        let at_apple = ProviderConfig {
            client_id: "nova".into(),
            issuer: apple.issuer.clone(),
            team: "TEAM".into(),
            key_id: "KEY".into(),
            key_file,
            notices: listens,
            revoke: listens,
            ..ProviderConfig::default()
        };
        let at_facebook = ProviderConfig {
            client_id: "nova".into(),
            client_secret: APP_SECRET.into(),
            notices: listens,
            ..ProviderConfig::default()
        };
        let config = Config {
            providers: BTreeMap::from([("apple".to_owned(), at_apple), ("facebook".to_owned(), at_facebook)]),
            ..Config::default()
        };
        scenes.push((apple, House::new(db, 0, config).await, folder));
    }
    scenes
}

/// Alice signs in through Apple.
async fn sign_in(apple: &Apple, house: &House) -> Answer {
    let request = Request::builder().uri("/auth/oauth/apple/start");
    let begun = house
        .send(request.body(axum::body::Body::empty()).unwrap())
        .await
        .expect(303);
    let location = openidconnect::url::Url::parse(&header(&begun, "location")).unwrap();
    let asked: BTreeMap<_, _> = location.query_pairs().into_owned().collect();
    apple.book.lock().unwrap().nonce = asked["nonce"].clone();
    let cookie = header(&begun, "set-cookie");
    assert!(
        cookie.contains("SameSite=None"),
        "Apple posts from another site: {cookie}"
    );
    let back = Request::builder()
        .method("POST")
        .uri("/auth/oauth/apple/callback")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("cookie", cookie.split(';').next().unwrap());
    let form = format!("code=c0de&state={}", asked["state"]);
    let arrived = house.send(back.body(form.into()).unwrap()).await.expect(303);
    let cookie = header(&arrived, "set-cookie").split(';').next().unwrap().to_owned();
    complete(house, &(header(&arrived, "location"), cookie), None)
        .await
        .expect(200)
}

async fn tell(house: &House, token: &str) -> Answer {
    house
        .post("/auth/oauth/apple/events", json!({ "payload": token }))
        .await
}

/// The providers that open the account of `token`.
async fn links(house: &House, token: &str) -> Vec<String> {
    let list = house.call("GET", "/auth/links", token, None).await.expect(200);
    let items = list.body["items"].as_array().unwrap();
    items
        .iter()
        .map(|link| link["provider"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn apple_gets_its_token_back_when_the_account_goes_even_if_it_was_away() {
    for (apple, house, _folder) in scenes(true).await {
        let token = sign_in(&apple, &house).await.text("access_token");
        let kept: Vec<Vec<u8>> = sqlx::query_scalar("SELECT token FROM identity_links")
            .fetch_all(house.db.read())
            .await
            .unwrap();
        assert!(
            !kept[0].is_empty() && !kept[0].windows(6).any(|part| part == b"apples"),
            "it is sealed"
        );
        house.call("DELETE", "/auth/account", &token, None).await.expect(202);
        apple.book.lock().unwrap().away = true;
        house.pass(14 * 86_400 + 1);
        house.relay.drain().await.unwrap();
        assert!(!house.is_open(&token).await);
        let left: i64 = sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM identity_users")
            .fetch_one(house.db.read())
            .await
            .unwrap();
        assert_eq!(
            (left, apple.book.lock().unwrap().revoked.len()),
            (0, 0),
            "the account does not wait for Apple"
        );
        apple.book.lock().unwrap().away = false;
        house.pass(3600);
        house.relay.drain().await.unwrap();
        let revoked = apple.book.lock().unwrap().revoked.clone();
        assert_eq!(revoked.len(), 1, "{revoked:?}");
        let form: BTreeMap<_, _> = openidconnect::url::form_urlencoded::parse(revoked[0].as_bytes())
            .into_owned()
            .collect();
        assert_eq!(
            (
                form["token"].as_str(),
                form["client_id"].as_str(),
                form["token_type_hint"].as_str()
            ),
            ("apples-refresh-token", "nova", "refresh_token")
        );
        assert_eq!(form["client_secret"].split('.').count(), 3, "a token made for this");
    }
}

#[tokio::test]
async fn apple_gets_its_token_back_with_the_link_and_none_is_kept_where_that_is_off() {
    for (apple, house, _folder) in scenes(true).await {
        house.person("ada").await;
        let token = sign_in(&apple, &house).await.text("access_token");
        let list = house.call("GET", "/auth/links", &token, None).await.expect(200);
        let path = format!("/auth/links/{}", list.body["items"][0]["id"].as_str().unwrap());
        house.call("DELETE", &path, &token, None).await.expect(409);
        house.relay.drain().await.unwrap();
        assert!(
            apple.book.lock().unwrap().revoked.is_empty(),
            "it is the last way in, and stays"
        );
        house
            .post("/auth/password-reset", json!({ "email": "relay@privaterelay.example" }))
            .await
            .expect(202);
        let mail = house.mail("relay@privaterelay.example").await.unwrap();
        let new = json!({ "token": crate::house::link(&mail), "password": PASSWORD });
        house.post("/auth/password-reset/confirm", new).await.expect(200);
        let token = sign_in(&apple, &house).await.text("access_token");
        house.call("DELETE", &path, &token, None).await.expect(204);
        house.relay.drain().await.unwrap();
        assert_eq!(apple.book.lock().unwrap().revoked.len(), 1);
    }
    for (apple, house, _folder) in scenes(false).await {
        sign_in(&apple, &house).await;
        let kept: i64 = sqlx::query_scalar("SELECT CAST(COUNT(token) AS BIGINT) FROM identity_links")
            .fetch_one(house.db.read())
            .await
            .unwrap();
        assert_eq!(kept, 0);
        let notice = apple.sign(&apple.notice(&house, "1", "consent-revoked"));
        tell(&house, &notice).await.expect(404);
    }
}

#[tokio::test]
async fn what_apple_says_counts_once_and_only_when_apple_says_it_now() {
    for (apple, house, _folder) in scenes(true).await {
        let token = sign_in(&apple, &house).await.text("access_token");
        house.pass(10);
        let good = apple.notice(&house, "1", "consent-revoked");
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            apple.sign(&claims)
        };
        let seconds = house.clock.now().0 / 1_000_000;
        let (message, signature) = {
            let token = apple.sign(&good);
            let (message, signature) = token.rsplit_once('.').unwrap();
            (message.to_owned(), signature.to_owned())
        };
        let changed = if signature.starts_with('A') { "B" } else { "A" };
        let head = BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
        for forged in [
            with("iss", json!("https://appleid.apple.com")),
            with("aud", json!("another")),
            with("aud", json!(["nova", "another"])),
            with("iat", json!(seconds - 25 * 3600)),
            with("iat", json!(seconds + 3600)),
            with("events", json!("no event")),
            format!("{message}.{changed}{}", &signature[1..]),
            format!("{head}.{}.", message.split('.').nth(1).unwrap()),
            "x".to_owned(),
        ] {
            tell(&house, &forged).await.expect(401);
        }
        assert_eq!(links(&house, &token).await, ["apple"]);

        // What happened before the link was made is about another one.
        let late = json!({ "type": "consent-revoked", "sub": "alice-at-apple", "event_time": (seconds - 60) * 1000 });
        let mut claims = apple.notice(&house, "2", "");
        claims["events"] = late.to_string().into();
        tell(&house, &apple.sign(&claims)).await.expect(204);
        for (round, (id, kind)) in [("3", "consent-revoked"), ("4", "account-delete")]
            .into_iter()
            .enumerate()
        {
            let token = sign_in(&apple, &house).await.text("access_token");
            assert_eq!(links(&house, &token).await, ["apple"], "{kind}");
            house.pass(10);
            let notice = apple.sign(&apple.notice(&house, id, kind));
            tell(&house, &notice).await.expect(204);
            assert!(!house.is_open(&token).await, "what it opened has ended");
            let mails = house.mails("relay@privaterelay.example").await;
            let told = mails.iter().filter(|mail| mail.contains("by its provider")).count();
            assert_eq!(told, round + 1, "its person is told: {mails:?}");
            // The address is proved on both sides, so it is joined anew; the old notice comes once more and takes nothing away.
            let token = sign_in(&apple, &house).await.text("access_token");
            tell(&house, &notice).await.expect(204);
            assert_eq!(links(&house, &token).await, ["apple"], "{kind}");
        }
        tell(&house, &apple.sign(&apple.notice(&house, "5", "something-new")))
            .await
            .expect(204);
    }
}

#[tokio::test]
async fn no_mail_goes_to_an_address_that_apple_forwards_to_no_more() {
    for (apple, house, _folder) in scenes(true).await {
        sign_in(&apple, &house).await;
        let address = "relay@privaterelay.example";
        let mails = async || {
            house
                .post("/auth/password-reset", json!({ "email": address }))
                .await
                .expect(202);
            house.mails(address).await.len()
        };
        let before = mails().await;
        tell(&house, &apple.sign(&apple.notice(&house, "1", "email-disabled")))
            .await
            .expect(204);
        assert_eq!(mails().await, before);
        tell(&house, &apple.sign(&apple.notice(&house, "2", "email-enabled")))
            .await
            .expect(204);
        assert_eq!(mails().await, before + 1);
    }
}

/// As Facebook signs: HMAC-SHA256 of the payload with the app's secret.
fn signed_request(secret: &str, payload: &Value) -> String {
    let payload = BASE64URL_NOPAD.encode(payload.to_string().as_bytes());
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        payload.as_bytes(),
    );
    format!("{}.{payload}", BASE64URL_NOPAD.encode(tag.as_ref()))
}

async fn ask_deletion(house: &House, signed: &str) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri("/auth/oauth/facebook/deletion")
        .header("content-type", "application/x-www-form-urlencoded");
    house
        .send(request.body(format!("signed_request={signed}").into()).unwrap())
        .await
}

#[tokio::test]
async fn facebook_has_somebodys_link_deleted_once_and_says_where_to_see_it() {
    for (_, house, _folder) in scenes(true).await {
        let user = house.person("bob").await;
        let link = async |id: &str| {
            let mut tx = house.db.begin().await.unwrap();
            sqlx::query(
                "INSERT INTO identity_links (id, user_id, provider, issuer, subject, created_at) VALUES ($1, $2, 'facebook', $3, '1000123', $4)",
            )
            .bind(id)
            .bind(user.as_str())
            .bind(FACEBOOK)
            .bind(house.clock.now().0)
            .execute(tx.conn())
            .await
            .unwrap();
            tx.commit().await.unwrap();
        };
        link("01890000-0000-7000-8000-000000000001").await;
        let token = house.access("bob").await;
        house.pass(5);
        let seconds = house.clock.now().0 / 1_000_000;
        let payload = |issued: i64, algorithm: &str| json!({ "algorithm": algorithm, "issued_at": issued, "user_id": "1000123", "expires": 0 });
        let good = signed_request(APP_SECRET, &payload(seconds, "HMAC-SHA256"));
        for forged in [
            signed_request("another secret", &payload(seconds, "HMAC-SHA256")),
            signed_request(APP_SECRET, &payload(seconds - 25 * 3600, "HMAC-SHA256")),
            signed_request(APP_SECRET, &payload(seconds + 3600, "HMAC-SHA256")),
            signed_request(APP_SECRET, &payload(seconds, "none")),
            good[1..].to_owned(),
            "x".to_owned(),
        ] {
            ask_deletion(&house, &forged).await.expect(401);
        }
        assert_eq!(links(&house, &token).await, ["facebook"]);
        let done = ask_deletion(&house, &good).await.expect(200);
        let code = done.text("confirmation_code");
        assert_eq!(
            done.text("url"),
            format!("https://nova.example/api/v1/auth/oauth/facebook/deletion/{code}")
        );
        assert!(!house.is_open(&token).await);
        let token = house.access("bob").await;
        assert_eq!(links(&house, &token).await, Vec::<String>::new());
        let path = format!("/auth/oauth/facebook/deletion/{code}");
        let seen = house.call_from("192.0.2.1", "GET", &path, None, None).await.expect(200);
        assert_eq!(seen.body["status"], "done");
        // The same request once more is answered as before, and takes nothing away that was added since.
        link("01890000-0000-7000-8000-000000000002").await;
        assert_eq!(
            ask_deletion(&house, &good).await.expect(200).text("confirmation_code"),
            code
        );
        assert_eq!(links(&house, &token).await, ["facebook"]);
        let request = Request::builder().method("POST").uri("/auth/oauth/facebook/deletion");
        house
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await
            .expect(415);
    }
}
