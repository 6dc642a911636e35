//! What a picture is for, and the sizes it is made in.

/// What a picture is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A person's face: squares.
    Avatar,
    /// What stands above a profile: three to one.
    Banner,
    /// In a post: its own shape.
    Post,
    /// What stands for a video: sixteen to nine.
    Thumbnail,
    /// What stands for a reel: nine to sixteen.
    Cover,
}

impl Kind {
    /// Width over height, when the picture is cropped to a shape.
    pub(crate) const fn shape(self) -> Option<(u32, u32)> {
        match self {
            Self::Avatar => Some((1, 1)),
            Self::Banner => Some((3, 1)),
            Self::Post => None,
            Self::Thumbnail => Some((16, 9)),
            Self::Cover => Some((9, 16)),
        }
    }

    const fn widths(self) -> &'static [u32] {
        match self {
            Self::Avatar => &[64, 128, 256, 512],
            Self::Banner => &[750, 1500],
            Self::Post => &[320, 640, 1280, 1920],
            Self::Thumbnail => &[320, 640, 1280],
            Self::Cover => &[1080],
        }
    }

    /// The largest middle of `width` by `height` that has the shape.
    pub(crate) fn crop(self, width: u32, height: u32) -> (u32, u32) {
        let Some((w, h)) = self.shape() else {
            return (width, height);
        };
        let at_full_height = u64::from(height) * u64::from(w) / u64::from(h);
        if at_full_height <= u64::from(width) {
            (u32::try_from(at_full_height).unwrap_or(width).max(1), height)
        } else {
            let at_full_width = u64::from(width) * u64::from(h) / u64::from(w);
            (width, u32::try_from(at_full_width).unwrap_or(height).max(1))
        }
    }

    /// The sizes of a picture that is `width` by `height` after [`Kind::crop`], the largest first. Never larger than the picture itself, and one
    /// between two steps is there in its own width as well.
    pub(crate) fn sizes(self, width: u32, height: u32) -> Vec<(u32, u32)> {
        let mut widths: Vec<u32> = self.widths().iter().copied().filter(|step| *step <= width).collect();
        let most = self.widths().last().copied().unwrap_or(width);
        if width < most && widths.last() != Some(&width) {
            widths.push(width);
        }
        let sized = widths.into_iter().rev().map(|step| {
            let high = match self.shape() {
                Some((w, h)) => u64::from(step) * u64::from(h) / u64::from(w),
                None => (u64::from(step) * u64::from(height) + u64::from(width) / 2) / u64::from(width),
            };
            (step, u32::try_from(high).unwrap_or(height).clamp(1, height))
        });
        sized.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_size_is_larger_than_the_picture() {
        assert_eq!(
            Kind::Avatar.sizes(600, 600),
            [(512, 512), (256, 256), (128, 128), (64, 64)]
        );
        assert_eq!(Kind::Avatar.sizes(100, 100), [(100, 100), (64, 64)]);
        assert_eq!(Kind::Avatar.sizes(1, 1), [(1, 1)]);
        assert_eq!(Kind::Banner.sizes(1500, 500), [(1500, 500), (750, 250)]);
        assert_eq!(Kind::Post.sizes(1000, 500), [(1000, 500), (640, 320), (320, 160)]);
        assert_eq!(Kind::Thumbnail.sizes(1280, 720), [(1280, 720), (640, 360), (320, 180)]);
    }

    #[test]
    fn the_middle_that_has_the_shape_is_taken() {
        assert_eq!(Kind::Avatar.crop(400, 300), (300, 300));
        assert_eq!(Kind::Banner.crop(400, 300), (400, 133));
        assert_eq!(Kind::Thumbnail.crop(4000, 3000), (4000, 2250));
        assert_eq!(Kind::Cover.crop(1920, 1080), (607, 1080));
        assert_eq!(Kind::Cover.crop(1080, 1920), (1080, 1920));
        assert_eq!(Kind::Post.crop(7, 9), (7, 9));
        assert_eq!(Kind::Banner.crop(1, 1000), (1, 1));
        assert_eq!(Kind::Banner.crop(1000, 1), (3, 1));
    }
}
