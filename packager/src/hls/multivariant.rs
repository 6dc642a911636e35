//! The multivariant playlist (conformance 56, 57): each video rendition with each group of sound, measured bit rates.

use std::fmt::Write;
use std::sync::Arc;

use nova_core::media::{DynamicRange, Media};

use super::iframes;
use crate::captioned;
use crate::captions::Captions;
use crate::rendition::{BitRate, Rendition};

/// Renders the list for `renditions`, whose media playlists are in the folder `id`, with captions that were added.
pub fn render(id: &str, renditions: &[Arc<Rendition>], added: &[captioned::Captions]) -> String {
    let views: Vec<_> = renditions
        .iter()
        .map(|rendition| (rendition, rendition.view()))
        .collect();
    let (mut videos, sounds): (Vec<_>, Vec<_>) = views.iter().partition(|(_, view)| view.track.is_video());
    // Rungs are announced in the order in which their encoders come up.
    videos.sort_by_key(|(_, view)| match view.track.media {
        Media::Video { height, .. } => std::cmp::Reverse(height),
        Media::Audio { .. } => std::cmp::Reverse(0),
    });

    // Sound of one codec is one group, so that each variant names exactly the codecs it needs.
    let mut codecs: Vec<&str> = Vec::new();
    for (_, view) in &sounds {
        if !codecs.contains(&view.track.codec_string.as_str()) {
            codecs.push(&view.track.codec_string);
        }
    }
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:9\n");
    if !videos.is_empty() {
        for (group, codec) in codecs.iter().enumerate() {
            let members = sounds.iter().filter(|(_, view)| view.track.codec_string == *codec);
            for (number, (rendition, view)) in members.enumerate() {
                let channels = match view.track.media {
                    Media::Audio { channels, .. } => channels,
                    Media::Video { .. } => 0,
                };
                let _infallible = writeln!(
                    out,
                    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio{group}\",NAME=\"Audio {}\",DEFAULT={},AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{id}/{}.m3u8\"",
                    number + 1,
                    if number == 0 { "YES" } else { "NO" },
                    rendition.name,
                );
            }
        }
    }
    for track in added {
        let _infallible = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subs\",NAME=\"{}\",LANGUAGE=\"{}\",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"{id}/{}.m3u8\"",
            track.label,
            track.language,
            track.name(),
        );
    }
    let subtitles = !added.is_empty();
    let captions = videos.iter().fold(Captions::default(), |all, (rendition, _)| {
        all.with(rendition.captions())
    });
    for (number, id) in captions.instream_ids().into_iter().enumerate() {
        let _infallible = writeln!(
            out,
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"Captions {}\",DEFAULT={},AUTOSELECT=YES,INSTREAM-ID=\"{id}\"",
            number + 1,
            if number == 0 { "YES" } else { "NO" },
        );
    }
    let highest = |codec: &str| {
        let rates = sounds
            .iter()
            .filter(|(_, view)| view.track.codec_string == codec)
            .map(|(rendition, _)| rendition.bit_rate());
        rates.fold(BitRate::default(), |high, rate| BitRate {
            peak: high.peak.max(rate.peak),
            average: high.average.max(rate.average),
        })
    };
    // Where all is standard, nothing has to be said (RFC 8216bis 4.4.6.2).
    let is_high_range = videos
        .iter()
        .any(|(_, view)| view.track.media.dynamic_range() != DynamicRange::Sdr);
    let range = |media| if is_high_range { video_range(media) } else { "" };
    for (rendition, view) in &videos {
        if codecs.is_empty() {
            variant(
                &mut out,
                rendition.bit_rate(),
                &view.track.codec_string,
                Some((rendition, &view.track.media, range(&view.track.media))),
                None,
                (captions, subtitles),
            );
            let _infallible = writeln!(out, "{id}/{}.m3u8", rendition.name);
        }
        for (group, codec) in codecs.iter().enumerate() {
            let (own, sound) = (rendition.bit_rate(), highest(codec));
            let rate = BitRate {
                peak: own.peak + sound.peak,
                average: own.average + sound.average,
            };
            let both = format!("{},{codec}", view.track.codec_string);
            let picture = Some((*rendition, &view.track.media, range(&view.track.media)));
            variant(&mut out, rate, &both, picture, Some(group), (captions, subtitles));
            let _infallible = writeln!(out, "{id}/{}.m3u8", rendition.name);
        }
    }
    for (rendition, view) in &videos {
        if let (Some(rate), Media::Video { width, height, .. }) = (iframes::bit_rate(view), &view.track.media) {
            let _infallible = writeln!(
                out,
                "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",RESOLUTION={width}x{height}{},URI=\"{id}/{}{}.m3u8\"",
                rate.peak,
                rate.average,
                view.track.codec_string,
                range(&view.track.media),
                rendition.name,
                iframes::SUFFIX,
            );
        }
    }
    if videos.is_empty() {
        for (rendition, view) in &sounds {
            let own = &view.track.codec_string;
            variant(&mut out, rendition.bit_rate(), own, None, None, (captions, subtitles));
            let _infallible = writeln!(out, "{id}/{}.m3u8", rendition.name);
        }
    }
    out
}

fn video_range(media: &Media) -> &'static str {
    match media.dynamic_range() {
        DynamicRange::Sdr => ",VIDEO-RANGE=SDR",
        DynamicRange::Hlg => ",VIDEO-RANGE=HLG",
        DynamicRange::Pq => ",VIDEO-RANGE=PQ",
    }
}

fn variant(
    out: &mut String,
    rate: BitRate,
    codecs: &str,
    video: Option<(&Arc<Rendition>, &Media, &str)>,
    group: Option<usize>,
    (captions, subtitles): (Captions, bool),
) {
    let _infallible = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codecs}\"",
        rate.peak.max(1),
        rate.average.max(1)
    );
    if let Some((rendition, Media::Video { width, height, .. }, range)) = video {
        let _infallible = write!(out, ",RESOLUTION={width}x{height}{range}");
        if let Some((numerator, denominator)) = rendition.frame_rate() {
            let millis = (u64::from(numerator) * 1000 + u64::from(denominator) / 2) / u64::from(denominator);
            let _infallible = write!(out, ",FRAME-RATE={}.{:03}", millis / 1000, millis % 1000);
        }
        // All variants have the group, or all have none (RFC 8216 4.3.4.2).
        out.push_str(if captions.is_empty() {
            ",CLOSED-CAPTIONS=NONE"
        } else {
            ",CLOSED-CAPTIONS=\"cc\""
        });
    }
    if let Some(group) = group {
        let _infallible = write!(out, ",AUDIO=\"audio{group}\"");
    }
    if subtitles {
        out.push_str(",SUBTITLES=\"subs\"");
    }
    out.push('\n');
}
