//! A recording with captions that were added to it: the same playlists and objects, and beside them WebVTT, for HLS in a playlist of its own
//! (RFC 8216 3.5) and for DASH as one file a Period. The captions' times are those of players, who count no breaks.
//!
//! | path behind `/vod/{video}/` | object |
//! | --- | --- |
//! | `{id}/t-{language}.m3u8` | the playlist: a file for each period |
//! | `{id}/t-{language}/{revision}.{n}.vtt` | those of the period, with the media time of its beginning |
//! | `{id}/t-{language}/{revision}.{n}.plain.vtt` | the same without it |

use std::fmt::Write;
use std::sync::Arc;

use nova_core::delivery::{Audience, Object, ObjectKind, Pieces, Presentation, Reply, Text, TextKind};
use nova_core::media::rescale;
use nova_core::webvtt::{self, Cue};

use crate::hls::write_seconds;
use crate::stream::{Stream, Timing};

/// Captions in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captions {
    /// BCP 47.
    pub language: String,
    /// What players show.
    pub label: String,
    /// Another for another text: part of its objects' names.
    pub revision: i64,
    /// Their text, for requests of it.
    pub cues: Option<Arc<[Cue]>>,
}

impl Captions {
    /// The name of the rendition.
    pub(crate) fn name(&self) -> String {
        format!("t-{}", self.language)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Captioned {
    stream: Arc<Stream>,
    captions: Vec<Captions>,
}

/// A period as players see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// Where it begins for players, milliseconds.
    from_ms: u64,
    /// Where it ends.
    until_ms: u64,
    /// Media time of its beginning, 90 kHz.
    media: u64,
}

impl Captioned {
    /// `stream` with these captions.
    pub const fn new(stream: Arc<Stream>, captions: Vec<Captions>) -> Self {
        Self { stream, captions }
    }

    fn spans(&self) -> Vec<Span> {
        let renditions = self.stream.renditions();
        let Some(leader) = renditions.first() else {
            return Vec::new();
        };
        let (view, periods) = (leader.view(), self.stream.periods());
        let mut spans: Vec<Span> = Vec::new();
        let (mut at_us, mut next) = (0_i64, 0);
        for segment in view.playlist() {
            let begins = periods.get(next).is_some_and(|period| period.first_msn <= segment.msn);
            let millis = |us: i64| u64::try_from((us + 500) / 1000).unwrap_or(0);
            if begins || spans.is_empty() {
                while periods.get(next).is_some_and(|period| period.first_msn <= segment.msn) {
                    next += 1;
                }
                spans.push(Span {
                    from_ms: millis(at_us),
                    until_ms: millis(at_us),
                    media: u64::try_from(rescale(segment.start, segment.timescale, 90_000)).unwrap_or(0),
                });
            }
            at_us += segment.duration_us();
            if let Some(last) = spans.last_mut() {
                last.until_ms = millis(at_us);
            }
        }
        spans
    }

    fn playlist(&self, captions: &Captions) -> String {
        let spans = self.spans();
        let longest = spans.iter().map(|span| span.until_ms - span.from_ms).max().unwrap_or(0);
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n",
            longest.div_ceil(1000).max(1)
        );
        for (number, span) in spans.iter().enumerate() {
            if number > 0 {
                out.push_str("#EXT-X-DISCONTINUITY\n");
            }
            out.push_str("#EXTINF:");
            write_seconds(&mut out, i64::try_from(span.until_ms - span.from_ms).unwrap_or(0), 1000);
            let _infallible = writeln!(out, ",\n{}/{}.{number}.vtt", captions.name(), captions.revision);
        }
        out.push_str("#EXT-X-ENDLIST\n");
        out
    }

    /// `{revision}.{n}.vtt` or `{revision}.{n}.plain.vtt`.
    fn file(&self, captions: &Captions, name: &str) -> Option<String> {
        let name = name.strip_suffix(".vtt")?;
        let (name, plain) = match name.strip_suffix(".plain") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (revision, number) = name.split_once('.')?;
        if revision != captions.revision.to_string() {
            return None;
        }
        let span = *self.spans().get(number.parse::<usize>().ok()?)?;
        let cues = captions.cues.as_deref()?;
        Some(webvtt::write(
            cues,
            span.from_ms,
            span.until_ms,
            (!plain).then_some(span.media),
        ))
    }

    fn text(timing: Timing, kind: TextKind, plain: String) -> Reply {
        let target = std::time::Duration::from_secs(u64::from(timing.target_duration_s));
        Reply::Text(Arc::new(Text::new(kind, plain.into(), target, true)))
    }
}

impl Presentation for Captioned {
    fn answer(&self, path: &str, query: Option<&str>) -> Reply {
        let Some(timing) = self.stream.timing() else {
            return Reply::NotFound;
        };
        match path {
            "master.m3u8" => {
                return Self::text(
                    timing,
                    TextKind::Multivariant,
                    self.stream.render_multivariant(&self.captions),
                );
            }
            "manifest.mpd" => {
                return Self::text(
                    timing,
                    TextKind::Mpd,
                    self.stream.render_manifest(timing, &self.captions),
                );
            }
            _ => {}
        }
        let rest = path
            .strip_prefix(self.stream.id())
            .and_then(|rest| rest.strip_prefix("/t-"));
        let Some(rest) = rest else {
            return self.stream.answer(path, query);
        };
        let (language, file) = match rest.split_once('/') {
            Some((language, file)) => (language, Some(file)),
            None => (rest.strip_suffix(".m3u8").unwrap_or_default(), None),
        };
        let Some(captions) = self.captions.iter().find(|captions| captions.language == language) else {
            return Reply::NotFound;
        };
        match file {
            None => Self::text(timing, TextKind::Media { blocking: false }, self.playlist(captions)),
            Some(file) => self.file(captions, file).map_or(Reply::NotFound, |text| {
                Reply::Object(Object {
                    kind: ObjectKind::Captions,
                    tag: self.stream.tag(&(language, file)),
                    pieces: Pieces::One(text.into()),
                })
            }),
        }
    }

    fn answer_late(&self, path: &str, query: Option<&str>) -> Reply {
        self.stream.answer_late(path, query)
    }

    fn audience(&self) -> &Audience {
        self.stream.audience()
    }
}
