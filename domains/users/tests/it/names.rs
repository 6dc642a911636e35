//! Who may have which name.

use nova_core::clock::Timestamp;
use nova_domain::accounts::ClaimError;
use nova_domain::db::UserId;
use nova_domain::testing;
use serde_json::json;

use crate::house::{START, house};

#[tokio::test]
async fn a_name_is_one_persons_whatever_its_case() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("Alice").await;
        for taken in ["Alice", "alice", "ALICE"] {
            assert_eq!(house.directory.find(taken).await.unwrap(), Some(alice.user));
            let refused = house.claim(UserId::new(START), taken).await.unwrap_err();
            assert!(matches!(refused, ClaimError::Taken), "{refused}");
        }
        for (name, reserved) in [("Admin", true), ("1x2", false), ("ab", false), ("аdmin", false)] {
            let refused = house.claim(UserId::new(START), name).await.unwrap_err();
            assert_eq!(matches!(refused, ClaimError::Reserved), reserved, "{name}: {refused}");
        }
        let card = house.directory.card(alice.user).await.unwrap().unwrap();
        assert_eq!((card.username.as_str(), card.display_name.as_str()), ("Alice", "Alice"));
        assert_eq!(house.directory.card(UserId::new(START)).await.unwrap(), None);
        assert_eq!(house.directory.find("nobody\0").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_transaction_goes_on_after_a_name_that_is_taken() {
    for db in testing::databases().await {
        let house = house(&db);
        house.viewer("alice").await;
        let mut tx = house.db.begin().await.unwrap();
        let user = UserId::new(START);
        let now = Timestamp(START.0 + 1);
        let refused = house.directory.claim(&mut tx, user, "alice", now).await.unwrap_err();
        assert!(matches!(refused, ClaimError::Taken));
        house.directory.claim(&mut tx, user, "alice_2", now).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(house.directory.find("alice_2").await.unwrap(), Some(user));
    }
}

#[tokio::test]
async fn of_many_who_want_a_name_at_once_one_gets_it() {
    for db in testing::databases().await {
        let house = house(&db);
        let claims = (0..8).map(|_| async { house.claim(UserId::new(START), "alice").await.is_ok() });
        let mut won = 0;
        for claim in futures_util::future::join_all(claims).await {
            won += i32::from(claim);
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn an_old_name_leads_to_the_new_one_and_is_nobody_elses_for_a_while() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        let renamed = house
            .call(&alice, "PATCH", "/users/me", json!({"username": "Alicia"}))
            .await;
        assert_eq!((renamed.status, renamed.at("/username")), (200, &json!("Alicia")));
        let moved = house.get(None, "/users/ALICE").await;
        assert_eq!(
            (moved.status, moved.headers["location"].to_str().unwrap()),
            (308, "/api/v1/users/Alicia")
        );
        assert_eq!(house.directory.find("alice").await.unwrap(), None);
        assert!(matches!(
            house.claim(UserId::new(START), "alice").await,
            Err(ClaimError::Taken)
        ));
        // Once in two weeks; the way back is a change like any other.
        let again = house
            .call(&alice, "PATCH", "/users/me", json!({"username": "alice"}))
            .await;
        assert_eq!((again.status, again.at("/code")), (429, &json!("rename_cooldown")));
        assert!(again.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 13 * 86_400);
        // Other letters of the same name are no other name.
        let case = house
            .call(&alice, "PATCH", "/users/me", json!({"username": "aLiCiA"}))
            .await;
        assert_eq!((case.status, case.at("/username")), (200, &json!("aLiCiA")));
        house.days(15);
        let back = house
            .call(&alice, "PATCH", "/users/me", json!({"username": "alice"}))
            .await;
        assert_eq!(back.status, 200, "{back:?}");
        assert_eq!(house.get(None, "/users/alicia").await.status, 308);
        house.days(31);
        let other = UserId::new(house.clock.now());
        house.claim(other, "alicia").await.unwrap();
        let profile = house.get(None, "/users/alicia").await;
        assert_eq!((profile.status, profile.at("/id")), (200, &json!(other.to_string())));
    }
}

#[tokio::test]
async fn an_old_name_leads_nowhere_for_who_is_blocked() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        house
            .call(&alice, "PATCH", "/users/me", json!({"username": "carol"}))
            .await;
        house.put(&alice, &format!("/users/{}/block", bob.user)).await;
        for name in ["alice", "carol", &alice.user.to_string()] {
            assert_eq!(house.get(&bob, &format!("/users/{name}")).await.status, 404, "{name}");
        }
        assert_eq!(house.get(None, "/users/alice").await.status, 308);
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_had_is_said_why() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        house.viewer("bob").await;
        for (name, status) in [
            ("BOB", 409),
            ("admin", 422),
            ("x", 422),
            ("new name", 422),
            ("nul\0l", 422),
        ] {
            let refused = house
                .call(&alice, "PATCH", "/users/me", json!({"username": name, "bio": "x"}))
                .await;
            assert_eq!(refused.status, status, "{name}: {refused:?}");
        }
        let me = house.get(&alice, "/users/me").await;
        assert_eq!((me.at("/username"), me.at("/bio")), (&json!("alice"), &json!("")));
    }
}
