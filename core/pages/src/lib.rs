//! Memory for media that the kernel sends from where it lies.
//!
//! A part goes to many viewers. From ordinary memory the kernel copies it into the socket of each; of a file it only refers to the pages
//! (`sendfile`). So what many fetch lies in the pages of one file without a name that is mapped for reading: to the program it is [`Bytes`] like
//! any other, to a socket it is a range of that file.
//!
//! [`gather`] puts bytes there, [`send`] hands them to a socket. Where there is no such file (not Linux, a limit, no room left), [`gather`] gives
//! ordinary memory and [`send`] copies: slower, and the same otherwise.

#[cfg(target_os = "linux")]
mod arena;
#[cfg(target_os = "linux")]
mod send;

use std::io::IoSlice;

use bytes::Bytes;

#[cfg(target_os = "linux")]
pub use send::send;

/// Below so many bytes, a copy costs less than the way around it.
pub const WORTH_IT: usize = 32 << 10;

/// The concatenation of `pieces`. What is worth it lies where [`send`] needs no copy.
pub fn gather(pieces: &[IoSlice<'_>]) -> Bytes {
    let length = pieces.iter().map(|piece| piece.len()).sum();
    #[cfg(target_os = "linux")]
    if length >= WORTH_IT
        && let Some(bytes) = arena::arena().and_then(|arena| arena.gather(pieces, length))
    {
        return bytes;
    }
    let mut all = Vec::with_capacity(length);
    for piece in pieces {
        all.extend_from_slice(piece);
    }
    all.into()
}

/// Bytes that may have memory of this kind, 0 where there is none.
pub fn capacity() -> u64 {
    #[cfg(target_os = "linux")]
    return arena::arena().map_or(0, arena::Arena::capacity);
    #[cfg(not(target_os = "linux"))]
    0
}

/// Bytes that have memory of this kind now; pages that only a socket still refers to do not count.
pub fn in_use() -> u64 {
    #[cfg(target_os = "linux")]
    return arena::arena().map_or(0, arena::Arena::in_use);
    #[cfg(not(target_os = "linux"))]
    0
}
