//! Which rungs a source gets, and what they cost. Pure.
//!
//! A rung is named for the box its picture fits into: "720p" is at most 1280x720 for landscape and 720x1280 for portrait, so that a
//! cinema-shaped source gets the rungs a viewer expects. Pictures keep their display aspect ratio with square samples and even sides.

use std::str::FromStr;

use nova_core::media::{Media, Track};

/// One quality of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// "720p"; unique in its ladder.
    pub name: String,
    /// Luma samples a row; even.
    pub width: u16,
    /// Luma rows; even.
    pub height: u16,
    /// Bits a second.
    pub bit_rate: u32,
    /// One of this many pictures of the source is kept.
    pub frame_rate_divisor: u8,
}

/// A rung as the operator writes it: `720p:2800k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RungSpec {
    /// Rows of the box.
    pub height: u16,
    /// Bits a second, for any shape and frame rate of the source.
    pub bit_rate: u32,
}

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ladder {
    /// Nothing is re-encoded.
    Off,
    /// Rungs below the source by Nova's own table, as far as the budget goes.
    Auto,
    /// These, as far as they are below the source, whatever they cost.
    List(Vec<RungSpec>),
}

/// Why a ladder does not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A rung is not height, `p`, colon, bit rate.
    #[error("`{0}` is not a rung like `720p:2800k`; a ladder is `off`, `auto` or rungs with commas between them")]
    Rung(String),
    /// Outside of what the encoders can do.
    #[error("the height of `{0}` is not an even number from 64 to 4320")]
    Height(String),
    /// Outside of what makes sense.
    #[error("the bit rate of `{0}` is not between 50k and 100M")]
    BitRate(String),
    /// The same height twice.
    #[error("{0}p is there twice")]
    Twice(u16),
    /// More than the worker takes.
    #[error("more than {RUNGS_MAX} rungs")]
    TooMany,
}

/// Rungs in one ladder.
const RUNGS_MAX: usize = 8;

/// Rows and bits a second at up to 30 pictures a second: H.264, `veryfast`, a full 16:9 box.
const TABLE: [(u16, u32); 6] = [
    (1440, 9_000_000),
    (1080, 5_000_000),
    (720, 2_800_000),
    (480, 1_200_000),
    (360, 700_000),
    (240, 350_000),
];

impl FromStr for Ladder {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "off" => return Ok(Self::Off),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        let mut list = text.split(',').map(rung_spec).collect::<Result<Vec<_>, _>>()?;
        list.sort_by_key(|spec| std::cmp::Reverse(spec.height));
        if let Some(pair) = list.windows(2).find(|pair| pair[0].height == pair[1].height) {
            return Err(ParseError::Twice(pair[0].height));
        }
        if list.len() > RUNGS_MAX {
            return Err(ParseError::TooMany);
        }
        Ok(Self::List(list))
    }
}

fn rung_spec(text: &str) -> Result<RungSpec, ParseError> {
    let text = text.trim();
    let wrong = || ParseError::Rung(text.to_owned());
    let (height, rate) = text.split_once(':').ok_or_else(wrong)?;
    let height = height.trim().strip_suffix(['p', 'P']).ok_or_else(wrong)?;
    let rate = rate.trim();
    let (digits, unit) = match rate.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => match rate.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1_000_000),
            None => (rate, 1),
        },
    };
    let height: u32 = height.parse().map_err(|_not_a_number| wrong())?;
    let rate: u64 = digits.trim().parse().map_err(|_not_a_number| wrong())?;
    if !(64..=4320).contains(&height) || !height.is_multiple_of(2) {
        return Err(ParseError::Height(text.to_owned()));
    }
    let rate = rate.saturating_mul(unit);
    if !(50_000..=100_000_000).contains(&rate) {
        return Err(ParseError::BitRate(text.to_owned()));
    }
    Ok(RungSpec {
        height: height as u16,
        bit_rate: rate as u32,
    })
}

/// The rungs of a file, largest first: one of its own size, 1080p at most, since nobody else sends it in a form that players take, and below
/// it those of `ladder`; all of them with the file's frame rate.
pub fn plan_file(ladder: &Ladder, source: &Track, frame_rate: Option<(u32, u32)>) -> Vec<Rung> {
    let Media::Video { width, height, sar, .. } = source.media else {
        return Vec::new();
    };
    if width < 2 || height < 2 {
        return Vec::new();
    }
    let display = (
        f64::from(width) * f64::from(sar.0.max(1)) / f64::from(sar.1.max(1)),
        f64::from(height),
    );
    let (w, h) = fit(display, 1080).unwrap_or_else(|| {
        let even = |side: f64| ((side / 2.0).round() * 2.0).clamp(32.0, 1920.0) as u16;
        (even(display.0), even(display.1))
    });
    let top = Rung {
        name: format!("{}p", w.min(h)),
        width: w,
        height: h,
        bit_rate: usual_bit_rate(w, h, frames_a_second(frame_rate).unwrap_or(30.0)),
        frame_rate_divisor: 1,
    };
    let mut rungs = vec![top];
    for rung in plan(ladder, source, frame_rate) {
        if rung.width < w && rung.height < h && rungs.iter().all(|other| other.name != rung.name) {
            rungs.push(Rung {
                frame_rate_divisor: 1,
                ..rung
            });
        }
    }
    rungs
}

/// The rungs of `ladder` for a source, largest first: never as large as the source, aspect ratio kept. `frame_rate` is what the source has,
/// as far as it is known; above 30 pictures a second, rungs of 480p and less get every second one where that leaves 24 or more.
pub fn plan(ladder: &Ladder, source: &Track, frame_rate: Option<(u32, u32)>) -> Vec<Rung> {
    let Media::Video { width, height, sar, .. } = source.media else {
        return Vec::new();
    };
    if width < 2 || height < 2 {
        return Vec::new();
    }
    let display_width = f64::from(width) * f64::from(sar.0.max(1)) / f64::from(sar.1.max(1));
    let display = (display_width, f64::from(height));
    let rate = frames_a_second(frame_rate);
    let specs: Vec<(u16, Option<u32>)> = match ladder {
        Ladder::Off => return Vec::new(),
        Ladder::Auto => {
            let short = display.0.min(display.1);
            let lowest = if short > 480.0 { 360 } else { 240 };
            TABLE
                .iter()
                .filter(|(rows, _)| *rows >= lowest && (*rows != 1440 || short > 1500.0))
                .map(|(rows, _)| (*rows, None))
                .collect()
        }
        Ladder::List(list) => list.iter().map(|spec| (spec.height, Some(spec.bit_rate))).collect(),
    };
    let mut rungs: Vec<Rung> = Vec::new();
    for (rows, bit_rate) in specs {
        let Some((w, h)) = fit(display, rows) else { continue };
        // A rung almost as large as the source costs much and helps nobody; who lists it wants it.
        let most = if bit_rate.is_some() { 1.0 } else { 0.9 };
        if f64::from(w) >= display.0 * most && f64::from(h) >= display.1 * most || h >= height && w >= width {
            continue;
        }
        let halved = rows <= 480 && rate.is_some_and(|rate| rate > 47.0);
        let divisor = if halved { 2 } else { 1 };
        let shown = rate.unwrap_or(30.0) / f64::from(divisor);
        rungs.push(Rung {
            name: format!("{rows}p"),
            width: w,
            height: h,
            bit_rate: bit_rate.unwrap_or_else(|| usual_bit_rate(w, h, shown)),
            frame_rate_divisor: divisor,
        });
    }
    rungs
}

fn frames_a_second(rate: Option<(u32, u32)>) -> Option<f64> {
    let (count, seconds) = rate.filter(|(count, seconds)| *count > 0 && *seconds > 0)?;
    Some(f64::from(count) / f64::from(seconds)).filter(|rate| (1.0..=1000.0).contains(rate))
}

/// The largest even size of that shape in the box of `rows`; `None` when the source is smaller than the box, or all but a line.
fn fit((width, height): (f64, f64), rows: u16) -> Option<(u16, u16)> {
    let (short, long) = (f64::from(rows), f64::from(rows) * 16.0 / 9.0);
    let (box_width, box_height) = if width >= height { (long, short) } else { (short, long) };
    let scale = (box_width / width).min(box_height / height);
    let even = |side: f64| ((side * scale / 2.0).round() * 2.0).clamp(2.0, 65_534.0) as u16;
    let size = (even(width), even(height));
    // Encoders take nothing smaller.
    (scale < 1.0 && size.0 >= 32 && size.1 >= 32).then_some(size)
}

/// Between the rows of [`TABLE`], bits grow with the pixels to the power of 0.75; so they do with pictures a second above 30, where
/// neighbours are more alike: half as much again for twice as many.
fn usual_bit_rate(width: u16, height: u16, frame_rate: f64) -> u32 {
    let pixels = f64::from(width) * f64::from(height);
    let full = |rows: u16| f64::from(rows) * f64::from(rows) * 16.0 / 9.0;
    let nearest = TABLE
        .iter()
        .min_by(|a, b| {
            let distance = |row: &(u16, u32)| (full(row.0) / pixels).ln().abs();
            distance(a).total_cmp(&distance(b))
        })
        .unwrap_or(&TABLE[0]);
    let faster = 1.0 + ((frame_rate - 30.0) / 60.0).clamp(0.0, 0.5);
    let rate = f64::from(nearest.1) * (pixels / full(nearest.0)).powf(0.75) * faster;
    (rate / 10_000.0).round() as u32 * 10_000
}

/// Cores that decoding this source takes (`avdec_h264`, one thread, on the machine of `benches/README.md`).
pub fn decode_cost(source: &Track, frame_rate: Option<(u32, u32)>) -> f32 {
    let Media::Video { width, height, .. } = source.media else {
        return 0.0;
    };
    let rate = frames_a_second(frame_rate).unwrap_or(30.0);
    (f64::from(width) * f64::from(height) * rate / 1e6 * 0.0026) as f32
}

/// Cores that a rung takes: its scale and its x264 at `veryfast`. 720p, 480p and 360p of 1080p30 with the decoder are 0.68.
pub fn rung_cost(rung: &Rung, frame_rate: Option<(u32, u32)>) -> f32 {
    let rate = frames_a_second(frame_rate).unwrap_or(30.0) / f64::from(rung.frame_rate_divisor.max(1));
    (f64::from(rung.width) * f64::from(rung.height) * rate / 1e6 * 0.0111) as f32
}

/// Leaves the rungs that fit into `free` cores, the smallest first, and says what they take.
pub(crate) fn admit(rungs: Vec<Rung>, source: &Track, frame_rate: Option<(u32, u32)>, free: f32) -> (Vec<Rung>, f32) {
    let decode = decode_cost(source, frame_rate);
    let mut taken = decode;
    let mut kept = Vec::new();
    for rung in rungs.into_iter().rev() {
        let cost = rung_cost(&rung, frame_rate);
        if taken + cost > free {
            break;
        }
        taken += cost;
        kept.insert(0, rung);
    }
    if kept.is_empty() { (kept, 0.0) } else { (kept, taken) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nova_core::media::{Codec, TrackId};
    use proptest::prelude::*;

    use super::*;

    fn source(width: u16, height: u16, sar: (u16, u16)) -> Track {
        Track {
            id: TrackId(0),
            codec: Codec::Avc,
            timescale: 90_000,
            config: Bytes::new(),
            codec_string: String::new(),
            media: Media::Video {
                width,
                height,
                sar,
                frame_rate: None,
                colour: None,
            },
        }
    }

    fn sizes(ladder: &str, width: u16, height: u16) -> Vec<(String, u16, u16)> {
        let rungs = plan(&ladder.parse().unwrap(), &source(width, height, (1, 1)), Some((30, 1)));
        rungs.into_iter().map(|r| (r.name, r.width, r.height)).collect()
    }

    fn named(rungs: &[(&str, u16, u16)]) -> Vec<(String, u16, u16)> {
        rungs.iter().map(|(name, w, h)| ((*name).to_owned(), *w, *h)).collect()
    }

    #[test]
    fn ladders_read_and_mistakes_are_named() {
        assert_eq!("off".parse(), Ok(Ladder::Off));
        assert_eq!(" Auto ".parse(), Ok(Ladder::Auto));
        let spec = |height, bit_rate| RungSpec { height, bit_rate };
        assert_eq!(
            "480p:1200k, 1080p:5M,360p:600000".parse(),
            Ok(Ladder::List(vec![
                spec(1080, 5_000_000),
                spec(480, 1_200_000),
                spec(360, 600_000)
            ]))
        );
        let error = |text: &str| text.parse::<Ladder>().unwrap_err();
        assert_eq!(error("720:2800k"), ParseError::Rung("720:2800k".into()));
        assert_eq!(error("720p:fast"), ParseError::Rung("720p:fast".into()));
        assert_eq!(error(""), ParseError::Rung(String::new()));
        assert_eq!(error("721p:1M"), ParseError::Height("721p:1M".into()));
        assert_eq!(error("720p:10"), ParseError::BitRate("720p:10".into()));
        assert_eq!(
            error("720p:99999999999999999999M"),
            ParseError::Rung("720p:99999999999999999999M".into())
        );
        assert_eq!(error("720p:1M,720p:2M"), ParseError::Twice(720));
    }

    #[test]
    fn auto_is_what_lies_below_the_source() {
        assert_eq!(
            sizes("auto", 1920, 1080),
            named(&[("720p", 1280, 720), ("480p", 854, 480), ("360p", 640, 360)])
        );
        assert_eq!(
            sizes("auto", 1280, 720),
            named(&[("480p", 854, 480), ("360p", 640, 360)])
        );
        assert_eq!(sizes("auto", 640, 360), named(&[("240p", 426, 240)]));
        assert_eq!(sizes("auto", 320, 180), []);
        assert_eq!(sizes("auto", 3840, 2160).len(), 5);
        assert_eq!(sizes("off", 3840, 2160), []);
    }

    #[test]
    fn portrait_and_cinema_shapes_fit_their_boxes() {
        assert_eq!(
            sizes("auto", 1080, 1920),
            named(&[("720p", 720, 1280), ("480p", 480, 854), ("360p", 360, 640)])
        );
        assert_eq!(
            sizes("auto", 1920, 800),
            named(&[("720p", 1280, 534), ("480p", 854, 356), ("360p", 640, 266)])
        );
    }

    #[test]
    fn samples_that_are_not_square_become_square() {
        // PAL, 16:9 in 720x576.
        let rungs = plan(
            &"360p:700k".parse().unwrap(),
            &source(720, 576, (64, 45)),
            Some((25, 1)),
        );
        assert_eq!((rungs[0].width, rungs[0].height), (640, 360));
    }

    #[test]
    fn a_listed_rung_of_the_sources_own_size_is_left_out() {
        assert_eq!(
            sizes("1080p:5M,1000p:4M,720p:2800k", 1920, 1080),
            named(&[("1000p", 1778, 1000), ("720p", 1280, 720)])
        );
    }

    #[test]
    fn small_rungs_of_fast_sources_get_every_second_picture() {
        let at = |rate| plan(&Ladder::Auto, &source(1920, 1080, (1, 1)), rate);
        let divisors = |rate| at(rate).iter().map(|r| r.frame_rate_divisor).collect::<Vec<_>>();
        assert_eq!(divisors(Some((60_000, 1001))), [1, 2, 2]);
        assert_eq!(divisors(Some((30, 1))), [1, 1, 1]);
        assert_eq!(divisors(Some((0, 0))), [1, 1, 1]);
        let rates = |rate| at(rate).iter().map(|r| r.bit_rate).collect::<Vec<_>>();
        assert_eq!(rates(Some((30, 1))), [2_800_000, 1_200_000, 700_000]);
        assert_eq!(rates(Some((60, 1))), [4_200_000, 1_200_000, 700_000]);
    }

    #[test]
    fn the_budget_keeps_the_smallest_rungs() {
        let source = source(1920, 1080, (1, 1));
        let rate = Some((30, 1));
        let names = |free| {
            let (rungs, cost) = admit(plan(&Ladder::Auto, &source, rate), &source, rate, free);
            assert!(cost <= free);
            rungs.into_iter().map(|r| r.name).collect::<Vec<_>>()
        };
        assert_eq!(names(0.7), ["720p", "480p", "360p"]);
        assert_eq!(names(0.5), ["480p", "360p"]);
        assert_eq!(names(0.1), [""; 0]);
    }

    #[test]
    fn a_file_gets_a_rung_of_its_own_size_and_those_below() {
        let names = |width, height| -> Vec<(String, u16, u16)> {
            let rungs = plan_file(&Ladder::Auto, &source(width, height, (1, 1)), Some((60, 1)));
            assert!(rungs.iter().all(|rung| rung.frame_rate_divisor == 1));
            rungs
                .into_iter()
                .map(|rung| (rung.name, rung.width, rung.height))
                .collect()
        };
        assert_eq!(names(1920, 1080)[0], ("1080p".into(), 1920, 1080));
        assert_eq!(names(3840, 2160)[0], ("1080p".into(), 1920, 1080));
        assert_eq!(
            names(1280, 720)[..2],
            [("720p".into(), 1280, 720), ("480p".into(), 854, 480)]
        );
        assert_eq!(names(720, 1280)[0], ("720p".into(), 720, 1280));
        assert_eq!(names(321, 181), [("182p".into(), 322, 182)]);
    }

    proptest! {
        #[test]
        fn rungs_fall_in_size_stay_below_the_source_and_keep_its_shape(width in 2..8192_u16, height in 2..8192_u16, sar in (1..100_u16, 1..100_u16)) {
            let source = source(width, height, sar);
            let rungs = plan(&Ladder::Auto, &source, None);
            let shape = f64::from(width) * f64::from(sar.0) / f64::from(sar.1) / f64::from(height);
            for rung in &rungs {
                prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0 && rung.height <= height);
                let (w, h) = (f64::from(rung.width), f64::from(rung.height));
                // Each side is at most one sample off.
                prop_assert!((w + 1.0) / (h - 1.0).max(0.5) >= shape && (w - 1.0) / (h + 1.0) <= shape);
                prop_assert!(rung.bit_rate > 0);
            }
            for pair in rungs.windows(2) {
                prop_assert!(pair[0].width >= pair[1].width && pair[0].height >= pair[1].height);
                prop_assert!(pair[0].bit_rate >= pair[1].bit_rate);
            }
        }
    }
}
