//! WebVTT (W3C, Candidate Recommendation of 2019): what people upload as captions is read strictly, and what players get is written from that.
//!
//! Kept are cues with their identifiers and settings. Notes and regions are let go, and so are style blocks: they are CSS that strangers would run in
//! viewers' pages.

use std::fmt::Write;

/// Longest file, bytes.
pub const BYTES_MAX: usize = 1 << 20;
/// Most cues of a file: one a second for almost three hours.
pub const CUES_MAX: usize = 10_000;
/// Longest text of a cue, bytes.
const TEXT_MAX: usize = 4096;
/// Longest identifier, and longest settings.
const LINE_MAX: usize = 512;
/// Latest time, milliseconds: a week.
const TIME_MAX: u64 = 7 * 86_400_000;

/// A text and when it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// Milliseconds.
    pub start_ms: u64,
    /// Milliseconds; behind the start.
    pub end_ms: u64,
    /// The line before the times; often empty.
    pub id: String,
    /// What follows the times: `line:0 align:start`.
    pub settings: String,
    /// The lines of the text, with its markup.
    pub text: String,
}

/// Why a file is none, and where: lines are counted from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than [`BYTES_MAX`].
    #[error("it has {len} bytes, and at most {BYTES_MAX} are taken")]
    Large {
        /// What it has.
        len: usize,
    },
    /// Not UTF-8, or with a NUL.
    #[error("it is not text in UTF-8")]
    Text,
    /// Section 4.1.
    #[error("it does not begin with WEBVTT and an empty line")]
    Signature,
    /// No cue at all.
    #[error("it has no cue")]
    Empty,
    /// More than [`CUES_MAX`].
    #[error("line {line}: at most {CUES_MAX} cues are taken")]
    Many {
        /// Of the first too many.
        line: usize,
    },
    /// Times that are none, as `1:2.5`.
    #[error("line {line}: the times of a cue are written 00:00:01.000 --> 00:00:02.000")]
    Times {
        /// Where.
        line: usize,
    },
    /// A cue that ends before it begins, or later than a week.
    #[error("line {line}: a cue ends behind its beginning, and within a week")]
    End {
        /// Where.
        line: usize,
    },
    /// A cue that begins before the one before it.
    #[error("line {line}: cues are in the order in which they begin")]
    Order {
        /// Where.
        line: usize,
    },
    /// A text, an identifier or settings too long.
    #[error("line {line}: the text, name or settings of a cue are too long")]
    Long {
        /// Where.
        line: usize,
    },
    /// A block that is no cue, or a cue without text.
    #[error("line {line}: a cue has its times and then its text")]
    Cue {
        /// Where.
        line: usize,
    },
}

/// Reads a file.
pub fn parse(file: &[u8]) -> Result<Vec<Cue>, Error> {
    if file.len() > BYTES_MAX {
        return Err(Error::Large { len: file.len() });
    }
    let text = std::str::from_utf8(file).map_err(|_error| Error::Text)?;
    if text.contains('\0') {
        return Err(Error::Text);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = text.split('\n').zip(1_usize..).peekable();
    let (first, _) = lines.next().ok_or(Error::Signature)?;
    let signed = first.strip_prefix("WEBVTT").ok_or(Error::Signature)?;
    if !(signed.is_empty() || signed.starts_with([' ', '\t'])) || signed.contains("-->") {
        return Err(Error::Signature);
    }
    // The header: everything up to the first empty line.
    for (line, _) in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        if line.contains("-->") {
            return Err(Error::Signature);
        }
    }
    let mut cues: Vec<Cue> = Vec::new();
    while let Some((line, number)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let mut block = vec![line];
        while let Some((line, _)) = lines.next_if(|(line, _)| !line.is_empty()) {
            block.push(line);
        }
        let is = |word: &str| {
            line.strip_prefix(word)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        if !block[0].contains("-->") && (is("NOTE") || is("STYLE") || is("REGION")) {
            if block.iter().any(|line| line.contains("-->")) {
                return Err(Error::Cue { line: number });
            }
            continue;
        }
        if cues.len() >= CUES_MAX {
            return Err(Error::Many { line: number });
        }
        let cue = cue(&block, number)?;
        if cues.last().is_some_and(|last| last.start_ms > cue.start_ms) {
            return Err(Error::Order { line: number });
        }
        cues.push(cue);
    }
    if cues.is_empty() {
        return Err(Error::Empty);
    }
    Ok(cues)
}

fn cue(block: &[&str], line: usize) -> Result<Cue, Error> {
    let named = usize::from(!block[0].contains("-->"));
    let line = line + named;
    let (times, text) = block
        .get(named..)
        .and_then(<[_]>::split_first)
        .ok_or(Error::Cue { line })?;
    let (start, rest) = times.split_once("-->").ok_or(Error::Cue { line })?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let (end, settings) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let spaced = start.ends_with([' ', '\t'])
        && times
            .split("-->")
            .nth(1)
            .is_some_and(|rest| rest.starts_with([' ', '\t']));
    let (Some(start_ms), Some(end_ms), true) = (
        milliseconds(start.trim_end_matches([' ', '\t'])),
        milliseconds(end),
        spaced,
    ) else {
        return Err(Error::Times { line });
    };
    if end_ms <= start_ms || end_ms > TIME_MAX {
        return Err(Error::End { line });
    }
    let (id, settings, text) = (block[..named].concat(), settings.trim(), text.join("\n"));
    if text.is_empty() || text.contains("-->") || settings.contains("-->") {
        return Err(Error::Cue { line });
    }
    if text.len() > TEXT_MAX || id.len() > LINE_MAX || settings.len() > LINE_MAX {
        return Err(Error::Long { line });
    }
    Ok(Cue {
        start_ms,
        end_ms,
        id,
        settings: settings.to_owned(),
        text,
    })
}

/// `MM:SS.mmm`, or with two or more digits of hours before it.
fn milliseconds(text: &str) -> Option<u64> {
    let digits = |text: &str, least: usize, most: usize| {
        let fine = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| fine)
    };
    let (whole, fraction) = text.split_once('.')?;
    let mut parts = whole.rsplit(':');
    let seconds = digits(parts.next()?, 2, 2).filter(|seconds| *seconds < 60)?;
    let minutes = digits(parts.next()?, 2, 2).filter(|minutes| *minutes < 60)?;
    let hours = parts.next().map_or(Some(0), |hours| digits(hours, 2, 4))?;
    if parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + digits(fraction, 3, 3)?)
}

/// Writes the cues that are shown between two times, milliseconds, counted from the first. `map` is what media time the beginning has, in ticks
/// of 90 kHz (RFC 8216 3.5): HLS wants to know.
pub fn write(cues: &[Cue], from_ms: u64, until_ms: u64, map: Option<u64>) -> String {
    let mut out = String::from("WEBVTT\n");
    if let Some(ticks) = map {
        // 33 bits, as in a transport stream.
        let ticks = ticks & 0x1_ffff_ffff;
        let _infallible = writeln!(out, "X-TIMESTAMP-MAP=MPEGTS:{ticks},LOCAL:00:00:00.000");
    }
    let within = |cue: &&Cue| cue.end_ms > from_ms && cue.start_ms < until_ms;
    for cue in cues.iter().filter(within) {
        out.push('\n');
        if !cue.id.is_empty() {
            let _infallible = writeln!(out, "{}", cue.id);
        }
        write_time(&mut out, cue.start_ms.saturating_sub(from_ms));
        out.push_str(" --> ");
        write_time(&mut out, cue.end_ms.min(until_ms).saturating_sub(from_ms));
        if !cue.settings.is_empty() {
            let _infallible = write!(out, " {}", cue.settings);
        }
        let _infallible = writeln!(out, "\n{}", cue.text);
    }
    out
}

/// Appends `HH:MM:SS.mmm`.
pub fn write_time(out: &mut String, millis: u64) {
    let seconds = millis / 1000;
    let _infallible = write!(
        out,
        "{:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        millis % 1000
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\u{feff}WEBVTT - words\nKind: captions\n\nNOTE\nby hand\n\nSTYLE\n::cue { color: red }\n\nfirst\n00:01.000 --> 00:00:02.500 line:0\nHello\n\
                        <b>world</b>\n\n01:00:00.000 --> 01:00:01.000\r\nlate\r\n";

    #[test]
    fn cues_are_read_with_their_names_and_settings() {
        let cues = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(
            cues[0],
            Cue {
                start_ms: 1000,
                end_ms: 2500,
                id: "first".into(),
                settings: "line:0".into(),
                text: "Hello\n<b>world</b>".into(),
            }
        );
        assert_eq!(
            (cues.len(), cues[1].start_ms, cues[1].text.as_str()),
            (2, 3_600_000, "late")
        );
    }

    #[test]
    fn what_is_written_is_read_again_and_styles_are_gone() {
        let cues = parse(GOOD.as_bytes()).unwrap();
        let written = write(&cues, 0, u64::MAX, None);
        assert_eq!(parse(written.as_bytes()).unwrap(), cues);
        assert!(!written.contains("STYLE"));
    }

    #[test]
    fn a_part_begins_at_nought_and_says_where_that_is() {
        let cues = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(
            write(&cues, 2000, 3000, Some((1 << 33) + 90_000)),
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:90000,LOCAL:00:00:00.000\n\nfirst\n00:00:00.000 --> 00:00:00.500 line:0\nHello\n<b>world</b>\n"
        );
    }

    #[test]
    fn what_is_no_webvtt_is_told_with_its_line() {
        let of = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(of(""), Error::Signature);
        assert_eq!(of("WEBVTTX\n\n00:01.000 --> 00:02.000\na"), Error::Signature);
        assert_eq!(of("1\n00:00:01,000 --> 00:00:02,000\nsrt\n"), Error::Signature);
        assert_eq!(of("WEBVTT\n\n"), Error::Empty);
        for times in [
            "00:00:01,000 --> 00:00:02,000",
            "0:01.000 --> 0:02.000",
            "00:61.000 --> 01:02.000",
            "00:01.00 --> 00:02.000",
            "00:01.000-->00:02.000",
            "00:01.000 --> ",
            "1:00:00:01.000 --> 1:00:00:02.000",
        ] {
            assert_eq!(
                of(&format!("WEBVTT\n\n{times}\na")),
                Error::Times { line: 3 },
                "{times}"
            );
        }
        assert_eq!(of("WEBVTT\n\nid\n00:02.000 --> 00:02.000\na"), Error::End { line: 4 });
        assert_eq!(
            of("WEBVTT\n\n9999:00:01.000 --> 9999:00:02.000\na"),
            Error::End { line: 3 }
        );
        assert_eq!(
            of("WEBVTT\n\n00:02.000 --> 00:03.000\na\n\n00:01.000 --> 00:03.000\nb"),
            Error::Order { line: 6 }
        );
        assert_eq!(of("WEBVTT\n\n00:02.000 --> 00:03.000\n"), Error::Cue { line: 3 });
        assert_eq!(of("WEBVTT\n\njust words\n"), Error::Cue { line: 4 });
        assert_eq!(
            of(&format!("WEBVTT\n\n00:02.000 --> 00:03.000\n{}", "a".repeat(5000))),
            Error::Long { line: 3 }
        );
        assert_eq!(parse(b"WEBVTT\n\n\xff"), Err(Error::Text));
        assert_eq!(
            parse(&vec![b' '; BYTES_MAX + 1]),
            Err(Error::Large { len: BYTES_MAX + 1 })
        );
        let many = "00:01.000 --> 00:02.000\na\n\n".repeat(CUES_MAX + 1);
        assert_eq!(of(&format!("WEBVTT\n\n{many}")), Error::Many { line: 3 + 3 * CUES_MAX });
    }
}
