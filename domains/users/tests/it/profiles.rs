//! What people say about themselves, and who sees it.

use nova_domain::events::ImageDeleted;
use nova_domain::testing;
use serde_json::{Value, json};

use crate::house::house;

#[tokio::test]
async fn a_profile_is_changed_piece_by_piece_and_shown_to_everybody() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        let change = json!({
            "display_name": " Alice A. ", "bio": "**hi** <script>alert(1)</script>", "location": "Tromsø", "pronouns": "she/her",
            "links": [{"title": "Home", "url": "https://example.org/"}], "avatar_url": "https://evil.example/x.png"
        });
        let changed = house.call(&alice, "PATCH", "/users/me", change).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let only = house.call(&alice, "PATCH", "/users/me", json!({"location": ""})).await;
        assert_eq!(only.status, 200);
        let seen = house.get(None, "/users/alice").await;
        assert_eq!(
            seen.body,
            json!({
                "id": alice.user.to_string(), "username": "alice", "display_name": "Alice A.", "avatar_url": null,
                "banner_url": null, "bio": "**hi** <script>alert(1)</script>",
                "bio_html": "<p><strong>hi</strong> &lt;script&gt;alert(1)&lt;/script&gt;</p>", "location": "", "pronouns": "she/her",
                "links": [{"title": "Home", "url": "https://example.org/"}], "privacy_level": "public", "indexable": false,
                "followers_count": 0, "following_count": 0, "created_at": "2026-11-23T23:59:59.000Z", "relationship": null
            })
        );
        assert_eq!(house.get(&alice, "/users/me").await.body, seen.body);
        assert_eq!(house.heard().await.len(), 2, "profile.updated, twice");
        let card = house.directory.card(alice.user).await.unwrap().unwrap();
        assert_eq!(card.display_name, "Alice A.");
    }
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_change_is_said_at_once() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        let link = |url: &str| json!({"title": "", "url": url});
        let change = json!({
            "display_name": "x".repeat(51), "bio": "x".repeat(1001), "location": "a\u{202e}b", "pronouns": "a\0b",
            "links": [link("javascript:alert(1)"), link("https://a:b@example.org")]
        });
        let refused = house.call(&alice, "PATCH", "/users/me", change).await;
        assert_eq!(refused.status, 422);
        let fields: Vec<&str> = refused.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|error| error["field"].as_str())
            .collect();
        for field in [
            "display_name",
            "bio",
            "location",
            "pronouns",
            "links.0.url",
            "links.1.url",
        ] {
            assert!(fields.contains(&field), "{field}: {fields:?}");
        }
        let six: Vec<Value> = (0..6).map(|_| link("https://example.org")).collect();
        assert_eq!(
            house
                .call(&alice, "PATCH", "/users/me", json!({"links": six}))
                .await
                .status,
            422
        );
        assert_eq!(house.heard().await, [""; 0]);
    }
}

#[tokio::test]
async fn who_is_not_public_shows_strangers_the_card_and_nothing_else() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        let change =
            json!({"bio": "secret", "location": "here", "pronouns": "they", "links": [{"url": "https://example.org"}]});
        house.call(&alice, "PATCH", "/users/me", change).await;
        house.put(&bob, &format!("/users/{}/follow", alice.user)).await;
        for level in ["followers", "private"] {
            let set = house
                .call(&alice, "PUT", "/users/me/preferences", json!({"privacy_level": level}))
                .await;
            assert_eq!((set.status, set.at("/privacy_level")), (200, &json!(level)));
            let stranger = house.get(None, "/users/alice").await;
            assert_eq!(stranger.status, 200);
            for field in ["bio", "bio_html", "location", "pronouns"] {
                assert_eq!(stranger.body[field], Value::Null, "{level} {field}");
            }
            assert_eq!(stranger.body["links"], json!([]));
            assert_eq!(stranger.body["username"], "alice");
            let follower = house.get(&bob, "/users/alice").await;
            assert_eq!(follower.body["bio"], "secret");
            assert_eq!(house.get(&alice, "/users/me").await.body["bio"], "secret");
            let batch = house.get(&alice, &format!("/users?ids={}", alice.user)).await;
            assert_eq!(batch.at("/items/0/bio"), "secret");
        }
    }
}

#[tokio::test]
async fn many_profiles_come_at_once_without_those_who_do_not_meet() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob, carol) = (
            house.viewer("alice").await,
            house.viewer("bob").await,
            house.viewer("carol").await,
        );
        house.put(&bob, &format!("/users/{}/block", carol.user)).await;
        let path = format!("/users?ids={},{},{}", alice.user, bob.user, carol.user);
        let mut seen = house.get(&carol, &path).await.names("/username");
        seen.sort();
        assert_eq!(seen, ["alice", "carol"]);
        for bad in [
            "/users",
            "/users?ids=",
            "/users?ids=x",
            &format!("/users?ids={}", vec![alice.user.to_string(); 1].join(",") + ",x"),
        ] {
            assert_eq!(house.get(&carol, bad).await.status, 422, "{bad}");
        }
    }
}

#[tokio::test]
async fn preferences_are_those_of_who_has_not_looked_until_they_are_set() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        let usual = house.get(&alice, "/users/me/preferences").await;
        assert_eq!(usual.status, 200);
        for (pointer, value) in [
            ("/indexable", json!(false)),
            ("/messages_from", json!("following")),
            ("/sensitive_media", json!("blur")),
            (
                "/notifications/like",
                json!({"web": true, "mail": false, "push": false}),
            ),
            ("/quiet_hours", Value::Null),
        ] {
            assert_eq!(usual.at(pointer), &value, "{pointer}");
        }
        let mut wanted = usual.body.clone();
        wanted["discoverable"] = json!(false);
        wanted["indexable"] = json!(true);
        wanted["notifications"]["live"]["mail"] = json!(true);
        wanted["quiet_hours"] = json!({"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"});
        let set = house.call(&alice, "PUT", "/users/me/preferences", wanted.clone()).await;
        assert_eq!((set.status, &set.body), (200, &wanted));
        assert_eq!(house.get(&alice, "/users/me/preferences").await.body, wanted);
        for bad in [
            json!({"privacy_level": "secret"}),
            json!({"quiet_hours": {"from": "25:00", "to": "07:00", "time_zone": "UTC"}}),
            json!({"notifications": {"like": {"web": "yes"}}}),
        ] {
            let refused = house.call(&alice, "PUT", "/users/me/preferences", bad.clone()).await;
            assert_eq!(refused.status, 422, "{bad}");
        }
        assert_eq!(house.get(&alice, "/users/me/preferences").await.body, wanted);
    }
}

#[tokio::test]
async fn people_show_themselves_by_pictures_of_their_own_as_long_as_these_are_there() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        let id = |n: u32| format!("0190a5b4-0000-7000-8000-00000000000{n}");
        {
            let mut album = house.album.0.lock().unwrap();
            album.insert((id(1), alice.user, "avatar"), "/media/images/a/256.jpg".into());
            album.insert((id(2), alice.user, "banner"), "/media/images/b/1500.jpg".into());
        }
        let both = json!({"avatar_image_id": id(1), "banner_image_id": id(2)});
        let changed = house.call(&alice, "PATCH", "/users/me", both.clone()).await;
        assert_eq!(
            (changed.at("/avatar_url"), changed.at("/banner_url")),
            (&json!("/media/images/a/256.jpg"), &json!("/media/images/b/1500.jpg"))
        );
        let card = house.directory.card(alice.user).await.unwrap().unwrap();
        assert_eq!(card.avatar_url.as_deref(), Some("/media/images/a/256.jpg"));
        // Not another's, and not one that is for something else.
        for (who, body) in [
            (&bob, both),
            (&alice, json!({"avatar_image_id": id(2)})),
            (&alice, json!({"avatar_image_id": "x"})),
        ] {
            let refused = house.call(who, "PATCH", "/users/me", body).await;
            assert_eq!(
                (refused.status, refused.at("/errors/0/field")),
                (422, &json!("avatar_image_id"))
            );
        }
        let taken = house
            .call(&alice, "PATCH", "/users/me", json!({"banner_image_id": ""}))
            .await;
        assert_eq!(
            (taken.at("/avatar_url").is_string(), taken.at("/banner_url")),
            (true, &Value::Null)
        );
        house.heard().await;
        // Another picture of hers is gone, and then the one that she shows.
        for (image, there) in [(id(2), true), (id(1), false)] {
            house
                .say(&ImageDeleted {
                    image,
                    owner: alice.user,
                })
                .await;
            house.heard().await;
            assert_eq!(
                house.get(None, "/users/alice").await.at("/avatar_url").is_string(),
                there
            );
        }
    }
}
