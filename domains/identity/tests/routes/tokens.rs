use serde_json::json;

use crate::house::{PASSWORD, houses};

#[tokio::test]
async fn a_personal_access_token_does_what_its_scopes_say_and_nothing_to_the_account() {
    for house in houses().await {
        house.person("ada").await;
        let session = house.access("ada").await;
        let made = house
            .call(
                "POST",
                "/auth/tokens",
                &session,
                Some(json!({ "name": "ci", "scopes": ["read"], "expires_in_days": 1 })),
            )
            .await
            .expect(201);
        let (secret, id) = (made.text("secret"), made.text("id"));
        assert!(secret.starts_with("nova_pat_"));
        assert!(house.is_open(&secret).await);
        house
            .call("POST", "/auth/sudo", &secret, Some(json!({ "password": PASSWORD })))
            .await
            .expect(403);
        for (method, path) in [
            ("GET", "/auth/sessions"),
            ("GET", "/auth/tokens"),
            ("DELETE", "/auth/account"),
            ("POST", "/auth/logout"),
            ("DELETE", "/auth/sessions"),
        ] {
            house.call(method, path, &secret, None).await.expect(403);
        }
        let list = house.call("GET", "/auth/tokens", &session, None).await.expect(200);
        assert_eq!(list.body["items"][0]["name"], "ci");
        assert!(list.body["items"][0].get("secret").is_none());
        let introspection = house
            .post("/auth/introspect", json!({ "token": secret }))
            .await
            .expect(200);
        assert_eq!(introspection.body["active"], true);
        house
            .call("DELETE", &format!("/auth/tokens/{id}"), &session, None)
            .await
            .expect(204);
        // What was checked is remembered for less than a second.
        while house.is_open(&secret).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn only_a_hash_of_any_secret_is_kept() {
    for house in houses().await {
        house.person("ada").await;
        let login = house.login("ada").await;
        let session = login.text("access_token");
        let secret = house
            .call(
                "POST",
                "/auth/tokens",
                &session,
                Some(json!({ "name": "x", "scopes": ["read", "write"] })),
            )
            .await
            .expect(201)
            .text("secret");
        house
            .post("/auth/password-reset", json!({ "email": "ada@example.org" }))
            .await
            .expect(202);
        house.relay.drain().await.unwrap();
        let pending = house
            .call("POST", "/auth/totp", &session, None)
            .await
            .expect(200)
            .text("secret");
        let totp = data_encoding::BASE32_NOPAD.decode(pending.as_bytes()).unwrap();
        let secrets = [
            secret.into_bytes(),
            login.text("refresh_token").into_bytes(),
            PASSWORD.into(),
            totp,
        ];
        if house.db.engine() == nova_domain::db::Engine::Sqlite {
            let path = house.db.url.strip_prefix("sqlite://").unwrap();
            for file in [path.to_owned(), format!("{path}-wal")] {
                let bytes = std::fs::read(file).unwrap();
                for secret in &secrets {
                    assert!(
                        !bytes.windows(secret.len()).any(|window| window == secret),
                        "{}",
                        String::from_utf8_lossy(secret)
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_has_expired_or_is_made_up_opens_nothing() {
    for house in houses().await {
        house.person("ada").await;
        let session = house.access("ada").await;
        let made = house
            .call(
                "POST",
                "/auth/tokens",
                &session,
                Some(json!({ "name": "ci", "scopes": ["read"], "expires_in_days": 1 })),
            )
            .await
            .expect(201);
        house.pass(86_401);
        assert!(!house.is_open(&made.text("secret")).await);
        assert!(
            !house
                .is_open("nova_pat_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
                .await
        );
        assert!(!house.is_open("eyJhbGciOiJub25lIn0.e30.").await);
    }
}
