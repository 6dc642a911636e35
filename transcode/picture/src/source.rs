//! What uploaded bytes are. Nothing is decoded before its size is known and allowed: a pixel bomb costs as much as its header.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ImageDecoder, ImageResult};

/// How large a picture may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Pixels, width times height.
    pub pixels: u64,
    /// Pixels of the longer side.
    pub side: u32,
}

impl Default for Limits {
    /// The largest pictures of today's phones: 10 MiB, 50 megapixels.
    fn default() -> Self {
        Self {
            bytes: 10 << 20,
            pixels: 50_000_000,
            side: 16_384,
        }
    }
}

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither JPEG nor PNG, WebP or GIF.
    #[error("a picture is JPEG, PNG, WebP or GIF")]
    Unknown,
    /// More bytes than allowed.
    #[error("a picture has at most {max} bytes, this one has {len}")]
    TooLarge {
        /// How many there are.
        len: usize,
        /// How many may be.
        max: usize,
    },
    /// More pixels than allowed, or none.
    #[error("{width}x{height} pixels are too many or none: at most {pixels} in all and {side} on a side")]
    Pixels {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// How many may be in all.
        pixels: u64,
        /// How many may be on a side.
        side: u32,
    },
    /// It begins as a picture and is none.
    #[error("the picture is damaged: {0}")]
    Damaged(String),
    /// Too many others wait.
    #[error("too many pictures wait for their turn")]
    Busy,
}

/// A picture whose header was read and found allowed.
pub(crate) type Decoder<'a> = Box<dyn ImageDecoder + 'a>;

/// The format that the first bytes name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
}

fn format(bytes: &[u8]) -> Option<Format> {
    // ISO/IEC 10918-1 B.1.1.3 (SOI and the next marker), PNG 5.2, RFC 9649 2.4, GIF89a 17.
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        _ => None,
    }
}

/// Reads the header.
pub(crate) fn open(bytes: &[u8], limits: Limits) -> Result<Decoder<'_>, Error> {
    if bytes.len() > limits.bytes {
        return Err(Error::TooLarge {
            len: bytes.len(),
            max: limits.bytes,
        });
    }
    let format = format(bytes).ok_or(Error::Unknown)?;
    let mut bounds = image::Limits::no_limits();
    bounds.max_image_width = Some(limits.side);
    bounds.max_image_height = Some(limits.side);
    // Eight bytes a pixel, the widest there are, twice: some decoders keep what they read beside what they give.
    bounds.max_alloc = Some(limits.pixels.saturating_mul(16).saturating_add(16 << 20));
    let mut decoder = decoder(format, bytes, bounds.clone()).map_err(|error| damaged(&error))?;
    let (width, height) = decoder.dimensions();
    let fits = width > 0
        && height > 0
        && width <= limits.side
        && height <= limits.side
        && u64::from(width) * u64::from(height) <= limits.pixels;
    if !fits {
        return Err(Error::Pixels {
            width,
            height,
            pixels: limits.pixels,
            side: limits.side,
        });
    }
    decoder.set_limits(bounds).map_err(|error| damaged(&error))?;
    Ok(decoder)
}

fn decoder(format: Format, bytes: &[u8], bounds: image::Limits) -> ImageResult<Decoder<'_>> {
    let bytes = Cursor::new(bytes);
    Ok(match format {
        Format::Jpeg => Box::new(JpegDecoder::new(bytes)?),
        // The sizes are judged by the caller, which says them; the limit here is for what a header may unpack.
        Format::Png => {
            let mut bounds = bounds;
            (bounds.max_image_width, bounds.max_image_height) = (None, None);
            Box::new(PngDecoder::with_limits(bytes, bounds)?)
        }
        Format::WebP => Box::new(WebPDecoder::new(bytes)?),
        Format::Gif => Box::new(GifDecoder::new(bytes)?),
    })
}

pub(crate) fn damaged(error: &image::ImageError) -> Error {
    Error::Damaged(error.to_string().chars().take(200).collect())
}
