use serde_json::json;

use crate::house::{House, PASSWORD, code, houses, link};

async fn register(house: &House, email: &str, name: &str) -> u16 {
    house
        .post(
            "/auth/register",
            json!({ "email": email, "username": name, "password": PASSWORD }),
        )
        .await
        .status
}

#[tokio::test]
async fn an_account_exists_once_its_address_is_proved_by_code_or_link() {
    for house in houses().await {
        for (name, by_link) in [("ada", false), ("bob", true)] {
            let email = format!("{name}@example.org");
            assert_eq!(register(&house, &email, name).await, 202);
            let early = house
                .post(
                    "/auth/login",
                    json!({ "email_or_username": email, "password": PASSWORD }),
                )
                .await;
            assert_eq!(early.status, 401, "not before it is proved");
            let mail = house.mail(&email).await.unwrap();
            let proof = if by_link {
                json!({ "token": link(&mail) })
            } else {
                json!({ "email": email, "code": code(&mail) })
            };
            house.post("/auth/verify-email", proof.clone()).await.expect(200);
            house.post("/auth/verify-email", proof).await.expect(422);
            let login = house.login(name).await;
            assert_eq!(login.body["user"]["email"], email.as_str());
            assert_eq!(login.body["user"]["username"], name);
            assert!(house.is_open(&login.text("access_token")).await);
        }
    }
}

#[tokio::test]
async fn a_code_is_good_for_ten_minutes_and_ten_guesses() {
    for house in houses().await {
        register(&house, "ada@example.org", "ada").await;
        let right = code(&house.mail("ada@example.org").await.unwrap());
        for n in 0..10 {
            let guess = format!("{:08}", (right.parse::<u32>().unwrap() + 1 + n) % 100_000_000);
            house
                .post(
                    "/auth/verify-email",
                    json!({ "email": "ada@example.org", "code": guess }),
                )
                .await
                .expect(422);
        }
        house
            .post(
                "/auth/verify-email",
                json!({ "email": "ada@example.org", "code": right }),
            )
            .await
            .expect(422);

        register(&house, "bob@example.org", "bob").await;
        let right = code(&house.mail("bob@example.org").await.unwrap());
        house.pass(601);
        house
            .post(
                "/auth/verify-email",
                json!({ "email": "bob@example.org", "code": right }),
            )
            .await
            .expect(422);
    }
}

#[tokio::test]
async fn of_two_registrations_of_one_address_the_one_whose_code_is_typed_counts() {
    for house in houses().await {
        // Somebody else registers the victim's address with a password of theirs, before and after.
        house
            .post(
                "/auth/register",
                json!({ "email": "eve@example.org", "username": "first", "password": "the attacker's own phrase 1" }),
            )
            .await
            .expect(202);
        // Jobs have no order among themselves; mails are told apart by when they left.
        house.relay.drain().await.unwrap();
        register(&house, "eve@example.org", "victim").await;
        let own = house.mail("eve@example.org").await.unwrap();
        house
            .post(
                "/auth/register",
                json!({ "email": "eve@example.org", "username": "third", "password": "the attacker's own phrase 3" }),
            )
            .await
            .expect(202);
        house.relay.drain().await.unwrap();
        house
            .post(
                "/auth/verify-email",
                json!({ "email": "Eve@Example.org", "code": code(&own) }),
            )
            .await
            .expect(200);
        assert_eq!(house.login("victim").await.body["user"]["email"], "eve@example.org");
        for mail in house.mails("eve@example.org").await {
            house
                .post("/auth/verify-email", json!({ "token": link(&mail) }))
                .await
                .expect(422);
        }
        let login = house
            .post(
                "/auth/login",
                json!({ "email_or_username": "eve@example.org", "password": "the attacker's own phrase 1" }),
            )
            .await;
        assert_eq!(login.status, 401);
    }
}

#[tokio::test]
async fn a_name_taken_meanwhile_can_be_replaced_while_proving_the_address() {
    for house in houses().await {
        register(&house, "a@example.org", "same").await;
        register(&house, "b@example.org", "same").await;
        let (a, b) = (
            house.mail("a@example.org").await.unwrap(),
            house.mail("b@example.org").await.unwrap(),
        );
        house
            .post("/auth/verify-email", json!({ "token": link(&a) }))
            .await
            .expect(200);
        let refused = house
            .post("/auth/verify-email", json!({ "token": link(&b) }))
            .await
            .expect(409);
        assert_eq!(refused.body["code"], "username_taken");
        house
            .post("/auth/verify-email", json!({ "token": link(&b), "username": "other" }))
            .await
            .expect(200);
        house.login("other").await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_registration_is_said_field_by_field() {
    let house = houses().await.remove(0);
    let answer = house
        .post(
            "/auth/register",
            json!({ "email": "nonsense", "username": "1x", "password": "short" }),
        )
        .await
        .expect(422);
    let fields: Vec<&str> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["email", "username", "password"]);
    house
        .post("/auth/register", json!({ "email": "a@b.example" }))
        .await
        .expect(422);
    house
        .post(
            "/auth/register",
            json!({ "email": "a@b.example", "username": "abc", "password": PASSWORD, "admin": true }),
        )
        .await
        .expect(422);
    house
        .post(
            "/auth/register",
            json!({ "email": "a@b.example", "username": "abc", "password": "passwordpassword" }),
        )
        .await
        .expect(422);
}

#[tokio::test]
async fn the_first_admin_is_made_by_command_and_chooses_a_password() {
    for house in houses().await {
        let (_, token) = house
            .identity
            .create_user("root@example.org", "rooty", true)
            .await
            .unwrap();
        let none = house
            .post("/auth/login", json!({ "email_or_username": "rooty", "password": "" }))
            .await;
        assert_eq!(none.status, 401);
        let body = json!({ "token": token, "password": PASSWORD });
        house
            .post("/auth/password-reset/confirm", body.clone())
            .await
            .expect(200);
        house.post("/auth/password-reset/confirm", body).await.expect(422);
        assert_eq!(house.login("rooty").await.body["user"]["role"], "admin");
        assert!(
            house
                .identity
                .create_user("root@example.org", "again", true)
                .await
                .is_err()
        );
    }
}
