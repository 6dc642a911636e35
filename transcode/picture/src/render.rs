//! From bytes to the sizes of a picture. Runs on a thread of its own, see [`crate::studio`].

use bytes::Bytes;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, RgbImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};
use sha2::{Digest, Sha256};

use crate::kind::Kind;
use crate::source::{self, Error, Limits};

/// Of JPEG: past it files grow faster than they get better.
const QUALITY: u8 = 82;
/// Largest colour profile that is read; those of cameras and phones have some hundred bytes to some kilobytes.
const PROFILE_MAX: usize = 1 << 20;

/// How a variant is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Opaque.
    Jpeg,
    /// Lossless, with transparency.
    WebP,
}

impl Format {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }
}

/// A picture in one size and format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name beside the others, as `640.jpg`.
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// How it is written.
    pub format: Format,
    /// The file.
    pub bytes: Bytes,
}

/// What was made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels of the file, upright.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// SHA-256 of all variants: the same pixels have the same, whatever was written around them.
    pub hash: [u8; 32],
    /// The largest first; of one size, the one with transparency first.
    pub variants: Vec<Variant>,
}

/// Makes the sizes of `kind` from a file.
pub fn render(file: &[u8], kind: Kind, limits: Limits) -> Result<Picture, Error> {
    let mut decoder = source::open(file, limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten();
    let profile = profile.filter(|profile| profile.len() <= PROFILE_MAX);
    let decoded = DynamicImage::from_decoder(decoder).map_err(|error| source::damaged(&error))?;
    // Four channels where something can be seen through, three everywhere else.
    let transparent = decoded.color().has_alpha();
    let pixels = if transparent {
        Pixels::of(decoded.into_rgba8())
    } else {
        Pixels::of_opaque(decoded.into_rgb8())
    };
    let pixels = if transparent && pixels.is_opaque() {
        pixels.without_alpha()
    } else {
        pixels
    };
    let turned = matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let swap = |(width, height): (u32, u32)| if turned { (height, width) } else { (width, height) };
    let (width, height) = swap((pixels.width, pixels.height));
    let crop = kind.crop(width, height);
    let convert = profile.and_then(|profile| conversion(&profile, pixels.channels));
    let (mut variants, mut from) = (Vec::new(), None::<Pixels>);
    for size in kind.sizes(crop.0, crop.1) {
        // Each size is made from the one before it: the middle is cut out once, and the rest is a fraction of the work.
        let made = match &from {
            None => pixels.scaled(Some(swap(crop)), swap(size))?,
            Some(larger) => larger.scaled(None, swap(size))?,
        };
        let mut shown = made.clone();
        if let Some(convert) = &convert {
            convert(&mut shown.bytes);
        }
        encode(shown, orientation, &mut variants)?;
        from = Some(made);
    }
    let mut hash = Sha256::new();
    for variant in &variants {
        hash.update(Sha256::digest(&variant.bytes));
    }
    Ok(Picture {
        width,
        height,
        hash: hash.finalize().into(),
        variants,
    })
}

/// Pixels in rows, of three or four bytes.
#[derive(Clone)]
struct Pixels {
    width: u32,
    height: u32,
    channels: usize,
    bytes: Vec<u8>,
}

impl Pixels {
    fn of(image: RgbaImage) -> Self {
        let (width, height) = image.dimensions();
        Self {
            width,
            height,
            channels: 4,
            bytes: image.into_raw(),
        }
    }

    fn of_opaque(image: RgbImage) -> Self {
        let (width, height) = image.dimensions();
        Self {
            width,
            height,
            channels: 3,
            bytes: image.into_raw(),
        }
    }

    fn is_opaque(&self) -> bool {
        self.bytes.chunks_exact(4).all(|pixel| pixel[3] == u8::MAX)
    }

    fn without_alpha(mut self) -> Self {
        let pixels = self.bytes.len() / 4;
        for at in 0..pixels {
            self.bytes.copy_within(at * 4..at * 4 + 3, at * 3);
        }
        self.bytes.truncate(pixels * 3);
        self.channels = 3;
        self
    }

    /// Scales the middle that is `crop` large, or all of it, to `size`.
    fn scaled(&self, crop: Option<(u32, u32)>, size: (u32, u32)) -> Result<Self, Error> {
        let pixel = if self.channels == 4 {
            PixelType::U8x4
        } else {
            PixelType::U8x3
        };
        let broken = |error: &dyn std::fmt::Display| Error::Damaged(error.to_string());
        let from = ImageRef::new(self.width, self.height, &self.bytes, pixel).map_err(|error| broken(&error))?;
        let mut to = Image::new(size.0, size.1, pixel);
        let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
        if let Some((width, height)) = crop {
            let (left, top) = ((self.width - width) / 2, (self.height - height) / 2);
            options = options.crop(left.into(), top.into(), width.into(), height.into());
        }
        Resizer::new()
            .resize(&from, &mut to, &options)
            .map_err(|error| broken(&error))?;
        Ok(Self {
            width: size.0,
            height: size.1,
            channels: self.channels,
            bytes: to.into_vec(),
        })
    }
}

type Conversion = Box<dyn Fn(&mut Vec<u8>)>;

/// What takes pixels from the colours of `profile` to sRGB; nothing when they are that already, or the profile is not of this world.
fn conversion(profile: &[u8], channels: usize) -> Option<Conversion> {
    let from = ColorProfile::new_from_slice(profile).ok()?;
    if from.color_space != DataColorSpace::Rgb {
        return None;
    }
    let layout = if channels == 4 { Layout::Rgba } else { Layout::Rgb };
    let to = ColorProfile::new_srgb();
    let transform = from
        .create_transform_8bit(layout, &to, layout, TransformOptions::default())
        .ok()?;
    Some(Box::new(move |bytes| {
        let mut converted = vec![0; bytes.len()];
        if transform.transform(bytes, &mut converted).is_ok() {
            *bytes = converted;
        }
    }))
}

/// Turns a small picture upright and writes it.
fn encode(pixels: Pixels, orientation: Orientation, variants: &mut Vec<Variant>) -> Result<(), Error> {
    let Pixels {
        width,
        height,
        channels,
        bytes,
    } = pixels;
    let lost = || Error::Damaged("its pixels do not make a picture".into());
    let mut upright = if channels == 4 {
        DynamicImage::ImageRgba8(RgbaImage::from_raw(width, height, bytes).ok_or_else(lost)?)
    } else {
        DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, bytes).ok_or_else(lost)?)
    };
    upright.apply_orientation(orientation);
    let (width, height) = (upright.width(), upright.height());
    let mut push = |format: Format, bytes: Vec<u8>| {
        variants.push(Variant {
            name: format!("{width}.{}", format.extension()),
            width,
            height,
            format,
            bytes: bytes.into(),
        });
    };
    let opaque = match upright {
        DynamicImage::ImageRgba8(image) => {
            let mut out = Vec::new();
            WebPEncoder::new_lossless(&mut out)
                .encode(&image, width, height, ExtendedColorType::Rgba8)
                .map_err(|error| source::damaged(&error))?;
            push(Format::WebP, out);
            on_white(&image)
        }
        other => other.into_rgb8(),
    };
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, QUALITY)
        .encode(&opaque, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| source::damaged(&error))?;
    push(Format::Jpeg, out);
    Ok(())
}

fn on_white(image: &RgbaImage) -> RgbImage {
    let (width, height) = image.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let [r, g, b, a] = image.get_pixel(x, y).0;
        let over = |c: u8| {
            let mixed = (u32::from(c) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        image::Rgb([over(r), over(g), over(b)])
    })
}
