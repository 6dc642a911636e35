//! HTTPS with HTTP/2 and RTMPS, and certificates that change under way.

use std::path::Path;
use std::process::Command;

use crate::clip;
use crate::publisher::Publisher;
use crate::server::{Server, until};

fn certificate(cert: &Path, key: &Path) {
    let mut command = Command::new("openssl");
    command.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=nova".split(' '));
    command
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-out"])
        .arg(cert)
        .arg("-keyout")
        .arg(key);
    clip::run(&mut command);
}

fn curl(cert: &Path, url: &str) -> (bool, String) {
    let output = Command::new("curl")
        .args(["-s", "--max-time", "10", "--cacert"])
        .arg(cert)
        .args(["-w", "\n%{http_version} %{http_code}", url])
        .output()
        .expect("curl; see scripts/setup");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn tls_is_served_and_a_changed_certificate_is_taken_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    certificate(&cert, &key);
    let (cert_text, key_text) = (cert.display().to_string(), key.display().to_string());
    let server = Server::start(&[
        ("NOVA_HTTPS__ADDR", "127.0.0.1:0"),
        ("NOVA_HTTPS__CERT", &cert_text),
        ("NOVA_HTTPS__KEY", &key_text),
        ("NOVA_RTMPS__ADDR", "127.0.0.1:0"),
        ("NOVA_RTMPS__CERT", &cert_text),
        ("NOVA_RTMPS__KEY", &key_text),
    ]);
    let publisher = Publisher::endless(&format!("rtmps://{}/live/show", server.listener("RTMPS")));
    server.until_live("show");
    let url = format!("https://{}/live/show/master.m3u8", server.listener("HTTPS"));
    let old = folder.path().join("old.pem");
    std::fs::copy(&cert, &old).expect("copied");
    let (good, said) = curl(&old, &url);
    assert!(
        good && said.starts_with("#EXTM3U") && said.ends_with("\n2 200"),
        "HTTP/2 by ALPN: {said}"
    );

    certificate(&cert, &key);
    until("the new certificate", 15, || curl(&cert, &url).0.then_some(()));
    assert!(!curl(&old, &url).0, "the old one is not served any more");
    // Who is connected stays connected, and RTMPS has the new one as well.
    server.until_status("show", "live", 5);
    publisher.kill();
    let _publisher = Publisher::endless(&format!("rtmps://{}/live/show", server.listener("RTMPS")));
    server.until_status("show", "live", 20);

    // A pair that does not fit is reported, and the old one stays.
    std::fs::write(&cert, "nothing").expect("written");
    until("the bad certificate to be reported", 15, || {
        server.log_has("the old one stays").then_some(())
    });
    let (good, said) = curl(&old, &url);
    assert!(!good, "{said}");
    assert!(server.status("show").is_some());
}
