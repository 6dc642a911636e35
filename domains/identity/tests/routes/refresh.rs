//! The rule of rotation, as an app meets it (RFC 9700 section 4.14.2).

use serde_json::json;

use crate::house::{House, houses};

async fn refresh(house: &House, token: &str) -> crate::house::Answer {
    house.post("/auth/refresh", json!({ "refresh_token": token })).await
}

#[tokio::test]
async fn each_refresh_token_is_good_once_and_brings_the_next() {
    for house in houses().await {
        house.person("ada").await;
        let mut token = house.login("ada").await.text("refresh_token");
        for _ in 0..3 {
            let next = refresh(&house, &token).await.expect(200);
            assert!(house.is_open(&next.text("access_token")).await);
            assert_ne!(next.text("refresh_token"), token);
            token = next.text("refresh_token");
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_can_be_asked_for_again() {
    for house in houses().await {
        house.person("ada").await;
        let first = house.login("ada").await.text("refresh_token");
        refresh(&house, &first).await.expect(200);
        let again = refresh(&house, &first).await.expect(200).text("refresh_token");
        refresh(&house, &again).await.expect(200);
    }
}

#[tokio::test]
async fn a_replay_ends_the_whole_session_and_its_person_is_told() {
    for house in houses().await {
        house.person("ada").await;
        let login = house.login("ada").await;
        let first = login.text("refresh_token");
        let second = refresh(&house, &first).await.expect(200).text("refresh_token");
        let third = refresh(&house, &second).await.expect(200);
        refresh(&house, &first).await.expect(401);
        refresh(&house, &third.text("refresh_token")).await.expect(401);
        assert!(!house.is_open(&third.text("access_token")).await && !house.is_open(&login.text("access_token")).await);
        let mail = house.mail("ada@example.org").await.unwrap();
        assert!(mail.contains("session"), "{mail}");
        house.login("ada").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_come_at_once_one_line_goes_on() {
    for house in houses().await {
        house.person("ada").await;
        let first = house.login("ada").await.text("refresh_token");
        let house = std::sync::Arc::new(house);
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (house, first) = (std::sync::Arc::clone(&house), first.clone());
                tokio::spawn(async move { refresh(&house, &first).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        let unused: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM identity_refresh_tokens WHERE state = 0 AND session_id = (SELECT session_id FROM identity_refresh_tokens ORDER BY created_at DESC, hash LIMIT 1)")
            .fetch_one(house.db.read())
            .await
            .unwrap();
        assert!(unused <= 1, "{unused} lines");
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_when_it_is_too_old() {
    for house in houses().await {
        house.person("ada").await;
        let idle = house.login("ada").await.text("refresh_token");
        house.pass(30 * 86_400 + 1);
        refresh(&house, &idle).await.expect(401);

        let mut token = house.login("ada").await.text("refresh_token");
        for _ in 0..18 {
            house.pass(20 * 86_400);
            token = refresh(&house, &token).await.expect(200).text("refresh_token");
        }
        house.pass(6 * 86_400);
        refresh(&house, &token).await.expect(401);
    }
}

#[tokio::test]
async fn an_access_token_ends_by_itself() {
    for house in houses().await {
        house.person("ada").await;
        let token = house.access("ada").await;
        house.pass(15 * 60 - 1);
        assert!(house.is_open(&token).await);
        house.pass(2);
        assert!(!house.is_open(&token).await);
    }
}
