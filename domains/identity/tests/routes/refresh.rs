//! The rule of rotation, as an app meets it (RFC 9700 section 4.14.2).

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::Index;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::house::{House, houses};

async fn refresh(house: &House, token: &str) -> crate::house::Answer {
    house.post("/auth/refresh", json!({ "refresh_token": token })).await
}

#[tokio::test]
async fn each_refresh_token_is_good_once_and_brings_the_next() {
    for house in houses().await {
        house.person("ada").await;
        let mut token = house.login("ada").await.text("refresh_token");
        for _ in 0..3 {
            let next = refresh(&house, &token).await.expect(200);
            assert!(house.is_open(&next.text("access_token")).await);
            assert_ne!(next.text("refresh_token"), token);
            token = next.text("refresh_token");
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_can_be_asked_for_again() {
    for house in houses().await {
        house.person("ada").await;
        let first = house.login("ada").await.text("refresh_token");
        refresh(&house, &first).await.expect(200);
        let again = refresh(&house, &first).await.expect(200).text("refresh_token");
        refresh(&house, &again).await.expect(200);
    }
}

#[tokio::test]
async fn a_replay_ends_the_whole_session_and_its_person_is_told() {
    for house in houses().await {
        house.person("ada").await;
        let login = house.login("ada").await;
        let first = login.text("refresh_token");
        let second = refresh(&house, &first).await.expect(200).text("refresh_token");
        let third = refresh(&house, &second).await.expect(200);
        refresh(&house, &first).await.expect(401);
        refresh(&house, &third.text("refresh_token")).await.expect(401);
        assert!(!house.is_open(&third.text("access_token")).await && !house.is_open(&login.text("access_token")).await);
        let mail = house.mail("ada@example.org").await.unwrap();
        assert!(mail.contains("session"), "{mail}");
        house.login("ada").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_come_at_once_one_line_goes_on() {
    for house in houses().await {
        house.person("ada").await;
        let first = house.login("ada").await.text("refresh_token");
        let house = std::sync::Arc::new(house);
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let (house, first) = (std::sync::Arc::clone(&house), first.clone());
                tokio::spawn(async move { refresh(&house, &first).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        let unused: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM identity_refresh_tokens WHERE state = 0 AND session_id = (SELECT session_id FROM identity_refresh_tokens ORDER BY created_at DESC, hash LIMIT 1)")
            .fetch_one(house.db.read())
            .await
            .unwrap();
        assert!(unused <= 1, "{unused} lines");
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_when_it_is_too_old() {
    for house in houses().await {
        house.person("ada").await;
        let idle = house.login("ada").await.text("refresh_token");
        house.pass(30 * 86_400 + 1);
        refresh(&house, &idle).await.expect(401);

        let mut token = house.login("ada").await.text("refresh_token");
        for _ in 0..18 {
            house.pass(20 * 86_400);
            token = refresh(&house, &token).await.expect(200).text("refresh_token");
        }
        house.pass(6 * 86_400);
        refresh(&house, &token).await.expect(401);
    }
}

#[tokio::test]
async fn an_access_token_ends_by_itself() {
    for house in houses().await {
        house.person("ada").await;
        let token = house.access("ada").await;
        house.pass(15 * 60 - 1);
        assert!(house.is_open(&token).await);
        house.pass(2);
        assert!(!house.is_open(&token).await);
    }
}

/// A token that was issued, as the rule sees it.
#[derive(Default)]
struct Issued {
    token: String,
    /// Its place in the list.
    successor: Option<usize>,
    is_revoked: bool,
}

impl Issued {
    fn new(token: String) -> Self {
        Self {
            token,
            ..Self::default()
        }
    }

    fn is_unused(&self) -> bool {
        self.successor.is_none() && !self.is_revoked
    }
}

/// What the rule says of the token at `place`, and what it leaves behind; whether there is an answer.
fn rule(family: &mut [Issued], place: usize, ended: &mut bool) -> bool {
    if *ended {
        return false;
    }
    let unused = family[place].is_unused();
    let successor = family[place].successor.filter(|next| family[*next].is_unused());
    match successor {
        Some(next) => family[next].is_revoked = true,
        None if unused => {}
        None => {
            *ended = true;
            return false;
        }
    }
    true
}

/// The rule as the database has it, on both engines: whoever shows whichever of all tokens ever issued, in any order, is answered as the rule says, and in the
/// tables is never more than one token that can be used.
#[tokio::test]
async fn the_tables_hold_one_line_of_tokens_whatever_is_shown_in_whichever_order() {
    let seed = [7; 32];
    for house in houses().await {
        house.person("ada").await;
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut replays = 0;
        for _case in 0..24 {
            let choices = vec(any::<Index>(), 1..16).new_tree(&mut runner).unwrap().current();
            let login = house.login("ada").await;
            let mut family = vec![Issued::new(login.text("refresh_token"))];
            let (mut access, mut ended) = (login.text("access_token"), false);
            for choice in &choices {
                // Half of the time the newest one, as an app does.
                let place = choice.index(family.len() * 2).min(family.len() - 1);
                let good = rule(&mut family, place, &mut ended);
                let answer = refresh(&house, &family[place].token).await;
                let said = format!("{:?} {choices:?} at {place}: {}", house.db.engine(), answer.body);
                assert_eq!(answer.status, if good { 200 } else { 401 }, "{said}");
                if good {
                    family[place].successor = Some(family.len());
                    family.push(Issued::new(answer.text("refresh_token")));
                    access = answer.text("access_token");
                }
                let usable: i64 = sqlx::query_scalar(
                    "SELECT CAST(COUNT(*) AS BIGINT) FROM identity_refresh_tokens t JOIN identity_sessions s ON s.id = t.session_id WHERE t.state = 0 AND \
                     s.ended_at IS NULL AND s.id = (SELECT id FROM identity_sessions ORDER BY id DESC LIMIT 1)",
                )
                .fetch_one(house.db.read())
                .await
                .unwrap();
                assert_eq!(usable, i64::from(!ended), "{said}");
                assert_eq!(house.is_open(&access).await, !ended, "{said}");
            }
            replays += usize::from(ended);
        }
        assert!(
            (1..24).contains(&replays),
            "some families ended, and some did not: {replays}"
        );
    }
}
