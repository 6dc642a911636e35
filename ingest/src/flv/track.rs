//! One track of a publisher: which configuration holds, and frames in its form.

use bytes::Bytes;
use nova_core::media::{Codec, Frame, Media, Track, TrackId, rescale};

use super::{Error, Event, Packet, Part};
use crate::codec::{self, Description, aac, ac3, av1, avc, flac, hevc, mp3, nal, opus, vp9};

/// Timescale of video.
const VIDEO_TIMESCALE: u32 = 90_000;

#[derive(Debug)]
pub(super) struct TrackState {
    id: TrackId,
    codec: Codec,
    /// The configuration as the encoder sent it: the same again is ignored (conformance 37).
    sent: Bytes,
    /// What was announced.
    described: Option<Description>,
    timescale: u32,
    /// Of H.26x: bytes of a NAL unit's length.
    length_size: usize,
    /// Of AV1 and VP9: the configuration whose size only the next keyframe tells.
    sizeless: Option<Bytes>,
}

impl TrackState {
    pub(super) const fn new(id: TrackId, codec: Codec) -> Self {
        Self {
            id,
            codec,
            sent: Bytes::new(),
            described: None,
            timescale: VIDEO_TIMESCALE,
            length_size: 4,
            sizeless: None,
        }
    }

    pub(super) const fn id(&self) -> TrackId {
        self.id
    }

    pub(super) fn part(&mut self, part: Part, sink: &mut impl FnMut(Event)) -> Result<(), Error> {
        let codec = part.codec;
        if codec != self.codec {
            // The encoder has changed its mind: nothing of the old codec holds.
            *self = Self::new(self.id, codec);
        }
        match part.packet {
            Packet::Config => self.config(part.data, sink),
            Packet::Frame if codec.is_video() => return self.picture(part, sink),
            Packet::Frame => return self.sound(part, sink),
        }
        .map_err(|source| Error::Codec { codec, source })
    }

    fn config(&mut self, data: Bytes, sink: &mut impl FnMut(Event)) -> Result<(), codec::Error> {
        if data == self.sent {
            return Ok(());
        }
        let description = match self.codec {
            Codec::Avc => {
                let (description, length_size) = avc::parse_config(&data)?;
                self.length_size = length_size;
                description
            }
            Codec::Hevc => {
                let (description, length_size) = hevc::parse_config(&data)?;
                self.length_size = length_size;
                description
            }
            Codec::Av1 => match av1::parse_config(&data)? {
                Some(description) => description,
                None => {
                    self.sizeless = Some(data.clone());
                    self.sent = data;
                    return Ok(());
                }
            },
            Codec::Vp9 => {
                self.sizeless = Some(vp9::parse_config(&data)?);
                self.sent = data;
                return Ok(());
            }
            Codec::Aac => aac::parse_config(&data)?,
            Codec::Opus => opus::parse_config(&data)?,
            Codec::Flac => flac::parse_config(&data)?,
            // These have no header; what some encoders send is not needed.
            Codec::Ac3 | Codec::Eac3 | Codec::Mp3 => return Ok(()),
        };
        // A copy, so that the message it came in can go.
        self.sent = Bytes::copy_from_slice(&data);
        self.announce(description, sink);
        Ok(())
    }

    fn announce(&mut self, description: Description, sink: &mut impl FnMut(Event)) {
        self.sizeless = None;
        self.timescale = match description.media {
            Media::Video { .. } => VIDEO_TIMESCALE,
            Media::Audio { sample_rate, .. } => sample_rate,
        };
        if self.described.as_ref() == Some(&description) {
            return;
        }
        self.described = Some(description.clone());
        sink(Event::Track(Track {
            id: self.id,
            codec: description.codec,
            timescale: self.timescale,
            config: description.config,
            codec_string: description.codec_string,
            media: description.media,
        }));
    }

    fn picture(&mut self, part: Part, sink: &mut impl FnMut(Event)) -> Result<(), Error> {
        let codec = self.codec;
        let wrong = |source| Error::Codec { codec, source };
        let mut keyframe = part.keyframe;
        let payload = match codec {
            Codec::Avc | Codec::Hevc => {
                let class = if codec == Codec::Avc { avc::class } else { hevc::class };
                let Some(unit) = nal::normalize(part.data, self.length_size, class).map_err(wrong)? else {
                    return Ok(());
                };
                if unit.hint && unit.random_access {
                    self.in_band(&unit.payload, sink);
                }
                // The bitstream decides; a keyframe without IDR needs the tag's word and a hint.
                keyframe = unit.random_access || keyframe && unit.hint;
                unit.payload
            }
            Codec::Av1 => {
                let payload = av1::strip_delimiters(part.data);
                if payload.is_empty() {
                    return Ok(());
                }
                if let Some(record) = self.sizeless.clone().filter(|_| keyframe) {
                    let description = av1::describe(&record, &payload).map_err(wrong)?;
                    self.announce(description, sink);
                }
                payload
            }
            _ => {
                if let Some(record) = self.sizeless.clone().filter(|_| keyframe) {
                    let description = vp9::describe(&record, &part.data).map_err(wrong)?;
                    self.announce(description, sink);
                }
                part.data
            }
        };
        if self.described.is_none() || self.sizeless.is_some() {
            return Err(Error::NoConfig(self.id));
        }
        // 90 ticks a millisecond, 9 a 100,000 nanoseconds.
        let nanos = (part.nanos * 9 + 50_000) / 100_000;
        sink(Event::Frame(Frame {
            track: self.id,
            dts: part.timestamp * 90,
            composition_offset: part.composition * 90 + nanos as i32,
            duration: None,
            keyframe,
            payload,
        }));
        Ok(())
    }

    /// A keyframe whose SPS says another size or profile than the configuration brings a configuration of its own. Smaller differences, and PPS
    /// alone, travel with the pictures, and a set that cannot be read is for the decoder to judge. The configuration that was sent stays ignored
    /// when it is repeated, or an encoder that repeats an old one would change with each keyframe.
    fn in_band(&mut self, payload: &[u8], sink: &mut impl FnMut(Event)) {
        let Some(known) = &self.described else { return };
        let described = match self.codec {
            Codec::Avc => avc::record_in_band(payload).map(|record| avc::parse_config(&record)),
            _ => hevc::record_in_band(payload).map(|record| hevc::parse_config(&record)),
        };
        let Some(Ok((described, _))) = described else { return };
        if (&described.media, &described.codec_string) != (&known.media, &known.codec_string) {
            self.announce(described, sink);
        }
    }

    fn sound(&mut self, part: Part, sink: &mut impl FnMut(Event)) -> Result<(), Error> {
        let codec = self.codec;
        let wrong = |source| Error::Codec { codec, source };
        let duration = match codec {
            Codec::Ac3 | Codec::Eac3 => {
                let (description, samples) = ac3::describe(codec, &part.data).map_err(wrong)?;
                self.describe_frame(description, sink);
                Some(samples)
            }
            Codec::Mp3 => {
                let (description, samples) = mp3::describe(&part.data).map_err(wrong)?;
                self.describe_frame(description, sink);
                Some(samples)
            }
            Codec::Opus => {
                if self.described.is_none() {
                    let description = opus::describe_packet(&part.data).map_err(wrong)?;
                    self.announce(description, sink);
                }
                let samples = opus::duration(&part.data);
                Some(samples.ok_or(wrong(codec::Error::Invalid("Opus packet")))?)
            }
            Codec::Flac => flac::duration(&part.data),
            _ => None,
        };
        if self.described.is_none() {
            return Err(Error::NoConfig(self.id));
        }
        let nanos = rescale(i64::from(part.nanos), 1_000_000_000, self.timescale);
        sink(Event::Frame(Frame {
            track: self.id,
            dts: rescale(part.timestamp, 1000, self.timescale) + nanos,
            composition_offset: 0,
            duration,
            keyframe: true,
            payload: part.data,
        }));
        Ok(())
    }

    /// The description that every frame carries; only a different one is news. The bit rate in a `dec3` box moves from frame to frame.
    fn describe_frame(&mut self, description: Description, sink: &mut impl FnMut(Event)) {
        let same = self
            .described
            .as_ref()
            .is_some_and(|known| known.media == description.media);
        if !same {
            self.announce(description, sink);
        }
    }
}
