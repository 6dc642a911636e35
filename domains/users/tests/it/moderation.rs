//! From a report over the decision to the appeal.

use std::time::Duration;

use nova_core::clock::Timestamp;
use nova_domain::http::limit::Limits;
use nova_domain::reports::Exhibit;
use nova_domain::{Caller, Role, testing};
use nova_users::Config;
use serde_json::{Value, json};

use crate::house::{House, START, build, house};

async fn report(house: &House, reporter: &Caller, about: &Caller, detail: &str) -> Value {
    let new =
        json!({"target_type": "user", "target_id": about.user.to_string(), "reason": "harassment", "detail": detail});
    house.post(reporter, "/reports", new).await.body
}

#[tokio::test]
async fn a_report_keeps_how_the_thing_looked_and_is_one_however_often_it_is_made() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        let moderator = house.somebody("moderates", Role::Moderator).await;
        house
            .call(&alice, "PATCH", "/users/me", json!({"bio": "an insult"}))
            .await;
        house.put(&alice, &format!("/users/{}/block", bob.user)).await;
        house.heard().await;
        let first = report(&house, &bob, &alice, "look").await;
        house
            .call(&alice, "PATCH", "/users/me", json!({"bio": "flowers"}))
            .await;
        let again = report(&house, &bob, &alice, "").await;
        assert_eq!(first["id"], again["id"]);
        assert!(
            house
                .heard()
                .await
                .contains(&format!("report.created {}", first["id"].as_str().unwrap()))
        );
        let queue = house.get(&moderator, "/moderation/reports?status=open").await;
        assert_eq!(queue.names("/subject/username"), ["alice"]);
        assert_eq!(queue.names("/reporter/username"), ["bob"]);
        assert_eq!(
            (queue.at("/items/0/times"), queue.at("/items/0/detail")),
            (&json!(2), &json!("look"))
        );
        let evidence: Value = serde_json::from_str(queue.at("/items/0/evidence").as_str().unwrap()).unwrap();
        assert_eq!(evidence["bio"], "an insult");
        for (new, status) in [
            (json!({"target_type": "user", "target_id": "x", "reason": "spam"}), 404),
            (
                json!({"target_type": "user", "target_id": bob.session.to_string(), "reason": "spam"}),
                404,
            ),
            (
                json!({"target_type": "user", "target_id": bob.user.to_string(), "reason": "spam"}),
                422,
            ),
            (
                json!({"target_type": "planet", "target_id": "x", "reason": "spam"}),
                422,
            ),
            (json!({"target_type": "stream", "target_id": "", "reason": "spam"}), 422),
            (
                json!({"target_type": "stream", "target_id": "s", "reason": "other", "detail": "x".repeat(2001)}),
                422,
            ),
            (
                json!({"target_type": "stream", "target_id": "s", "reason": "other"}),
                201,
            ),
        ] {
            assert_eq!(house.post(&bob, "/reports", new.clone()).await.status, status, "{new}");
        }
        assert_eq!(
            house.get(&moderator, "/moderation/reports?status=new").await.status,
            422
        );
        assert_eq!(
            house
                .get(&moderator, "/moderation/reports?status=resolved")
                .await
                .names("/id"),
            [""; 0]
        );
    }
}

#[tokio::test]
async fn a_claimed_report_is_one_moderators_until_the_claim_runs_out() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        let (first, second) = (
            house.somebody("moderates", Role::Moderator).await,
            house.somebody("moderates_too", Role::Moderator).await,
        );
        let id = report(&house, &bob, &alice, "").await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let (claim, resolve) = (
            format!("/moderation/reports/{id}/claim"),
            format!("/moderation/reports/{id}/resolve"),
        );
        let claimed = house.call(&first, "POST", &claim, None).await;
        assert_eq!(
            (claimed.status, claimed.at("/claimed_by")),
            (200, &json!(first.user.to_string()))
        );
        for refused in [
            house.call(&second, "POST", &claim, None).await,
            house.post(&second, &resolve, json!({"action": "none"})).await,
        ] {
            assert_eq!((refused.status, refused.at("/code")), (409, &json!("claimed")));
        }
        house.clock.advance(Duration::from_secs(15 * 60));
        assert_eq!(house.call(&second, "POST", &claim, None).await.status, 200);
        assert_eq!(house.call(&first, "POST", &claim, None).await.status, 409);
        let resolved = house
            .post(&second, &resolve, json!({"action": "none", "note": "nothing"}))
            .await;
        assert_eq!(resolved.status, 200, "{resolved:?}");
        assert_eq!(
            (resolved.at("/status"), resolved.at("/action"), resolved.at("/note")),
            (&json!("resolved"), &json!("none"), &json!("nothing"))
        );
        for refused in [
            house.call(&first, "POST", &claim, None).await,
            house.post(&first, &resolve, json!({"action": "none"})).await,
        ] {
            assert_eq!((refused.status, refused.at("/code")), (409, &json!("resolved")));
        }
        assert!(house.heard().await.contains(&format!("report.resolved {id}")));
        // The same person may report it anew.
        assert_ne!(report(&house, &bob, &alice, "").await["id"], json!(id));
    }
}

#[tokio::test]
async fn a_suspension_by_a_report_reaches_the_account_the_log_and_the_person() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        let moderator = house.somebody("moderates", Role::Moderator).await;
        let id = report(&house, &bob, &alice, "").await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let resolve = format!("/moderation/reports/{id}/resolve");
        let bare = house.post(&moderator, &resolve, json!({"action": "suspend"})).await;
        assert_eq!((bare.status, bare.at("/errors/0/field")), (422, &json!("statement")));
        let wanted = json!({"action": "suspend", "days": 7, "statement": "be kind", "note": "third time"});
        assert_eq!(house.post(&moderator, &resolve, wanted).await.status, 200);
        let until = START.plus_micros(7 * 86_400_000_000);
        assert_eq!(house.suspensions(alice.user), [Some(until)]);
        let mine = house.get(&alice, "/users/me/strikes").await;
        assert_eq!(
            (mine.at("/items/0/action"), mine.at("/items/0/statement")),
            (&json!("suspend"), &json!("be kind"))
        );
        assert_eq!(mine.at("/items/0/suspended_until"), &json!(until));
        assert!(
            !mine.body.to_string().contains("third time"),
            "a note is for moderators"
        );
        let record = house
            .get(&moderator, &format!("/moderation/users/{}/strikes", alice.user))
            .await;
        assert_eq!(
            (record.at("/items/0/note"), record.at("/items/0/report_id")),
            (&json!("third time"), &json!(id))
        );
        let heard = house.heard().await;
        assert!(
            heard.contains(&format!("moderation.action {}", alice.user)),
            "{heard:?}"
        );
        let logged = "SELECT COUNT(*) FROM kit_audit WHERE action IN ('users.suspend', 'users.report.resolve')";
        assert_eq!(house.count(logged).await, 2);
        let path = format!("/moderation/users/{}/unsuspend", alice.user);
        for _ in 0..2 {
            assert_eq!(house.call(&moderator, "POST", &path, None).await.status, 204);
        }
        assert_eq!(house.suspensions(alice.user), [Some(until), None]);
        let mine = house.get(&alice, "/users/me/strikes").await;
        assert_ne!(mine.at("/items/0/lifted_at"), &Value::Null);
    }
}

#[tokio::test]
async fn nobody_decides_about_themselves_and_moderators_not_about_admins() {
    for db in testing::databases().await {
        let house = house(&db);
        let bob = house.viewer("bob").await;
        let moderator = house.somebody("moderates", Role::Moderator).await;
        let (admin, other) = (
            house.somebody("the_boss", Role::Admin).await,
            house.somebody("the_other", Role::Admin).await,
        );
        for (who, whom, status) in [
            (&moderator, &moderator, 403),
            (&moderator, &admin, 403),
            (&admin, &admin, 403),
            (&admin, &other, 200),
            (&admin, &moderator, 200),
            (&moderator, &bob, 200),
        ] {
            for (act, body) in [
                ("warn", json!({"statement": "x"})),
                ("suspend", json!({"statement": "x"})),
            ] {
                let path = format!("/moderation/users/{}/{act}", whom.user);
                assert_eq!(house.post(who, &path, body).await.status, status, "{path}");
            }
        }
        let about_admin = report(&house, &bob, &other, "").await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let resolve = format!("/moderation/reports/{about_admin}/resolve");
        let wanted = json!({"action": "warn", "statement": "x"});
        assert_eq!(house.post(&moderator, &resolve, wanted.clone()).await.status, 403);
        assert_eq!(house.post(&admin, &resolve, wanted.clone()).await.status, 200);
        let about_me = report(&house, &bob, &moderator, "").await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        for (act, body) in [("claim", None), ("resolve", Some(wanted))] {
            let path = format!("/moderation/reports/{about_me}/{act}");
            assert_eq!(house.call(&moderator, "POST", &path, body).await.status, 403);
        }
        assert_eq!(house.get(&moderator, "/moderation/reports").await.names("/id"), [""; 0]);
        assert_eq!(house.get(&admin, "/moderation/reports").await.names("/id"), [about_me]);
        let nobody = format!("/moderation/users/{}/warn", bob.session);
        assert_eq!(house.post(&admin, &nobody, json!({"statement": "x"})).await.status, 404);
    }
}

#[tokio::test]
async fn what_another_domain_keeps_is_shown_as_it_was_and_its_owner_can_be_warned() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        let moderator = house.somebody("moderates", Role::Moderator).await;
        let exhibit = Exhibit {
            owner: Some(alice.user),
            text: "buy this".into(),
        };
        house.shelf.0.lock().unwrap().insert("p1".into(), exhibit);
        let new = |id: &str| json!({"target_type": "post", "target_id": id, "reason": "spam"});
        assert_eq!(house.post(&bob, "/reports", new("p2")).await.status, 404);
        let made = house.post(&bob, "/reports", new("p1")).await;
        assert_eq!(made.status, 201);
        house.shelf.0.lock().unwrap().clear();
        let queue = house.get(&moderator, "/moderation/reports").await;
        assert_eq!(queue.names("/evidence"), ["buy this"]);
        assert_eq!(queue.names("/subject/username"), ["alice"]);
        let path = format!("/moderation/reports/{}/resolve", made.at("/id").as_str().unwrap());
        let warned = house
            .post(&moderator, &path, json!({"action": "warn", "statement": "no adverts"}))
            .await;
        assert_eq!(warned.status, 200);
        assert_eq!(
            house.get(&alice, "/users/me/strikes").await.names("/statement"),
            ["no adverts"]
        );
        assert_eq!(house.suspensions(alice.user), []);
    }
}

#[tokio::test]
async fn what_is_nobodys_cannot_be_punished() {
    for db in testing::databases().await {
        let house = house(&db);
        let bob = house.viewer("bob").await;
        let moderator = house.somebody("moderates", Role::Moderator).await;
        let new = json!({"target_type": "stream", "target_id": "s", "reason": "other"});
        let id = house.post(&bob, "/reports", new).await.body["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("/moderation/reports/{id}/resolve");
        let refused = house
            .post(&moderator, &path, json!({"action": "warn", "statement": "x"}))
            .await;
        assert_eq!((refused.status, refused.at("/code")), (409, &json!("no_subject")));
        assert_eq!(
            house.post(&moderator, &path, json!({"action": "none"})).await.status,
            200
        );
    }
}

#[tokio::test]
async fn an_appeal_is_made_once_by_the_suspended_person_and_ends_the_suspension_when_it_is_granted() {
    for db in testing::databases().await {
        let house = house(&db);
        let mut alice = house.viewer("alice").await;
        let moderator = house.somebody("moderates", Role::Moderator).await;
        let suspend = format!("/moderation/users/{}/suspend", alice.user);
        let strike = async |days: u32| {
            let wanted = json!({"statement": "x", "days": days});
            let decided = house.post(&moderator, &suspend, wanted).await;
            decided.at("/strike/id").as_str().unwrap().to_owned()
        };
        let (short, long) = (strike(3).await, strike(30).await);
        alice.suspended = true;
        let mut appeals = Vec::new();
        for strike in [&short, &long] {
            let new = json!({"strike_id": strike, "text": "it was not me"});
            let made = house.post(&alice, "/users/me/appeals", new.clone()).await;
            assert_eq!((made.status, made.at("/status")), (201, &json!("open")));
            appeals.push(made.at("/id").as_str().unwrap().to_owned());
            let again = house.post(&alice, "/users/me/appeals", new).await;
            assert_eq!((again.status, again.at("/code")), (409, &json!("appealed")));
        }
        let queue = house.get(&moderator, "/moderation/appeals").await;
        assert_eq!(queue.names("/user/username"), ["alice", "alice"]);
        let decide = async |appeal: &str, grant: bool| {
            let path = format!("/moderation/appeals/{appeal}/decide");
            house
                .post(&moderator, &path, json!({"grant": grant, "answer": "we looked"}))
                .await
        };
        assert_eq!(decide(&appeals[1], true).await.status, 200);
        let short_end = START.plus_micros(3 * 86_400_000_000);
        assert_eq!(
            house.suspensions(alice.user).last(),
            Some(&Some(short_end)),
            "the shorter one still runs"
        );
        let granted = decide(&appeals[0], true).await;
        assert_eq!(granted.at("/strike/appeal/status"), &json!("granted"));
        assert_eq!(house.suspensions(alice.user).last(), Some(&None));
        assert_eq!(decide(&appeals[0], false).await.status, 409);
        assert_eq!(
            house
                .get(&moderator, "/moderation/appeals?status=granted")
                .await
                .names("/appeal/id")
                .len(),
            2
        );
        let mine = house.get(&alice, "/users/me/strikes").await;
        assert_eq!(mine.at("/items/0/appeal/answer"), &json!("we looked"));
        // Too late, or already taken back.
        let lifted = json!({"strike_id": short, "text": "again"});
        assert_eq!(house.post(&alice, "/users/me/appeals", lifted).await.status, 409);
        let old = strike(1).await;
        house.days(184);
        let late = house
            .post(&alice, "/users/me/appeals", json!({"strike_id": old, "text": "now"}))
            .await;
        assert_eq!((late.status, late.at("/code")), (409, &json!("too_late")));
    }
}

#[tokio::test]
async fn a_refused_appeal_leaves_the_decision_and_a_suspension_without_end_has_none() {
    for db in testing::databases().await {
        let house = house(&db);
        let alice = house.viewer("alice").await;
        let moderator = house.somebody("moderates", Role::Moderator).await;
        let path = format!("/moderation/users/{}/suspend", alice.user);
        let decided = house.post(&moderator, &path, json!({"statement": "x"})).await;
        assert_eq!(decided.at("/strike/suspended_until"), &Value::Null);
        assert_eq!(house.suspensions(alice.user), [Some(Timestamp(i64::MAX))]);
        let new = json!({"strike_id": decided.at("/strike/id"), "text": "please"});
        let made = house.post(&alice, "/users/me/appeals", new).await;
        let path = format!("/moderation/appeals/{}/decide", made.at("/id").as_str().unwrap());
        let refused = house
            .post(&moderator, &path, json!({"grant": false, "answer": "no"}))
            .await;
        assert_eq!(refused.at("/strike/appeal/status"), &json!("refused"));
        assert_eq!(refused.at("/strike/lifted_at"), &Value::Null);
        assert_eq!(house.suspensions(alice.user).len(), 1);
    }
}

#[tokio::test]
async fn a_page_of_the_queue_goes_on_where_the_last_one_ended() {
    for db in testing::databases().await {
        let house = house(&db);
        let moderator = house.somebody("moderates", Role::Moderator).await;
        let alice = house.viewer("alice").await;
        for n in 0..5 {
            let one = house.viewer(&format!("reporter_{n}")).await;
            report(&house, &one, &alice, "").await;
        }
        let first = house.get(&moderator, "/moderation/reports?limit=3").await;
        let cursor = first.body["next_cursor"].as_str().unwrap();
        let second = house
            .get(&moderator, &format!("/moderation/reports?limit=3&cursor={cursor}"))
            .await;
        let names = [first.names("/reporter/username"), second.names("/reporter/username")].concat();
        assert_eq!(names, (0..5).map(|n| format!("reporter_{n}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_flood_of_reports_is_stopped() {
    for db in testing::databases().await {
        let house = build(&db, Limits::new(1), Config::default());
        let (alice, bob) = (house.viewer("alice").await, house.viewer("bob").await);
        for _ in 0..10 {
            report(&house, &bob, &alice, "").await;
        }
        let new = json!({"target_type": "user", "target_id": alice.user.to_string(), "reason": "spam"});
        assert_eq!(house.post(&bob, "/reports", new).await.status, 429);
    }
}
