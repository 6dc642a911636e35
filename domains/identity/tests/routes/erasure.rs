use nova_domain::db::Engine;
use serde_json::json;

use crate::house::{House, houses};

async fn rows_with(house: &House, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (table, column) in [
        ("identity_users", "id"),
        ("identity_sessions", "user_id"),
        ("identity_flows", "user_id"),
        ("identity_logins", "user_id"),
        ("identity_access_tokens", "user_id"),
        ("identity_exports", "user_id"),
        ("identity_recovery_codes", "user_id"),
    ] {
        let sql = format!("SELECT CAST(COUNT(*) AS BIGINT) FROM {table} WHERE {column} = $1");
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(id.to_owned())
            .fetch_one(house.db.read())
            .await
            .unwrap();
        if rows > 0 {
            found.push(format!("{table}: {rows}"));
        }
    }
    found
}

#[tokio::test]
async fn a_deleted_account_is_gone_after_its_days_with_everything_of_it() {
    for house in houses().await {
        let id = house.person("ada").await;
        let token = house.access("ada").await;
        house
            .call(
                "POST",
                "/auth/tokens",
                &token,
                Some(json!({ "name": "x", "scopes": ["read"] })),
            )
            .await
            .expect(201);
        let asked = house.call("DELETE", "/auth/account", &token, None).await.expect(202);
        assert!(!asked.text("delete_at").is_empty());
        house.pass(13 * 86_400);
        house.relay.drain().await.unwrap();
        let login = house.login("ada").await;
        assert!(!login.body["user"]["delete_at"].is_null(), "it says so");
        house.pass(86_401);
        house.relay.drain().await.unwrap();
        assert_eq!(
            rows_with(&house, &id).await,
            Vec::<String>::new(),
            "{:?}",
            house.db.engine()
        );
        assert!(!house.is_open(&login.text("access_token")).await);
        assert!(house.mail("ada@example.org").await.unwrap().contains("deleted"));
        // The address is free again.
        house
            .post(
                "/auth/register",
                json!({ "email": "ada@example.org", "username": "ada_two", "password": crate::house::PASSWORD }),
            )
            .await
            .expect(202);
    }
}

#[tokio::test]
async fn a_request_for_deletion_can_be_taken_back() {
    for house in houses().await {
        house.person("ada").await;
        let token = house.access("ada").await;
        house.call("DELETE", "/auth/account", &token, None).await.expect(202);
        house
            .call("POST", "/auth/account/restore", &token, None)
            .await
            .expect(204);
        house.pass(15 * 86_400);
        house.relay.drain().await.unwrap();
        house.login("ada").await;
    }
}

#[tokio::test]
async fn an_archive_has_what_is_known_and_no_secrets() {
    for house in houses().await {
        house.person("ada").await;
        house.person("eve").await;
        let token = house.access("ada").await;
        let id = house
            .call("POST", "/auth/exports", &token, None)
            .await
            .expect(202)
            .text("id");
        house
            .call("GET", &format!("/auth/exports/{id}"), &token, None)
            .await
            .expect(404);
        house.relay.drain().await.unwrap();
        assert_eq!(
            house.call("GET", "/auth/exports", &token, None).await.expect(200).body["items"][0]["ready"],
            true
        );
        let archive = house
            .call("GET", &format!("/auth/exports/{id}"), &token, None)
            .await
            .expect(200);
        let identity = &archive.body["data"]["identity"];
        assert_eq!(identity["account"]["email"], "ada@example.org");
        assert_eq!(identity["sessions"].as_array().unwrap().len(), 2);
        let text = archive.body.to_string();
        assert!(!text.contains("argon2") && !text.contains("eve@"), "{text}");
        let eve = house.access("eve").await;
        house
            .call("GET", &format!("/auth/exports/{id}"), &eve, None)
            .await
            .expect(404);
        if house.db.engine() == Engine::Sqlite {
            let files = std::fs::read_dir(house.data_dir.path().join("exports"))
                .unwrap()
                .count();
            assert_eq!(files, 1);
        }
    }
}

#[tokio::test]
async fn an_address_changes_when_the_new_one_is_proved_and_both_are_told() {
    for house in houses().await {
        house.person("ada").await;
        let token = house.access("ada").await;
        house
            .call(
                "POST",
                "/auth/email",
                &token,
                Some(json!({ "email": "new@example.org" })),
            )
            .await
            .expect(202);
        let mail = house.mail("new@example.org").await.unwrap();
        assert_eq!(house.login("ada").await.body["user"]["email"], "ada@example.org");
        house
            .post(
                "/auth/verify-email",
                json!({ "email": "new@example.org", "code": crate::house::code(&mail) }),
            )
            .await
            .expect(200);
        assert!(!house.is_open(&token).await);
        assert_eq!(
            house.login("new@example.org").await.body["user"]["email"],
            "new@example.org"
        );
        assert!(house.mail("ada@example.org").await.unwrap().contains("new@example.org"));
        assert_eq!(house.mails("new@example.org").await.len(), 2);
    }
}
