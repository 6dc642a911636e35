//! Sign-in through a real OpenID provider that nobody at Nova wrote: npm's oidc-provider, which `scripts/setup tools` installs.

use std::process::Stdio;

use nova_core::clock::Timestamp;
use nova_identity::oidc::{Callback, Error, Kind, Provider, discover, finish, http, start};
use nova_identity::random::Random;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn somebody_signs_in_through_a_real_provider_and_a_code_counts_once() {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))).unwrap();
    let modules = cache.join("nova/tools/oidc");
    assert!(
        modules.join("node_modules/oidc-provider").is_dir(),
        "oidc-provider is installed: scripts/setup tools"
    );
    let mut child = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc/provider.mjs"))
        .arg(modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut browser = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();

    let provider = Provider {
        name: "op".to_owned(),
        kind: Kind::Oidc {
            issuer: lines.next_line().await.unwrap().unwrap(),
            client_secret: Some("s3cret".to_owned()),
        },
        client_id: "nova".to_owned(),
        redirect_uri: "https://nova.example/callback".to_owned(),
        notices: false,
        revokes: false,
    };
    let (http, random, now) = (http(), Random::system(), nova_core::clock::Clock::system().now());
    let mut discovered = discover(&provider, &http).await.unwrap();
    let (url, flow) = start(&provider, &discovered, false, now, &random).unwrap();
    browser.write_all(format!("alice {url}\n").as_bytes()).await.unwrap();
    let back = lines.next_line().await.unwrap().unwrap();
    let back = openidconnect::url::Url::parse(&back).unwrap();
    let part = |wanted: &str| {
        back.query_pairs()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    let callback = Callback {
        code: part("code"),
        state: part("state"),
        iss: part("iss"),
        error: part("error"),
        user: None,
    };
    assert_eq!(callback.iss.as_deref(), Some(provider.issuer()), "RFC 9207");

    let mut stolen = flow.clone();
    stolen.verifier = "x".repeat(43);
    let refused = finish(&provider, &mut discovered, &stolen, &callback, now, &http)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Provider(_)),
        "a code without its verifier: {refused}"
    );

    // The attempt ended that code.
    browser.write_all(format!("alice {url}\n").as_bytes()).await.unwrap();
    let back = openidconnect::url::Url::parse(&lines.next_line().await.unwrap().unwrap()).unwrap();
    let code = back
        .query_pairs()
        .find(|(name, _)| name == "code")
        .map(|(_, value)| value.into_owned());
    let callback = Callback { code, ..callback };
    let late = Timestamp(now.0 + 599_000_000);
    let identity = finish(&provider, &mut discovered, &flow, &callback, late, &http)
        .await
        .unwrap();
    assert_eq!(identity.subject, "alice");
    assert_eq!(
        (identity.email.as_deref(), identity.email_verified),
        (Some("alice@example.org"), true)
    );
    assert_eq!(identity.name.as_deref(), Some("Alice Liddell"));
    let again = finish(&provider, &mut discovered, &flow, &callback, now, &http)
        .await
        .unwrap_err();
    assert!(matches!(again, Error::Provider(_)), "a code counts once: {again}");
}
