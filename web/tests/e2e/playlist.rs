//! A reader of live media playlists, written from RFC 8216bis alone: it shares nothing with the writer.

use std::collections::HashMap;

use crate::server::Server;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Media {
    pub(crate) version: u32,
    pub(crate) target: u64,
    pub(crate) part_target: f64,
    pub(crate) control: HashMap<String, String>,
    pub(crate) sequence: u64,
    pub(crate) discontinuity_sequence: u64,
    /// Segments that a delta update leaves out.
    pub(crate) skipped: u64,
    pub(crate) segments: Vec<Segment>,
    /// Parts of the segment that grows.
    pub(crate) open: Vec<Part>,
    /// The segment that grows begins with a discontinuity.
    pub(crate) open_discontinuity: bool,
    pub(crate) hints: Vec<HashMap<String, String>>,
    pub(crate) reports: Vec<HashMap<String, String>>,
    pub(crate) ended: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Segment {
    pub(crate) msn: u64,
    pub(crate) uri: String,
    pub(crate) duration: f64,
    pub(crate) discontinuity: bool,
    pub(crate) gap: bool,
    /// Milliseconds since 1970.
    pub(crate) date: Option<i64>,
    pub(crate) map: String,
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    pub(crate) uri: String,
    pub(crate) duration: f64,
    pub(crate) independent: bool,
}

impl Media {
    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("#EXTM3U"), "{text}");
        let mut media = Self::default();
        let mut next = Segment::default();
        let mut map = String::new();
        for line in lines {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            let number = || value.parse().unwrap_or_else(|_| panic!("{line}"));
            match tag {
                "#EXT-X-VERSION" => media.version = value.parse().expect("a version"),
                "#EXT-X-TARGETDURATION" => media.target = number(),
                "#EXT-X-MEDIA-SEQUENCE" => media.sequence = number(),
                "#EXT-X-DISCONTINUITY-SEQUENCE" => media.discontinuity_sequence = number(),
                "#EXT-X-SERVER-CONTROL" => media.control = attributes(value),
                "#EXT-X-PART-INF" => media.part_target = attributes(value)["PART-TARGET"].parse().expect("seconds"),
                "#EXT-X-SKIP" => media.skipped = attributes(value)["SKIPPED-SEGMENTS"].parse().expect("a count"),
                "#EXT-X-DISCONTINUITY" => next.discontinuity = true,
                "#EXT-X-GAP" => next.gap = true,
                "#EXT-X-MAP" => map = attributes(value)["URI"].clone(),
                "#EXT-X-PROGRAM-DATE-TIME" => next.date = Some(millis(value)),
                "#EXTINF" => next.duration = value.split(',').next().and_then(|v| v.parse().ok()).expect("seconds"),
                "#EXT-X-PART" => {
                    let part = attributes(value);
                    next.parts.push(Part {
                        uri: part["URI"].clone(),
                        duration: part["DURATION"].parse().expect("seconds"),
                        independent: part.get("INDEPENDENT").is_some_and(|value| value == "YES"),
                    });
                }
                "#EXT-X-PRELOAD-HINT" => media.hints.push(attributes(value)),
                "#EXT-X-RENDITION-REPORT" => media.reports.push(attributes(value)),
                "#EXT-X-ENDLIST" => media.ended = true,
                "#EXT-X-INDEPENDENT-SEGMENTS" | "#EXT-X-PLAYLIST-TYPE" => {}
                _ if line.starts_with('#') => panic!("an unknown tag: {line}"),
                _ => {
                    next.msn = media.sequence + media.skipped + media.segments.len() as u64;
                    next.uri = line.to_owned();
                    next.map.clone_from(&map);
                    media.segments.push(std::mem::take(&mut next));
                }
            }
        }
        media.open = next.parts;
        media.open_discontinuity = next.discontinuity;
        media
    }

    /// The number of the segment that grows.
    pub(crate) fn next_msn(&self) -> u64 {
        self.sequence + self.skipped + self.segments.len() as u64
    }

    /// The newest position as a blocking request names it: segment and part.
    pub(crate) fn next_part(&self) -> (u64, usize) {
        (self.next_msn(), self.open.len())
    }
}

/// An attribute list (RFC 8216bis 4.2).
pub(crate) fn attributes(list: &str) -> HashMap<String, String> {
    let mut out = HashMap::new();
    let mut rest = list;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        out.insert(name.trim_start_matches(',').to_owned(), value.to_owned());
        rest = tail;
    }
    out
}

/// Milliseconds since 1970 of `2026-11-24T01:19:27.123Z`.
pub(crate) fn millis(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| -> i64 { text[range].parse().unwrap_or_else(|_| panic!("{text}")) };
    assert!(
        text.len() == 24 && text.ends_with('Z'),
        "millisecond precision in UTC: {text}"
    );
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 in the proleptic Gregorian calendar, years beginning in March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    ((days * 24 + number(11..13)) * 60 + number(14..16)) * 60_000 + number(17..19) * 1000 + number(20..23)
}

/// A rendition of a live stream: where its playlist is, and the folder its URIs are relative to.
#[derive(Clone, Debug)]
pub(crate) struct Rendition {
    /// `/live/NAME/ID/`
    pub(crate) folder: String,
    /// `video.m3u8`
    pub(crate) file: String,
}

impl Rendition {
    /// The renditions that a multivariant playlist names: variants first, then alternatives.
    pub(crate) fn all(stream: &str, multivariant: &str) -> Vec<Self> {
        let variants = multivariant
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        let variants: Vec<String> = variants.map(str::to_owned).collect();
        let media = multivariant
            .lines()
            .filter_map(|line| line.strip_prefix("#EXT-X-MEDIA:"));
        let media = media.filter_map(|list| attributes(list).remove("URI"));
        let mut all = Vec::new();
        for uri in variants.into_iter().chain(media) {
            let (folder, file) = uri.rsplit_once('/').expect("a folder");
            let rendition = Self {
                folder: format!("/live/{stream}/{folder}/"),
                file: file.to_owned(),
            };
            if !all.iter().any(|other: &Self| other.file == rendition.file) {
                all.push(rendition);
            }
        }
        all
    }

    pub(crate) fn path(&self, uri: &str) -> String {
        format!("{}{uri}", self.folder)
    }

    /// The playlist as it is now.
    pub(crate) fn now(&self, server: &Server) -> Media {
        Media::parse(&server.text(&self.path(&self.file)))
    }

    /// The playlist once it has this position.
    pub(crate) fn at(&self, server: &Server, (msn, part): (u64, usize)) -> Media {
        Media::parse(&server.text(&self.path(&format!("{}?_HLS_msn={msn}&_HLS_part={part}", self.file))))
    }
}
