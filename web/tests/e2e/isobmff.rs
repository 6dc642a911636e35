//! Headers and segments as an independent reader (mp4-atom) sees them, and what CMAF wants of them (conformance 70-74).

use mp4_atom::{Any, Buf, Codec, DecodeMaybe, FourCC, Moov, TrunEntry};

/// A CMAF header.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) moov: Moov,
    pub(crate) timescale: u64,
}

impl Header {
    /// Reads one and checks what holds for all: its brands, one track, fragmented (70).
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let boxes = boxes(bytes);
        let [Any::Ftyp(ftyp), Any::Moov(moov)] = &boxes[..] else {
            panic!("ftyp and moov, not {boxes:?}");
        };
        let brands = [&[ftyp.major_brand][..], &ftyp.compatible_brands].concat();
        for wanted in [b"iso6", b"cmfc"] {
            assert!(brands.contains(&FourCC::new(wanted)), "brands {brands:?}");
        }
        assert_eq!(moov.trak.len(), 1, "one track a file");
        assert_eq!(moov.mvex.as_ref().expect("mvex").trex.len(), 1);
        Self {
            timescale: u64::from(moov.trak[0].mdia.mdhd.timescale),
            moov: moov.clone(),
        }
    }

    pub(crate) fn codec(&self) -> &Codec {
        &self.moov.trak[0].mdia.minf.stbl.stsd.codecs[0]
    }
}

/// One `moof` and `mdat`.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) starts: u64,
    pub(crate) duration: u64,
    /// Presentation times of its samples, ticks.
    pub(crate) presented: Vec<i64>,
    /// Starts with a sync sample (72).
    pub(crate) sync: bool,
    /// A `prft` stood before it (74).
    pub(crate) stamped: bool,
}

/// Reads a segment or part and checks what holds for every fragment (70, 71).
pub(crate) fn fragments(header: &Header, bytes: &[u8]) -> Vec<Fragment> {
    let trex = &header.moov.mvex.as_ref().expect("mvex").trex[0];
    let track = header.moov.trak[0].tkhd.track_id;
    assert_eq!(
        trun_versions(bytes),
        trun_versions(bytes).replace(|c| c != '1', ""),
        "trun is version 1"
    );
    let mut out = Vec::new();
    let mut stamped = false;
    let mut awaiting = None;
    for found in boxes(bytes) {
        match found {
            Any::Styp(styp) => assert!(
                styp.compatible_brands
                    .iter()
                    .any(|brand| brand.to_string().starts_with("cmf")),
                "{styp:?}"
            ),
            Any::Prft(_) => stamped = true,
            Any::Emsg(_) => {}
            Any::Moof(moof) => {
                assert!(awaiting.is_none(), "a moof without its mdat");
                let [traf] = &moof.traf[..] else { panic!("one traf") };
                assert!(traf.tfhd.default_base_is_moof && traf.tfhd.base_data_offset.is_none());
                assert_eq!(traf.tfhd.track_id, track);
                let samples: Vec<TrunEntry> = traf.trun.iter().flat_map(|trun| trun.samples.iter()).collect();
                assert!(!samples.is_empty());
                let starts = traf.tfdt.as_ref().expect("tfdt").base_media_decode_time;
                let usual = traf
                    .tfhd
                    .default_sample_duration
                    .unwrap_or(trex.default_sample_duration);
                let usual_size = traf.tfhd.default_sample_size.unwrap_or(trex.default_sample_size);
                let usual_flags = traf.tfhd.default_sample_flags.unwrap_or(trex.default_sample_flags);
                let (mut at, mut presented) = (starts, Vec::new());
                for sample in &samples {
                    presented.push(i64::try_from(at).expect("a time") + sample.cts.unwrap_or(0));
                    at += u64::from(sample.duration.unwrap_or(usual));
                }
                let size: u64 = samples.iter().map(|s| u64::from(s.size.unwrap_or(usual_size))).sum();
                let sync = samples[0].flags.unwrap_or(usual_flags) & 0x0001_0000 == 0;
                awaiting = Some((
                    size,
                    Fragment {
                        starts,
                        duration: at - starts,
                        presented,
                        sync,
                        stamped,
                    },
                ));
                stamped = false;
            }
            Any::Mdat(mdat) => {
                let (size, fragment) = awaiting.take().expect("a moof before its mdat");
                assert_eq!(mdat.data.len() as u64, size, "mdat holds the samples and nothing else");
                out.push(fragment);
            }
            other => panic!("an unexpected box: {:?}", other.kind()),
        }
    }
    assert!(awaiting.is_none(), "a moof without its mdat");
    out
}

/// Checks that each fragment goes on where the one before it ended (72), and returns where the last ends.
pub(crate) fn continuous(mut at: u64, fragments: &[Fragment]) -> u64 {
    for fragment in fragments {
        assert_eq!(fragment.starts, at, "tfdt is the sum of all durations before it");
        at += fragment.duration;
    }
    at
}

fn boxes(mut bytes: &[u8]) -> Vec<Any> {
    let mut out = Vec::new();
    while bytes.has_remaining() {
        out.push(Any::decode_maybe(&mut bytes).expect("a box").expect("a whole box"));
    }
    out
}

/// The version of each `trun`, a digit each: mp4-atom does not tell it.
fn trun_versions(bytes: &[u8]) -> String {
    let children = |bytes: &[u8]| {
        let (mut at, mut out) = (0, Vec::new());
        while at + 8 <= bytes.len() {
            let length = u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
            out.push((bytes[at + 4..at + 8].to_vec(), bytes[at + 8..at + length].to_vec()));
            at += length;
        }
        out
    };
    let inside = |bytes: &[u8], kind: &[u8]| -> Vec<Vec<u8>> {
        children(bytes)
            .into_iter()
            .filter(|(name, _)| name == kind)
            .map(|(_, body)| body)
            .collect()
    };
    let mut out = String::new();
    for moof in inside(bytes, b"moof") {
        for traf in inside(&moof, b"traf") {
            for trun in inside(&traf, b"trun") {
                out.push(char::from(b'0' + trun[0]));
            }
        }
    }
    out
}
