//! Attacks on accounts that were carried out elsewhere, and have nothing of it here. Those through a provider are in `oauth.rs`.

use nova_domain::db::UserId;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::house::{House, PASSWORD, code, houses, link};

async fn register(house: &House, email: &str, name: &str) {
    let body = json!({ "email": email, "username": name, "password": PASSWORD });
    house.post("/auth/register", body).await.expect(202);
}

/// Pre-hijacking, "unexpired session": what somebody registers with another's address opens nothing that could still be open when that person comes.
#[tokio::test]
async fn before_an_address_is_proved_nothing_that_waits_for_it_opens_anything() {
    for house in houses().await {
        register(&house, "alice@example.org", "trap").await;
        for name in ["trap", "alice@example.org"] {
            let login = json!({ "email_or_username": name, "password": PASSWORD });
            house.post("/auth/login", login).await.expect(401);
        }
        house
            .post("/auth/password-reset", json!({ "email": "alice@example.org" }))
            .await
            .expect(202);
        // Nobody has an account, so nothing is there to be reset: one mail, that of the registration.
        assert_eq!(house.mails("alice@example.org").await.len(), 1);
        // The name is not kept from who wants it.
        let id = house.person("trap").await;
        assert!(id.parse::<UserId>().is_ok());
    }
}

/// Pre-hijacking, "unexpired change of address": a change to the address of somebody who comes later does not take their account over.
#[tokio::test]
async fn a_change_to_an_address_that_has_an_account_since_gives_nothing_of_it() {
    for house in houses().await {
        let eve = house.person("eve").await;
        let token = house.access("eve").await;
        let change = json!({ "email": "alice@example.org" });
        house
            .call("POST", "/auth/email", &token, Some(change))
            .await
            .expect(202);
        let change = house.mail("alice@example.org").await.unwrap();
        let alice = house.person("alice").await;
        // Even whoever reads Alice's mail: by code or by link.
        for proof in [
            json!({ "email": "alice@example.org", "code": code(&change) }),
            json!({ "token": link(&change) }),
        ] {
            let refused = house.post("/auth/verify-email", proof).await;
            assert!(
                matches!(refused.status, 409 | 422),
                "{} {}",
                refused.status,
                refused.body
            );
        }
        assert_eq!(house.login("alice").await.body["user"]["id"], alice.as_str());
        let still = house.login("eve").await;
        assert_eq!(
            (&still.body["user"]["id"], &still.body["user"]["email"]),
            (&json!(eve), &json!("eve@example.org"))
        );
    }
}

/// Pre-hijacking, "trojan identifier", and any stolen session: whoever gets their account back by mail is told of each way in that was added, and
/// everything that was open is shut.
#[tokio::test]
async fn whoever_gets_an_account_back_by_mail_shuts_out_who_was_in_it() {
    for house in houses().await {
        house.person("alice").await;
        let stolen = house.login("alice").await;
        let (access, refresh) = (stolen.text("access_token"), stolen.text("refresh_token"));
        house
            .post("/auth/password-reset", json!({ "email": "alice@example.org" }))
            .await
            .expect(202);
        let token = link(&house.mail("alice@example.org").await.unwrap());
        let new = json!({ "token": token, "password": "another phrase of some length" });
        house.post("/auth/password-reset/confirm", new).await.expect(200);
        assert!(!house.is_open(&access).await);
        house
            .post("/auth/refresh", json!({ "refresh_token": refresh }))
            .await
            .expect(401);
        let login = json!({ "email_or_username": "alice", "password": PASSWORD });
        house.post("/auth/login", login).await.expect(401);
    }
}

/// ASVS 14.2.7: what is old is forgotten, and what is needed stays.
#[tokio::test]
async fn what_is_old_is_forgotten_by_itself() {
    for house in houses().await {
        house.person("ada").await;
        let ended = house.access("ada").await;
        house.call("POST", "/auth/logout", &ended, None).await.expect(204);
        register(&house, "late@example.org", "late").await;
        let count =
            async |sql: &'static str| -> i64 { sqlx::query_scalar(sql).fetch_one(house.db.read()).await.unwrap() };
        let sweep = async || {
            let (_, tasks) = house.twin().await;
            let (_, task) = tasks
                .into_iter()
                .find(|(name, _)| *name == "identity.retention")
                .unwrap();
            let stop = CancellationToken::new();
            stop.cancel();
            task(stop).await;
        };
        let ips = "SELECT CAST(COUNT(ip) AS BIGINT) FROM identity_logins";
        let sessions = "SELECT CAST(COUNT(*) AS BIGINT) FROM identity_sessions WHERE ended_at IS NOT NULL";
        let flows = "SELECT CAST(COUNT(*) AS BIGINT) FROM identity_flows";
        sweep().await;
        assert!(count(ips).await > 0 && count(sessions).await > 0 && count(flows).await > 0);
        house.pass(8 * 86_400);
        sweep().await;
        assert_eq!((count(flows).await, count(ips).await > 0), (0, true));
        house.pass(23 * 86_400);
        house.login("ada").await;
        sweep().await;
        assert_eq!((count(ips).await, count(sessions).await), (1, 0), "the new one is left");
        house.pass(366 * 86_400);
        sweep().await;
        assert_eq!(count("SELECT CAST(COUNT(*) AS BIGINT) FROM identity_logins").await, 0);
        house.login("ada").await;
    }
}

/// ASVS 14.3.1: what a browser keeps of somebody is gone with their session.
#[tokio::test]
async fn a_logout_clears_what_the_browser_keeps() {
    for house in houses().await {
        house.person("ada").await;
        let token = house.access("ada").await;
        let answer = house.call("POST", "/auth/logout", &token, None).await.expect(204);
        let cleared = answer.headers["clear-site-data"].to_str().unwrap();
        assert_eq!(cleared, "\"cookies\", \"storage\"");
        let gone = answer.headers.get_all("set-cookie").iter().filter(|cookie| {
            let cookie = cookie.to_str().unwrap();
            cookie.starts_with("__Host-") && cookie.contains("Max-Age=0")
        });
        assert_eq!(gone.count(), 3);
        assert!(!house.is_open(&token).await);
    }
}
