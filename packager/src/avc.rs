//! H.264's decoder configuration record (ISO/IEC 14496-15 5.3.3), for tracks whose pictures two encoders have made.

use bytes::Bytes;

/// Profiles whose pictures are 8 bits, 4:2:0: what the worker's encoder makes can lie beside them.
const PLAIN_PROFILES: [u8; 4] = [66, 77, 88, 100];
/// Parameter sets of one kind that are read.
const SETS: usize = 31;

/// A record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    profile: u8,
    compatibility: u8,
    level: u8,
    sequence: Vec<Bytes>,
    picture: Vec<Bytes>,
}

impl Record {
    /// Reads a record; `None` when it is none, or its lengths are not of four bytes as everything's here.
    pub fn read(record: &Bytes) -> Option<Self> {
        let &[1, profile, compatibility, level, lengths, ..] = &record[..] else {
            return None;
        };
        if lengths & 3 != 3 {
            return None;
        }
        let mut at = 5;
        let mut kinds = [0x1f_u8, 0xff].map(|mask| {
            let count = usize::from(record.get(at)? & mask).min(SETS);
            at += 1;
            let mut sets = Vec::with_capacity(count);
            for _ in 0..count {
                let &[high, low] = record.get(at..)?.first_chunk()?;
                let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
                let set = (end <= record.len()).then(|| record.slice(at + 2..end))?;
                sets.push(set);
                at = end;
            }
            Some(sets)
        });
        let [sequence, picture] = &mut kinds;
        Some(Self {
            profile,
            compatibility,
            level,
            sequence: sequence.take()?,
            picture: picture.take()?,
        })
    }

    /// True when pictures of the worker's encoder can lie beside these.
    pub fn is_plain(&self) -> bool {
        PLAIN_PROFILES.contains(&self.profile) && !self.sequence.is_empty() && !self.picture.is_empty()
    }

    /// A number that no parameter set here has, and none of `taken`.
    pub fn free_number(&self, taken: &[u8]) -> Option<u8> {
        // H.264 7.3.2.1.1: the number of a sequence parameter set follows profile, constraints and level; 7.3.2.2: that of a picture
        // parameter set comes first. Each has a byte of NAL header before it.
        let sequence = self.sequence.iter().filter_map(|set| exp_golomb(set.get(4..)?));
        let picture = self.picture.iter().filter_map(|set| exp_golomb(set.get(1..)?));
        let used: Vec<u32> = sequence.chain(picture).collect();
        (1..32).find(|number| !used.contains(&u32::from(*number)) && !taken.contains(number))
    }

    /// Adds the parameter sets of `other`: a decoder that has this record decodes the pictures of both.
    pub fn add(&mut self, other: &Self) {
        for (own, new) in [
            (&mut self.sequence, &other.sequence),
            (&mut self.picture, &other.picture),
        ] {
            for set in new {
                if !own.contains(set) {
                    own.push(set.clone());
                }
            }
        }
        self.profile = self.profile.max(other.profile);
        self.level = self.level.max(other.level);
        // A flag says what holds for every picture.
        self.compatibility &= other.compatibility;
    }

    /// The record's bytes.
    pub fn write(&self) -> Bytes {
        let mut out = vec![1, self.profile, self.compatibility, self.level, 0xff];
        for (flags, sets) in [(0xe0, &self.sequence), (0, &self.picture)] {
            out.push(flags | u8::try_from(sets.len().min(SETS)).unwrap_or(0));
            for set in sets.iter().take(SETS) {
                out.extend_from_slice(&u16::try_from(set.len()).unwrap_or(u16::MAX).to_be_bytes());
                out.extend_from_slice(set);
            }
        }
        if self.profile == 100 {
            // Conformance 83: 4:2:0, 8 bits, no extensions.
            out.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
        }
        out.into()
    }

    /// The `codecs` parameter of RFC 6381.
    pub fn codec_string(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.profile, self.compatibility, self.level)
    }
}

/// `ue(v)` at the beginning (H.264 9.1), up to eight leading zeros: numbers of parameter sets are below 256.
fn exp_golomb(bytes: &[u8]) -> Option<u32> {
    let bits = bytes.iter().take(4).fold((0_u32, 0), |(all, count), byte| {
        (all << 8 | u32::from(*byte), count + 8)
    });
    let (bits, count) = (bits.0 << (32 - bits.1.min(32)).min(31), bits.1);
    let zeros = bits.leading_zeros();
    (zeros <= 8 && 2 * zeros < count).then(|| (bits >> (31 - 2 * zeros)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Baseline 3.0 with parameter sets of number 0.
    const BASELINE: &[u8] = &[
        1, 66, 0xc0, 30, 0xff, 0xe1, 0, 5, 0x67, 66, 0xc0, 30, 0x80, 1, 0, 2, 0x68, 0x80,
    ];
    /// High 4.0 with parameter sets of number 1: `ue(1)` is `010`.
    const HIGH: &[u8] = &[
        1, 100, 0, 40, 0xff, 0xe1, 0, 5, 0x67, 100, 0, 40, 0x40, 1, 0, 2, 0x68, 0x40, 0xfd, 0xf8, 0xf8, 0,
    ];

    #[test]
    fn a_record_is_written_as_it_was_read() {
        for record in [BASELINE, HIGH] {
            let record = Bytes::from_static(record);
            assert_eq!(Record::read(&record).unwrap().write(), record);
        }
        for cut in 0..HIGH.len() - 4 {
            assert_eq!(Record::read(&Bytes::from_static(&HIGH[..cut])), None, "{cut}");
        }
    }

    #[test]
    fn one_record_serves_the_pictures_of_two_encoders() {
        let mut record = Record::read(&Bytes::from_static(BASELINE)).unwrap();
        assert_eq!(record.free_number(&[]), Some(1));
        assert_eq!(record.free_number(&[1, 2]), Some(3));
        let high = Record::read(&Bytes::from_static(HIGH)).unwrap();
        assert_eq!(high.free_number(&[]), Some(2));
        record.add(&high);
        record.add(&high);
        assert_eq!(record.codec_string(), "avc1.640028");
        assert_eq!((record.sequence.len(), record.picture.len()), (2, 2));
        assert_eq!(record.free_number(&[]), Some(2));
        assert_eq!(Record::read(&record.write()), Some(record));
    }

    #[test]
    fn numbers_are_read_as_the_standard_writes_them() {
        assert_eq!(exp_golomb(&[0x80]), Some(0));
        assert_eq!(exp_golomb(&[0b0110_0000]), Some(2));
        assert_eq!(exp_golomb(&[0b0000_0100, 0b0000_0000]), Some(31));
        assert_eq!(exp_golomb(&[0, 0]), None);
        assert_eq!(exp_golomb(&[]), None);
    }
}
