//! Bytes into a socket.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use rustix::net::{SendAncillaryBuffer, SendFlags};

use crate::WORTH_IT;
use crate::arena::{Arena, arena};

/// Sends what `slices` hold to a socket that does not block, and returns how many bytes it took. Slices of [`gather`](crate::gather)ed memory go
/// without a copy. Like `writev`, it may send less than there is; `WouldBlock` means that nothing was sent.
pub fn send(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let located = |slice: &IoSlice<'_>| {
        arena()
            .filter(|_| slice.len() >= WORTH_IT)
            .and_then(|arena: &'static Arena| arena.locate(slice))
    };
    let mut sent = 0;
    let mut rest = slices;
    while let Some(first) = rest.first() {
        let (tried, result) = if let Some((file, mut offset)) = located(first) {
            rest = &rest[1..];
            (
                first.len(),
                rustix::fs::sendfile(socket, file, Some(&mut offset), first.len()),
            )
        } else {
            let run = rest.iter().take_while(|slice| located(slice).is_none()).count();
            let (copied, after) = rest.split_at(run);
            rest = after;
            // A head and the media behind it share their first packet.
            let more = if rest.is_empty() {
                SendFlags::empty()
            } else {
                SendFlags::MORE
            };
            let flags = SendFlags::NOSIGNAL | more;
            let result = rustix::net::sendmsg(socket, copied, &mut SendAncillaryBuffer::default(), flags);
            (copied.iter().map(|slice| slice.len()).sum(), result)
        };
        match result {
            Ok(took) => {
                sent += took;
                if took < tried {
                    break;
                }
            }
            Err(_later) if sent > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use bytes::Bytes;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        (near, far)
    }

    fn media(seed: u8) -> Bytes {
        let bytes: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8 ^ seed).collect();
        crate::gather(&[IoSlice::new(&bytes)])
    }

    /// Sends all, from wherever the socket left off.
    fn send_all(near: &TcpStream, pieces: &[Bytes], received: impl Fn()) {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            match send(near.as_fd(), left) {
                Ok(sent) => IoSlice::advance_slices(&mut left, sent),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    received();
                }
            }
        }
    }

    #[test]
    fn heads_and_media_arrive_in_order_and_whole() {
        let (near, mut far) = pair();
        let small = |text: &'static [u8]| Bytes::from_static(text);
        let pieces = [
            small(b"head"),
            small(b"more"),
            media(1),
            media(2),
            small(b"between"),
            media(3),
            small(b"end"),
        ];
        let expected = pieces.concat();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).unwrap();
            all
        });
        send_all(&near, &pieces, std::thread::yield_now);
        drop(near);
        assert!(reader.join().unwrap() == expected);
    }

    /// What a socket has not sent yet stays as it was, although its memory has been given back and holds something else.
    #[test]
    fn a_slow_viewer_gets_what_was_sent_although_the_memory_is_used_again() {
        let (near, mut far) = pair();
        let first = media(1);
        let expected = first.to_vec();
        let sent = send(near.as_fd(), &[IoSlice::new(&first)]).unwrap();
        assert!(sent > 0);
        let (_, offset) = arena().unwrap().locate(&first).unwrap();
        drop(first);
        // Other tests use the arena too: until the very range is taken again.
        let mut held = Vec::new();
        while held
            .last()
            .is_none_or(|bytes: &Bytes| arena().unwrap().locate(bytes).unwrap().1 != offset)
        {
            held.push(media(200));
            assert!(held.len() < 1000, "the range was not used again");
        }
        drop(near);
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert!(all == expected[..sent], "something else was sent");
    }

    #[test]
    fn a_full_socket_would_block_and_a_closed_one_is_an_error_without_a_signal() {
        let (near, far) = pair();
        let part = media(4);
        let full = loop {
            if let Err(error) = send(near.as_fd(), &[IoSlice::new(&part)]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(far);
        let closed = loop {
            match send(near.as_fd(), &[IoSlice::new(b"x"), IoSlice::new(&part)]) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break error,
                _ => std::thread::yield_now(),
            }
        };
        assert!(
            matches!(
                closed.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ),
            "{closed}"
        );
    }
}
