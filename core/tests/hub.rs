//! The live hub: one writer that never waits, readers that are told what they lost, publishers that come, go and take over (conformance 84).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nova_core::clock::{Clock, Timestamp};
use nova_core::live::{Broadcast, Hub, HubConfig, Item, PublishError, Publisher, Reader, SecondPublisher, Status};
use nova_core::media::{Codec, Frame, Media, Track, TrackId};

const VIDEO: TrackId = TrackId(0);

fn hub(second_publisher: SecondPublisher) -> (Clock, Arc<Hub>, tokio::sync::mpsc::Receiver<Arc<Broadcast>>) {
    let clock = Clock::manual(Timestamp(1_795_478_400_000_000));
    let (hub, starts) = Hub::new(
        clock.clone(),
        HubConfig {
            reconnect: Duration::from_secs(60),
            second_publisher,
        },
    );
    (clock, hub, starts)
}

fn track() -> Track {
    let media = Media::Video {
        width: 640,
        height: 360,
        sar: (1, 1),
        frame_rate: None,
        colour: None,
    };
    Track {
        id: VIDEO,
        codec: Codec::Avc,
        timescale: 90_000,
        config: Bytes::from_static(b"config"),
        codec_string: "avc1.64001f".into(),
        media,
    }
}

/// Publishes pictures of `size` bytes, 25 a second with a keyframe each second, and lets as much time pass.
fn pictures(clock: &Clock, publisher: &mut Publisher, from: i64, count: i64, size: usize) {
    publisher.track(track());
    let payload = Bytes::from(vec![0; size]);
    for n in from..from + count {
        let frame = Frame {
            track: VIDEO,
            dts: n * 3600,
            composition_offset: 0,
            duration: None,
            keyframe: n % 25 == 0,
            payload: payload.clone(),
        };
        publisher.frame(frame);
        clock.advance(Duration::from_millis(40));
    }
}

/// Everything that is queued for a reader now.
async fn queued(reader: &mut Reader) -> Vec<Item> {
    let mut items = Vec::new();
    let received = tokio::time::timeout(Duration::from_millis(1), reader.receive(&mut items, &[])).await;
    if received.is_err() {
        items.clear();
    }
    items
}

fn frames(items: &[Item]) -> Vec<&Frame> {
    items
        .iter()
        .filter_map(|item| {
            if let Item::Frame(frame) = item {
                Some(frame)
            } else {
                None
            }
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_goes_on_at_a_keyframe_and_is_told_what_it_lost() {
    let (clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let mut publisher = hub.publish("show").unwrap();
    let mut reader = publisher.broadcast().subscribe();
    let mut quick = publisher.broadcast().subscribe();
    let mut seen_by_quick = 0;
    // A quarter of a megabyte a picture: the bound on bytes is met after some 120.
    for second in 0..8 {
        pictures(&clock, &mut publisher, second * 25, 25, 1 << 18);
        seen_by_quick += frames(&queued(&mut quick).await).len();
    }
    // The keyframe at which the slow one goes on.
    pictures(&clock, &mut publisher, 200, 1, 1 << 18);
    seen_by_quick += frames(&queued(&mut quick).await).len();
    let items = queued(&mut reader).await;
    let lost: u64 = items
        .iter()
        .filter_map(|item| {
            if let Item::Skipped(count) = item {
                Some(*count)
            } else {
                None
            }
        })
        .sum();
    let kept = frames(&items);
    assert!(lost > 0);
    assert_eq!(lost as usize + kept.len(), 201);
    assert!(kept[0].keyframe);
    assert!(kept.iter().map(|frame| frame.payload.len()).sum::<usize>() <= 32 << 20);
    assert_eq!(seen_by_quick, 201, "the reader that keeps up loses nothing");
}

#[tokio::test(start_paused = true)]
async fn late_viewer_starts_on_a_keyframe() {
    let (clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let mut publisher = hub.publish("show").unwrap();
    pictures(&clock, &mut publisher, 0, 90, 100);
    let mut reader = publisher.broadcast().subscribe();
    pictures(&clock, &mut publisher, 90, 60, 100);
    let items = queued(&mut reader).await;
    assert!(matches!(items[0], Item::Epoch(_)));
    assert!(
        !items.iter().any(|item| matches!(item, Item::Skipped(_))),
        "what was before it, it has not lost"
    );
    assert_eq!(frames(&items)[0].dts, 100 * 3600);
}

#[tokio::test(start_paused = true)]
async fn a_reader_sleeps_until_the_frame_it_needs() {
    let (clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let mut publisher = hub.publish("show").unwrap();
    let mut reader = publisher.broadcast().subscribe();
    pictures(&clock, &mut publisher, 0, 60, 100);
    let mut items = Vec::new();
    reader.receive(&mut items, &[]).await;
    items.clear();
    let need = [(VIDEO, 70 * 3600)];
    pictures(&clock, &mut publisher, 60, 10, 100);
    assert!(
        tokio::time::timeout(Duration::from_millis(1), reader.receive(&mut items, &need))
            .await
            .is_err()
    );
    pictures(&clock, &mut publisher, 70, 1, 100);
    reader.receive(&mut items, &need).await;
    assert_eq!(frames(&items).len(), 11);
}

#[tokio::test(start_paused = true)]
async fn conformance_84_a_publisher_back_within_the_window_continues_the_broadcast() {
    let (clock, hub, mut starts) = hub(SecondPublisher::TakeOver);
    let mut publisher = hub.publish("show").unwrap();
    let mut reader = publisher.broadcast().subscribe();
    pictures(&clock, &mut publisher, 0, 100, 100);
    drop(publisher);
    assert_eq!(hub.get("show").unwrap().status(), Status::Reconnecting);
    clock.advance(Duration::from_secs(59));
    hub.expire();
    let mut publisher = hub.publish("show").unwrap();
    pictures(&clock, &mut publisher, 0, 100, 100);
    let items = queued(&mut reader).await;
    let epochs: Vec<_> = items
        .iter()
        .filter_map(|item| {
            if let Item::Epoch(epoch) = item {
                Some((epoch.start_us, epoch.discontinuity))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(epochs.len(), 2);
    assert_eq!(epochs[0], (0, false));
    assert!(
        epochs[1].1 && (63_000_000..=63_100_000).contains(&epochs[1].0),
        "the break lasts as long as it did: {epochs:?}"
    );
    assert!(items.iter().any(|item| matches!(item, Item::Offline)));
    assert!(
        starts.try_recv().is_ok() && starts.try_recv().is_err(),
        "it is one broadcast"
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_window_the_broadcast_ends_and_the_next_has_another_id() {
    let (clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let mut publisher = hub.publish("show").unwrap();
    let first = publisher.broadcast().id().to_owned();
    let mut reader = publisher.broadcast().subscribe();
    pictures(&clock, &mut publisher, 0, 100, 100);
    drop(publisher);
    clock.advance(Duration::from_secs(60));
    hub.expire();
    assert!(matches!(queued(&mut reader).await.last(), Some(Item::End)));
    assert!(hub.get("show").is_none());
    assert_ne!(hub.publish("show").unwrap().broadcast().id(), first);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_broadcast_ends_at_once_and_its_publisher_is_told_why() {
    let (clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let mut publisher = hub.publish("show").unwrap();
    let broadcast = Arc::clone(publisher.broadcast());
    let mut reader = broadcast.subscribe();
    pictures(&clock, &mut publisher, 0, 50, 100);
    assert_eq!(broadcast.stop_reason(), None);
    broadcast.stop("ended by its owner");
    broadcast.stop("too late");
    assert_eq!(broadcast.stop_reason().as_deref(), Some("ended by its owner"));
    assert!(publisher.superseded().is_cancelled() && broadcast.status() == Status::Ended);
    assert!(matches!(queued(&mut reader).await.last(), Some(Item::End)));
    // What it still sends reaches nobody, and the next publisher has a broadcast of its own.
    pictures(&clock, &mut publisher, 50, 50, 100);
    assert!(!Arc::ptr_eq(hub.publish("show").unwrap().broadcast(), &broadcast));
}

#[tokio::test]
async fn broadcasts_that_start_together_have_names_that_do_not_tell_of_each_other() {
    let (_clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let ids: Vec<String> = (0..100)
        .map(|n| hub.publish(&format!("show{n}")).unwrap().broadcast().id().to_owned())
        .collect();
    let hidden: std::collections::HashSet<&str> = ids.iter().map(|id| id.split_once('-').unwrap().1).collect();
    assert!(hidden.len() == 100 && hidden.iter().all(|half| half.len() == 13));
}

#[tokio::test(start_paused = true)]
async fn a_second_publisher_takes_over_at_its_keyframe_and_not_before() {
    let (clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let mut first = hub.publish("show").unwrap();
    let mut reader = first.broadcast().subscribe();
    pictures(&clock, &mut first, 0, 60, 100);
    let mut second = hub.publish("show").unwrap();
    // In the middle of its GOP, both send.
    for n in 60..80 {
        pictures(&clock, &mut first, n, 1, 100);
        pictures(&clock, &mut second, n + 1005, 1, 100);
    }
    assert!(!first.superseded().is_cancelled());
    for n in 80..160 {
        pictures(&clock, &mut first, n, 1, 100);
        pictures(&clock, &mut second, n + 1005, 1, 100);
    }
    assert!(first.superseded().is_cancelled() && !second.superseded().is_cancelled());
    let items = queued(&mut reader).await;
    let times: Vec<i64> = frames(&items).iter().map(|frame| frame.dts).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "the timeline goes on: {times:?}");
    assert_eq!(items.iter().filter(|item| matches!(item, Item::Epoch(_))).count(), 2);
    assert!(
        !items.iter().any(|item| matches!(item, Item::Offline)),
        "viewers see no hole"
    );
    drop(first);
    assert_eq!(
        hub.get("show").unwrap().status(),
        Status::Live,
        "the first's end is none of the broadcast's"
    );
}

#[test]
fn a_second_publisher_is_refused_when_so_configured() {
    let (_clock, hub, _starts) = hub(SecondPublisher::Refuse);
    let first = hub.publish("show").unwrap();
    assert!(matches!(hub.publish("show"), Err(PublishError::InUse)));
    assert!(hub.publish("other").is_ok());
    drop(first);
    assert!(hub.publish("show").is_ok(), "the window is open to it");
}

#[test]
fn a_closed_hub_takes_nobody() {
    let (_clock, hub, _starts) = hub(SecondPublisher::TakeOver);
    let publisher = hub.publish("show").unwrap();
    hub.close();
    assert!(publisher.superseded().is_cancelled());
    assert!(matches!(hub.publish("other"), Err(PublishError::Draining)));
}

fn epochs(items: &[Item]) -> Vec<&nova_core::live::Epoch> {
    let epochs = items.iter().filter_map(|item| match item {
        Item::Epoch(epoch) => Some(&**epoch),
        _ => None,
    });
    epochs.collect()
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_wall_clock_moves_nothing_that_is_on_air() {
    for step in [3_600_000_000, -3_600_000_000] {
        let (clock, hub, _starts) = hub(SecondPublisher::TakeOver);
        let mut publisher = hub.publish("show").unwrap();
        let mut reader = publisher.broadcast().subscribe();
        pictures(&clock, &mut publisher, 0, 100, 100);
        clock.step_wall(step);
        drop(publisher);
        clock.advance(Duration::from_secs(5));
        // The encoder is back, and the timeline goes on where it would have been without the step.
        let mut publisher = hub.publish("show").unwrap();
        pictures(&clock, &mut publisher, 0, 100, 100);
        let items = queued(&mut reader).await;
        let [before, after] = epochs(&items)[..] else {
            panic!("{items:?}")
        };
        assert_eq!(after.wall.0 - before.wall.0, 9_000_000);
        assert_eq!(after.wall.0 - before.wall.0, after.start_us - before.start_us);
        assert_eq!(
            clock.media_now().0 - after.wall.0,
            4_000_000,
            "what /time answers goes on with it"
        );

        // A broadcast that begins when nothing is on air has the new time.
        drop(publisher);
        clock.advance(Duration::from_secs(61));
        hub.expire();
        let mut publisher = hub.publish("show").unwrap();
        let mut reader = publisher.broadcast().subscribe();
        let now = clock.now();
        pictures(&clock, &mut publisher, 0, 100, 100);
        assert_eq!(epochs(&queued(&mut reader).await)[0].wall, now);
    }
}
