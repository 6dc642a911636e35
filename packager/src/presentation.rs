//! Answers viewers' requests from a [`Stream`]: names to objects, positions to playlists, and what to wait for.
//!
//! | path behind `/live/{stream}/` | object |
//! | --- | --- |
//! | `master.m3u8`, `manifest.mpd` | the lists |
//! | `patch.mpd` | what has changed since an earlier `manifest.mpd` |
//! | `thumbnail.jpg`, `storyboard.vtt` | of a recording: its picture, its pictures in small |
//! | `{id}/storyboard/{n}.jpg` | of a recording: the sheets of small pictures |
//! | `{id}/{rendition}.m3u8` | media playlist |
//! | `{id}/{rendition}-iframes.m3u8` | its I-frames |
//! | `{id}/{rendition}/init-{n}.mp4` | CMAF header |
//! | `{id}/{rendition}/{msn}.m4s` | segment; while it grows, its chunks as they come |
//! | `{id}/{rendition}/{msn}.{part}.m4s` | part |

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as PieceStream;
use nova_core::clock::Timestamp;
use nova_core::delivery::{Audience, Object, ObjectKind, Pieces, Presentation, Reply, Text, TextKind, Wait};
use nova_core::media::rescale;

use crate::captioned::Captions;
use crate::dash::mpd::Mpd;
use crate::dash::patch;
use crate::hls::media::MediaPlaylist;
use crate::hls::{iframes, multivariant};
use crate::rendition::{Edge, Places, Rendition, View, Waiting};
use crate::stream::{Stream, Timing};

/// How far before its time an object may be asked for and is waited for, in parts.
const PARTS_AHEAD: usize = 2;

impl Presentation for Stream {
    fn answer(&self, path: &str, query: Option<&str>) -> Reply {
        let Some(timing) = self.timing() else {
            return Reply::NotFound;
        };
        match path {
            "master.m3u8" => return Reply::Text(self.multivariant(timing)),
            "manifest.mpd" => return Reply::Text(self.manifest(timing)),
            "patch.mpd" => return self.patch(timing, query).map_or(Reply::NotFound, Reply::Text),
            "thumbnail.jpg" if self.is_recorded() => {
                return Reply::Stored {
                    key: format!("{}/thumbnail.jpg", self.prefix()),
                    kind: ObjectKind::Picture,
                    range: None,
                    tag: self.tag(&"thumbnail"),
                };
            }
            "storyboard.vtt" if self.is_recorded() => {
                return Reply::Stored {
                    key: format!("{}/storyboard.vtt", self.prefix()),
                    kind: ObjectKind::Captions,
                    range: None,
                    tag: self.tag(&"storyboard"),
                };
            }
            _ => {}
        }
        let Some(rest) = path.strip_prefix(self.id()).and_then(|rest| rest.strip_prefix('/')) else {
            return Reply::NotFound;
        };
        if let Some(number) = rest.strip_prefix("storyboard/").filter(|_| self.is_recorded()) {
            let number = number.strip_suffix(".jpg").and_then(decimal);
            return number.map_or(Reply::NotFound, |number| Reply::Stored {
                key: format!("{}/storyboard/{number}.jpg", self.prefix()),
                kind: ObjectKind::Picture,
                range: None,
                tag: self.tag(&("storyboard", number)),
            });
        }
        let (name, object) = match rest.split_once('/') {
            Some((name, object)) => (name, Some(object)),
            None => match rest.strip_suffix(".m3u8") {
                Some(name) => (name, None),
                None => return Reply::NotFound,
            },
        };
        let (name, list) = match name.strip_suffix(iframes::SUFFIX) {
            Some(name) if object.is_none() => (name, List::Iframes),
            _ => (name, List::Media),
        };
        let renditions = self.peek_renditions();
        let Some(rendition) = renditions.iter().find(|rendition| rendition.name == name) else {
            return Reply::NotFound;
        };
        match object {
            None if list == List::Iframes && !rendition.peek().track.is_video() => Reply::NotFound,
            None => self.media_playlist(timing, rendition, list, query),
            Some(object) => self.object(timing, rendition, object),
        }
    }

    fn answer_late(&self, path: &str, _query: Option<&str>) -> Reply {
        let name = path
            .strip_prefix(self.id())
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_suffix(".m3u8"));
        let (name, list) = match name.and_then(|name| name.strip_suffix(iframes::SUFFIX)) {
            Some(name) => (Some(name), List::Iframes),
            None => (name, List::Media),
        };
        let renditions = self.peek_renditions();
        let away = name
            .and_then(|name| renditions.iter().find(|rendition| rendition.name == name))
            .filter(|rendition| rendition.peek().offline);
        match (away, self.timing()) {
            // The publisher is away: the list will not grow for a while, and saying so keeps players from giving up.
            (Some(rendition), Some(timing)) => {
                Reply::Text(self.text_of(timing, rendition, &rendition.peek(), list, false))
            }
            _ => Reply::Busy,
        }
    }

    fn audience(&self) -> &Audience {
        &self.viewers
    }
}

/// Which list of a rendition is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Media,
    /// With what was skipped left out.
    Delta,
    Iframes,
}

/// The low-latency directives of a playlist request (RFC 8216bis 6.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`
    pub msn: Option<u64>,
    /// `_HLS_part`
    pub part: Option<usize>,
    /// `_HLS_skip`
    pub skip: bool,
}

impl Directives {
    /// Reads the query; anything that is not a directive belongs to somebody else and is let be.
    pub fn parse(query: &str) -> Result<Self, &'static str> {
        let mut directives = Self::default();
        for pair in query.split('&').take(32) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "_HLS_msn" => directives.msn = Some(decimal(value).ok_or("_HLS_msn is not a number")?),
                "_HLS_part" => {
                    let part = decimal(value).and_then(|part| usize::try_from(part).ok());
                    directives.part = Some(part.ok_or("_HLS_part is not a number")?);
                }
                "_HLS_skip" => directives.skip = matches!(value, "YES" | "v2"),
                _ => {}
            }
        }
        if directives.part.is_some() && directives.msn.is_none() {
            return Err("_HLS_part needs _HLS_msn");
        }
        Ok(directives)
    }
}

/// Digits only: no sign, no space, nothing that overflows.
fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl Stream {
    fn target(timing: Timing) -> Duration {
        Duration::from_secs(u64::from(timing.target_duration_s))
    }

    fn wait(&self, timing: Timing, rendition: &Arc<Rendition>, edge: Edge) -> Reply {
        match rendition.wait_for(edge, &self.places) {
            Some(waiting) => Reply::Wait(Wait {
                until: Box::pin(waiting),
                limit: Self::target(timing) * 3,
            }),
            None => Reply::Busy,
        }
    }

    fn media_playlist(&self, timing: Timing, rendition: &Arc<Rendition>, list: List, query: Option<&str>) -> Reply {
        let directives = match query.map(Directives::parse) {
            None => Directives::default(),
            Some(Ok(directives)) => directives,
            Some(Err(why)) => return Reply::Invalid(why),
        };
        let view = rendition.peek();
        if let Some(msn) = directives.msn
            && !view.reached(msn, directives.part)
        {
            let edge = view.edge();
            // Conformance 60: the last segment is the one that grows, or the one before it while that has no part yet.
            let last = if edge.parts > 0 {
                edge.msn
            } else {
                edge.msn.saturating_sub(1)
            };
            let ahead = (3_000_000 / timing.part_target_us.max(1)).max(3);
            if msn > last + 2 {
                return Reply::Invalid("_HLS_msn is too far ahead");
            }
            if let Some(part) = directives.part
                && part as i64
                    > ahead
                        + if msn == edge.msn {
                            edge.parts as i64
                        } else {
                            timing.part_target_us.max(1_000_000) * 32 / timing.part_target_us.max(1)
                        }
            {
                return Reply::Invalid("_HLS_part is too far ahead");
            }
            let wanted = match directives.part {
                None => Edge { msn: msn + 1, parts: 0 },
                // Behind the end of a finished segment: the first of the next (conformance 61).
                Some(_) if msn < edge.msn => Edge { msn: msn + 1, parts: 1 },
                Some(part) => Edge { msn, parts: part + 1 },
            };
            return self.wait(timing, rendition, wanted);
        }
        let list = match list {
            List::Media if directives.skip => List::Delta,
            list => list,
        };
        Reply::Text(self.text_of(timing, rendition, &view, list, directives.msn.is_some()))
    }

    /// The rendering of a view, made by whoever asks first and shared by the rest.
    fn text_of(
        &self,
        timing: Timing,
        rendition: &Arc<Rendition>,
        view: &View,
        list: List,
        blocking: bool,
    ) -> Arc<Text> {
        let slot = usize::from(blocking)
            + match list {
                List::Media => 0,
                List::Delta => 2,
                List::Iframes => 4,
            };
        let text = view.text[slot].get_or_init(|| {
            let kind = TextKind::Media { blocking };
            let done = |plain: String| Arc::new(Text::new(kind, plain.into(), Self::target(timing), view.ended));
            if list == List::Iframes {
                return done(iframes::render(&rendition.name, view, timing, self.is_recorded()));
            }
            let renditions = self.peek_renditions();
            let reports: Vec<(&str, u64, Option<usize>)> = renditions
                .iter()
                .filter(|other| !Arc::ptr_eq(other, rendition))
                .filter_map(|other| {
                    let (msn, part) = other.peek().newest()?;
                    Some((other.name.as_str(), msn, part))
                })
                .collect();
            let plain = MediaPlaylist {
                name: &rendition.name,
                view,
                timing,
                reports: &reports,
                recorded: self.is_recorded(),
            }
            .render(list == List::Delta);
            done(plain)
        });
        Arc::clone(text)
    }

    fn object(&self, timing: Timing, rendition: &Arc<Rendition>, object: &str) -> Reply {
        let view = rendition.peek();
        let kind = if view.track.is_video() {
            ObjectKind::Video
        } else {
            ObjectKind::Audio
        };
        if let Some(number) = object.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
            let bytes = decimal(number).and_then(|number| view.inits.get(usize::try_from(number).ok()?).cloned());
            return bytes.map_or(Reply::NotFound, |bytes| {
                Reply::Object(Object {
                    kind,
                    pieces: Pieces::One(bytes),
                    tag: self.tag(&(&rendition.name, number)),
                })
            });
        }
        let Some(name) = object.strip_suffix(".m4s") else {
            return Reply::NotFound;
        };
        let edge = view.edge();
        match name.split_once('.') {
            Some((msn, part)) => {
                let (Some(msn), Some(part)) = (decimal(msn), decimal(part).and_then(|part| usize::try_from(part).ok()))
                else {
                    return Reply::NotFound;
                };
                let tag = self.tag(&(&rendition.name, msn, part));
                if msn == edge.msn && part < edge.parts {
                    return Reply::Object(Object {
                        kind,
                        pieces: Pieces::One(view.open.parts[part].bytes.clone()),
                        tag,
                    });
                }
                if let Some(segment) = view.segment(msn) {
                    let Some(info) = segment.parts.get(part) else {
                        return Reply::NotFound;
                    };
                    return match segment.pieces().and_then(|pieces| pieces.get(part).cloned()) {
                        Some(bytes) => Reply::Object(Object {
                            kind,
                            pieces: Pieces::One(bytes),
                            tag,
                        }),
                        None => Reply::Stored {
                            key: segment.key.clone(),
                            kind,
                            range: Some(info.offset..info.offset + info.length),
                            tag,
                        },
                    };
                }
                let soon = msn == edge.msn && part < edge.parts + PARTS_AHEAD || msn == edge.msn + 1 && part == 0;
                if !soon || view.ended || view.offline {
                    return Reply::NotFound;
                }
                // Conformance 63: the hinted part is held until it is whole. The end of its segment decides too.
                self.wait(timing, rendition, Edge { msn, parts: part + 1 })
            }
            None => {
                let Some(msn) = decimal(name) else {
                    return Reply::NotFound;
                };
                let tag = self.tag(&(&rendition.name, msn));
                if let Some(segment) = view.segment(msn) {
                    return match segment.pieces() {
                        _ if segment.gap => Reply::NotFound,
                        Some(pieces) => Reply::Object(Object {
                            kind,
                            pieces: Pieces::Many(pieces),
                            tag,
                        }),
                        None => Reply::Stored {
                            key: segment.key.clone(),
                            kind,
                            range: None,
                            tag,
                        },
                    };
                }
                if view.ended || view.offline {
                    return Reply::NotFound;
                }
                if msn == edge.msn && edge.parts > 0 {
                    return Reply::Growing {
                        kind,
                        pieces: Box::pin(Growing {
                            rendition: Arc::clone(rendition),
                            msn,
                            next: 0,
                            whole: None,
                            waiting: None,
                            places: self.places.clone(),
                        }),
                    };
                }
                if msn == edge.msn || msn == edge.msn + 1 {
                    return self.wait(timing, rendition, Edge { msn, parts: 1 });
                }
                Reply::NotFound
            }
        }
    }

    pub(crate) fn tag(&self, name: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.id().hash(&mut hasher);
        name.hash(&mut hasher);
        hasher.finish()
    }

    /// Changes when any rendition does.
    fn version(views: &[Arc<View>]) -> u64 {
        let mut hasher = DefaultHasher::new();
        for view in views {
            (
                view.open.msn,
                view.open.parts.len(),
                view.playlist().first().map(|segment| segment.msn),
                view.ended,
                view.inits.len(),
            )
                .hash(&mut hasher);
        }
        hasher.finish()
    }

    fn multivariant(&self, timing: Timing) -> Arc<Text> {
        let renditions = self.renditions();
        // Bit rates move with segments, not with parts.
        let mut hasher = DefaultHasher::new();
        for rendition in renditions.iter() {
            let view = rendition.peek();
            (
                view.open.msn,
                view.ended,
                view.inits.len(),
                rendition.bit_rate().peak == 0,
                rendition.captions().0,
            )
                .hash(&mut hasher);
        }
        let periods = self.periods();
        let current = periods.last();
        current.map(|period| period.first_msn).hash(&mut hasher);
        let version = hasher.finish();
        if let Some((known, text)) = &**self.multivariant.load()
            && *known == version
        {
            return Arc::clone(text);
        }
        let plain = self.render_multivariant(&[]);
        let ended = renditions.iter().all(|rendition| rendition.peek().ended);
        let text = Arc::new(Text::new(
            TextKind::Multivariant,
            plain.into(),
            Self::target(timing),
            ended,
        ));
        self.multivariant.store(Arc::new(Some((version, Arc::clone(&text)))));
        text
    }

    /// The multivariant playlist as it is now, with captions.
    pub(crate) fn render_multivariant(&self, captions: &[Captions]) -> String {
        let (renditions, periods) = (self.renditions(), self.periods());
        let current = periods.last();
        // A track that the encoder does not send any more is nothing to begin with.
        let sent = |index: usize| current.is_none_or(|period| period.tracks.get(index).is_some_and(Option::is_some));
        // Neither is a rung that has nothing yet, or nothing now.
        let has_content = |index: usize, rendition: &Rendition| {
            let view = rendition.peek();
            let listed = view.playlist();
            let paused = !view.ended && listed.last().is_some_and(|last| last.gap);
            index == 0 || !view.track.is_video() || !paused && listed.iter().any(|segment| !segment.gap)
        };
        let offered: Vec<_> = renditions
            .iter()
            .enumerate()
            .filter(|(index, rendition)| sent(*index) && has_content(*index, rendition))
            .map(|(_, rendition)| Arc::clone(rendition))
            .collect();
        multivariant::render(self.id(), &offered, captions)
    }

    fn manifest(&self, timing: Timing) -> Arc<Text> {
        let renditions = self.renditions();
        let views: Vec<_> = renditions.iter().map(|rendition| rendition.view()).collect();
        let version = Self::version(&views);
        if let Some((known, text)) = &**self.mpd.load()
            && *known == version
        {
            return Arc::clone(text);
        }
        let ended = views.iter().all(|view| view.ended);
        // One renders, the others wait for it, so that no two manifests have one time.
        let mut manifests = self.published();
        if let Some((known, text)) = &**self.mpd.load()
            && *known == version
        {
            return Arc::clone(text);
        }
        let mut published = self.newest();
        if let Some(last) = manifests.0.back() {
            published = published.max(last.time.plus_micros(1000));
        }
        let text = self.render_manifest_at(timing, &[], published);
        let text = Arc::new(Text::new(TextKind::Mpd, text.into(), Self::target(timing), ended));
        self.mpd.store(Arc::new(Some((version, Arc::clone(&text)))));
        if self.window_s >= patch::LONG_WINDOW_S && !self.is_recorded() {
            manifests.push(published, Arc::clone(&text));
        }
        text
    }

    /// What turns the MPD of the query's time into the present one (conformance 81).
    fn patch(&self, timing: Timing, query: Option<&str>) -> Option<Arc<Text>> {
        let from = patch::published(query)?;
        let newest = self.manifest(timing);
        let is_from = |old: &Manifest| old.time.to_rfc3339_millis() == from;
        let text = |made: String| Arc::new(Text::new(TextKind::MpdPatch, made.into(), newest.target, newest.ended));
        // The lock is not held while a patch is made: those who ask for other ones, and for the manifest, do not wait.
        let (old, published) = {
            let manifests = self.published();
            let published = manifests.0.back()?.time;
            match manifests.0.iter().find(|old| is_from(old)) {
                None => return Some(text(patch::unfit(self.id(), published))),
                Some(Manifest {
                    patch: Some((tag, text)),
                    ..
                }) if *tag == newest.tag => return Some(Arc::clone(text)),
                Some(old) => (Arc::clone(&old.text), published),
            }
        };
        let plain = |text: &Text| String::from_utf8_lossy(&text.plain).into_owned();
        let made = patch::render(&plain(&old), &plain(&newest));
        let made = text(made.unwrap_or_else(|| patch::unfit(self.id(), published)));
        if let Some(old) = self.published().0.iter_mut().find(|old| is_from(old)) {
            old.patch = Some((newest.tag, Arc::clone(&made)));
        }
        Some(made)
    }

    fn published(&self) -> MutexGuard<'_, Manifests> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The MPD as it is now, with captions.
    pub(crate) fn render_manifest(&self, timing: Timing, captions: &[Captions]) -> String {
        self.render_manifest_at(timing, captions, self.newest())
    }

    /// The newest object's time: moves exactly when the manifest does.
    fn newest(&self) -> Timestamp {
        let renditions = self.renditions();
        let ends = renditions.iter().map(|rendition| {
            let view = rendition.view();
            let open: i64 = view.open.parts.iter().map(|part| i64::from(part.duration)).sum();
            rescale(view.open.start + open, view.track.timescale, 1_000_000)
        });
        self.zero().unwrap_or(Timestamp(0)).plus_micros(ends.max().unwrap_or(0))
    }

    fn render_manifest_at(&self, timing: Timing, captions: &[Captions], published: Timestamp) -> String {
        let renditions = self.renditions();
        let views: Vec<_> = renditions.iter().map(|rendition| rendition.view()).collect();
        let periods = self.periods();
        let zero = self.zero().unwrap_or(Timestamp(0));
        Mpd {
            captions,
            id: self.id(),
            timing,
            window_s: (!self.is_recorded()).then_some(self.window_s),
            renditions: &renditions,
            views: &views,
            periods: &periods,
            zero,
            published,
        }
        .render()
    }
}

/// MPDs of late, newest last.
#[derive(Debug, Default)]
pub(crate) struct Manifests(VecDeque<Manifest>);

/// Some five seconds of them.
const MANIFESTS_KEPT: usize = 16;

#[derive(Debug)]
struct Manifest {
    /// `publishTime`.
    time: Timestamp,
    text: Arc<Text>,
    /// To the manifest with that tag.
    patch: Option<(u64, Arc<Text>)>,
}

impl Manifests {
    fn push(&mut self, time: Timestamp, text: Arc<Text>) {
        self.0.push_back(Manifest {
            time,
            text,
            patch: None,
        });
        if self.0.len() > MANIFESTS_KEPT {
            self.0.pop_front();
        }
    }
}

/// A segment that grows: its parts as they come (conformance 80).
struct Growing {
    rendition: Arc<Rendition>,
    msn: u64,
    next: usize,
    /// The parts, once the segment is whole: they stay for this reader when it leaves memory.
    whole: Option<Arc<[Bytes]>>,
    waiting: Option<Waiting>,
    places: Places,
}

impl PieceStream for Growing {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Bytes>>> {
        use std::future::Future;
        let broken = || Poll::Ready(Some(Err(std::io::ErrorKind::Interrupted.into())));
        loop {
            if let Some(whole) = &self.whole {
                let piece = whole.get(self.next).cloned();
                self.next += 1;
                return Poll::Ready(piece.map(Ok));
            }
            let view = self.rendition.view();
            if view.open.msn != self.msn {
                match view.segment(self.msn).and_then(|segment| segment.pieces()) {
                    Some(whole) => self.whole = Some(whole),
                    // A reader so slow that the segment has left memory meanwhile.
                    None => return broken(),
                }
                continue;
            }
            if let Some(part) = view.open.parts.get(self.next) {
                self.next += 1;
                self.waiting = None;
                return Poll::Ready(Some(Ok(part.bytes.clone())));
            }
            if view.ended {
                return Poll::Ready(None);
            }
            if self.waiting.is_none() {
                let edge = Edge {
                    msn: self.msn,
                    parts: self.next + 1,
                };
                self.waiting = self.rendition.wait_for(edge, &self.places);
            }
            let Some(waiting) = &mut self.waiting else {
                return broken();
            };
            match Pin::new(waiting).poll(context) {
                Poll::Ready(()) => self.waiting = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
