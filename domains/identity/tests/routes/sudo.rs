//! Sudo mode by everything that opens an account (ASVS 7.5.1, 7.5.3).

use std::time::Duration;

use http::Request;
use serde_json::{Value, json};

use crate::house::{Answer, House, PASSWORD, houses};
use crate::oauth::{Provider, arrive, begin_link, complete, header, scenes, scenes_behind, sign_in};
use crate::passkeys::Device;
use crate::second_factor::{arm, shown};

/// Longer than a proof is recent.
const A_WHILE: u64 = 11 * 60;

/// Whether a token makes sensitive changes.
async fn is_recent(house: &House, token: &str) -> bool {
    let body = json!({ "name": "mine", "scopes": ["read"] });
    let answer = house.call("POST", "/auth/tokens", token, Some(body)).await;
    assert!(
        answer.status == 201 || answer.body["code"] == "sudo_required",
        "{} {}",
        answer.status,
        answer.body
    );
    answer.status == 201
}

async fn sudo(house: &House, token: &str, body: Value) -> Answer {
    house.call("POST", "/auth/sudo", token, Some(body)).await
}

async fn ways(house: &House, token: &str) -> Value {
    house.call("GET", "/auth/sudo", token, None).await.expect(200).body
}

/// The ticket of a page that the callback of a proof leads to, and the cookie of its browser.
fn proof((page, cookie): &(String, String)) -> (String, String) {
    let ticket = page.strip_prefix("https://nova.example/account/tokens#sudo=");
    (ticket.unwrap_or_else(|| panic!("{page}")).to_owned(), cookie.clone())
}

/// The whole way of a fresh sign-in of `who`, for the session of `token`.
async fn fresh(house: &House, provider: &mut Provider, token: &str, who: &str) -> (String, String) {
    let body = json!({ "return_to": "/account/tokens" });
    let begun = house
        .call("POST", "/auth/oauth/op/sudo", token, Some(body))
        .await
        .expect(200);
    assert!(begun.text("location").contains("max_age=0"));
    let cookie = header(&begun, "set-cookie").split(';').next().unwrap().to_owned();
    let url = provider.browse(who, &begun.text("location")).await;
    arrive(house, &url, &cookie).await
}

/// `POST /auth/sudo` from the browser that has this cookie.
async fn show(house: &House, token: &str, cookie: &str, body: Value) -> Answer {
    let request = Request::builder()
        .method("POST")
        .uri("/auth/sudo")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"))
        .header("cookie", cookie);
    house.send(request.body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn a_passkey_proves_it_once_more_for_who_has_it_and_once() {
    for house in houses().await {
        house.person("ada").await;
        house.person("eve").await;
        let (ada, eve) = (house.access("ada").await, house.access("eve").await);
        let none = house.call("POST", "/auth/passkeys/sudo/begin", &ada, None).await;
        none.expect(409);
        let (mut phone, added) = Device::register(&house, &ada).await;
        added.expect(201);
        let (mut hers, added) = Device::register(&house, &eve).await;
        added.expect(201);
        assert_eq!(
            ways(&house, &ada).await,
            json!({ "password": true, "totp": false, "passkey": true, "providers": [] })
        );
        house.pass(A_WHILE);
        assert!(!is_recent(&house, &ada).await);
        let begin = async |token: &str| {
            let begun = house
                .call("POST", "/auth/passkeys/sudo/begin", token, None)
                .await
                .expect(200);
            (begun.text("flow"), begun.body["options"].clone())
        };
        let finish = async |token: &str, flow: &str, credential: &Value| {
            let body = json!({ "flow": flow, "credential": credential });
            house
                .call("POST", "/auth/passkeys/sudo/finish", token, Some(body))
                .await
        };
        // Eve's key answers Ada's challenge; Eve shows what Ada's key said; a login's answer is no proof of a session.
        let (flow, options) = begin(&ada).await;
        assert_eq!(options["publicKey"]["userVerification"], "required");
        let refused = finish(&ada, &flow, &hers.sign(&options)).await.expect(403);
        assert_eq!(refused.body["code"], "passkey_wrong");
        let (flow, options) = begin(&ada).await;
        finish(&eve, &flow, &phone.sign(&options)).await.expect(403);
        let login = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
        let credential = phone.sign(&login.body["options"]);
        finish(&ada, &login.text("flow"), &credential).await.expect(403);
        // Too late.
        let (flow, options) = begin(&ada).await;
        let credential = phone.sign(&options);
        house.pass(301);
        let ada = house.access("ada").await;
        finish(&ada, &flow, &credential).await.expect(403);
        house.pass(A_WHILE);
        assert!(!is_recent(&house, &ada).await);
        let (flow, options) = begin(&ada).await;
        let credential = phone.sign(&options);
        let proved = finish(&ada, &flow, &credential).await.expect(200);
        assert!(is_recent(&house, &proved.text("access_token")).await);
        finish(&ada, &flow, &credential).await.expect(403);
        // What was proved is the session's, and another one of the same person has nothing of it.
        let list = house.call("GET", "/auth/passkeys", &ada, None).await.expect(200);
        assert!(list.body["items"][0]["last_used_at"].is_string());
        house.pass(A_WHILE);
        assert!(!is_recent(&house, &proved.text("access_token")).await);
    }
}

#[tokio::test]
async fn a_fresh_sign_in_proves_it_once_more_where_there_is_no_password() {
    for (mut provider, house) in scenes_behind(Duration::from_secs(A_WHILE)).await {
        let page = sign_in(&house, &mut provider, "alice").await;
        let alice = complete(&house, &page, None).await.expect(200).text("access_token");
        assert_eq!(
            ways(&house, &alice).await,
            json!({ "password": false, "totp": false, "passkey": false, "providers": ["op"] })
        );
        house.pass(A_WHILE);
        assert!(!is_recent(&house, &alice).await);
        for nothing in [json!({}), json!({ "password": PASSWORD }), json!({ "totp": "000000" })] {
            let refused = sudo(&house, &alice, nothing).await.expect(403);
            assert_eq!(refused.body["code"], "wrong_credentials");
        }
        let (ticket, cookie) = proof(&fresh(&house, &mut provider, &alice, "alice").await);
        // It is for the browser that came back, for the session that asked, and for one time.
        let body = json!({ "ticket": ticket });
        let page = sign_in(&house, &mut provider, "alice").await;
        let elsewhere = complete(&house, &page, None).await.expect(200).text("access_token");
        for (token, cookie) in [
            (&alice, ""),
            (&alice, "__Host-nova_oauth=other"),
            (&elsewhere, cookie.as_str()),
        ] {
            let refused = show(&house, token, cookie, body.clone()).await.expect(403);
            assert_eq!(refused.body["code"], "ticket_gone");
        }
        let proved = show(&house, &alice, &cookie, json!({ "ticket": ticket }))
            .await
            .expect(200);
        assert!(is_recent(&house, &proved.text("access_token")).await);
        show(&house, &alice, &cookie, json!({ "ticket": ticket }))
            .await
            .expect(403);
        // Whoever holds the session and is somebody else at the provider proves nothing.
        let (page, _) = fresh(&house, &mut provider, &alice, "mallory").await;
        assert_eq!(page, "https://nova.example/account#oauth=taken");
        // What opens a session is no proof for one, and the other way round.
        let page = sign_in(&house, &mut provider, "alice").await;
        let body = json!({ "ticket": crate::oauth::ticket(&page.0) });
        show(&house, &alice, &page.1, body).await.expect(403);
        // The provider says that its person proved it before this was asked for: its clock is now so much behind this house's.
        house.pass(600);
        let (page, _) = fresh(&house, &mut provider, &proved.text("access_token"), "alice").await;
        assert_eq!(page, "https://nova.example/account#oauth=failed");
    }
}

#[tokio::test]
async fn a_provider_proves_it_with_the_code_of_the_app_and_for_its_own_identity_only() {
    for (mut provider, house) in scenes().await {
        house.person("alice").await;
        let armed = arm(&house, "alice").await;
        let token = armed.token.clone();
        let nobody = house.call("POST", "/auth/oauth/op/sudo", &token, Some(json!({}))).await;
        nobody.expect(404);
        let (address, cookie) = begin_link(&house, &token, "/account").await;
        let url = provider.browse("alice", &address).await;
        arrive(&house, &url, &cookie).await;
        let (ticket, cookie) = proof(&fresh(&house, &mut provider, &token, "alice").await);
        let body = |totp: Option<&str>| json!({ "ticket": ticket, "totp": totp });
        let refused = show(&house, &token, &cookie, body(None)).await.expect(403);
        assert_eq!(refused.body["code"], "totp_required");
        let refused = show(&house, &token, &cookie, body(Some("000000"))).await.expect(403);
        assert_eq!(refused.body["code"], "totp_wrong");
        house.pass(30);
        let digits = shown(&house, &armed.secret);
        show(&house, &token, &cookie, body(Some(&digits))).await.expect(200);
        let both = json!({ "ticket": ticket, "password": PASSWORD });
        show(&house, &token, &cookie, both).await.expect(422);
        // Whoever was logged out meanwhile has nothing of it.
        let begun = json!({ "return_to": "/account/tokens" });
        let begun = house
            .call("POST", "/auth/oauth/op/sudo", &token, Some(begun))
            .await
            .expect(200);
        let cookie = header(&begun, "set-cookie").split(';').next().unwrap().to_owned();
        let url = provider.browse("alice", &begun.text("location")).await;
        house.call("POST", "/auth/logout", &token, None).await.expect(204);
        let (page, _) = arrive(&house, &url, &cookie).await;
        assert_eq!(page, "https://nova.example/account#oauth=failed");
    }
}

#[tokio::test]
async fn a_code_alone_proves_it_where_there_is_no_password_and_nowhere_else() {
    for (mut provider, house) in scenes_behind(Duration::from_secs(A_WHILE)).await {
        let page = sign_in(&house, &mut provider, "alice").await;
        let token = complete(&house, &page, None).await.expect(200).text("access_token");
        let pending = house.call("POST", "/auth/totp", &token, None).await.expect(200);
        let secret = pending.text("secret");
        let code = json!({ "code": shown(&house, &secret) });
        let armed = house
            .call("POST", "/auth/totp/confirm", &token, Some(code))
            .await
            .expect(200);
        house.pass(A_WHILE);
        assert!(!is_recent(&house, &token).await);
        sudo(&house, &token, json!({ "totp": "000000" })).await.expect(403);
        // A recovery code is for the day the app is gone.
        let recovery = &armed.body["recovery_codes"][0];
        sudo(&house, &token, json!({ "totp": recovery })).await.expect(403);
        let code = shown(&house, &secret);
        let proved = sudo(&house, &token, json!({ "totp": code })).await.expect(200);
        assert!(is_recent(&house, &proved.text("access_token")).await);
        sudo(&house, &token, json!({ "totp": code })).await.expect(403);

        house.person("ada").await;
        let armed = arm(&house, "ada").await;
        house.pass(30);
        let code = shown(&house, &armed.secret);
        sudo(&house, &armed.token, json!({ "totp": code })).await.expect(403);
        let both = json!({ "password": PASSWORD, "totp": code });
        sudo(&house, &armed.token, both).await.expect(200);
    }
}
