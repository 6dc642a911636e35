//! Bits off the front of bytes, with the codes of H.264, H.265 and AV1.

use nova_core::media::Colour;

use super::Error;

#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// Up to 32 bits, the first one highest.
    pub(crate) fn u(&mut self, count: u32) -> Result<u32, Error> {
        if self.left() < count as usize {
            return Err(Error::Truncated);
        }
        let mut value = 0_u64;
        let mut left = count as usize;
        while left > 0 {
            let byte = u64::from(self.bytes[self.at / 8]);
            let free = 8 - self.at % 8;
            let take = free.min(left);
            value = value << take | (byte >> (free - take)) & ((1 << take) - 1);
            self.at += take;
            left -= take;
        }
        Ok(value as u32)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.u(1)? != 0)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<(), Error> {
        if self.left() < count {
            return Err(Error::Truncated);
        }
        self.at += count;
        Ok(())
    }

    pub(crate) const fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// Exp-Golomb (H.264 9.1); also `uvlc()` of AV1 4.10.3, but for its longest codes.
    pub(crate) fn ue(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::Invalid("Exp-Golomb code"));
            }
        }
        Ok((1 << zeros) - 1 + self.u(zeros)?)
    }

    pub(crate) fn se(&mut self) -> Result<i32, Error> {
        let code = i64::from(self.ue()?);
        let value = if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) };
        Ok(value as i32)
    }
}

/// A picture's colour: three code points of ITU-T H.273, when the bitstream has them, and the range.
pub(crate) fn colour(bits: &mut Bits<'_>, full_range: bool) -> Result<Option<Colour>, Error> {
    let stated = bits.flag()?;
    let mut next = || {
        if stated {
            bits.u(8).map(|code| code as u8)
        } else {
            Ok(Colour::UNSPECIFIED)
        }
    };
    let colour = Colour {
        primaries: next()?,
        transfer: next()?,
        matrix: next()?,
        full_range,
    };
    Ok((stated || full_range).then_some(colour))
}

/// A NAL unit's payload without emulation prevention bytes (H.264 7.3.1, H.265 7.3.1.1).
pub(crate) fn unescape(nal: &[u8]) -> Vec<u8> {
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
