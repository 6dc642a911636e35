//! The bucket is away, and nothing is lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nova_cdn::spool::{Settings, Spool};
use nova_cdn::testing::{ACCESS_KEY, Mode, S3Server, SECRET_KEY};
use nova_cdn::{LocalStore, S3Store};
use nova_core::clock::Clock;
use nova_core::store::{ObjectStore, StoreError};
use tokio::runtime::Handle;

use crate::bucket::store;

fn spool_of(behind: Arc<dyn ObjectStore>, folder: &Path, limit: u64) -> Spool {
    let settings = Settings {
        folder: folder.to_owned(),
        limit,
        patience: Duration::from_secs(10),
    };
    Spool::open(behind, settings, Clock::system(), &Handle::current()).unwrap()
}

fn spool(server: &S3Server, folder: &Path) -> Spool {
    spool_of(Arc::new(store(server)), folder, 1 << 30)
}

fn puts(server: &S3Server) -> Vec<String> {
    let done = server.done().into_iter();
    done.filter_map(|request| request.strip_prefix("PUT /nova/").map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn what_a_bucket_does_not_take_is_read_at_once_and_drained_in_order() {
    let (server, folder) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    let spool = spool(&server, folder.path());
    spool.put("vod/a/v0/0.m4s", vec!["0".into()]).await.unwrap();
    assert_eq!(spool.waiting(), (0, 0), "nothing waits while the bucket works");
    server.behave(Mode::Away);
    let mut expected = vec!["vod/a/v0/0.m4s".to_owned()];
    for list in 0..3 {
        for n in 0..40 {
            let key = format!("vod/a{list}/v0/{n}.m4s");
            spool.put(&key, vec![key.clone().into(), "!".into()]).await.unwrap();
            assert_eq!(spool.get(&key).await.unwrap(), format!("{key}!"));
            expected.push(key);
        }
        let key = format!("vod/a{list}/index.jsonl");
        spool.put(&key, vec!["{}\n".into()]).await.unwrap();
        expected.push(key);
    }
    assert_eq!(spool.waiting().0, 123);
    server.behave(Mode::Healthy);
    spool.drained().await;
    let uploaded = puts(&server);
    let mut sorted = (uploaded.clone(), expected.clone());
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1, "each of them, once");
    // A list comes when all that it may list is there, and before everything after it.
    for (place, key) in expected.iter().enumerate().filter(|(_, key)| key.ends_with(".jsonl")) {
        assert_eq!(uploaded.iter().position(|uploaded| uploaded == key), Some(place));
    }
    assert_eq!(spool.get("vod/a2/v0/39.m4s").await.unwrap(), "vod/a2/v0/39.m4s!");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "the disk is empty again"
    );
}

#[tokio::test]
async fn deletions_and_copies_wait_their_turn() {
    let (server, folder) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    let spool = spool(&server, folder.path());
    for key in ["vod/old/1.m4s", "vod/old/2.m4s", "vod/kept/1.m4s"] {
        spool.put(key, vec!["old".into()]).await.unwrap();
    }
    server.behave(Mode::Away);
    spool.put("vod/new/1.m4s", vec!["new".into()]).await.unwrap();
    spool.copy("vod/new/1.m4s", "vod/clip/1.m4s").await.unwrap();
    spool.delete_prefix("vod/old/").await.unwrap();
    assert!(matches!(spool.get("vod/old/1.m4s").await, Err(StoreError::NotFound(_))));
    spool.put("vod/old/2.m4s", vec!["again".into()]).await.unwrap();
    spool.put("live/a/1.m4s", vec!["passing".into()]).await.unwrap();
    spool.delete("live/a/1.m4s").await.unwrap();
    assert!(matches!(spool.get("live/a/1.m4s").await, Err(StoreError::NotFound(_))));
    server.behave(Mode::Healthy);
    spool.drained().await;
    assert_eq!(
        server.keys(""),
        ["vod/clip/1.m4s", "vod/kept/1.m4s", "vod/new/1.m4s", "vod/old/2.m4s"]
    );
    assert_eq!(spool.get("vod/old/2.m4s").await.unwrap(), "again");
    assert!(
        !puts(&server).contains(&"live/a/1.m4s".to_owned()),
        "what is gone before it left is not uploaded"
    );
}

#[test]
fn the_next_process_goes_on_with_what_a_killed_one_left() {
    let (server, folder) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    server.behave(Mode::Away);
    let process = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let killed = process();
    killed.block_on(async {
        let first = spool(&server, folder.path());
        let passing = vec!["of nobody now".into()];
        first.put("live/show/1.m4s", passing).await.unwrap();
        first.put("vod/a/1.m4s", vec!["one".into()]).await.unwrap();
        first.put("vod/a/index.jsonl", vec!["{}\n".into()]).await.unwrap();
    });
    // All of its tasks end where they stand. It leaves what it was writing, and maybe a file that a power cut has emptied.
    drop(killed);
    std::fs::write(folder.path().join("00000000000000000009.tmp"), b"vod/a/2.m4s\nha").unwrap();
    std::fs::write(folder.path().join("00000000000000000007.put"), b"").unwrap();
    process().block_on(async {
        let second = spool(&server, folder.path());
        assert_eq!(second.waiting().0, 2);
        assert_eq!(second.get("vod/a/1.m4s").await.unwrap(), "one");
        second.put("vod/a/3.m4s", vec!["three".into()]).await.unwrap();
        server.behave(Mode::Healthy);
        second.drained().await;
    });
    assert_eq!(server.keys(""), ["vod/a/1.m4s", "vod/a/3.m4s", "vod/a/index.jsonl"]);
}

#[tokio::test]
async fn a_full_spool_says_so_and_has_room_again_when_something_is_deleted() {
    let (server, folder) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    server.behave(Mode::Away);
    let spool = spool_of(Arc::new(store(&server)), folder.path(), 64 << 10);
    let piece = Bytes::from(vec![7; 20 << 10]);
    spool.put("live/a/1.m4s", vec![piece.clone()]).await.unwrap();
    spool.put("live/a/2.m4s", vec![piece.clone()]).await.unwrap();
    let full = spool.put("live/a/3.m4s", vec![piece.clone()]).await.unwrap_err();
    assert!(
        matches!(&full, StoreError::Full { key, .. } if key == "live/a/3.m4s"),
        "{full}"
    );
    assert!(spool.waiting().1 <= 64 << 10);
    spool.delete("live/a/1.m4s").await.unwrap();
    spool.put("live/a/3.m4s", vec![piece.clone()]).await.unwrap();
    assert_eq!(spool.get("live/a/3.m4s").await.unwrap(), piece);
}

#[tokio::test]
async fn a_bucket_that_answers_too_slowly_counts_as_away() {
    let (server, folder) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    let settings = Settings {
        folder: folder.path().to_owned(),
        limit: 1 << 20,
        patience: Duration::from_millis(50),
    };
    let spool = Spool::open(Arc::new(store(&server)), settings, Clock::system(), &Handle::current()).unwrap();
    server.behave(Mode::Slow);
    spool.put("vod/a/1.m4s", vec!["x".into()]).await.unwrap();
    assert_eq!(spool.waiting().0, 1);
    assert_eq!(spool.get("vod/a/1.m4s").await.unwrap(), "x");
    server.behave(Mode::Healthy);
    spool.drained().await;
    assert_eq!(server.keys(""), ["vod/a/1.m4s"]);
}

#[tokio::test]
async fn credentials_that_are_put_right_later_cost_nothing() {
    let (server, folder) = (S3Server::start().unwrap(), tempfile::tempdir().unwrap());
    let wrong = S3Store::with_key(&server.config(), Clock::system(), ACCESS_KEY, "wrong");
    let first = spool_of(Arc::new(wrong), folder.path(), 1 << 20);
    first.put("vod/a/1.m4s", vec!["x".into()]).await.unwrap();
    assert_eq!(first.waiting().0, 1);
    drop(first);
    let right = S3Store::with_key(&server.config(), Clock::system(), ACCESS_KEY, SECRET_KEY);
    let second = spool_of(Arc::new(right), folder.path(), 1 << 20);
    second.drained().await;
    assert_eq!(server.keys(""), ["vod/a/1.m4s"]);
}

#[tokio::test]
async fn an_object_that_is_refused_for_what_it_is_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let (root, waiting) = (folder.path().join("media"), folder.path().join("spool"));
    std::fs::create_dir_all(&waiting).unwrap();
    let local = LocalStore::open(&root).unwrap();
    // The file of one is taken away by somebody.
    std::fs::write(waiting.join("00000000000000000001.put"), b"vod/a/1.m4s\nx").unwrap();
    std::fs::write(waiting.join("00000000000000000002.put"), b"vod/a/2.m4s\ny").unwrap();
    let spool = spool_of(Arc::new(local.clone()), &waiting, 1 << 20);
    std::fs::remove_file(waiting.join("00000000000000000001.put")).unwrap();
    spool.drained().await;
    assert_eq!(local.get("vod/a/2.m4s").await.unwrap(), "y");
}
