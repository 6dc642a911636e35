use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nova_identity::Config;
use serde_json::json;

use crate::house::{PASSWORD, houses, houses_with, link};

#[tokio::test]
async fn ten_thousand_wrong_logins_never_lock_the_owner_out() {
    for house in houses_with(1, Config::default()).await {
        house.person("ada").await;
        let (mut refused, mut wrong) = (0, 0);
        for n in 0..10_000 {
            let ip = format!("198.51.100.{}", n % 200);
            let body = json!({ "email_or_username": "ada", "password": "guess number one of many" });
            match house
                .call_from(&ip, "POST", "/auth/login", None, Some(body))
                .await
                .status
            {
                429 => refused += 1,
                401 => wrong += 1,
                status => panic!("{status}"),
            }
        }
        assert!(wrong < 1000 && refused > 9000, "{wrong} guesses were checked");
        house.login("ada").await;
    }
}

#[tokio::test]
async fn a_login_from_a_new_place_is_told_and_one_from_a_known_place_is_not() {
    for house in houses().await {
        house.person("ada").await;
        let before = house.mails("ada@example.org").await.len();
        house.login("ada").await;
        assert_eq!(house.mails("ada@example.org").await.len(), before);
        let body = json!({ "email_or_username": "ada", "password": PASSWORD, "device_name": "a new phone" });
        house
            .call_from("203.0.113.7", "POST", "/auth/login", None, Some(body))
            .await
            .expect(200);
        let mail = house.mail("ada@example.org").await.unwrap();
        assert!(mail.contains("a new phone"), "{mail}");
    }
}

#[tokio::test]
async fn attempts_are_recorded_for_their_person() {
    for house in houses().await {
        house.person("ada").await;
        house
            .post(
                "/auth/login",
                json!({ "email_or_username": "ada", "password": "wrong wrong wrong wrong" }),
            )
            .await
            .expect(401);
        let token = house.access("ada").await;
        let list = house
            .call("GET", "/auth/logins?limit=2", &token, None)
            .await
            .expect(200);
        assert_eq!(list.body["items"][0]["success"], true);
        assert_eq!(list.body["items"][1]["success"], false);
        let cursor = list.text("next_cursor");
        let rest = house
            .call("GET", &format!("/auth/logins?limit=2&cursor={cursor}"), &token, None)
            .await
            .expect(200);
        assert_eq!(rest.body["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_browser_gets_cookies_that_no_script_reads_and_no_tokens() {
    for house in houses().await {
        house.person("ada").await;
        let answer = house
            .post(
                "/auth/login",
                json!({ "email_or_username": "ada", "password": PASSWORD, "cookies": true }),
            )
            .await
            .expect(200);
        assert!(answer.body["access_token"].is_null() && answer.body["refresh_token"].is_null());
        let cookies: Vec<String> = answer
            .headers
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(cookies.len(), 3);
        for cookie in &cookies {
            assert!(
                cookie.starts_with("__Host-")
                    && cookie.contains("; Secure")
                    && cookie.contains("; Path=/;")
                    && cookie.contains("SameSite=Lax"),
                "{cookie}"
            );
            assert_eq!(
                cookie.contains("HttpOnly"),
                !cookie.starts_with("__Host-nova_csrf"),
                "{cookie}"
            );
        }
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_the_old_password() {
    for house in houses().await {
        house.person("ada").await;
        let (here, there) = (house.access("ada").await, house.access("ada").await);
        let next = "another phrase of some length";
        house
            .call(
                "POST",
                "/auth/password",
                &here,
                Some(json!({ "current_password": "wrong", "new_password": next })),
            )
            .await
            .expect(403);
        house
            .call(
                "POST",
                "/auth/password",
                &here,
                Some(json!({ "current_password": PASSWORD, "new_password": "short" })),
            )
            .await
            .expect(422);
        house
            .call(
                "POST",
                "/auth/password",
                &here,
                Some(json!({ "current_password": PASSWORD, "new_password": next })),
            )
            .await
            .expect(204);
        assert!(house.is_open(&here).await && !house.is_open(&there).await);
        house
            .post(
                "/auth/login",
                json!({ "email_or_username": "ada", "password": PASSWORD }),
            )
            .await
            .expect(401);
        house
            .post("/auth/login", json!({ "email_or_username": "ada", "password": next }))
            .await
            .expect(200);
        assert!(house.mail("ada@example.org").await.unwrap().contains("password"));
    }
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_once_by_what_the_mail_brought() {
    for house in houses().await {
        house.person("ada").await;
        let session = house.access("ada").await;
        house
            .post("/auth/password-reset", json!({ "email": "ada@example.org" }))
            .await
            .expect(202);
        let first = link(&house.mail("ada@example.org").await.unwrap());
        house
            .post("/auth/password-reset", json!({ "email": "ada@example.org" }))
            .await
            .expect(202);
        let second = link(&house.mail("ada@example.org").await.unwrap());
        let next = "another phrase of some length";
        house
            .post(
                "/auth/password-reset/confirm",
                json!({ "token": first, "password": next }),
            )
            .await
            .expect(422);
        house
            .post(
                "/auth/password-reset/confirm",
                json!({ "token": second, "password": "tiny" }),
            )
            .await
            .expect(422);
        house
            .post(
                "/auth/password-reset/confirm",
                json!({ "token": second, "password": next }),
            )
            .await
            .expect(200);
        house
            .post(
                "/auth/password-reset/confirm",
                json!({ "token": second, "password": next }),
            )
            .await
            .expect(422);
        assert!(!house.is_open(&session).await, "whoever had the old password is out");
        house
            .post("/auth/login", json!({ "email_or_username": "ada", "password": next }))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn when_too_many_log_in_at_once_those_above_the_bound_are_told_when_to_come_back() {
    let config = Config {
        hash_threads: 1,
        ..Config::default()
    };
    for house in houses_with(0, config).await {
        let body = json!({ "email_or_username": "nobody", "password": "a guess that nobody makes" });
        let mut logins: FuturesUnordered<_> = (0..200).map(|_| house.post("/auth/login", body.clone())).collect();
        // A thread has some 64 waiting for it.
        let refused = loop {
            match logins.next().await.unwrap() {
                answer if answer.status == 401 => {}
                answer => break answer.expect(429),
            }
        };
        assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
        // Who hangs up makes room, as soon as the thread comes to them.
        drop(logins);
        while house.post("/auth/login", body.clone()).await.status != 401 {
            tokio::task::yield_now().await;
        }
    }
}
