//! Nobody learns from an answer whether an address has an account (ASVS 6.3.8).

use http::HeaderMap;
use serde_json::{Value, json};

use crate::house::{Answer, PASSWORD, houses};

fn shown(answer: &Answer) -> (u16, Value, Vec<String>) {
    let names = |headers: &HeaderMap| {
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect()
    };
    (answer.status, answer.body.clone(), names(&answer.headers))
}

#[tokio::test]
async fn answers_are_the_same_for_addresses_with_and_without_an_account() {
    for house in houses().await {
        house.person("ada").await;
        let register = |email: &'static str, name: &'static str| {
            house.post(
                "/auth/register",
                json!({ "email": email, "username": name, "password": PASSWORD }),
            )
        };
        let (known, unknown) = (
            register("ada@example.org", "fresh").await,
            register("nobody@example.org", "other").await,
        );
        assert_eq!(shown(&known), shown(&unknown));
        assert_eq!(known.status, 202);

        let reset = |email: &'static str| house.post("/auth/password-reset", json!({ "email": email }));
        assert_eq!(
            shown(&reset("ada@example.org").await),
            shown(&reset("nobody@example.org").await)
        );

        let login = |name: &'static str| {
            house.post(
                "/auth/login",
                json!({ "email_or_username": name, "password": "not the right one at all" }),
            )
        };
        let wrong = login("ada").await;
        for name in ["ada@example.org", "nobody", "nobody@example.org", "no\nbody"] {
            let other = login(name).await;
            if other.status != 422 {
                assert_eq!(shown(&other), shown(&wrong), "{name}");
            }
        }

        // What is so is told to the address alone.
        assert!(house.mail("ada@example.org").await.unwrap().contains("Subject:"));
        assert_eq!(
            house.mails("nobody@example.org").await.len(),
            1,
            "the code of the registration, and nothing for the reset"
        );
        let told = house.mails("ada@example.org").await;
        assert!(told.iter().any(|mail| mail.contains("already")), "{told:?}");
    }
}

#[tokio::test]
async fn a_registration_of_a_known_address_does_not_take_the_name() {
    for house in houses().await {
        house.person("ada").await;
        house
            .post(
                "/auth/register",
                json!({ "email": "ada@example.org", "username": "probe", "password": PASSWORD }),
            )
            .await
            .expect(202);
        house
            .post(
                "/auth/register",
                json!({ "email": "nobody@example.org", "username": "probe", "password": PASSWORD }),
            )
            .await
            .expect(202);
    }
}

/// The distributions overlap: the median of one lies within the other's middle half. No time is asserted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_takes_as_long_for_an_unknown_name_as_for_a_wrong_password() {
    let house = houses().await.remove(0);
    house.person("ada").await;
    let clock = nova_core::clock::Clock::system();
    let mut times: [Vec<i64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..40 {
        for (name, times) in ["ada", "nobody"].iter().zip(&mut times) {
            let from = clock.monotonic_micros();
            house
                .post(
                    "/auth/login",
                    json!({ "email_or_username": name, "password": "not the right one at all" }),
                )
                .await
                .expect(401);
            times.push(clock.monotonic_micros() - from);
        }
    }
    for list in &mut times {
        list.sort_unstable();
    }
    let [known, unknown] = &times;
    let (a, b) = (known[20], unknown[20]);
    // A hash is more than nine tenths of the work; without it the ratio is beyond ten.
    assert!(a < b * 2 && b < a * 2, "medians {a} and {b} µs");
}
