//! Passkeys with a software authenticator that nobody at Nova wrote.

use serde_json::{Value, json};
use webauthn_authenticator_rs::WebauthnAuthenticator;
use webauthn_authenticator_rs::prelude::{CreationChallengeResponse, RequestChallengeResponse, Url};
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use crate::house::{Answer, House, houses};
use crate::second_factor::arm;

/// A device with one key on it.
pub(crate) struct Device {
    authenticator: SoftPasskey,
    credential_id: Value,
    user_handle: Value,
    origin: Url,
}

impl Device {
    /// Adds a key of this device to the account of `token`.
    pub(crate) async fn register(house: &House, token: &str) -> (Self, Answer) {
        let begun = house
            .call("POST", "/auth/passkeys/register/begin", token, None)
            .await
            .expect(200);
        let mut options = begun.body["options"].clone();
        let key = &options["publicKey"];
        assert_eq!(key["rp"]["id"], "nova.example");
        assert_eq!(key["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(key["authenticatorSelection"]["userVerification"], "required");
        let user_handle = key["user"]["id"].clone();
        // This device keeps no list; what it would have kept is remembered here.
        options["publicKey"]["authenticatorSelection"]["requireResidentKey"] = false.into();
        options["publicKey"]["authenticatorSelection"]["residentKey"] = "discouraged".into();
        let origin = Url::parse("https://nova.example").unwrap();
        let mut authenticator = SoftPasskey::new(true);
        let options: CreationChallengeResponse = serde_json::from_value(options).unwrap();
        let credential = authenticator.do_registration(origin.clone(), options).unwrap();
        let credential = serde_json::to_value(credential).unwrap();
        let body = json!({ "flow": begun.text("flow"), "name": "My phone", "credential": credential });
        let answer = house
            .call("POST", "/auth/passkeys/register/finish", token, Some(body))
            .await;
        let device = Self {
            authenticator,
            credential_id: credential["rawId"].clone(),
            user_handle,
            origin,
        };
        (device, answer)
    }

    /// What the device says to a challenge.
    pub(crate) fn sign(&mut self, options: &Value) -> Value {
        let mut options = options.clone();
        options["publicKey"]["allowCredentials"] = json!([{ "type": "public-key", "id": self.credential_id }]);
        let options: RequestChallengeResponse = serde_json::from_value(options).unwrap();
        let credential = self
            .authenticator
            .do_authentication(self.origin.clone(), options)
            .unwrap();
        let mut credential = serde_json::to_value(credential).unwrap();
        credential["response"]["userHandle"] = self.user_handle.clone();
        credential
    }

    async fn login(&mut self, house: &House) -> Answer {
        let begun = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
        let credential = self.sign(&begun.body["options"]);
        finish(house, &begun.text("flow"), &credential).await
    }
}

async fn finish(house: &House, flow: &str, credential: &Value) -> Answer {
    let body = json!({ "flow": flow, "credential": credential });
    house.post("/auth/passkeys/login/finish", body).await
}

#[tokio::test]
async fn a_passkey_is_added_and_opens_the_account_without_a_name_or_a_code() {
    for house in houses().await {
        let id = house.person("ada").await;
        // An authenticator app is another second factor; a passkey is two factors itself.
        let token = arm(&house, "ada").await.token;
        let (mut device, added) = Device::register(&house, &token).await;
        assert_eq!(added.expect(201).text("name"), "My phone");
        // ASVS 6.3.7: its person is told of each way in that comes or goes.
        let told = house.mails("ada@example.org").await.join("\n");
        assert!(
            told.contains("A passkey was added") && told.contains("An authenticator app was added"),
            "{told}"
        );
        let login = device.login(&house).await.expect(200);
        assert_eq!(login.body["user"]["id"], id.as_str());
        assert!(house.is_open(&login.text("access_token")).await);
        let list = house.call("GET", "/auth/passkeys", &token, None).await.expect(200);
        assert!(list.body["items"][0]["last_used_at"].is_string());
        device.login(&house).await.expect(200);
    }
}

#[tokio::test]
async fn a_challenge_counts_once_and_for_five_minutes() {
    for house in houses().await {
        house.person("ada").await;
        let token = house.access("ada").await;
        let (mut device, added) = Device::register(&house, &token).await;
        added.expect(201);
        let begun = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
        let credential = device.sign(&begun.body["options"]);
        finish(&house, &begun.text("flow"), &credential).await.expect(200);
        finish(&house, &begun.text("flow"), &credential).await.expect(401);
        // The answer to one challenge is none to another.
        let other = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
        finish(&house, &other.text("flow"), &credential).await.expect(401);
        let begun = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
        let credential = device.sign(&begun.body["options"]);
        house.pass(301);
        finish(&house, &begun.text("flow"), &credential).await.expect(401);
    }
}

#[tokio::test]
async fn what_is_not_signed_by_the_key_or_names_somebody_else_opens_nothing() {
    for house in houses().await {
        house.person("ada").await;
        house.person("eve").await;
        let (mut ada, added) = Device::register(&house, &house.access("ada").await).await;
        added.expect(201);
        let (mut eve, added) = Device::register(&house, &house.access("eve").await).await;
        added.expect(201);
        // Eve's key with Ada's handle.
        std::mem::swap(&mut ada.user_handle, &mut eve.user_handle);
        eve.login(&house).await.expect(401);
        std::mem::swap(&mut ada.user_handle, &mut eve.user_handle);
        // A signature that was changed on the way.
        let begun = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
        let mut credential = ada.sign(&begun.body["options"]);
        let signature = credential["response"]["signature"].as_str().unwrap().to_owned();
        credential["response"]["signature"] = format!("{}AAAA", &signature[..signature.len() - 4]).into();
        finish(&house, &begun.text("flow"), &credential).await.expect(401);
        // Another site's page asked for it (phishing).
        let begun = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
        ada.origin = Url::parse("https://nova.example.evil.example").unwrap();
        let mut options = begun.body["options"].clone();
        options["publicKey"]["rpId"] = "nova.example.evil.example".into();
        let credential = ada.sign(&options);
        finish(&house, &begun.text("flow"), &credential).await.expect(401);
        for rubbish in [
            json!({}),
            json!("x"),
            json!({ "id": "AA", "rawId": "AA", "type": "public-key" }),
        ] {
            let begun = house.post("/auth/passkeys/login/begin", json!({})).await.expect(200);
            finish(&house, &begun.text("flow"), &rubbish).await.expect(401);
        }
    }
}

#[tokio::test]
async fn passkeys_are_their_owners_and_need_a_recent_proof() {
    for house in houses().await {
        house.person("ada").await;
        house.person("eve").await;
        let (ada, eve) = (house.access("ada").await, house.access("eve").await);
        let (mut device, added) = Device::register(&house, &ada).await;
        let id = added.expect(201).text("id");
        let path = format!("/auth/passkeys/{id}");
        let rename = Some(json!({ "name": "My tablet" }));
        house.call("PATCH", &path, &eve, rename.clone()).await.expect(404);
        house.call("DELETE", &path, &eve, None).await.expect(404);
        house.call("PATCH", &path, &ada, rename).await.expect(204);
        let list = house.call("GET", "/auth/passkeys", &ada, None).await.expect(200);
        assert_eq!(list.body["items"][0]["name"], "My tablet");
        assert_eq!(
            house.call("GET", "/auth/passkeys", &eve, None).await.body["items"],
            json!([])
        );
        house.pass(11 * 60);
        for (method, path) in [("DELETE", path.as_str()), ("POST", "/auth/passkeys/register/begin")] {
            let refused = house.call(method, path, &ada, None).await.expect(403);
            assert_eq!(refused.body["code"], "sudo_required");
        }
        let fresh = house.access("ada").await;
        house.call("DELETE", &path, &fresh, None).await.expect(204);
        device.login(&house).await.expect(401);
    }
}
