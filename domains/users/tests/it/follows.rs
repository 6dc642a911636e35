//! The graph: who follows whom, who asked, who does not want to meet whom.

use nova_domain::http::limit::Limits;
use nova_domain::testing;
use nova_users::Config;
use serde_json::json;

use crate::house::{House, build, house};

async fn counts(house: &House, name: &str) -> (i64, i64) {
    let profile = house.get(None, &format!("/users/{name}")).await;
    let number = |field: &str| profile.body[field].as_i64().unwrap();
    (number("followers_count"), number("following_count"))
}

#[tokio::test]
async fn a_follow_is_there_once_however_often_it_is_asked_for() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        let path = format!("/users/{}/follow", alice.user);
        for _ in 0..3 {
            let answer = house.put(&bob, &path).await;
            assert_eq!(answer.status, 200);
            assert_eq!(
                answer.body,
                json!({"following": true, "requested": false, "followed_by": false, "blocked": false, "muted": false})
            );
        }
        assert_eq!(counts(&house, "alice").await, (1, 0));
        assert_eq!(counts(&house, "bob").await, (0, 1));
        let seen = house.get(&alice, "/users/bob").await;
        assert_eq!(seen.at("/relationship/followed_by"), &json!(true));
        for _ in 0..2 {
            assert_eq!(house.delete(&bob, &path).await.status, 204);
        }
        assert_eq!(counts(&house, "alice").await, (0, 0));
        assert_eq!(
            house.heard().await,
            [
                format!("follow.created {}", alice.user),
                format!("follow.removed {}", alice.user)
            ]
        );
        assert_eq!(house.put(&alice, &path).await.status, 422, "oneself");
        let nobody = nova_domain::db::UserId::new(house.clock.now());
        assert_eq!(house.put(&alice, &format!("/users/{nobody}/follow")).await.status, 404);
        assert_eq!(house.put(&alice, "/users/alice/follow").await.status, 404);
    }
}

#[tokio::test]
async fn a_private_person_lets_in_whom_they_want() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        house
            .call(
                &alice,
                "PUT",
                "/users/me/preferences",
                json!({"privacy_level": "private"}),
            )
            .await;
        let (bob, carol, dave) = (
            house.viewer("bob").await,
            house.viewer("carol").await,
            house.viewer("dave").await,
        );
        let path = format!("/users/{}/follow", alice.user);
        for one in [&bob, &carol, &dave, &dave] {
            let answer = house.put(one, &path).await;
            assert_eq!((answer.status, answer.at("/requested")), (200, &json!(true)));
            assert_eq!(answer.at("/following"), &json!(false));
        }
        assert_eq!(house.delete(&dave, &path).await.status, 204, "taken back");
        let mut asked = house.get(&alice, "/users/me/follow-requests").await.names("/username");
        asked.sort();
        assert_eq!(asked, ["bob", "carol"]);
        let decide = |one: &nova_domain::Caller| format!("/users/me/follow-requests/{}", one.user);
        assert_eq!(house.put(&alice, &decide(&bob)).await.status, 204);
        assert_eq!(house.put(&alice, &decide(&bob)).await.status, 204, "twice is once");
        assert_eq!(house.delete(&alice, &decide(&carol)).await.status, 204);
        assert_eq!(house.put(&alice, &decide(&carol)).await.status, 404);
        assert_eq!(house.put(&alice, &decide(&dave)).await.status, 404);
        assert_eq!(counts(&house, "alice").await, (1, 0));
        let followers = house.get(&bob, &format!("/users/{}/followers", alice.user)).await;
        assert_eq!(followers.names("/username"), ["bob"]);
        for stranger in [Some(&carol), None] {
            for list in ["followers", "following"] {
                let refused = house.get(stranger, &format!("/users/{}/{list}", alice.user)).await;
                assert_eq!(refused.status, 403);
            }
        }
        assert_eq!(
            house
                .delete(&alice, &format!("/users/me/followers/{}", bob.user))
                .await
                .status,
            204
        );
        assert_eq!(counts(&house, "alice").await, (0, 0));
        assert_eq!(
            house.get(&bob, "/users/alice").await.at("/bio"),
            &serde_json::Value::Null
        );
    }
}

#[tokio::test]
async fn a_block_cuts_everything_both_ways_and_hides_each_from_the_other() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob, carol) = (
            house.viewer("alice").await,
            house.viewer("bob").await,
            house.viewer("carol").await,
        );
        let follow = |one: &nova_domain::Caller| format!("/users/{}/follow", one.user);
        house.put(&alice, &follow(&bob)).await;
        house.put(&bob, &follow(&alice)).await;
        house.put(&carol, &follow(&alice)).await;
        house.put(&bob, &follow(&carol)).await;
        house.heard().await;
        let blocked = house.put(&alice, &format!("/users/{}/block", bob.user)).await;
        assert_eq!(
            blocked.body,
            json!({"following": false, "requested": false, "followed_by": false, "blocked": true, "muted": false})
        );
        assert_eq!(house.heard().await.len(), 3, "block.created and follow.removed, twice");
        assert_eq!(
            (counts(&house, "alice").await, counts(&house, "bob").await),
            ((1, 0), (0, 1))
        );
        for (one, other) in [(&alice, &bob), (&bob, &alice)] {
            assert_eq!(house.get(one, &format!("/users/{}", other.user)).await.status, 404);
            assert_eq!(house.put(one, &follow(other)).await.status, 404);
            assert_eq!(house.put(one, &format!("/users/{}/mute", other.user)).await.status, 404);
            for list in ["followers", "following"] {
                assert_eq!(
                    house.get(one, &format!("/users/{}/{list}", other.user)).await.status,
                    404
                );
            }
        }
        // A third person's lists leave out whom the reader does not meet.
        let path = format!("/users/{}/followers", carol.user);
        assert_eq!(house.get(&alice, &path).await.names("/username"), [""; 0]);
        assert_eq!(house.get(None, &path).await.names("/username"), ["bob"]);
        assert_eq!(house.get(&alice, "/users/me/blocks").await.names("/username"), ["bob"]);
        assert_eq!(house.get(&bob, "/users/me/blocks").await.names("/username"), [""; 0]);
        // Blocked people may block back, and then both must unblock.
        assert_eq!(
            house.put(&bob, &format!("/users/{}/block", alice.user)).await.status,
            200
        );
        assert_eq!(
            house.delete(&alice, &format!("/users/{}/block", bob.user)).await.status,
            204
        );
        assert_eq!(house.get(&alice, "/users/bob").await.status, 404);
        assert_eq!(
            house.delete(&bob, &format!("/users/{}/block", alice.user)).await.status,
            204
        );
        assert_eq!(house.get(&alice, "/users/bob").await.status, 200);
        assert_eq!(
            house.put(&alice, &format!("/users/{}/block", alice.user)).await.status,
            422
        );
    }
}

#[tokio::test]
async fn a_request_ends_with_a_block() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        house
            .call(
                &alice,
                "PUT",
                "/users/me/preferences",
                json!({"privacy_level": "private"}),
            )
            .await;
        house.put(&bob, &format!("/users/{}/follow", alice.user)).await;
        house.put(&bob, &format!("/users/{}/block", alice.user)).await;
        assert_eq!(
            house.get(&alice, "/users/me/follow-requests").await.names("/username"),
            [""; 0]
        );
        let approved = house
            .put(&alice, &format!("/users/me/follow-requests/{}", bob.user))
            .await;
        assert_eq!(approved.status, 404);
    }
}

#[tokio::test]
async fn a_follow_and_a_block_at_the_same_moment_never_leave_both() {
    for db in testing::databases().await {
        let house = house(&db);
        for n in 0..12 {
            let (alice, bob) = (
                house.viewer(&format!("alice_{n}")).await,
                house.viewer(&format!("bob_{n}")).await,
            );
            let (follow, block) = (
                format!("/users/{}/follow", alice.user),
                format!("/users/{}/block", bob.user),
            );
            tokio::join!(house.put(&bob, &follow), house.put(&alice, &block));
        }
        let both = "SELECT COUNT(*) FROM users_follows f JOIN users_hidden h ON h.viewer_id = f.follower_id AND h.hidden_id = f.followee_id";
        assert_eq!(house.count(both).await, 0);
    }
}

#[tokio::test]
async fn muting_is_known_to_nobody_else() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        house.put(&alice, &format!("/users/{}/follow", bob.user)).await;
        let path = format!("/users/{}/mute", bob.user);
        for _ in 0..2 {
            let muted = house.put(&alice, &path).await;
            assert_eq!(
                (muted.at("/muted"), muted.at("/following")),
                (&json!(true), &json!(true))
            );
        }
        assert_eq!(house.get(&alice, "/users/me/mutes").await.names("/username"), ["bob"]);
        assert_eq!(
            house.get(&bob, "/users/alice").await.at("/relationship/muted"),
            &json!(false)
        );
        assert_eq!(house.delete(&alice, &path).await.status, 204);
        assert_eq!(house.get(&alice, "/users/me/mutes").await.names("/username"), [""; 0]);
        assert_eq!(
            house.put(&alice, &format!("/users/{}/mute", alice.user)).await.status,
            422
        );
    }
}

#[tokio::test]
async fn pages_of_followers_neither_repeat_nor_skip_anybody() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        let mut expected = Vec::new();
        for n in 0..7 {
            let one = house.viewer(&format!("fan_{n}")).await;
            house.put(&one, &format!("/users/{}/follow", alice.user)).await;
            // Two at a time have the same moment.
            if n % 2 == 1 {
                house.days(1);
            }
            expected.push(format!("fan_{n}"));
        }
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = house
                .get(None, &format!("/users/{}/followers?limit=3{cursor}", alice.user))
                .await;
            seen.extend(page.names("/username"));
            pages += 1;
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((seen[0].as_str(), pages), ("fan_6", 3));
        seen.sort();
        assert_eq!(seen, expected);
        for bad in ["limit=0", "limit=101", "cursor=x"] {
            let refused = house.get(None, &format!("/users/{}/followers?{bad}", alice.user)).await;
            assert_eq!(refused.status, 422, "{bad}");
        }
    }
}

#[tokio::test]
async fn suggestions_are_followed_by_those_one_follows() {
    for db in testing::databases().await {
        let house = house(&db);
        let me = house.viewer("myself").await;
        let mut people = Vec::new();
        for name in [
            "near_1", "near_2", "near_3", "best", "good", "shy", "muted", "enemy", "asked", "friend",
        ] {
            people.push(house.viewer(name).await);
        }
        let id = |name: &str| {
            let names = [
                "near_1", "near_2", "near_3", "best", "good", "shy", "muted", "enemy", "asked", "friend",
            ];
            &people[names.iter().position(|one| *one == name).unwrap()]
        };
        let follow = |one: &nova_domain::Caller| format!("/users/{}/follow", one.user);
        house
            .call(
                id("shy"),
                "PUT",
                "/users/me/preferences",
                json!({"discoverable": false}),
            )
            .await;
        house
            .call(
                id("asked"),
                "PUT",
                "/users/me/preferences",
                json!({"privacy_level": "private"}),
            )
            .await;
        for near in ["near_1", "near_2", "near_3", "friend"] {
            house.put(&me, &follow(id(near))).await;
        }
        for near in ["near_1", "near_2", "near_3"] {
            for far in ["best", "shy", "muted", "enemy", "friend"] {
                house.put(id(near), &follow(id(far))).await;
            }
            house.put(id(near), &follow(&me)).await;
        }
        house.put(id("near_1"), &follow(id("good"))).await;
        house.put(&me, &format!("/users/{}/mute", id("muted").user)).await;
        house.put(id("enemy"), &format!("/users/{}/block", me.user)).await;
        house.put(&me, &follow(id("asked"))).await;
        let suggested = house.get(&me, "/users/suggestions").await;
        assert_eq!(suggested.names("/user/username"), ["best", "good"]);
        assert_eq!(suggested.at("/items/0/shared"), &json!(3));
        let one = house.get(&me, "/users/suggestions?limit=1").await;
        assert_eq!(one.names("/user/username"), ["best"]);
        assert_eq!(house.get(&me, "/users/suggestions?limit=51").await.status, 422);
    }
}

#[tokio::test]
async fn counts_are_exact_before_and_after_they_are_folded() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        let path = format!("/users/{}/follow", alice.user);
        let mut fans = Vec::new();
        for n in 0..5 {
            let fan = house.viewer(&format!("fan_{n}")).await;
            house.put(&fan, &path).await;
            fans.push(fan);
        }
        assert_eq!(counts(&house, "alice").await, (5, 0));
        house.turn("users.counts").await;
        assert_eq!(house.count("SELECT COUNT(*) FROM users_count_deltas").await, 0);
        assert_eq!(counts(&house, "alice").await, (5, 0));
        house.delete(&fans[0], &path).await;
        assert_eq!(counts(&house, "alice").await, (4, 0));
        assert_eq!(counts(&house, "fan_0").await, (0, 0));
    }
}

#[tokio::test]
async fn nobody_follows_more_people_than_they_may_or_faster_than_they_may() {
    for db in testing::databases().await {
        let config = Config {
            most_following: 2,
            ..Config::default()
        };
        let house = build(&db, Limits::new(1), config);
        let me = house.viewer("myself").await;
        let mut statuses = Vec::new();
        let mut last = None;
        for n in 0..3 {
            let other = house.viewer(&format!("other_{n}")).await;
            last = Some(house.put(&me, &format!("/users/{}/follow", other.user)).await);
            statuses.push(last.as_ref().unwrap().status);
        }
        assert_eq!(statuses, [200, 200, 409]);
        assert_eq!(last.unwrap().at("/code"), &json!("following_limit"));
        let path = format!("/users/{}/follow", nova_domain::db::UserId::new(house.clock.now()));
        let mut limited = house.put(&me, &path).await;
        for _ in 0..60 {
            limited = house.put(&me, &path).await;
        }
        assert_eq!(limited.status, 429);
        assert!(limited.headers.contains_key("retry-after") && limited.headers.contains_key("ratelimit-limit"));
    }
}
