//! What is kept about somebody can be taken along, and goes with them.

use nova_domain::db::{Engine, UserId};
use nova_domain::{Caller, Role, testing};
use serde_json::{Value, json};

use crate::house::{House, house};

/// Somebody with a row in every table, in every role a row has.
async fn life(house: &House) -> (Caller, Caller) {
    let (alice, bob, carol) = (
        house.somebody("alice", Role::Moderator).await,
        house.viewer("bob").await,
        house.viewer("carol").await,
    );
    let admin = house.somebody("the_boss", Role::Admin).await;
    let change = json!({"username": "alicia", "bio": "me", "links": [{"title": "x", "url": "https://example.org"}]});
    house.call(&alice, "PATCH", "/users/me", change).await;
    for (one, other) in [(&alice, &bob), (&bob, &alice), (&carol, &alice)] {
        house.put(one, &format!("/users/{}/follow", other.user)).await;
        house.put(one, &format!("/users/{}/mute", other.user)).await;
    }
    for (one, other) in [(&alice, "enemy_1"), (&alice, "enemy_2")] {
        let enemy = house.viewer(other).await;
        house.put(one, &format!("/users/{}/block", enemy.user)).await;
        house.put(&enemy, &format!("/users/{}/block", one.user)).await;
    }
    let private = json!({"privacy_level": "private"});
    house
        .call(&alice, "PUT", "/users/me/preferences", private.clone())
        .await;
    let dave = house.viewer("dave").await;
    house.call(&dave, "PUT", "/users/me/preferences", private).await;
    house.put(&dave, &format!("/users/{}/follow", alice.user)).await;
    house.put(&alice, &format!("/users/{}/follow", dave.user)).await;
    let report = async |who: &Caller, whom: &Caller| {
        let new =
            json!({"target_type": "user", "target_id": whom.user.to_string(), "reason": "spam", "detail": "look"});
        house.post(who, "/reports", new).await.body["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    report(&bob, &alice).await;
    report(&alice, &bob).await;
    let (claimed, resolved) = (report(&carol, &bob).await, report(&dave, &bob).await);
    house
        .call(&alice, "POST", &format!("/moderation/reports/{claimed}/claim"), None)
        .await;
    let warn = json!({"action": "warn", "statement": "x"});
    house
        .post(&alice, &format!("/moderation/reports/{resolved}/resolve"), warn)
        .await;
    let strike = house
        .post(
            &admin,
            &format!("/moderation/users/{}/warn", alice.user),
            json!({"statement": "y", "note": "secret"}),
        )
        .await;
    let new = json!({"strike_id": strike.at("/strike/id"), "text": "no"});
    house.post(&alice, "/users/me/appeals", new).await;
    let bobs = house.get(&bob, "/users/me/strikes").await;
    let new = json!({"strike_id": bobs.at("/items/0/id"), "text": "no"});
    let appeal = house.post(&bob, "/users/me/appeals", new).await;
    let path = format!("/moderation/appeals/{}/decide", appeal.at("/id").as_str().unwrap());
    house.post(&alice, &path, json!({"grant": false, "answer": "no"})).await;
    (alice, bob)
}

async fn columns(house: &House) -> Vec<(String, String)> {
    let sql = match house.db.engine() {
        Engine::Sqlite => {
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name LIKE 'users\\_%' ESCAPE '\\'"
        }
        Engine::Postgres => {
            "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns c JOIN information_schema.tables t ON t.table_name = c.table_name WHERE t.table_type = 'BASE TABLE' AND t.table_schema = current_schema() AND c.table_name LIKE 'users\\_%'"
        }
    };
    sqlx::query_as(sql).fetch_all(house.db.read()).await.unwrap()
}

/// In how many rows of each table `id` stands anywhere.
async fn traces(house: &House, id: UserId) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for (table, column) in columns(house).await {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE CAST({column} AS TEXT) LIKE '%{id}%'");
        let rows = house.count(&sql).await;
        if rows > 0 {
            found.push((format!("{table}.{column}"), rows));
        }
    }
    found
}

#[tokio::test]
async fn after_erasure_nothing_knows_the_person_any_more() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = life(&house).await;
        let before: Vec<String> = traces(&house, alice.user)
            .await
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        for table in house.personal.tables {
            for column in table.columns {
                // Counts are folded later; until then the deltas have them.
                let place = format!("{}.{column}", table.name);
                assert!(
                    place == "users_counts.user_id" || before.contains(&place),
                    "{place} has no row to lose"
                );
            }
        }
        let mut tx = house.db.begin().await.unwrap();
        (house.personal.erase)(&mut tx, alice.user).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(traces(&house, alice.user).await, []);
        assert_eq!(house.get(None, "/users/alicia").await.status, 404);
        assert_eq!(house.get(&bob, "/users/alice").await.status, 404);
        let profile = house.get(&bob, "/users/me").await;
        assert_eq!(
            (profile.at("/followers_count"), profile.at("/following_count")),
            (&json!(0), &json!(0))
        );
        // What others reported stays, and the names rest.
        assert_eq!(house.count("SELECT COUNT(*) FROM users_reports").await, 3);
        let claim = UserId::new(house.clock.now());
        assert!(house.claim(claim, "alicia").await.is_err() && house.claim(claim, "alice").await.is_err());
        house.days(31);
        house.turn("users.names").await;
        assert_eq!(
            house
                .count("SELECT COUNT(*) FROM users_names WHERE user_id IS NULL")
                .await,
            0
        );
        house.claim(claim, "alicia").await.unwrap();
    }
}

#[tokio::test]
async fn a_person_takes_along_what_they_wrote_did_and_were_told_and_nothing_of_others() {
    for db in testing::databases().await {
        let house = house(&db);
        let (alice, bob) = life(&house).await;
        let all = (house.personal.export)(house.db.clone(), alice.user).await.unwrap();
        let length = |name: &str| all[name].as_array().map_or(0, Vec::len);
        for (name, rows) in [
            ("names", 2),
            ("following", 1),
            ("followers", 2),
            ("follow_requests_sent", 1),
            ("follow_requests_received", 1),
            ("blocks", 2),
            ("mutes", 1),
            ("reports", 1),
            ("strikes", 1),
            ("appeals", 1),
        ] {
            assert_eq!(length(name), rows, "{name}");
        }
        assert_eq!(all["profile"]["links"][0]["url"], "https://example.org");
        assert_eq!(all["preferences"]["privacy_level"], "private");
        assert_eq!(all["following"][0]["user_id"], bob.user.to_string());
        assert_eq!(all["following"][0]["created_at"], "2026-11-23T23:59:59.000Z");
        assert!(!all.to_string().contains("secret"), "{all}");
        let nobody = UserId::new(house.clock.now());
        let none = (house.personal.export)(house.db.clone(), nobody).await.unwrap();
        assert_eq!(none["profile"], Value::Null);
    }
}

#[tokio::test]
async fn every_column_that_names_a_person_is_listed() {
    for db in testing::databases().await {
        let house = house(&db);
        for (table, column) in columns(&house).await {
            let names_something = column.ends_with("_id") || column.ends_with("_by");
            let known = house
                .personal
                .tables
                .iter()
                .any(|one| one.name == table && one.columns.contains(&column.as_str()));
            let thing = ["target_id", "report_id", "strike_id"].contains(&column.as_str());
            assert!(!names_something || known || thing, "{table}.{column}");
        }
    }
}
