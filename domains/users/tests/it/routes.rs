//! What holds for every route. Who is answered what, `web/tests/domains/matrix.rs` asks of all domains together.

use nova_domain::{Role, testing};
use serde_json::json;

use crate::house::house;

#[tokio::test]
async fn every_route_has_a_name_of_its_own() {
    let db = testing::sqlite().await;
    let house = house(&db);
    let paths = house.api["paths"].as_object().unwrap().values();
    let mut names: Vec<&str> = paths
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[tokio::test]
async fn a_token_of_a_moderator_does_not_moderate() {
    for db in testing::databases().await {
        let house = house(&db);
        let mut moderator = house.somebody("moderates", Role::Moderator).await;
        moderator.proof = nova_domain::http::caller::Proof::Token(vec!["read".into(), "write".into()]);
        assert_eq!(house.get(&moderator, "/moderation/reports").await.status, 403);
        assert_eq!(house.get(&moderator, "/users/me").await.status, 200);
    }
}

#[tokio::test]
async fn a_suspended_moderator_does_not_even_look() {
    for db in testing::databases().await {
        let house = house(&db);
        let mut moderator = house.somebody("moderates", Role::Moderator).await;
        moderator.suspended = true;
        let theirs = format!("/moderation/users/{}/strikes", moderator.user);
        for path in ["/moderation/reports", "/moderation/appeals", &theirs] {
            assert_eq!(house.get(&moderator, path).await.status, 403, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_no_json_or_no_id_is_refused_in_words() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        for path in ["/users/x%00y", "/users/-", "/users/%FF", "/users/no_body"] {
            assert_eq!(house.get(&alice, path).await.status, 404, "{path}");
        }
        for body in [
            json!({"bio": 1}),
            json!({"links": "x"}),
            json!("x"),
            json!({"links": [{}]}),
        ] {
            let refused = house.call(&alice, "PATCH", "/users/me", body.clone()).await;
            assert_eq!(refused.status, 422, "{body}");
        }
        assert_eq!(house.call(&alice, "PATCH", "/users/me", None).await.status, 415);
        assert_eq!(house.call(&alice, "DELETE", "/users/me", None).await.status, 405);
    }
}
