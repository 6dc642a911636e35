use ring::hmac;
use serde_json::json;

use crate::house::{House, PASSWORD, houses, link};

/// What the app shows (RFC 6238, RFC 4226 section 5.3): computed here once more, for the crate keeps its own way to itself.
pub(crate) fn shown(house: &House, secret: &str) -> String {
    let key = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let step = house.clock.now().0.div_euclid(30_000_000);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let digest = tag.as_ref();
    let offset = usize::from(digest[19] & 0xf);
    let word = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap());
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

pub(crate) struct Armed {
    pub(crate) secret: String,
    pub(crate) recovery: Vec<String>,
    pub(crate) token: String,
}

pub(crate) async fn arm(house: &House, name: &str) -> Armed {
    let token = house.access(name).await;
    let pending = house.call("POST", "/auth/totp", &token, None).await.expect(200);
    let secret = pending.text("secret");
    assert!(pending.text("otpauth_uri").starts_with("otpauth://totp/"));
    house
        .call("POST", "/auth/totp/confirm", &token, Some(json!({ "code": "000000x" })))
        .await
        .expect(422);
    let confirmed = house
        .call(
            "POST",
            "/auth/totp/confirm",
            &token,
            Some(json!({ "code": shown(house, &secret) })),
        )
        .await
        .expect(200);
    let recovery = confirmed.body["recovery_codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    Armed {
        secret,
        recovery,
        token,
    }
}

#[tokio::test]
async fn a_login_asks_for_the_second_factor_and_takes_each_code_once() {
    for house in houses().await {
        house.person("ada").await;
        let armed = arm(&house, "ada").await;
        let login = |totp: Option<String>| {
            let mut body = json!({ "email_or_username": "ada", "password": PASSWORD });
            if let Some(totp) = totp {
                body["totp"] = totp.into();
            }
            house.post("/auth/login", body)
        };
        assert_eq!(login(None).await.expect(401).body["code"], "totp_required");
        assert_eq!(login(Some("123".into())).await.expect(401).body["code"], "totp_wrong");
        // The code that confirmed the app was used; so is the next one after its login.
        assert_eq!(
            login(Some(shown(&house, &armed.secret))).await.expect(401).body["code"],
            "totp_wrong"
        );
        house.pass(30);
        let code = shown(&house, &armed.secret);
        login(Some(code.clone())).await.expect(200);
        login(Some(code)).await.expect(401);
        // A wrong password is answered as ever: the factor is not a way to learn of the password.
        let wrong = house
            .post(
                "/auth/login",
                json!({ "email_or_username": "ada", "password": "wrong wrong wrong wrong" }),
            )
            .await
            .expect(401);
        assert_eq!(wrong.body["code"], "wrong_credentials");
        let recovery = armed.recovery[3].to_uppercase().replace('-', " ");
        login(Some(recovery.clone())).await.expect(200);
        login(Some(recovery)).await.expect(401);
    }
}

#[tokio::test]
async fn a_reset_password_does_not_go_around_the_second_factor() {
    for house in houses().await {
        house.person("ada").await;
        arm(&house, "ada").await;
        house
            .post("/auth/password-reset", json!({ "email": "ada@example.org" }))
            .await
            .expect(202);
        let token = link(&house.mail("ada@example.org").await.unwrap());
        // Eight characters are enough beside the second factor, and not without.
        house
            .post(
                "/auth/password-reset/confirm",
                json!({ "token": token, "password": "kV7#qpZ2" }),
            )
            .await
            .expect(200);
        let login = house
            .post(
                "/auth/login",
                json!({ "email_or_username": "ada", "password": "kV7#qpZ2" }),
            )
            .await
            .expect(401);
        assert_eq!(login.body["code"], "totp_required");
    }
}

#[tokio::test]
async fn the_factor_cannot_be_removed_from_a_password_too_short_to_stand_alone() {
    for house in houses().await {
        house.person("ada").await;
        let armed = arm(&house, "ada").await;
        let change = |old: &'static str, new: &'static str| {
            house.call(
                "POST",
                "/auth/password",
                &armed.token,
                Some(json!({ "current_password": old, "new_password": new })),
            )
        };
        change(PASSWORD, "kV7#qpZ2").await.expect(204);
        house.call("DELETE", "/auth/totp", &armed.token, None).await.expect(409);
        change("kV7#qpZ2", "another phrase of some length").await.expect(204);
        house.call("DELETE", "/auth/totp", &armed.token, None).await.expect(204);
        house
            .post(
                "/auth/login",
                json!({ "email_or_username": "ada", "password": "another phrase of some length" }),
            )
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn new_recovery_codes_void_the_old_ones() {
    for house in houses().await {
        house.person("ada").await;
        let armed = arm(&house, "ada").await;
        let fresh = house
            .call("POST", "/auth/totp/recovery-codes", &armed.token, None)
            .await
            .expect(200);
        let login = |code: &str| {
            house.post(
                "/auth/login",
                json!({ "email_or_username": "ada", "password": PASSWORD, "totp": code }),
            )
        };
        login(&armed.recovery[0]).await.expect(401);
        login(fresh.body["recovery_codes"][0].as_str().unwrap())
            .await
            .expect(200);
    }
}
