//! Chunks to messages and back (Adobe RTMP 1.0, section 5.3).
//!
//! In go the bytes after the handshake, in pieces of any size; out come whole messages. The reader never waits and holds one partial message
//! per chunk stream, so messages may be interleaved in any way. Payload bytes are copied once, from the caller's read buffer into a buffer of
//! the message's own length: one allocation a message, none a chunk. Set Chunk Size and Abort act here, because they change how the next
//! chunk reads; everything else is the session's.
//!
//! Timestamps leave as milliseconds in 64 bits: the 32-bit wrap (every 49.7 days) is taken out by serial-number arithmetic.

use bytes::Bytes;

/// Chunk size of either side until it says otherwise (5.4.1).
pub const DEFAULT_CHUNK_SIZE: usize = 128;
/// Largest chunk size that means anything: a message is no longer (5.4.1).
const MAX_CHUNK_SIZE: u32 = 0x00ff_ffff;
/// Basic header, message header and extended timestamp at their longest.
const MAX_HEADER: usize = 3 + 11 + 4;
/// A timestamp field with this value says that the extended field has the value (5.3.1.3).
const EXTENDED: u32 = 0x00ff_ffff;
/// Longest buffer made on the word of a header alone; the rest when so much has really come.
const FIRST_RESERVATION: usize = 1 << 20;
/// Chunks without a header to refer to, before the peer counts as broken.
const MAX_ORPHANS: u32 = 8;

/// Message types (5.4 and 7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3.
    pub const DATA_AMF3: u8 = 15;
    /// Shared object in AMF3.
    pub const SHARED_OBJECT_AMF3: u8 = 16;
    /// Command in AMF3.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA_AMF0: u8 = 18;
    /// Shared object in AMF0.
    pub const SHARED_OBJECT_AMF0: u8 = 19;
    /// Command in AMF0.
    pub const COMMAND_AMF0: u8 = 20;
    /// Aggregate.
    pub const AGGREGATE: u8 = 22;
}

/// What one connection may make the reader hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message.
    pub max_message_bytes: usize,
    /// Messages incomplete at once.
    pub max_partial_messages: usize,
    /// Chunk streams.
    pub max_chunk_streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 10 << 20,
            max_partial_messages: 4,
            max_chunk_streams: 64,
        }
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Chunk stream it came on.
    pub chunk_stream: u32,
    /// Message type id, see [`kind`].
    pub kind: u8,
    /// Message stream id; 0 is the connection itself.
    pub stream_id: u32,
    /// Milliseconds, with the 32-bit wrap taken out.
    pub timestamp: i64,
    /// Body.
    pub payload: Bytes,
}

/// What the peer may not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than the limit.
    #[error("message of type {kind} on chunk stream {chunk_stream} has {len} bytes, limit {max}")]
    MessageTooLong {
        /// Chunk stream.
        chunk_stream: u32,
        /// Message type.
        kind: u8,
        /// Announced length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Too many messages begun and not finished.
    #[error("more than {max} messages incomplete at once")]
    TooManyPartialMessages {
        /// The limit.
        max: usize,
    },
    /// Too many chunk streams.
    #[error("more than {max} chunk streams")]
    TooManyChunkStreams {
        /// The limit.
        max: usize,
    },
    /// Set Chunk Size with zero or the top bit set.
    #[error("chunk size {size:#x} is not allowed")]
    ChunkSize {
        /// What was asked.
        size: u32,
    },
    /// A protocol control message without its body.
    #[error("control message of type {kind} has {len} bytes")]
    ShortControl {
        /// Message type.
        kind: u8,
        /// Its length.
        len: usize,
    },
    /// Again and again chunks that refer to a header never sent.
    #[error("{count} chunks without a preceding header, the last on chunk stream {chunk_stream}")]
    MissingHeader {
        /// Chunk stream of the last one.
        chunk_stream: u32,
        /// How many.
        count: u32,
    },
}

#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    /// Of the newest message, extended to 64 bits.
    timestamp: i64,
    /// Timestamp or delta of the newest type 0, 1 or 2 header, as sent.
    field: u32,
    delta: i64,
    /// That header had an extended timestamp, so type 3 chunks repeat it.
    extended: bool,
    /// That header was of type 0.
    absolute: bool,
    /// Length and type are known.
    described: bool,
    /// The timestamp is known.
    timed: bool,
    length: usize,
    kind: u8,
    stream_id: u32,
    payload: Vec<u8>,
    partial: bool,
}

/// A chunk header as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
struct Header {
    size: usize,
    format: u8,
    chunk_stream: u32,
    field: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream_id: u32,
}

/// Puts messages together.
#[derive(Debug)]
pub struct ChunkReader {
    limits: Limits,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    /// Index into `streams` plus one, for the ids everybody uses.
    direct: [u8; 64],
    /// The chunk being read: its stream, and payload bytes still to come.
    current: usize,
    remaining: usize,
    in_chunk: bool,
    /// Start of a header whose end has not come yet.
    head: [u8; MAX_HEADER],
    head_len: usize,
    partials: usize,
    /// Newest media timestamp on any chunk stream: where a stream that says nothing begins.
    reference: Option<i64>,
    orphans: u32,
    abandoned: u64,
}

impl ChunkReader {
    /// A reader at the first byte after the handshake.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            direct: [0; 64],
            current: 0,
            remaining: 0,
            in_chunk: false,
            head: [0; MAX_HEADER],
            head_len: 0,
            partials: 0,
            reference: None,
            orphans: 0,
            abandoned: 0,
        }
    }

    /// Changes the longest message allowed from now on.
    pub const fn set_max_message_bytes(&mut self, max: usize) {
        self.limits.max_message_bytes = max;
    }

    /// Messages begun and dropped, by Abort or by a new header in their midst.
    pub const fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Bytes held for messages not complete yet.
    pub fn buffered(&self) -> usize {
        self.streams.iter().map(|s| s.payload.capacity()).sum()
    }

    /// Takes bytes off the front of `input` until a message is complete (`Some`) or the input is used up (`None`).
    ///
    /// After an error the connection is of no more use.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            if self.in_chunk {
                if !self.fill(input) {
                    return Ok(None);
                }
                self.in_chunk = false;
                self.run(input);
                let stream = &self.streams[self.current];
                if stream.payload.len() == stream.length {
                    return self.complete().map(Some);
                }
            }
            let Some(header) = self.read_header(input) else {
                return Ok(None);
            };
            self.begin(&header)?;
        }
    }

    /// Moves payload into the current message. True when the chunk is whole.
    fn fill(&mut self, input: &mut &[u8]) -> bool {
        let stream = &mut self.streams[self.current];
        if self.head_len > 0 {
            // Bytes kept back while it was open whether they were a header.
            let take = self.remaining.min(self.head_len);
            stream.payload.extend_from_slice(&self.head[..take]);
            self.head.copy_within(take..self.head_len, 0);
            self.head_len -= take;
            self.remaining -= take;
        }
        let take = self.remaining.min(input.len());
        let (now, later) = input.split_at(take);
        if stream.payload.capacity() - stream.payload.len() < take {
            stream.payload.reserve_exact(stream.length - stream.payload.len());
        }
        stream.payload.extend_from_slice(now);
        *input = later;
        self.remaining -= take;
        self.remaining == 0
    }

    /// The common case without its ceremony: whole type 3 chunks of the same message, one behind the other.
    fn run(&mut self, input: &mut &[u8]) {
        let stream = &mut self.streams[self.current];
        if self.head_len > 0 || stream.extended || stream.id > 63 {
            return;
        }
        let header = 0xc0 | stream.id as u8;
        let mut rest = *input;
        loop {
            let take = self.chunk_size.min(stream.length - stream.payload.len());
            if take == 0
                || rest.len() <= take
                || rest[0] != header
                || stream.payload.capacity() - stream.payload.len() < take
            {
                break;
            }
            let (now, later) = rest.split_at(1 + take);
            stream.payload.extend_from_slice(&now[1..]);
            rest = later;
        }
        *input = rest;
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Option<Header> {
        if self.head_len == 0 {
            if let Some(header) = self.parse_header(input) {
                *input = &input[header.size..];
                return Some(header);
            }
            self.head[..input.len()].copy_from_slice(input);
            self.head_len = input.len();
            *input = &[];
            return None;
        }
        let had = self.head_len;
        let take = (MAX_HEADER - had).min(input.len());
        self.head[had..had + take].copy_from_slice(&input[..take]);
        match self.parse_header(&self.head[..had + take]) {
            Some(header) if header.size >= had => {
                *input = &input[header.size - had..];
                self.head_len = 0;
                Some(header)
            }
            Some(header) => {
                // What looked like a repeated extended timestamp is payload after all.
                self.head.copy_within(header.size..had, 0);
                self.head_len = had - header.size;
                Some(header)
            }
            None => {
                self.head_len = had + take;
                *input = &input[take..];
                None
            }
        }
    }

    /// The header at the front of `bytes`, or `None` when more bytes are needed to tell (5.3.1).
    fn parse_header(&self, bytes: &[u8]) -> Option<Header> {
        let first = *bytes.first()?;
        let format = first >> 6;
        // 5.3.1.1: ids 2-63 in one byte, 64-319 in two, 64-65599 in three with the low byte first.
        let (chunk_stream, mut at) = match first & 0x3f {
            0 => (64 + u32::from(*bytes.get(1)?), 2),
            1 => (64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?), 3),
            id => (u32::from(id), 1),
        };
        let mut header = Header {
            size: at,
            format,
            chunk_stream,
            field: 0,
            extended: false,
            length: 0,
            kind: 0,
            stream_id: 0,
        };
        if format == 3 {
            if let Some(stream) = self.find(chunk_stream).map(|i| &self.streams[i])
                && stream.extended
            {
                // Conformance 9: by 5.3.1.3 the field is repeated, several encoders leave it out. What differs from the value expected
                // (the header's own, or the whole timestamp) is payload.
                let rest = &bytes[at..];
                let compared = &rest[..rest.len().min(4)];
                let own = stream.field.to_be_bytes();
                let whole = (stream.timestamp as u32).to_be_bytes();
                if own.starts_with(compared) || whole.starts_with(compared) {
                    if compared.len() < 4 {
                        return None;
                    }
                    header.size = at + 4;
                }
            }
            return Some(header);
        }
        header.field = be24(bytes, at)?;
        at += 3;
        if format < 2 {
            header.length = be24(bytes, at)? as usize;
            header.kind = *bytes.get(at + 3)?;
            at += 4;
        }
        if format == 0 {
            // 5.3.1.2.1: the one little-endian field.
            let id = bytes.get(at..at + 4)?;
            header.stream_id = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
            at += 4;
        }
        if header.field == EXTENDED {
            let value = bytes.get(at..at + 4)?;
            header.field = u32::from_be_bytes([value[0], value[1], value[2], value[3]]);
            header.extended = true;
            at += 4;
        }
        header.size = at;
        Some(header)
    }

    fn find(&self, chunk_stream: u32) -> Option<usize> {
        match self.direct.get(chunk_stream as usize) {
            Some(0) => None,
            Some(&index) => Some(usize::from(index) - 1),
            None => self.streams.iter().position(|s| s.id == chunk_stream),
        }
    }

    fn find_or_insert(&mut self, chunk_stream: u32) -> Result<usize, Error> {
        if let Some(index) = self.find(chunk_stream) {
            return Ok(index);
        }
        if self.streams.len() >= self.limits.max_chunk_streams {
            return Err(Error::TooManyChunkStreams {
                max: self.limits.max_chunk_streams,
            });
        }
        self.streams.push(ChunkStream {
            id: chunk_stream,
            ..ChunkStream::default()
        });
        if let Some(slot) = self.direct.get_mut(chunk_stream as usize) {
            // At most 64 ids have a slot, but many others may have come before them.
            match u8::try_from(self.streams.len()) {
                Ok(index) => *slot = index,
                Err(_) => {
                    self.streams.pop();
                    return Err(Error::TooManyChunkStreams { max: 255 });
                }
            }
        }
        Ok(self.streams.len() - 1)
    }

    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        let index = self.find_or_insert(header.chunk_stream)?;
        let (reference, chunk_size) = (self.reference, self.chunk_size);
        let stream = &mut self.streams[index];
        // Type 3 continues. So does, with some senders, a header that repeats what is known already.
        let continues = stream.partial
            && match header.format {
                0 | 1 => header.length == stream.length && header.kind == stream.kind && !stream.payload.is_empty(),
                _ => true,
            };
        if !continues {
            if stream.partial {
                stream.partial = false;
                self.partials -= 1;
                self.abandoned += 1;
            }
            match header.format {
                0 => {
                    stream.timestamp = match reference
                        .filter(|_| !stream.timed)
                        .or(stream.timed.then_some(stream.timestamp))
                    {
                        Some(near) => extend(header.field, near),
                        None => i64::from(header.field),
                    };
                    stream.stream_id = header.stream_id;
                }
                1 | 2 => {
                    if !stream.timed {
                        stream.timestamp = reference.unwrap_or(0);
                    }
                    // Conformance 13: an extended delta is signed.
                    stream.delta = if header.extended {
                        i64::from(header.field as i32)
                    } else {
                        i64::from(header.field)
                    };
                    stream.timestamp += stream.delta;
                }
                _ if stream.absolute => {
                    let id = header.chunk_stream;
                    let (now, step) = (stream.timestamp, i64::from(stream.field));
                    let after = self.after_type_0(id, now, step);
                    self.streams[index].timestamp = after;
                }
                _ => stream.timestamp += stream.delta,
            }
            let stream = &mut self.streams[index];
            if header.format < 3 {
                stream.field = header.field;
                stream.extended = header.extended;
                stream.absolute = header.format == 0;
                stream.timed = true;
            }
            if header.format < 2 {
                stream.length = header.length;
                stream.kind = header.kind;
                stream.described = true;
            }
            if !stream.described {
                // Conformance 11: taken as an empty message, so that the next header finds its place.
                self.orphans += 1;
                if self.orphans > MAX_ORPHANS {
                    return Err(Error::MissingHeader {
                        chunk_stream: header.chunk_stream,
                        count: self.orphans,
                    });
                }
            }
            if stream.length > self.limits.max_message_bytes {
                return Err(Error::MessageTooLong {
                    chunk_stream: stream.id,
                    kind: stream.kind,
                    len: stream.length,
                    max: self.limits.max_message_bytes,
                });
            }
            if self.partials >= self.limits.max_partial_messages {
                return Err(Error::TooManyPartialMessages {
                    max: self.limits.max_partial_messages,
                });
            }
            self.partials += 1;
            stream.partial = true;
            stream.payload = Vec::with_capacity(stream.length.min(FIRST_RESERVATION));
        }
        let stream = &self.streams[index];
        self.current = index;
        self.remaining = chunk_size.min(stream.length - stream.payload.len());
        self.in_chunk = true;
        Ok(())
    }

    /// Conformance 10: a type 3 header that begins a message after a type 0. By 5.3.1.2.4 the delta is that type 0's timestamp; many
    /// senders mean none. The other media stream tells which, and the smaller step wins where it does not.
    fn after_type_0(&self, chunk_stream: u32, now: i64, step: i64) -> i64 {
        let is_media = |s: &&ChunkStream| matches!(s.kind, kind::AUDIO | kind::VIDEO) && s.timed;
        let other = self
            .streams
            .iter()
            .filter(is_media)
            .filter(|s| s.id != chunk_stream)
            .map(|s| s.timestamp)
            .max();
        match other {
            Some(other) if (now + step - other).abs() < (now - other).abs() => now + step,
            _ => now,
        }
    }

    fn complete(&mut self) -> Result<Message, Error> {
        let stream = &mut self.streams[self.current];
        stream.partial = false;
        self.partials -= 1;
        let message = Message {
            chunk_stream: stream.id,
            kind: stream.kind,
            stream_id: stream.stream_id,
            timestamp: stream.timestamp,
            payload: Bytes::from(std::mem::take(&mut stream.payload)),
        };
        match message.kind {
            kind::AUDIO | kind::VIDEO => self.reference = Some(message.timestamp),
            kind::SET_CHUNK_SIZE => {
                let size = control_u32(&message)?;
                if size == 0 || size > i32::MAX as u32 {
                    return Err(Error::ChunkSize { size });
                }
                self.chunk_size = size.min(MAX_CHUNK_SIZE) as usize;
            }
            kind::ABORT => {
                let id = control_u32(&message)?;
                if let Some(index) = self.find(id)
                    && self.streams[index].partial
                {
                    self.streams[index].partial = false;
                    self.streams[index].payload = Vec::new();
                    self.partials -= 1;
                    self.abandoned += 1;
                }
            }
            _ => {}
        }
        Ok(message)
    }
}

/// The four bytes of a protocol control message.
pub(crate) fn control_u32(message: &Message) -> Result<u32, Error> {
    match message.payload.get(..4) {
        Some(b) => Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]])),
        None => Err(Error::ShortControl {
            kind: message.kind,
            len: message.payload.len(),
        }),
    }
}

fn be24(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at + 3)?;
    Some(u32::from_be_bytes([0, b[0], b[1], b[2]]))
}

/// The 64-bit time nearest to `near` whose low 32 bits are `value` (RFC 1982 arithmetic, conformance 12).
pub(crate) const fn extend(value: u32, near: i64) -> i64 {
    near + (value.wrapping_sub(near as u32) as i32) as i64
}

/// Cuts messages into chunks: a type 0 header, then type 3.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
        }
    }
}

impl ChunkWriter {
    /// Writes Set Chunk Size (5.4.1) and cuts what follows by it. `size` is held within 1 to 16,777,215.
    pub fn set_chunk_size(&mut self, size: u32, out: &mut Vec<u8>) {
        let size = size.clamp(1, MAX_CHUNK_SIZE);
        self.write(2, kind::SET_CHUNK_SIZE, 0, 0, &size.to_be_bytes(), out);
        self.chunk_size = size as usize;
    }

    /// Appends one message. `chunk_stream` is 2 to 65599.
    pub fn write(
        &self,
        chunk_stream: u32,
        kind: u8,
        stream_id: u32,
        timestamp: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).min(MAX_CHUNK_SIZE);
        let payload = &payload[..length as usize];
        let extended = timestamp >= EXTENDED;
        basic_header(0, chunk_stream, out);
        out.extend_from_slice(&timestamp.min(EXTENDED).to_be_bytes()[1..]);
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.push(kind);
        out.extend_from_slice(&stream_id.to_le_bytes());
        if extended {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
        for (index, chunk) in payload.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                basic_header(3, chunk_stream, out);
                if extended {
                    out.extend_from_slice(&timestamp.to_be_bytes());
                }
            }
            out.extend_from_slice(chunk);
        }
    }
}

/// 5.3.1.1.
pub(crate) fn basic_header(format: u8, chunk_stream: u32, out: &mut Vec<u8>) {
    let format = format << 6;
    match chunk_stream {
        0..=63 => out.push(format | chunk_stream as u8),
        64..=319 => out.extend_from_slice(&[format, (chunk_stream - 64) as u8]),
        _ => {
            let id = chunk_stream.min(65_599) - 64;
            out.extend_from_slice(&[format | 1, id as u8, (id >> 8) as u8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of a chunk: header by format, fields as given.
    struct Chunk<'a> {
        format: u8,
        id: u32,
        field: u32,
        extended: Option<u32>,
        length: usize,
        kind: u8,
        payload: &'a [u8],
    }

    impl Default for Chunk<'_> {
        fn default() -> Self {
            Self {
                format: 0,
                id: 4,
                field: 0,
                extended: None,
                length: 0,
                kind: kind::AUDIO,
                payload: &[],
            }
        }
    }

    impl Chunk<'_> {
        fn write(&self, out: &mut Vec<u8>) {
            basic_header(self.format, self.id, out);
            if self.format < 3 {
                out.extend_from_slice(&self.field.to_be_bytes()[1..]);
            }
            if self.format < 2 {
                out.extend_from_slice(&(self.length as u32).to_be_bytes()[1..]);
                out.push(self.kind);
            }
            if self.format == 0 {
                out.extend_from_slice(&1_u32.to_le_bytes());
            }
            if let Some(extended) = self.extended {
                out.extend_from_slice(&extended.to_be_bytes());
            }
            out.extend_from_slice(self.payload);
        }
    }

    fn bytes(chunks: &[Chunk<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks {
            chunk.write(&mut out);
        }
        out
    }

    /// Reads in pieces of `step` bytes.
    fn read_in(step: usize, bytes: &[u8]) -> Result<Vec<Message>, Error> {
        let mut reader = ChunkReader::new(Limits::default());
        let mut messages = Vec::new();
        for mut piece in bytes.chunks(step) {
            while let Some(message) = reader.next(&mut piece)? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    /// Reads at once, and sees to it that the pieces make no difference.
    fn read(bytes: &[u8]) -> Result<Vec<Message>, Error> {
        let whole = read_in(usize::MAX, bytes);
        for step in [1, 2, 3, 7] {
            assert_eq!(read_in(step, bytes), whole, "in pieces of {step}");
        }
        whole
    }

    fn times(bytes: &[u8]) -> Vec<i64> {
        read(bytes).unwrap().iter().map(|m| m.timestamp).collect()
    }

    /// A whole message of one byte.
    fn one<'a>(format: u8, id: u32, field: u32, kind: u8) -> Chunk<'a> {
        Chunk {
            format,
            id,
            field,
            length: 1,
            kind,
            payload: b"x",
            ..Chunk::default()
        }
    }

    #[test]
    fn messages_interleaved_on_two_chunk_streams_both_arrive() {
        // Conformance 5.
        let (video, audio) = ([1; 200], [2; 150]);
        let input = bytes(&[
            Chunk {
                id: 6,
                length: 200,
                kind: kind::VIDEO,
                payload: &video[..128],
                ..Chunk::default()
            },
            Chunk {
                id: 4,
                length: 150,
                payload: &audio[..128],
                ..Chunk::default()
            },
            Chunk {
                format: 3,
                id: 6,
                payload: &video[128..],
                ..Chunk::default()
            },
            Chunk {
                format: 3,
                id: 4,
                payload: &audio[128..],
                ..Chunk::default()
            },
        ]);
        let messages = read(&input).unwrap();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, &messages[0].payload[..]), (kind::VIDEO, &video[..]));
        assert_eq!((messages[1].kind, &messages[1].payload[..]), (kind::AUDIO, &audio[..]));
    }

    #[test]
    fn chunk_size_changes_between_the_chunks_of_a_message() {
        // Conformance 6.
        let body = [5; 400];
        let size = 200_u32.to_be_bytes();
        let input = bytes(&[
            Chunk {
                length: 400,
                payload: &body[..128],
                ..Chunk::default()
            },
            Chunk {
                id: 2,
                length: 4,
                kind: kind::SET_CHUNK_SIZE,
                payload: &size,
                ..Chunk::default()
            },
            Chunk {
                format: 3,
                payload: &body[128..328],
                ..Chunk::default()
            },
            Chunk {
                format: 3,
                payload: &body[328..],
                ..Chunk::default()
            },
        ]);
        assert_eq!(read(&input).unwrap()[1].payload, &body[..]);
    }

    #[test]
    fn chunk_sizes_of_nothing_or_with_the_top_bit_are_refused_and_huge_ones_capped() {
        // Conformance 6.
        let set = |size: u32| {
            let size = size.to_be_bytes();
            bytes(&[Chunk {
                id: 2,
                length: 4,
                kind: kind::SET_CHUNK_SIZE,
                payload: &size,
                ..Chunk::default()
            }])
        };
        assert_eq!(read(&set(0)), Err(Error::ChunkSize { size: 0 }));
        assert_eq!(read(&set(1 << 31)), Err(Error::ChunkSize { size: 1 << 31 }));
        let mut reader = ChunkReader::new(Limits::default());
        reader.next(&mut &set(i32::MAX as u32)[..]).unwrap();
        assert_eq!(reader.chunk_size, MAX_CHUNK_SIZE as usize);
        let short = bytes(&[Chunk {
            id: 2,
            length: 1,
            kind: kind::SET_CHUNK_SIZE,
            payload: b"x",
            ..Chunk::default()
        }]);
        assert_eq!(read(&short), Err(Error::ShortControl { kind: 1, len: 1 }));
    }

    #[test]
    fn abort_drops_the_partial_message_of_its_chunk_stream_only() {
        // Conformance 7.
        let body = [7; 200];
        let id = 4_u32.to_be_bytes();
        let input = bytes(&[
            Chunk {
                length: 200,
                payload: &body[..128],
                ..Chunk::default()
            },
            Chunk {
                id: 6,
                length: 200,
                kind: kind::VIDEO,
                payload: &body[..128],
                ..Chunk::default()
            },
            Chunk {
                id: 2,
                length: 4,
                kind: kind::ABORT,
                payload: &id,
                ..Chunk::default()
            },
            one(0, 4, 9, kind::AUDIO),
            Chunk {
                format: 3,
                id: 6,
                payload: &body[128..],
                ..Chunk::default()
            },
        ]);
        let kinds: Vec<_> = read(&input)
            .unwrap()
            .iter()
            .map(|m| (m.kind, m.payload.len()))
            .collect();
        assert_eq!(kinds, [(kind::ABORT, 4), (kind::AUDIO, 1), (kind::VIDEO, 200)]);
    }

    #[test]
    fn extended_timestamps_hold_absolute_times_and_deltas_of_any_value() {
        // Conformance 8: 5 would fit the short field, and is legal in the long one.
        let input = bytes(&[
            Chunk {
                extended: Some(0x0123_4567),
                ..one(0, 4, EXTENDED, kind::AUDIO)
            },
            Chunk {
                extended: Some(0x0100_0000),
                ..one(1, 4, EXTENDED, kind::AUDIO)
            },
            Chunk {
                extended: Some(5),
                ..one(2, 4, EXTENDED, kind::AUDIO)
            },
        ]);
        assert_eq!(times(&input), [0x0123_4567, 0x0223_4567, 0x0223_456c]);
    }

    #[test]
    fn type_3_chunks_may_repeat_the_extended_timestamp_or_leave_it_out() {
        // Conformance 9. Payloads that begin like the timestamp are the hard ones.
        let time = 0x0123_4567_u32;
        for body in [[0x01; 300], [0x23; 300], [0xee; 300]] {
            for repeated in [Some(time), None] {
                let input = bytes(&[
                    Chunk {
                        field: EXTENDED,
                        extended: Some(time),
                        length: 300,
                        payload: &body[..128],
                        ..Chunk::default()
                    },
                    Chunk {
                        format: 3,
                        extended: repeated,
                        payload: &body[128..256],
                        ..Chunk::default()
                    },
                    Chunk {
                        format: 3,
                        extended: repeated,
                        payload: &body[256..],
                        ..Chunk::default()
                    },
                    Chunk {
                        extended: repeated,
                        payload: &body[..128],
                        ..one(3, 4, 0, 0)
                    },
                ]);
                let messages = read(&input).unwrap();
                assert_eq!(messages[0].payload, &body[..], "{repeated:x?}");
            }
        }
        // A delta is repeated as it is; some repeat the whole time instead.
        for repeated in [0x0100_0000, 0x0100_0000 + 10] {
            let body = [9; 129];
            let input = bytes(&[
                one(0, 4, 10, kind::AUDIO),
                Chunk {
                    format: 1,
                    field: EXTENDED,
                    extended: Some(0x0100_0000),
                    length: 129,
                    payload: &body[..128],
                    ..Chunk::default()
                },
                Chunk {
                    format: 3,
                    extended: Some(repeated),
                    payload: &body[128..],
                    ..Chunk::default()
                },
            ]);
            assert_eq!(read(&input).unwrap()[1].payload, &body[..]);
        }
    }

    #[test]
    fn a_message_begun_with_type_3_steps_by_the_last_delta() {
        // Conformance 10.
        let input = bytes(&[
            one(0, 4, 1000, kind::AUDIO),
            one(1, 4, 23, kind::AUDIO),
            one(3, 4, 0, 0),
            one(3, 4, 0, 0),
        ]);
        assert_eq!(times(&input), [1000, 1023, 1046, 1069]);
    }

    #[test]
    fn type_3_after_type_0_takes_the_step_that_stays_with_the_other_track() {
        // Conformance 10: alone, or beside a track that stands still, the step is none.
        let alone = [one(0, 4, 1000, kind::AUDIO), one(3, 4, 0, 0)];
        assert_eq!(times(&bytes(&alone)), [1000, 1000]);
        let beside = [
            one(0, 6, 1010, kind::VIDEO),
            one(0, 4, 1000, kind::AUDIO),
            one(3, 4, 0, 0),
        ];
        assert_eq!(times(&bytes(&beside)), [1010, 1000, 1000]);
        // By the letter of the specification: the other track has gone on as well.
        let letter = [one(0, 4, 40, kind::AUDIO), one(0, 6, 80, kind::VIDEO), one(3, 4, 0, 0)];
        assert_eq!(times(&bytes(&letter)), [40, 80, 80]);
    }

    #[test]
    fn chunks_without_a_header_to_refer_to_are_survived_a_few_times() {
        // Conformance 11: type 1 first has everything but a time base; the message is whole.
        let first = [
            one(0, 6, 500, kind::VIDEO),
            one(1, 4, 23, kind::AUDIO),
            one(2, 4, 23, 0),
        ];
        assert_eq!(times(&bytes(&first)), [500, 523, 546]);
        let orphan = |count: usize| {
            let mut chunks: Vec<Chunk<'_>> = (0..count)
                .map(|_| Chunk {
                    format: 3,
                    id: 9,
                    ..Chunk::default()
                })
                .collect();
            chunks.push(one(0, 4, 7, kind::AUDIO));
            read(&bytes(&chunks))
        };
        assert_eq!(orphan(8).unwrap().last().unwrap().timestamp, 7);
        assert_eq!(
            orphan(9),
            Err(Error::MissingHeader {
                chunk_stream: 9,
                count: 9
            })
        );
    }

    #[test]
    fn the_clock_goes_on_over_the_32_bit_wrap() {
        // Conformance 12.
        let near = u32::MAX - 10;
        let wide = |time: u32, kind: u8, id: u32| Chunk {
            extended: Some(time),
            ..one(0, id, EXTENDED, kind)
        };
        let input = bytes(&[
            wide(near, kind::AUDIO, 4),
            one(0, 4, 12, kind::AUDIO),
            // A track first heard of after the wrap is on the same clock, and so is one that is a little behind.
            one(0, 6, 15, kind::VIDEO),
            wide(near + 5, kind::AUDIO, 4),
            one(1, 4, 30, kind::AUDIO),
        ]);
        let base = i64::from(near);
        assert_eq!(times(&input), [base, base + 23, base + 26, base + 5, base + 35]);
    }

    #[test]
    fn an_extended_delta_is_signed() {
        // Conformance 13.
        let input = bytes(&[
            one(0, 4, 1000, kind::AUDIO),
            Chunk {
                extended: Some((-40_i32) as u32),
                ..one(1, 4, EXTENDED, kind::AUDIO)
            },
        ]);
        assert_eq!(times(&input), [1000, 960]);
    }

    #[test]
    fn messages_partial_messages_and_chunk_streams_are_bounded() {
        // Conformance 14.
        let long = bytes(&[Chunk {
            length: (10 << 20) + 1,
            ..Chunk::default()
        }]);
        assert!(matches!(read(&long), Err(Error::MessageTooLong { len, .. }) if len == (10 << 20) + 1));
        let body = [0; 128];
        let partial = |count: u32| {
            let chunks: Vec<_> = (0..count)
                .map(|i| Chunk {
                    id: 10 + i,
                    length: 200,
                    payload: &body,
                    ..Chunk::default()
                })
                .collect();
            read(&bytes(&chunks))
        };
        assert_eq!(partial(4), Ok(vec![]));
        assert_eq!(partial(5), Err(Error::TooManyPartialMessages { max: 4 }));
        let streams = |count: u32| {
            let chunks: Vec<_> = (0..count).map(|i| one(0, 300 + i, 0, kind::AUDIO)).collect();
            read(&bytes(&chunks)).map(|messages| messages.len())
        };
        assert_eq!(streams(64), Ok(64));
        assert_eq!(streams(65), Err(Error::TooManyChunkStreams { max: 64 }));
    }

    #[test]
    fn a_promised_length_is_not_allocated_before_bytes_have_come() {
        // Conformance 14.
        let mut reader = ChunkReader::new(Limits::default());
        let promise = bytes(&[Chunk {
            length: 10 << 20,
            payload: b"x",
            ..Chunk::default()
        }]);
        reader.next(&mut &promise[..]).unwrap();
        assert!(reader.buffered() <= FIRST_RESERVATION, "{}", reader.buffered());
    }

    #[test]
    fn a_header_repeated_in_the_midst_of_a_message_continues_it_and_a_different_one_replaces_it() {
        let body = [3; 200];
        let again = bytes(&[
            Chunk {
                length: 200,
                payload: &body[..128],
                ..Chunk::default()
            },
            Chunk {
                length: 200,
                payload: &body[128..],
                ..Chunk::default()
            },
        ]);
        assert_eq!(read(&again).unwrap()[0].payload, &body[..]);
        let other = bytes(&[
            Chunk {
                length: 200,
                payload: &body[..128],
                ..Chunk::default()
            },
            one(0, 4, 5, kind::VIDEO),
        ]);
        assert_eq!(read(&other).unwrap()[0].payload, "x");
    }

    /// A sender that uses the shortest header it may, and interleaves chunk by chunk.
    fn send(messages: &[(u32, u8, u32, Vec<u8>)], chunk_size: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = ChunkWriter::default();
        writer.set_chunk_size(chunk_size, &mut out);
        let size = chunk_size as usize;
        // id -> (time, delta, length, kind) of the newest message.
        let mut known: std::collections::HashMap<u32, (u32, Option<u32>, usize, u8)> = std::collections::HashMap::new();
        let mut open: Vec<(u32, Option<u32>, &[u8])> = Vec::new();
        let mut queue = messages.iter();
        let mut turn = 0;
        loop {
            // At most three messages are open, no two on one chunk stream.
            if open.len() < 3
                && let Some((id, kind, time, body)) = queue.as_slice().first()
                && open.iter().all(|(open, ..)| open != id)
            {
                queue.next();
                let previous = known.get(id).copied();
                let delta = previous
                    .map(|(last, ..)| time.wrapping_sub(last))
                    .filter(|delta| *delta < 1 << 30);
                let (format, field) = match (previous, delta) {
                    (Some((_, last, length, k)), Some(delta)) if length == body.len() && k == *kind => {
                        (if last == Some(delta) && delta < EXTENDED { 3 } else { 2 }, delta)
                    }
                    (Some(_), Some(delta)) => (1, delta),
                    _ => (0, *time),
                };
                let extended = (field >= EXTENDED).then_some(field);
                known.insert(
                    *id,
                    (*time, if format == 0 { None } else { Some(field) }, body.len(), *kind),
                );
                let (now, later) = body.split_at(size.min(body.len()));
                Chunk {
                    format,
                    id: *id,
                    field: field.min(EXTENDED),
                    extended,
                    length: body.len(),
                    kind: *kind,
                    payload: now,
                }
                .write(&mut out);
                if !later.is_empty() {
                    open.push((*id, extended, later));
                }
            } else if open.is_empty() {
                return out;
            }
            if !open.is_empty() {
                turn = (turn + 1) % open.len();
                let (id, extended, rest) = open[turn];
                let (now, later) = rest.split_at(size.min(rest.len()));
                Chunk {
                    format: 3,
                    id,
                    extended,
                    payload: now,
                    ..Chunk::default()
                }
                .write(&mut out);
                if later.is_empty() {
                    open.remove(turn);
                } else {
                    open[turn].2 = later;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_arrives_in_pieces_of_any_size(
            steps in prop::collection::vec((0..4_usize, 0..2_u8, 0..20_000_000_u32, 0..700_usize), 1..30),
            chunk_size in 1..300_u32,
            start in any::<u32>(),
            pieces in prop::collection::vec(1..200_usize, 1..20),
        ) {
            let mut time = start;
            let messages: Vec<_> = steps.iter().enumerate().map(|(index, (stream, kind, step, length))| {
                time = time.wrapping_add(*step);
                ([3, 64, 319, 65_599][*stream], kind::AUDIO + kind, time, vec![index as u8; *length])
            }).collect();
            let input = send(&messages, chunk_size);
            let mut reader = ChunkReader::new(Limits::default());
            let mut received = Vec::new();
            let (mut rest, mut turn) = (&input[..], 0);
            while !rest.is_empty() {
                let (mut piece, later) = rest.split_at(pieces[turn % pieces.len()].min(rest.len()));
                while let Some(message) = reader.next(&mut piece).unwrap() {
                    received.push(message);
                }
                (rest, turn) = (later, turn + 1);
            }
            prop_assert_eq!(reader.buffered(), 0);
            for id in [3, 64, 319, 65_599] {
                let sent: Vec<_> = messages.iter().filter(|m| m.0 == id).map(|m| (m.1, m.2, m.3.clone())).collect();
                let got: Vec<_> = received.iter().filter(|m| m.chunk_stream == id && m.kind != kind::SET_CHUNK_SIZE)
                    .map(|m| (m.kind, m.timestamp as u32, m.payload.to_vec())).collect();
                prop_assert_eq!(sent, got);
            }
        }

        #[test]
        fn garbage_neither_panics_nor_fills_memory(input in prop::collection::vec(any::<u8>(), 0..4000), step in 1..300_usize) {
            let limits = Limits { max_message_bytes: 5000, max_partial_messages: 3, max_chunk_streams: 8 };
            let mut reader = ChunkReader::new(limits);
            'all: for mut piece in input.chunks(step) {
                loop {
                    match reader.next(&mut piece) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
                prop_assert!(reader.buffered() <= 3 * 5000);
            }
        }
    }
}
