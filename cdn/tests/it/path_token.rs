//! Path tokens against Python's `hmac`, and against the edge worker that is documented, run by Node.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nova_cdn::path_token::{Opened, PathTokens};

const OLD: &str = "an-old-key-of-many-characters-0123456789";
const NEW: &str = "a/new+key=of-many-characters-0123456789";
const NOW: i64 = 1_795_478_399;
const PLACE: &str = "/vod/0190c0de-0000-7000-8000-000000000000/";

fn keys(folder: &Path, keys: &[(&str, &str)]) -> Vec<(String, PathBuf)> {
    keys.iter()
        .map(|(id, text)| {
            let path = folder.join(id);
            std::fs::write(&path, format!("{text}\n")).unwrap();
            ((*id).to_owned(), path)
        })
        .collect()
}

fn tokens(of: &[(&str, &str)]) -> PathTokens {
    let folder = tempfile::tempdir().unwrap();
    PathTokens::load(&keys(folder.path(), of)).unwrap().unwrap()
}

/// What a program prints that reads `given`.
fn run(command: &mut Command, given: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("see scripts/setup test");
    child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_token_is_the_one_that_python_makes_of_the_same() {
    const PROGRAM: &str = "import base64,hmac,sys\n\
        key,id,until,place=sys.stdin.read().split('\\n')\n\
        mac=hmac.new(key.encode(),f'{id}.{until}.{place}'.encode(),'sha256').digest()\n\
        print(f'/t/{id}.{until}.{base64.urlsafe_b64encode(mac).decode().rstrip(\"=\")}{place}',end='')";
    for place in [PLACE, "/live/my-show/", "/live/My_Show-2/"] {
        let signed = tokens(&[("2026b", NEW), ("2026a", OLD)]).sign(place, NOW).unwrap();
        let given = format!("{NEW}\n2026b\n{NOW}\n{place}");
        assert_eq!(run(Command::new("python3").args(["-c", PROGRAM]), &given), signed);
    }
}

/// Paths, and whether they open; each is one change away from one that does.
fn cases() -> Vec<(String, bool)> {
    let tokens = tokens(&[("2026b", NEW), ("2026a", OLD)]);
    let old = self::tokens(&[("2026a", OLD)]);
    let strange = self::tokens(&[("2026b", OLD)]);
    let good = tokens.sign(PLACE, NOW + 1).unwrap();
    let list = format!("{good}master.m3u8");
    let mut cases = vec![
        (list.clone(), true),
        (good.clone(), true),
        (format!("{good}u1234/v0/17.m4s"), true),
        (old.sign(PLACE, NOW + 1).unwrap() + "master.m3u8", true),
        (tokens.sign(PLACE, NOW).unwrap() + "master.m3u8", false),
        (strange.sign(PLACE, NOW + 1).unwrap() + "master.m3u8", false),
        (list.replace("/vod/", "/live/"), false),
        (list.replace("8000", "8001"), false),
        (list.replace("2026b", "2026a"), false),
        (list.replace("2026b", "2026c"), false),
        (list.replace(&(NOW + 1).to_string(), &(NOW + 9).to_string()), false),
        (list.replace(&(NOW + 1).to_string(), &format!("0{}", NOW + 1)), false),
        (list.replace(&(NOW + 1).to_string(), &format!("+{}", NOW + 1)), false),
        (list.replacen('.', "", 1), false),
    ];
    let bad = [
        "/t/",
        "/t/x",
        "/t//vod/x/y",
        "/t/a.b.c/vod/x/y",
        "/t/2026b.1795478400./vod/x/y",
    ];
    cases.push((format!("{}time", &good[..=good.find("/vod/").unwrap()]), true));
    cases.extend(bad.map(|path| (path.to_owned(), false)));
    // Every character of the token matters. Of the last one two bits are padding, which base64 leaves to whoever reads.
    let end = list.find("/vod/").unwrap();
    for at in 3..end - 1 {
        let mut changed = list.clone().into_bytes();
        changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
        cases.push((String::from_utf8(changed).unwrap(), false));
    }
    cases
}

#[test]
fn a_token_opens_its_place_for_its_time_by_any_of_the_keys() {
    let tokens = tokens(&[("2026b", NEW), ("2026a", OLD)]);
    for (path, opens) in cases() {
        let opened = tokens.open(&path, NOW).unwrap();
        assert_eq!(opened != Opened::No, opens, "{path}");
        if let Opened::Yes(rest) = opened {
            assert!(
                (rest.starts_with(PLACE) || rest == "/time") && path.ends_with(rest),
                "{rest}"
            );
        }
    }
    assert_eq!(tokens.open("/vod/x/master.m3u8", NOW), None);
    assert_eq!(tokens.open("/time", NOW), None);
}

#[test]
fn the_edge_worker_opens_the_same_ones() {
    const PROGRAM: &str = "import { open } from 'WORKER';\n\
        import { readFileSync } from 'node:fs';\n\
        const [now, keys, ...paths] = JSON.parse(readFileSync(0, 'utf8'));\n\
        for (const path of paths) console.log(await open(path, keys, now) ?? '-');";
    let worker = concat!(env!("CARGO_MANIFEST_DIR"), "/edge/worker.mjs");
    let cases = cases();
    let mut given = vec![
        serde_json::json!(NOW),
        serde_json::json!({ "2026b": NEW, "2026a": OLD }),
    ];
    given.extend(cases.iter().map(|(path, _)| path.as_str().into()));
    let program = PROGRAM.replace("WORKER", worker);
    let mut node = Command::new("node");
    node.args(["--input-type=module", "-e", &program]);
    let told = run(&mut node, &serde_json::Value::from(given).to_string());
    let tokens = tokens(&[("2026b", NEW), ("2026a", OLD)]);
    assert_eq!(told.lines().count(), cases.len());
    for ((path, _), told) in cases.iter().zip(told.lines()) {
        let ours = match tokens.open(path, NOW) {
            Some(Opened::Yes(rest)) => rest,
            _ => "-",
        };
        assert_eq!(told, ours, "{path}");
    }
}

#[test]
fn a_key_that_is_missing_or_weak_is_said_without_its_content() {
    let folder = tempfile::tempdir().unwrap();
    for (id, text) in [
        ("short", "s3cret"),
        ("space", "s3cret s3cret s3cret s3cret s3cret s3cret"),
        ("a-dash", NEW),
        ("anidthatistoolong", NEW),
    ] {
        let error = PathTokens::load(&keys(folder.path(), &[("fine", OLD), (id, text)]))
            .err()
            .unwrap();
        let said = format!("{error} {error:?}");
        assert!(
            said.contains(id) && !said.contains("s3cret") && !said.contains(NEW),
            "{said}"
        );
    }
    let missing = [("gone".to_owned(), folder.path().join("gone"))];
    assert!(PathTokens::load(&missing).err().unwrap().to_string().contains("gone"));
    assert!(PathTokens::load(&[]).unwrap().is_none());
}
