//! Response bodies over shared bytes: no copy per viewer, and no piece smaller than what the packager made (conformance 86).

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use nova_core::delivery::Pieces;

use crate::hot::Hot;

/// A response body.
pub struct Body(Kind);

enum Kind {
    Empty,
    One(Bytes),
    Many(VecDeque<Bytes>),
    Growing(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, Option<Hot>),
}

impl Body {
    /// No bytes.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// These bytes.
    pub const fn full(bytes: Bytes) -> Self {
        Self(Kind::One(bytes))
    }

    /// These pieces, one after the other.
    pub fn pieces(pieces: &Pieces) -> Self {
        match pieces {
            Pieces::One(bytes) => Self::full(bytes.clone()),
            Pieces::Many(pieces) => Self(Kind::Many(pieces.iter().cloned().collect())),
        }
    }

    /// The bytes `range` of these pieces.
    pub fn slice(pieces: &Pieces, range: &Range<usize>) -> Self {
        let all: &[Bytes] = match pieces {
            Pieces::One(bytes) => std::slice::from_ref(bytes),
            Pieces::Many(pieces) => pieces,
        };
        let mut offset = 0;
        let mut kept = VecDeque::new();
        for piece in all {
            let (start, end) = (range.start.max(offset), range.end.min(offset + piece.len()));
            if start < end {
                kept.push_back(piece.slice(start - offset..end - offset));
            }
            offset += piece.len();
        }
        Self(Kind::Many(kept))
    }

    /// Pieces as they come, from the memory they are best sent from; the length is not known.
    pub(crate) fn growing(pieces: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, hot: Option<Hot>) -> Self {
        Self(Kind::Growing(pieces, hot))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::One(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Kind::Many(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Kind::Growing(pieces, hot) => pieces.as_mut().poll_next(context).map_ok(|piece| {
                let placed = hot.as_ref().map(|hot| hot.place(Pieces::One(piece.clone())));
                Frame::data(match placed {
                    Some(Pieces::One(placed)) => placed,
                    _ => piece,
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::One(bytes) => bytes.is_empty(),
            Kind::Many(pieces) => pieces.is_empty(),
            Kind::Growing(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::One(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Many(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Kind::Growing(..) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_range_over_several_pieces_has_exactly_its_bytes() {
        let pieces = Pieces::Many([&b"abc"[..], b"", b"defg", b"h"].map(Bytes::from_static).into());
        for (range, expected) in [
            (0..8, &b"abcdefgh"[..]),
            (2..4, b"cd"),
            (3..7, b"defg"),
            (7..8, b"h"),
            (4..4, b""),
        ] {
            let body = Body::slice(&pieces, &range);
            assert_eq!(http_body::Body::size_hint(&body).exact(), Some(expected.len() as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), expected);
        }
    }
}
