use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::house::{PASSWORD, houses};

#[tokio::test]
async fn a_session_that_is_ended_opens_nothing_from_that_moment() {
    for house in houses().await {
        house.person("ada").await;
        let (here, there) = (house.access("ada").await, house.login("ada").await);
        let list = house.call("GET", "/auth/sessions", &here, None).await.expect(200);
        let items = list.body["items"].as_array().unwrap();
        assert_eq!(items.iter().filter(|item| item["current"] == true).count(), 1);
        let other = items[0]["id"].as_str().unwrap().to_owned();
        house
            .call(
                "PATCH",
                &format!("/auth/sessions/{other}"),
                &here,
                Some(json!({ "device_name": "the old one" })),
            )
            .await
            .expect(204);
        house
            .call("DELETE", &format!("/auth/sessions/{other}"), &here, None)
            .await
            .expect(204);
        house
            .call("DELETE", &format!("/auth/sessions/{other}"), &here, None)
            .await
            .expect(404);
        assert!(!house.is_open(&there.text("access_token")).await);
        house
            .post("/auth/refresh", json!({ "refresh_token": there.text("refresh_token") }))
            .await
            .expect(401);
        assert!(house.is_open(&here).await);
        house.call("POST", "/auth/logout", &here, None).await.expect(204);
        assert!(!house.is_open(&here).await);
        let introspection = house
            .post("/auth/introspect", json!({ "token": here }))
            .await
            .expect(200);
        assert_eq!(introspection.body, json!({ "active": false }));
    }
}

#[tokio::test]
async fn nobody_ends_or_sees_the_sessions_of_others() {
    for house in houses().await {
        house.person("ada").await;
        house.person("eve").await;
        let (ada, eve) = (house.access("ada").await, house.access("eve").await);
        let list = house.call("GET", "/auth/sessions", &ada, None).await.expect(200);
        let id = list.body["items"][0]["id"].as_str().unwrap();
        house
            .call("DELETE", &format!("/auth/sessions/{id}"), &eve, None)
            .await
            .expect(404);
        house
            .call(
                "PATCH",
                &format!("/auth/sessions/{id}"),
                &eve,
                Some(json!({ "device_name": "mine" })),
            )
            .await
            .expect(404);
        house.call("DELETE", "/auth/sessions", &eve, None).await.expect(204);
        assert!(house.is_open(&ada).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_refuses_an_ended_session_too() {
    for house in houses().await {
        house.person("ada").await;
        let token = house.access("ada").await;
        let (router, tasks) = house.twin().await;
        let stop = CancellationToken::new();
        for (_, task) in tasks {
            tokio::spawn(task(stop.clone()));
        }
        let ask = || {
            let request = Request::get("/auth/account")
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())
                .unwrap();
            router.clone().oneshot(request)
        };
        assert_eq!(ask().await.unwrap().status(), 200);
        house.call("POST", "/auth/logout", &token, None).await.expect(204);
        // Its task looks twice a second; the test ends when it has looked, and by the runner's time limit if it never does.
        while ask().await.unwrap().status() != 401 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    }
}

#[tokio::test]
async fn a_suspension_has_effect_at_once_and_leaves_what_the_law_asks_for() {
    for house in houses().await {
        let id = house.person("ada").await;
        let login = house.login("ada").await;
        let now = house.clock.now();
        let accounts = house.identity.accounts();
        let mut tx = house.db.begin().await.unwrap();
        accounts
            .suspend(&mut tx, id.parse().unwrap(), Some(now.plus_micros(86_400_000_000)), now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert!(
            !house.is_open(&login.text("access_token")).await,
            "its token does not say how it stands"
        );
        house.pass(1);
        let refreshed = house
            .post("/auth/refresh", json!({ "refresh_token": login.text("refresh_token") }))
            .await
            .expect(200);
        let token = refreshed.text("access_token");
        assert!(house.is_open(&token).await, "it may look");
        assert!(!refreshed.body["user"]["suspended_until"].is_null());
        let refused = house.call("POST", "/auth/totp", &token, None).await.expect(403);
        assert_eq!(refused.body["code"], "suspended");
        house.call("POST", "/auth/logout", &token, None).await.expect(204);
    }
}

#[tokio::test]
async fn sensitive_changes_ask_for_a_recent_proof() {
    for house in houses().await {
        house.person("ada").await;
        let login = house.login("ada").await;
        house.pass(11 * 60);
        let old = login.text("access_token");
        let routes = [
            ("POST", "/auth/totp", None),
            ("POST", "/auth/tokens", Some(json!({ "name": "x", "scopes": ["read"] }))),
            ("POST", "/auth/email", Some(json!({ "email": "new@example.org" }))),
            ("POST", "/auth/exports", None),
            ("DELETE", "/auth/account", None),
            ("DELETE", "/auth/totp", None),
        ];
        for (method, path, body) in &routes {
            let refused = house.call(method, path, &old, body.clone()).await.expect(403);
            assert_eq!(refused.body["code"], "sudo_required", "{method} {path}");
        }
        house
            .call("POST", "/auth/sudo", &old, Some(json!({ "password": "wrong" })))
            .await
            .expect(403);
        let fresh = house
            .call("POST", "/auth/sudo", &old, Some(json!({ "password": PASSWORD })))
            .await
            .expect(200)
            .text("access_token");
        house.call("POST", "/auth/totp", &fresh, None).await.expect(200);
        // A refresh does not prove anything again, and does not forget it either.
        house.pass(11 * 60);
        let next = house
            .post("/auth/refresh", json!({ "refresh_token": login.text("refresh_token") }))
            .await
            .expect(200)
            .text("access_token");
        house.call("POST", "/auth/exports", &next, None).await.expect(403);
    }
}

#[tokio::test]
async fn a_role_has_effect_at_once_and_nobody_gives_one_to_themselves() {
    for house in houses().await {
        let (_, link) = house
            .identity
            .create_user("root@example.org", "rooty", true)
            .await
            .unwrap();
        house
            .post(
                "/auth/password-reset/confirm",
                json!({ "token": link, "password": PASSWORD }),
            )
            .await
            .expect(200);
        let ada = house.person("ada").await;
        let login = house.login("ada").await;
        let root = house.login("rooty").await;
        let (root_id, root) = (
            root.body["user"]["id"].as_str().unwrap().to_owned(),
            root.text("access_token"),
        );
        let body = Some(json!({ "role": "moderator" }));
        house
            .call(
                "PUT",
                &format!("/auth/users/{ada}/role"),
                &login.text("access_token"),
                body.clone(),
            )
            .await
            .expect(403);
        house
            .call("PUT", &format!("/auth/users/{root_id}/role"), &root, body.clone())
            .await
            .expect(403);
        house
            .call("PUT", &format!("/auth/users/{ada}/role"), &root, body)
            .await
            .expect(204);
        assert!(!house.is_open(&login.text("access_token")).await);
        house.pass(1);
        let refreshed = house
            .post("/auth/refresh", json!({ "refresh_token": login.text("refresh_token") }))
            .await
            .expect(200);
        assert_eq!(refreshed.body["user"]["role"], "moderator");
        let standing = house
            .identity
            .accounts()
            .standing(ada.parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(standing.role.as_str(), "moderator");
    }
}
