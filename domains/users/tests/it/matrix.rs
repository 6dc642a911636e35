//! Every route, asked by everybody (ASVS 8.2.2): a route that is missing here fails the test.

use nova_domain::{Caller, Role, testing};
use serde_json::{Value, json};

use crate::house::{House, house};

/// Method, path and body; then what a guest, the owner, another person, one the owner has blocked, a suspended one and a moderator get.
/// `{owner}` and `{other}` are ids; `{report}` is about the owner, `{strike}` and `{appeal}` are the owner's.
const TABLE: &[(&str, &str, &str, [u16; 6])] = &[
    ("GET", "/users/me", "", [401, 200, 200, 200, 200, 200]),
    ("PATCH", "/users/me", r#"{"bio":"x"}"#, [401, 200, 200, 200, 403, 200]),
    ("GET", "/users/{owner}", "", [200, 200, 200, 404, 200, 200]),
    ("GET", "/users/{name}", "", [200, 200, 200, 404, 200, 200]),
    ("GET", "/users?ids={owner}", "", [401, 200, 200, 200, 200, 200]),
    ("GET", "/users/suggestions", "", [401, 200, 200, 200, 200, 200]),
    ("GET", "/users/me/preferences", "", [401, 200, 200, 200, 200, 200]),
    ("PUT", "/users/me/preferences", "{}", [401, 200, 200, 200, 403, 200]),
    ("PUT", "/users/{owner}/follow", "", [401, 422, 200, 404, 403, 200]),
    ("DELETE", "/users/{owner}/follow", "", [401, 204, 204, 204, 403, 204]),
    ("PUT", "/users/{owner}/block", "", [401, 422, 200, 200, 403, 200]),
    ("DELETE", "/users/{owner}/block", "", [401, 204, 204, 204, 403, 204]),
    ("PUT", "/users/{owner}/mute", "", [401, 422, 200, 404, 403, 200]),
    ("DELETE", "/users/{owner}/mute", "", [401, 204, 204, 204, 403, 204]),
    ("GET", "/users/{owner}/followers", "", [200, 200, 200, 404, 200, 200]),
    ("GET", "/users/{owner}/following", "", [200, 200, 200, 404, 200, 200]),
    ("GET", "/users/me/follow-requests", "", [401, 200, 200, 200, 200, 200]),
    (
        "PUT",
        "/users/me/follow-requests/{other}",
        "",
        [401, 404, 404, 404, 403, 404],
    ),
    (
        "DELETE",
        "/users/me/follow-requests/{other}",
        "",
        [401, 204, 204, 204, 403, 204],
    ),
    (
        "DELETE",
        "/users/me/followers/{other}",
        "",
        [401, 204, 204, 204, 403, 204],
    ),
    ("GET", "/users/me/blocks", "", [401, 200, 200, 200, 200, 200]),
    ("GET", "/users/me/mutes", "", [401, 200, 200, 200, 200, 200]),
    (
        "POST",
        "/reports",
        r#"{"target_type":"user","target_id":"{owner}","reason":"other"}"#,
        [401, 422, 200, 201, 403, 201],
    ),
    ("GET", "/users/me/strikes", "", [401, 200, 200, 200, 200, 200]),
    (
        "POST",
        "/users/me/appeals",
        r#"{"strike_id":"{strike}","text":"why"}"#,
        [401, 201, 404, 404, 404, 404],
    ),
    ("GET", "/moderation/reports", "", [401, 403, 403, 403, 403, 200]),
    (
        "POST",
        "/moderation/reports/{report}/claim",
        "",
        [401, 403, 403, 403, 403, 200],
    ),
    (
        "POST",
        "/moderation/reports/{report}/resolve",
        r#"{"action":"none"}"#,
        [401, 403, 403, 403, 403, 200],
    ),
    (
        "POST",
        "/moderation/users/{owner}/warn",
        r#"{"statement":"why"}"#,
        [401, 403, 403, 403, 403, 200],
    ),
    (
        "POST",
        "/moderation/users/{owner}/suspend",
        r#"{"statement":"why","days":3}"#,
        [401, 403, 403, 403, 403, 200],
    ),
    (
        "POST",
        "/moderation/users/{owner}/unsuspend",
        "",
        [401, 403, 403, 403, 403, 204],
    ),
    (
        "GET",
        "/moderation/users/{owner}/strikes",
        "",
        [401, 403, 403, 403, 403, 200],
    ),
    ("GET", "/moderation/appeals", "", [401, 403, 403, 403, 403, 200]),
    (
        "POST",
        "/moderation/appeals/{appeal}/decide",
        r#"{"grant":false,"answer":"no"}"#,
        [401, 403, 403, 403, 403, 200],
    ),
];

const WHO: [&str; 6] = ["guest", "owner", "other", "blocked", "suspended", "moderator"];

/// People for one line of the table, and what the ids in it stand for.
async fn people(house: &House, line: usize) -> ([Option<Caller>; 6], Vec<(&'static str, String)>) {
    let somebody = async |who: &str, role| house.somebody(&format!("{who}_{line}"), role).await;
    let (owner, other) = (
        somebody("owner", Role::Viewer).await,
        somebody("other", Role::Viewer).await,
    );
    let (blocked, mut suspended) = (
        somebody("blocked", Role::Viewer).await,
        somebody("suspended", Role::Viewer).await,
    );
    let moderator = somebody("moderates", Role::Moderator).await;
    suspended.suspended = true;
    house.put(&owner, &format!("/users/{}/block", blocked.user)).await;
    let new = json!({"target_type": "user", "target_id": owner.user.to_string(), "reason": "spam"});
    let report = house.post(&other, "/reports", new).await;
    let warn = format!("/moderation/users/{}/warn", owner.user);
    let mut strikes = Vec::new();
    for _ in 0..2 {
        let warned = house.post(&moderator, &warn, json!({"statement": "why"})).await;
        strikes.push(warned.at("/strike/id").as_str().unwrap().to_owned());
    }
    let new = json!({"strike_id": strikes[1], "text": "no"});
    let appeal = house.post(&owner, "/users/me/appeals", new).await;
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    let named = vec![
        ("{owner}", owner.user.to_string()),
        ("{name}", format!("owner_{line}")),
        ("{other}", other.user.to_string()),
        ("{report}", id(report.at("/id"))),
        ("{strike}", strikes[0].clone()),
        ("{appeal}", id(appeal.at("/id"))),
    ];
    let callers = [
        None,
        Some(owner),
        Some(other),
        Some(blocked),
        Some(suspended),
        Some(moderator),
    ];
    (callers, named)
}

#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    for db in testing::databases().await {
        let house = house(&db);
        let mut wrong = Vec::new();
        for (line, (method, path, body, expected)) in TABLE.iter().enumerate() {
            let (callers, named) = people(&house, line).await;
            let fill = |text: &str| {
                named
                    .iter()
                    .fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
            };
            for ((caller, who), expected) in callers.iter().zip(WHO).zip(expected) {
                let body = (!body.is_empty()).then(|| serde_json::from_str(&fill(body)).expect("JSON"));
                let answer = house.call(caller.as_ref(), method, &fill(path), body).await;
                if answer.status != *expected {
                    wrong.push(format!(
                        "{method} {path} as {who}: {} instead of {expected}",
                        answer.status
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[tokio::test]
async fn the_table_names_every_route_there_is() {
    let db = testing::sqlite().await;
    let house = house(&db);
    for (path, item) in house.api["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let named = TABLE.iter().any(|(one, template, ..)| {
                let template = template.split('?').next().unwrap_or_default();
                let (parts, known): (Vec<_>, Vec<_>) = (
                    path.trim_start_matches("/api/v1").split('/').collect(),
                    template.split('/').collect(),
                );
                let alike = parts
                    .iter()
                    .zip(&known)
                    .all(|(part, known)| part == known || (part.starts_with('{') && known.starts_with('{')));
                one.eq_ignore_ascii_case(method) && parts.len() == known.len() && alike
            });
            assert!(named, "{method} {path}");
        }
    }
}

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
