//! The source's frame rate by the times of its first frames. Pure.
//!
//! What a bitstream states is often wrong, and an encoder that believes it misses its bit rate by as much (measured: 15 stated for 30
//! doubles it). Without any rate, x264 holds back one picture and GStreamer 1.22 loses keyframes that are forced one after the other.

/// Frames that are looked at: a quarter of a second, once, before anything comes out.
pub(crate) const FRAMES: usize = 8;
/// What cameras and encoders really use.
const USUAL: [(u32, u32); 13] = [
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (120, 1),
];
/// Where nothing can be measured.
const DEFAULT: (u32, u32) = (30, 1);

/// Pictures a second for decode times in ticks, as a fraction: a usual one where it is near. A stated rate that fits is believed, since
/// milliseconds do not tell 30 from 29.97.
pub(crate) fn measure(times: &[i64], timescale: u32, stated: Option<(u32, u32)>) -> (u32, u32) {
    let stated = stated.filter(|(count, seconds)| *count > 0 && *seconds > 0);
    let mut steps: Vec<i64> = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .filter(|step| *step > 0)
        .collect();
    steps.sort_unstable();
    // A hole or a burst at either end says nothing.
    let middle = &steps[steps.len() / 4..steps.len() - steps.len() / 4];
    let sum: i64 = middle.iter().sum();
    if sum == 0 {
        return stated.unwrap_or(DEFAULT);
    }
    let rate = f64::from(timescale) * middle.len() as f64 / sum as f64;
    let off = |(count, seconds): (u32, u32)| (f64::from(count) / f64::from(seconds) / rate - 1.0).abs();
    if let Some(stated) = stated.filter(|stated| off(*stated) < 0.04) {
        return stated;
    }
    let usual = USUAL.into_iter().min_by(|a, b| off(*a).total_cmp(&off(*b)));
    match usual.filter(|usual| off(*usual) < 0.04) {
        Some(usual) => usual,
        None => ((rate.clamp(1.0, 300.0) * 100.0).round() as u32, 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: &[i64]) -> Vec<i64> {
        millis.iter().map(|ms| ms * 90).collect()
    }

    #[test]
    fn milliseconds_and_what_is_stated_make_the_rate() {
        let thirty = times(&[0, 33, 67, 100, 133, 167, 200, 233]);
        assert_eq!(measure(&thirty, 90_000, None), (30, 1));
        assert_eq!(measure(&thirty, 90_000, Some((30_000, 1001))), (30_000, 1001));
        assert_eq!(measure(&thirty, 90_000, Some((15, 1))), (30, 1));
        assert_eq!(measure(&times(&[0, 17, 33, 50, 67, 83]), 90_000, Some((0, 0))), (60, 1));
        assert_eq!(measure(&times(&[0, 40, 80, 120, 900, 940]), 90_000, None), (25, 1));
    }

    #[test]
    fn what_is_unusual_is_taken_as_it_is_and_nothing_gives_the_default() {
        assert_eq!(measure(&times(&[0, 70, 140, 210]), 90_000, None), (1429, 100));
        assert_eq!(measure(&[], 90_000, None), (30, 1));
        assert_eq!(measure(&times(&[5, 5, 5]), 90_000, Some((25, 1))), (25, 1));
    }
}
