//! What comes in from anybody, and what goes out: sizes, orientation, nothing hidden, and no cost before a size is known.

use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use nova_picture::render::render;
use nova_picture::{Error, Format, Kind, Limits, Picture, Studio};
use proptest::prelude::*;

/// Red on the left, blue on the right, and a green stripe on top: it tells which way is up.
fn flag(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        if y < height / 4 {
            Rgb([0, 255, 0])
        } else if x < width / 2 {
            Rgb([255, 0, 0])
        } else {
            Rgb([0, 0, 255])
        }
    })
}

fn written(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn made(file: &[u8], kind: Kind) -> Picture {
    render(file, kind, Limits::default()).unwrap()
}

fn sizes(picture: &Picture) -> Vec<(&str, u32, u32)> {
    let variants = picture.variants.iter();
    variants
        .map(|variant| (variant.name.as_str(), variant.width, variant.height))
        .collect()
}

/// A JPEG with an APP1 segment of Exif (CIPA DC-008 4.5.4): one IFD with the orientation, and one with a place.
fn with_exif(jpeg: &[u8], orientation: u16) -> Vec<u8> {
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    tiff.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1]);
    tiff.extend(orientation.to_be_bytes());
    tiff.extend([0, 0]);
    // ImageDescription, 16 bytes further on.
    tiff.extend([0x01, 0x0e, 0, 2, 0, 0, 0, 20, 0, 0, 0, 38, 0, 0, 0, 0]);
    tiff.extend(b"GPS 48.8584N 2.2945E");
    let length = u16::try_from(tiff.len() + 8).unwrap();
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, 0xe1]);
    out.extend(length.to_be_bytes());
    out.extend(b"Exif\0\0");
    out.extend(tiff);
    out.extend(&jpeg[2..]);
    out
}

fn near(pixel: Rgb<u8>, wanted: [u8; 3]) -> bool {
    pixel.0.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 60)
}

fn decoded(picture: &Picture, at: usize) -> RgbImage {
    image::load_from_memory(&picture.variants[at].bytes)
        .unwrap()
        .into_rgb8()
}

#[test]
fn each_kind_has_its_sizes_and_shape() {
    let png = written(flag(1000, 700), ImageFormat::Png);
    assert_eq!(
        sizes(&made(&png, Kind::Avatar)),
        [
            ("512.jpg", 512, 512),
            ("256.jpg", 256, 256),
            ("128.jpg", 128, 128),
            ("64.jpg", 64, 64)
        ]
    );
    assert_eq!(
        sizes(&made(&png, Kind::Banner)),
        [("1000.jpg", 1000, 333), ("750.jpg", 750, 250)]
    );
    assert_eq!(
        sizes(&made(&png, Kind::Post)),
        [("1000.jpg", 1000, 700), ("640.jpg", 640, 448), ("320.jpg", 320, 224)]
    );
    assert_eq!(
        sizes(&made(&png, Kind::Thumbnail)),
        [("1000.jpg", 1000, 562), ("640.jpg", 640, 360), ("320.jpg", 320, 180)]
    );
}

#[test]
fn every_format_that_is_taken_becomes_the_same_picture() {
    let source = flag(200, 120);
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif] {
        let picture = made(&written(source.clone(), format), Kind::Post);
        assert_eq!(sizes(&picture), [("200.jpg", 200, 120)], "{format:?}");
        let image = decoded(&picture, 0);
        assert!(near(*image.get_pixel(100, 5), [0, 255, 0]), "{format:?}");
        assert!(near(*image.get_pixel(20, 100), [255, 0, 0]), "{format:?}");
        assert!(near(*image.get_pixel(180, 100), [0, 0, 255]), "{format:?}");
    }
}

#[test]
fn a_picture_is_turned_upright_and_says_nothing_of_where_it_was_taken() {
    // Exif 4.6.5.1.6: which way is up, told by the corner that the first row and column are.
    let upright = DynamicImage::from(flag(160, 80));
    let stored = [
        (1, upright.clone()),
        (2, upright.fliph()),
        (3, upright.rotate180()),
        (4, upright.flipv()),
        (5, upright.rotate90().fliph()),
        (6, upright.rotate270()),
        (7, upright.rotate270().fliph()),
        (8, upright.rotate90()),
    ];
    for (orientation, image) in stored {
        let jpeg = with_exif(&written(image.into_rgb8(), ImageFormat::Jpeg), orientation);
        for kind in [Kind::Post, Kind::Avatar, Kind::Banner] {
            let picture = made(&jpeg, kind);
            assert_eq!((picture.width, picture.height), (160, 80), "{orientation}");
            let image = decoded(&picture, 0);
            let (width, height) = image.dimensions();
            let (left, right) = (
                image.get_pixel(width / 8, height - 3),
                image.get_pixel(width * 7 / 8, height - 3),
            );
            assert!(near(*left, [255, 0, 0]), "{orientation} {kind:?}: {left:?}");
            assert!(near(*right, [0, 0, 255]), "{orientation} {kind:?}: {right:?}");
            for variant in &picture.variants {
                let has = |word: &[u8]| variant.bytes.windows(word.len()).any(|window| window == word);
                assert!(!has(b"Exif") && !has(b"GPS"), "{orientation}");
            }
        }
    }
}

#[test]
fn what_can_be_seen_through_stays_so_and_has_a_white_ground_elsewhere() {
    let mut source = RgbaImage::from_pixel(64, 64, Rgba([200, 0, 0, 255]));
    for x in 0..32 {
        for y in 0..64 {
            source.put_pixel(x, y, Rgba([0, 0, 0, 0]));
        }
    }
    let picture = made(&written(source, ImageFormat::Png), Kind::Avatar);
    let formats: Vec<Format> = picture.variants.iter().map(|variant| variant.format).collect();
    assert_eq!(formats, [Format::WebP, Format::Jpeg]);
    let webp = image::load_from_memory(&picture.variants[0].bytes)
        .unwrap()
        .into_rgba8();
    assert_eq!(
        (webp.get_pixel(4, 4)[3], webp.get_pixel(60, 4).0),
        (0, [200, 0, 0, 255])
    );
    assert!(near(*decoded(&picture, 1).get_pixel(4, 4), [255, 255, 255]));
    // An alpha channel that hides nothing costs nothing.
    let opaque = RgbaImage::from_pixel(64, 64, Rgba([200, 0, 0, 255]));
    assert_eq!(made(&written(opaque, ImageFormat::Png), Kind::Avatar).variants.len(), 1);
}

#[test]
fn the_same_pixels_have_the_same_hash_whatever_was_written_around_them() {
    let jpeg = written(flag(100, 100), ImageFormat::Jpeg);
    let plain = made(&jpeg, Kind::Post);
    assert_eq!(made(&with_exif(&jpeg, 1), Kind::Post).hash, plain.hash);
    assert_ne!(made(&with_exif(&jpeg, 6), Kind::Post).hash, plain.hash);
}

#[test]
fn what_is_hidden_behind_or_inside_a_picture_does_not_come_out() {
    let payload = b"<script>alert(1)</script>PK\x03\x04";
    let jpeg = {
        let mut out = written(flag(100, 100), ImageFormat::Jpeg);
        out.extend(payload);
        out
    };
    // A JPEG comment (ISO/IEC 10918-1 B.2.4.5), right behind SOI.
    let comment = {
        let plain = written(flag(100, 100), ImageFormat::Jpeg);
        let mut out = plain[..2].to_vec();
        out.extend([0xff, 0xfe]);
        out.extend(u16::try_from(payload.len() + 2).unwrap().to_be_bytes());
        out.extend(payload);
        out.extend(&plain[2..]);
        out
    };
    // A GIF whose first bytes are a script as well.
    let gif = {
        let mut out = written(flag(100, 100), ImageFormat::Gif);
        out.extend(b"/*");
        out.extend(payload);
        out
    };
    for file in [jpeg, comment, gif] {
        for variant in made(&file, Kind::Post).variants {
            let window = |word: &[u8]| variant.bytes.windows(word.len()).any(|window| window == word);
            assert!(!window(b"script") && !window(b"PK\x03\x04"));
        }
    }
}

#[test]
fn what_is_no_picture_is_told_by_its_first_bytes() {
    for file in [
        &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
        b"<?xml version='1.0'?><svg/>",
        b"",
        b"BM",
        b"\0\0\0\x1cftypavif",
        b"%PDF-1.7",
        b"RIFF\0\0\0\0WAVE",
        b" \x89PNG\r\n\x1a\n",
    ] {
        assert_eq!(render(file, Kind::Post, Limits::default()), Err(Error::Unknown));
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut body = kind.to_vec();
    body.extend(data);
    let mut out = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
    out.extend(&body);
    out.extend(crc(&body).to_be_bytes());
    out
}

fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(chunk(b"IHDR", &header));
    out.extend(chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0, 0]));
    out.extend(chunk(b"IEND", &[]));
    out
}

/// Most memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_pixel_bomb_costs_as_much_as_its_header() {
    let before = peak();
    for (width, height) in [(50_000, 50_000), (16_384, 16_384), (u32::MAX / 2, 1), (0, 5)] {
        let refused = render(&png_of(width, height), Kind::Post, Limits::default());
        assert!(
            matches!(refused, Err(Error::Pixels { .. } | Error::Damaged(_))),
            "{width}x{height}: {refused:?}"
        );
    }
    // A GIF whose screen is one pixel and whose frame is all there can be (GIF89a 18, 20).
    let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend(b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;");
    let _any = render(&gif, Kind::Post, Limits::default());
    // A WebP whose canvas is the largest there is (RFC 9649 2.7).
    let mut webp = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xff\xff\xff\xff\xff\xff".to_vec();
    webp.extend(b"ANIM\x06\0\0\0\0\0\0\0\0\0");
    assert!(render(&webp, Kind::Post, Limits::default()).is_err());
    // A JPEG that says 65500 by 65500 in its frame header (ISO/IEC 10918-1 B.2.2).
    let mut jpeg = written(flag(16, 16), ImageFormat::Jpeg);
    let sof = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert!(matches!(
        render(&jpeg, Kind::Post, Limits::default()),
        Err(Error::Pixels { .. } | Error::Damaged(_))
    ));
    let grown = peak() - before;
    assert!(grown < 64 << 10, "{grown} KiB for pictures that were refused");
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_looked_at() {
    let limits = Limits {
        bytes: 100,
        ..Limits::default()
    };
    assert_eq!(
        render(&[0xff; 101], Kind::Post, limits),
        Err(Error::TooLarge { len: 101, max: 100 })
    );
}

#[test]
fn a_wide_gamut_is_brought_into_srgb() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 95);
    image::ImageEncoder::set_icc_profile(&mut encoder, profile).unwrap();
    // Half green in Display P3 is more than half green in sRGB.
    let image = RgbImage::from_pixel(64, 64, Rgb([60, 160, 60]));
    encoder.encode(&image, 64, 64, ExtendedColorType::Rgb8).unwrap();
    let pixel = *decoded(&made(&jpeg, Kind::Post), 0).get_pixel(32, 32);
    assert!(pixel[0] < 50 && pixel[1] > 155, "{pixel:?}");
    assert!(
        !made(&jpeg, Kind::Post).variants[0]
            .bytes
            .windows(4)
            .any(|w| w == b"ICC_")
    );
}

#[tokio::test]
async fn those_beyond_the_queue_are_refused_and_the_others_are_made() {
    let studio = Studio::new(1, 2);
    let file = Bytes::from(written(flag(400, 300), ImageFormat::Png));
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (studio, file) = (studio.clone(), file.clone());
            tokio::spawn(async move { studio.make(file, Kind::Avatar, Limits::default()).await })
        })
        .collect();
    let (mut fine, mut busy) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => fine += 1,
            Err(Error::Busy) => busy += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((fine, busy), (3, 3));
    // Who gives up leaves its place to others.
    let gone = tokio::time::timeout(
        Duration::from_nanos(1),
        studio.make(file.clone(), Kind::Avatar, Limits::default()),
    )
    .await;
    assert!(gone.is_err());
    for _ in 0..3 {
        while matches!(
            studio.make(file.clone(), Kind::Avatar, Limits::default()).await,
            Err(Error::Busy)
        ) {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_sheet_has_its_pictures_in_rows_and_black_where_one_is_missing() {
    let tile = |colour: [u8; 3]| {
        let file = written(RgbImage::from_pixel(32, 18, Rgb(colour)), ImageFormat::Jpeg);
        Some(bytes::Bytes::from(file))
    };
    let tiles = [tile([200, 0, 0]), None, tile([0, 200, 0]), tile([0, 0, 200])];
    let sheet = nova_picture::sheet::sheet(&tiles, 3).unwrap();
    assert_eq!(sheet.tile, (32, 18));
    let shown = image::load_from_memory(&sheet.bytes).unwrap().into_rgb8();
    assert_eq!(shown.dimensions(), (96, 36));
    for (x, y, wanted) in [
        (16, 9, [200, 0, 0]),
        (48, 9, [0; 3]),
        (80, 9, [0, 200, 0]),
        (16, 27, [0, 0, 200]),
        (80, 27, [0; 3]),
    ] {
        assert!(
            near(*shown.get_pixel(x, y), wanted),
            "{x},{y}: {:?}",
            shown.get_pixel(x, y)
        );
    }
    assert_eq!(nova_picture::sheet::sheet(&[None, None], 3), Err(Error::Unknown));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_garbage_upsets_it(kind in 0..4_usize, garbage in prop::collection::vec(any::<u8>(), 0..600)) {
        let magic: [&[u8]; 4] = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP", b"GIF89a"];
        let file = [magic[kind], &garbage].concat();
        let _any = render(&file, Kind::Post, Limits::default());
    }

    #[test]
    fn no_damage_upsets_it(
        format in 0..4_usize,
        cut in 0.0..1.0_f64,
        spots in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        kind in 0..4_usize,
    ) {
        let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif];
        let mut file = written(flag(24, 16), formats[format]);
        for (at, value) in spots {
            let at = at.index(file.len());
            file[at] = value;
        }
        if cut > 0.3 {
            file.truncate((file.len() as f64 * cut) as usize);
        }
        let kind = [Kind::Avatar, Kind::Banner, Kind::Post, Kind::Thumbnail][kind];
        // Damage in a header may make a larger picture: not much larger here, so that the test does not take memory.
        let limits = Limits { pixels: 1_000_000, ..Limits::default() };
        if let Ok(picture) = render(&file, kind, limits) {
            for variant in picture.variants {
                let read = image::load_from_memory(&variant.bytes).unwrap();
                prop_assert_eq!((read.width(), read.height()), (variant.width, variant.height));
            }
        }
    }
}
