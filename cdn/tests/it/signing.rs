//! CloudFront's signatures against what botocore and npm's @aws-sdk/cloudfront-signer make of the same (`testdata/cloudfront/make.py`, `make.mjs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nova_cdn::cloudfront::{Policy, Signer, SigningError};
use serde_json::Value;

const ID: &str = "K2JCJMDEHXQW5F";

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/cloudfront")
        .join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(testdata(name)).unwrap()).unwrap()
}

fn signer(key: &str) -> Signer {
    Signer::load(&[(ID.into(), testdata(key))]).unwrap().unwrap()
}

/// The parameters of a URL's query.
fn query(url: &str) -> BTreeMap<&str, &str> {
    let (_, query) = url.split_once('?').unwrap();
    query.split('&').map(|pair| pair.split_once('=').unwrap()).collect()
}

fn policy(given: &Value) -> Policy {
    let network = given["network"].as_str().map(|text| {
        text.parse()
            .unwrap_or_else(|_one| format!("{text}/32").parse().unwrap())
    });
    Policy {
        resource: given["resource"].as_str().unwrap().into(),
        until: given["until"].as_i64().unwrap(),
        from: given["from"].as_i64(),
        network,
    }
}

#[test]
fn canned_urls_are_those_of_botocore_byte_for_byte_and_of_npm() {
    let (vectors, npm) = (json("vectors.json"), json("npm.json"));
    for key in ["pkcs8.pem", "pkcs1.pem"] {
        for (given, npm) in vectors["canned"]
            .as_array()
            .unwrap()
            .iter()
            .zip(npm["canned"].as_array().unwrap())
        {
            let signed = signer(key)
                .sign_url(given["url"].as_str().unwrap(), given["until"].as_i64().unwrap())
                .unwrap();
            // botocore leaves it to its caller to say the algorithm.
            assert_eq!(
                signed,
                format!("{}&Hash-Algorithm=SHA256", given["signed"].as_str().unwrap())
            );
            assert_eq!(query(&signed), query(npm.as_str().unwrap()));
        }
    }
}

#[test]
fn custom_policies_and_cookies_are_those_of_botocore_and_npm() {
    let (vectors, npm) = (json("vectors.json"), json("npm.json"));
    for (place, given) in vectors["custom"].as_array().unwrap().iter().enumerate() {
        let signed = signer("pkcs8.pem")
            .sign_url_with(given["url"].as_str().unwrap(), &policy(given))
            .unwrap();
        assert_eq!(
            signed,
            format!("{}&Hash-Algorithm=SHA256", given["signed"].as_str().unwrap())
        );
        assert_eq!(query(&signed), query(npm["custom"][place].as_str().unwrap()));
        let cookies = signer("pkcs8.pem").grant(&policy(given)).unwrap().cookies;
        let theirs = npm["cookies"][place].as_object().unwrap();
        assert_eq!(theirs.len(), cookies.len());
        for (name, value) in cookies {
            assert_eq!(theirs[name], value, "{name}");
        }
    }
}

#[test]
fn the_first_of_several_keys_signs() {
    let pairs = [
        ("KNEW".to_owned(), testdata("pkcs8.pem")),
        ("KOLD".to_owned(), testdata("pkcs1.pem")),
    ];
    let signed = Signer::load(&pairs)
        .unwrap()
        .unwrap()
        .sign_url("https://d1.cloudfront.net/x", 1)
        .unwrap();
    assert_eq!(query(&signed)["Key-Pair-Id"], "KNEW");
    assert!(Signer::load(&[]).unwrap().is_none());
}

#[test]
fn what_cannot_sign_is_refused_at_once_and_by_its_file() {
    let refused = |id: &str, path: PathBuf| Signer::load(&[(id.to_owned(), path)]).err().unwrap();
    for (path, why) in [
        (testdata("none.pem"), "No such file"),
        (testdata("public.pem"), "unencrypted private key"),
        (testdata("short.pem"), "not a usable RSA key"),
        (testdata("vectors.json"), "unencrypted private key"),
    ] {
        let text = refused(ID, path.clone()).to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains(why), "{text}");
    }
    assert!(
        refused("K&x=1", testdata("pkcs8.pem"))
            .to_string()
            .contains("letters and digits")
    );
    let signer = signer("pkcs8.pem");
    for url in [
        "https://h/\"}",
        "https://h/a b",
        "https://h/\\",
        "ftp://h/x",
        "https://h/\n",
        "https://",
    ] {
        assert!(matches!(signer.sign_url(url, 1), Err(SigningError::Address)), "{url:?}");
    }
}
