//! The server's side of the handshake (Adobe RTMP 1.0, section 5.2), simple or with digests.
//!
//! C0 and C1 in, S0 S1 S2 out, C2 skipped. A C1 with a version in bytes 4 to 7 comes from a client that may sign its handshake (Flash
//! Player 9 and librtmp): both places of the digest are tried, and the answer is signed when one fits. Everything else gets C1 back as S2.
//! C2 is never compared with anything: too many clients send something of their own.
//!
//! Not done: RTMPE (version 6), which is refused.

use sha2::{Digest, Sha256};

/// Bytes of C1, C2, S1 and S2.
pub const PACKET: usize = 1536;
const DIGEST: usize = 32;
/// What a client signs with.
pub(crate) const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// What a server signs S1 with; S2 takes the constant as well.
const SERVER_KEY: &[u8; 68] = b"Genuine Adobe Flash Media Server 001\
\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";
const SERVER_NAME: usize = 36;
/// A version a signing client expects from a signing server: 3.5.1.1.
const SERVER_VERSION: [u8; 4] = [3, 5, 1, 1];

/// Why there is no handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// RTMPE.
    #[error("encrypted RTMP (version 6) is not offered, use RTMPS")]
    Encrypted,
    /// Not RTMP: versions from 32 on are left free for text protocols (5.2.2).
    #[error("first byte {0:#04x} is no RTMP version")]
    NotRtmp(u8),
}

/// Handshake of one connection.
#[derive(Debug)]
pub struct Handshake {
    seed: u64,
    /// C0 and C1 as far as they have come.
    first: Vec<u8>,
    /// Bytes of C2 still to come, once C1 is answered.
    c2: Option<usize>,
}

impl Handshake {
    /// Waits for C0. `seed` makes the random bytes of S1 and S2; they guard nothing.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            first: Vec::new(),
            c2: None,
        }
    }

    /// Takes bytes off the front of `input`, appends the answer to `out`. True when the handshake is done and `input` begins with chunks.
    pub fn feed(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.c2.is_none() {
            let take = (1 + PACKET - self.first.len()).min(input.len());
            self.first.extend_from_slice(&input[..take]);
            *input = &input[take..];
            match self.first.first() {
                // Conformance 4.
                Some(6) => return Err(Error::Encrypted),
                Some(&version) if version >= 32 => return Err(Error::NotRtmp(version)),
                _ => {}
            }
            let Some(c1) = self.first.get(1..).filter(|c1| c1.len() == PACKET) else {
                return Ok(false);
            };
            // Conformance 1: the answer is 3, whatever was asked.
            out.push(3);
            answer(c1, self.seed, out);
            self.first = Vec::new();
            self.c2 = Some(PACKET);
        }
        let left = self.c2.unwrap_or(0);
        let take = left.min(input.len());
        *input = &input[take..];
        self.c2 = Some(left - take);
        Ok(left == take)
    }
}

/// S1 and S2 for a C1.
fn answer(c1: &[u8], seed: u64, out: &mut Vec<u8>) {
    let mut noise = Noise(seed | 1);
    let mut s1 = [0; PACKET];
    let signed = if c1[4..8] == [0; 4] { None } else { find_digest(c1) };
    noise.fill(&mut s1[8..]);
    let Some((at, digest)) = signed else {
        out.extend_from_slice(&s1);
        out.extend_from_slice(c1);
        return;
    };
    s1[4..8].copy_from_slice(&SERVER_VERSION);
    let place = digest_place(&s1, if at < SECOND_BLOCK { 0 } else { SECOND_BLOCK });
    let own = sign(&SERVER_KEY[..SERVER_NAME], &s1, place);
    s1[place..place + DIGEST].copy_from_slice(&own);
    let mut s2 = [0; PACKET];
    noise.fill(&mut s2);
    let key = hmac(SERVER_KEY, &[&digest]);
    let signature = hmac(&key, &[&s2[..PACKET - DIGEST]]);
    s2[PACKET - DIGEST..].copy_from_slice(&signature);
    out.extend_from_slice(&s1);
    out.extend_from_slice(&s2);
}

/// Where the second of the two 764-byte blocks of a signed packet begins.
const SECOND_BLOCK: usize = 8 + 764;

/// Where the digest lies in a packet whose digest block begins at `block`: the four bytes there sum up to its offset.
pub(crate) fn digest_place(packet: &[u8; PACKET], block: usize) -> usize {
    let block = if block == 0 { 8 } else { block };
    let sum: usize = packet[block..block + 4].iter().map(|b| usize::from(*b)).sum();
    block + 4 + sum % 728
}

/// The client's digest and its place, when the packet is signed in one of the two schemes.
fn find_digest(c1: &[u8]) -> Option<(usize, [u8; DIGEST])> {
    let c1: &[u8; PACKET] = c1.try_into().ok()?;
    [SECOND_BLOCK, 0].into_iter().find_map(|block| {
        let at = digest_place(c1, block);
        let digest = sign(CLIENT_KEY, c1, at);
        (c1[at..at + DIGEST] == digest).then_some((at, digest))
    })
}

/// Digest of a packet without the digest itself.
pub(crate) fn sign(key: &[u8], packet: &[u8; PACKET], at: usize) -> [u8; DIGEST] {
    hmac(key, &[&packet[..at], &packet[at + DIGEST..]])
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..DIGEST].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|b| b ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new_with_prefix(block.map(|b| b ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// xorshift64*: filler bytes, no secret.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c1(version: u32, noise: u64) -> [u8; PACKET] {
        let mut c1 = [0; PACKET];
        Noise(noise).fill(&mut c1);
        c1[4..8].copy_from_slice(&version.to_be_bytes());
        c1
    }

    fn signed(block: usize) -> [u8; PACKET] {
        let mut c1 = c1(0x8000_0702, 99);
        let at = digest_place(&c1, block);
        let digest = sign(CLIENT_KEY, &c1, at);
        c1[at..at + DIGEST].copy_from_slice(&digest);
        c1
    }

    /// Runs a whole handshake with `tail` behind it, in pieces of `step`. Returns the answer and what is left.
    fn run(first: u8, c1: &[u8], step: usize, tail: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let bytes = [&[first], c1, &[0x55; PACKET], tail].concat();
        let mut handshake = Handshake::new(7);
        let (mut out, mut left, mut done) = (Vec::new(), Vec::new(), false);
        for mut piece in bytes.chunks(step) {
            if !done {
                done = handshake.feed(&mut piece, &mut out)?;
            }
            left.extend_from_slice(piece);
        }
        assert!(done);
        Ok((out, left))
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let digest = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(digest[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        let long = hmac(
            &[0xaa; 131],
            &[b"Test Using Larger Than Block-Size Key - Hash Key First"],
        );
        assert_eq!(long[..8], [0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f]);
    }

    #[test]
    fn any_version_below_32_is_answered_with_3() {
        // Conformance 1 and 4.
        for version in [0, 3, 5, 31] {
            assert_eq!(run(version, &c1(0, 1), 4096, &[]).unwrap().0[0], 3);
        }
        assert_eq!(run(6, &c1(0, 1), 4096, &[]), Err(Error::Encrypted));
        assert_eq!(run(b'G', &c1(0, 1), 4096, &[]), Err(Error::NotRtmp(b'G')));
    }

    #[test]
    fn a_simple_handshake_gets_its_c1_back_and_so_does_a_signature_that_fits_nowhere() {
        // Conformance 2.
        for version in [0, 0x0900_7c02] {
            let c1 = c1(version, 5);
            let (out, _) = run(3, &c1, 4096, &[]).unwrap();
            assert_eq!(out.len(), 1 + 2 * PACKET);
            assert_eq!(out[1 + PACKET..], c1);
            assert_eq!(out[5..9], [0; 4]);
        }
    }

    #[test]
    fn both_digest_schemes_are_answered_with_a_signature() {
        // Conformance 2.
        for block in [0, SECOND_BLOCK] {
            let c1 = signed(block);
            let (at, digest) = find_digest(&c1).unwrap();
            let (out, _) = run(3, &c1, 4096, &[]).unwrap();
            let s1: &[u8; PACKET] = out[1..=PACKET].try_into().unwrap();
            let s2 = &out[1 + PACKET..];
            let place = digest_place(s1, if at < SECOND_BLOCK { 0 } else { SECOND_BLOCK });
            assert_eq!(s1[place..place + DIGEST], sign(&SERVER_KEY[..SERVER_NAME], s1, place));
            let key = hmac(SERVER_KEY, &[&digest]);
            assert_eq!(s2[PACKET - DIGEST..], hmac(&key, &[&s2[..PACKET - DIGEST]]));
        }
    }

    #[test]
    fn pieces_of_any_size_make_no_difference_and_what_follows_is_left() {
        // Conformance 3.
        let c1 = signed(0);
        let whole = run(3, &c1, usize::MAX, b"chunks").unwrap();
        assert_eq!(whole.1, b"chunks");
        for step in [1, 2, 1000, 1537, 1538, 3072, 3073, 3074] {
            assert_eq!(run(3, &c1, step, b"chunks").unwrap(), whole, "{step}");
        }
    }

    #[test]
    fn rml_rtmp_accepts_the_answer() {
        use rml_rtmp::handshake::{Handshake as Client, HandshakeProcessResult, PeerType};
        let mut client = Client::new(PeerType::Client);
        let mut server = Handshake::new(11);
        let first = client.generate_outbound_p0_and_p1().unwrap();
        let mut out = Vec::new();
        assert!(!server.feed(&mut &first[..], &mut out).unwrap());
        let HandshakeProcessResult::Completed { response_bytes, .. } = client.process_bytes(&out).unwrap() else {
            panic!("handshake goes on")
        };
        assert!(server.feed(&mut &response_bytes[..], &mut Vec::new()).unwrap());
    }
}
