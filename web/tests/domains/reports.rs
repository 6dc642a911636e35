//! Reports about things of one domain, judged in another.

use nova_domain::{Role, testing};
use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn what_was_reported_stands_in_the_queue_as_it_looked_and_is_taken_down_from_there() {
    for db in testing::databases().await {
        let house = House::new(db).await;
        let (ada, eve) = (
            house.person("ada", Role::Viewer).await,
            house.person("eve", Role::Viewer).await,
        );
        let moderator = house.person("moderates", Role::Moderator).await;
        for (kind, path) in [("stream", "/streams"), ("video", "/videos"), ("image", "/images")] {
            let id = house.make(kind, &ada, &eve, &moderator).await;
            let new = json!({ "target_type": kind, "target_id": id, "reason": "hate", "detail": "look" });
            let report = house.must(&eve, "POST", "/reports", Some(new)).await;
            let thing = format!("{path}/{id}");
            if kind != "image" {
                let other = json!({ "title": "Nothing to see here" });
                house.must(&ada, "PATCH", &thing, Some(other)).await;
            }
            let queue = house
                .must(&moderator, "GET", "/moderation/reports?status=open", None)
                .await;
            let item = &queue["items"][0];
            assert_eq!((&item["id"], &item["target_id"]), (&report["id"], &json!(id)));
            assert_eq!(
                (&item["subject"]["username"], &item["reporter"]["username"]),
                (&json!("ada"), &json!("eve"))
            );
            let evidence: Value = serde_json::from_str(item["evidence"].as_str().unwrap()).unwrap();
            assert!(
                evidence["id"] == id.as_str() && evidence["title"] != "Nothing to see here",
                "{evidence}"
            );
            house.must(&moderator, "DELETE", &thing, None).await;
            let claim = format!("/moderation/reports/{}/resolve", report["id"].as_str().unwrap());
            let decided = json!({ "action": "warn", "statement": "no hate here" });
            house.must(&moderator, "POST", &claim, Some(decided)).await;
            let queue = house
                .must(&moderator, "GET", "/moderation/reports?status=open", None)
                .await;
            assert_eq!(queue["items"], json!([]));
        }
        let strikes = house.must(&ada, "GET", "/users/me/strikes", None).await;
        assert_eq!(
            strikes["items"].as_array().unwrap().len(),
            3,
            "she is told why, and may appeal"
        );
    }
}
