//! Which closed captions travel inside the pictures: CEA-608 and CEA-708 in SEI messages (ITU-T T.35, ATSC A/53 part 4 6.2.3). The bytes stay where
//! they are; manifests say that they are there (conformance 38, 57).

use nova_core::media::Codec;

/// Longest SEI unit that is read: what is longer holds something else.
const SEI_LIMIT: usize = 4096;

/// Caption services, as bits that add up over a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captions(pub u8);

impl Captions {
    /// CEA-608 in field 1: channel CC1.
    pub const CC1: Self = Self(1);
    /// CEA-608 in field 2: channel CC3.
    pub const CC3: Self = Self(2);
    /// CEA-708: service 1.
    pub const SERVICE1: Self = Self(4);

    /// True when there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when all of `other` are in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `INSTREAM-ID`s of RFC 8216 4.3.4.1. A 708 service repeats what 608 channel 1 says, and is told where there is nothing else.
    pub fn instream_ids(self) -> Vec<&'static str> {
        let all = [(Self::CC1, "CC1"), (Self::CC3, "CC3"), (Self::SERVICE1, "SERVICE1")];
        let own = all.into_iter().filter(|(service, _)| self.has(*service));
        own.filter(|(service, _)| *service != Self::SERVICE1 || !self.has(Self::CC1))
            .map(|(_, id)| id)
            .collect()
    }
}

/// The services in one access unit of `codec`. SEI comes before the picture, so little is looked at.
pub fn of(codec: Codec, payload: &[u8]) -> Captions {
    let header = match codec {
        Codec::Avc => 1,
        Codec::Hevc => 2,
        _ => return Captions::default(),
    };
    let mut found = Captions::default();
    let mut rest = payload;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((nal, next)) = behind.split_at_checked(length) else {
            break;
        };
        rest = next;
        let Some(first) = nal.first() else { continue };
        let (sei, slice) = match codec {
            Codec::Avc => (first & 0x1f == 6, (1..=5).contains(&(first & 0x1f))),
            _ => (first >> 1 & 0x3f == 39, first >> 1 & 0x3f < 32),
        };
        if slice {
            break;
        }
        if sei && nal.len() <= SEI_LIMIT {
            found = found.with(in_sei(&unescape(nal.get(header..).unwrap_or_default())));
        }
    }
    found
}

/// Without emulation prevention (ISO/IEC 14496-10 7.4.1).
fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Messages of an SEI unit (14496-10 7.3.2.3.1).
fn in_sei(mut rest: &[u8]) -> Captions {
    let mut found = Captions::default();
    while rest.len() > 2 {
        let (Some(kind), Some(size)) = (number(&mut rest), number(&mut rest)) else {
            break;
        };
        let Some((message, next)) = rest.split_at_checked(size) else {
            break;
        };
        if kind == 4 {
            found = found.with(in_message(message));
        }
        rest = next;
    }
    found
}

/// A number as bytes of 255 and a last one.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let mut sum = 0;
    loop {
        let (&byte, next) = rest.split_first()?;
        *rest = next;
        sum += usize::from(byte);
        if byte != 255 {
            return Some(sum);
        }
    }
}

/// `user_data_registered_itu_t_t35` with the `cc_data` of A/53.
fn in_message(message: &[u8]) -> Captions {
    // Country USA, provider ATSC, `GA94`, cc_data.
    let Some([flags, _em_data, triplets @ ..]) = message.strip_prefix(b"\xb5\x00\x31GA94\x03") else {
        return Captions::default();
    };
    if flags & 0x40 == 0 {
        return Captions::default();
    }
    let count = usize::from(flags & 0x1f);
    triplets
        .chunks_exact(3)
        .take(count)
        .filter(|triplet| triplet[0] & 4 != 0)
        .fold(Captions::default(), |found, triplet| {
            found.with(match triplet[0] & 3 {
                0 => Captions::CC1,
                1 => Captions::CC3,
                _ => Captions::SERVICE1,
            })
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for nal in nals {
            out.extend_from_slice(&u32::try_from(nal.len()).unwrap().to_be_bytes());
            out.extend_from_slice(nal);
        }
        out
    }

    fn message(triplets: &[[u8; 3]]) -> Vec<u8> {
        let mut out = b"\xb5\x00\x31GA94\x03".to_vec();
        out.extend([0x40 | u8::try_from(triplets.len()).unwrap(), 0xff]);
        out.extend(triplets.concat());
        out.push(0xff);
        out
    }

    fn sei(header: &[u8], message: &[u8]) -> Vec<u8> {
        let mut out = header.to_vec();
        // Another message first: pic_timing.
        out.extend([1, 2, 0xaa, 0xbb, 4, u8::try_from(message.len()).unwrap()]);
        out.extend_from_slice(message);
        out.push(0x80);
        out
    }

    #[test]
    fn captions_are_found_in_h264_and_hevc() {
        let both = message(&[[0xfc, 0x94, 0x2c], [0xfd, 0x80, 0x80], [0xff, 1, 2], [0xf8, 0, 0]]);
        let avc = unit(&[&[9, 0x10], &sei(&[6], &both), &[0x65, 1, 2]]);
        let all = Captions::CC1.with(Captions::CC3).with(Captions::SERVICE1);
        assert_eq!(of(Codec::Avc, &avc), all);
        assert_eq!(
            of(Codec::Hevc, &unit(&[&sei(&[39 << 1, 1], &both), &[19 << 1, 1, 5]])),
            all
        );
        assert_eq!(all.instream_ids(), ["CC1", "CC3"]);
        assert_eq!(Captions::SERVICE1.instream_ids(), ["SERVICE1"]);
        assert!(of(Codec::Av1, &avc).is_empty());
    }

    #[test]
    fn what_is_marked_invalid_or_belongs_to_somebody_else_is_no_caption() {
        let invalid = message(&[[0xf8, 0, 0]]);
        assert!(of(Codec::Avc, &unit(&[&sei(&[6], &invalid), &[0x65]])).is_empty());
        let mut other = message(&[[0xfc, 0x94, 0x2c]]);
        other[3] = b'X';
        assert!(of(Codec::Avc, &unit(&[&sei(&[6], &other), &[0x65]])).is_empty());
        // Behind the picture nothing is looked for.
        let valid = message(&[[0xfc, 0x94, 0x2c]]);
        assert!(of(Codec::Avc, &unit(&[&[0x65, 1], &sei(&[6], &valid)])).is_empty());
    }

    #[test]
    fn emulation_prevention_is_undone() {
        let mut escaped = sei(&[6], &message(&[[0xfc, 0, 0], [0xfc, 0x94, 0x2c]]));
        let at = escaped.windows(3).position(|three| three == [0xfc, 0, 0]).unwrap() + 3;
        escaped.insert(at, 3);
        assert_eq!(of(Codec::Avc, &unit(&[&escaped])), Captions::CC1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _captions = of(Codec::Avc, &bytes);
            let mut nal = vec![6];
            nal.extend(bytes);
            let _captions = of(Codec::Avc, &unit(&[&nal]));
        }
    }
}
