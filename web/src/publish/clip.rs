//! What is published: FLV tag bodies with their times.

use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Video,
    Audio,
}

#[derive(Clone, Debug)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    /// From the start of the clip.
    pub(super) time_ms: u32,
    /// The body of an FLV tag, which is the payload of an RTMP message.
    pub(super) body: Bytes,
    /// A decoder configuration.
    pub(super) config: bool,
}

/// Tags in the order of their times, and when the clip may begin again.
#[derive(Debug)]
pub(super) struct Clip {
    pub(super) tags: Vec<Tag>,
    pub(super) length_ms: u32,
}

impl Clip {
    /// Orders the tags, starts them at zero, and finds the length: up to where the next picture or sound would be.
    pub(super) fn new(mut tags: Vec<Tag>) -> anyhow::Result<Self> {
        tags.sort_by_key(|tag| (tag.time_ms, !tag.config));
        let first = tags.iter().filter(|tag| !tag.config).map(|tag| tag.time_ms).min();
        let Some(first) = first else {
            anyhow::bail!("there is nothing in it to publish")
        };
        for tag in &mut tags {
            tag.time_ms = tag.time_ms.saturating_sub(first);
        }
        let end = |kind: Kind| {
            let times: Vec<u32> = tags
                .iter()
                .filter(|tag| tag.kind == kind && !tag.config)
                .map(|tag| tag.time_ms)
                .collect();
            match times[..] {
                [first, .., last] => last + (last - first) / u32::try_from(times.len() - 1).unwrap_or(u32::MAX),
                [only] => only + 1,
                [] => 0,
            }
        };
        let length_ms = end(Kind::Video).max(end(Kind::Audio)).max(1);
        Ok(Self { tags, length_ms })
    }
}
