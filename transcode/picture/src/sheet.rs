//! Many small pictures on one sheet: storyboards.

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, RgbImage, imageops};

use crate::source::{self, Error, Limits};

/// Of JPEG: these are looked at small and for a moment.
const QUALITY: u8 = 70;

/// Largest side of one of the pictures: a sheet is bounded by their number.
const SIDE: u32 = 512;

/// A sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The JPEG.
    pub bytes: Bytes,
    /// Width and height of each picture on it.
    pub tile: (u32, u32),
}

/// One JPEG with the pictures in rows of `columns`, each as large as the first; what is missing stays black. [`Error::Unknown`] when all are
/// missing.
pub fn sheet(pictures: &[Option<Bytes>], columns: u32) -> Result<Sheet, Error> {
    let limits = Limits {
        side: SIDE,
        ..Limits::default()
    };
    let decoded = |picture: &Bytes| {
        let decoder = source::open(picture, limits)?;
        let tile = DynamicImage::from_decoder(decoder).map_err(|error| source::damaged(&error))?;
        Ok::<_, Error>(tile.into_rgb8())
    };
    let first = pictures.iter().flatten().next().ok_or(Error::Unknown)?;
    let (width, height) = decoded(first)?.dimensions();
    let count = u32::try_from(pictures.len()).unwrap_or(u32::MAX).max(1);
    let columns = columns.clamp(1, count);
    let mut sheet = RgbImage::new(columns * width, count.div_ceil(columns) * height);
    for (place, picture) in (0_u32..).zip(pictures) {
        let Some(picture) = picture else { continue };
        let tile = decoded(picture)?;
        let tile = if tile.dimensions() == (width, height) {
            tile
        } else {
            imageops::thumbnail(&tile, width, height)
        };
        let (x, y) = (place % columns * width, place / columns * height);
        imageops::replace(&mut sheet, &tile, x.into(), y.into());
    }
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, QUALITY)
        .encode(&sheet, sheet.width(), sheet.height(), ExtendedColorType::Rgb8)
        .map_err(|error| source::damaged(&error))?;
    Ok(Sheet {
        bytes: out.into(),
        tile: (width, height),
    })
}
