//! Makes the pictures of the media domain: joins `nova_picture` and what `nova_media` asks for.

use bytes::Bytes;
use nova_core::store::BoxFuture;
use nova_media::{MadePicture, PictureError, PictureFile, PictureKind};
use nova_picture::{Error, Kind, Limits, Studio};

/// Pictures that may wait for a turn: some 16 files of at most 10 MiB, and a few seconds.
const WAITING: usize = 16;

/// See the module.
pub(crate) struct Pictures(Studio);

impl Pictures {
    /// One picture at a time for two cores; the rest of the machine is for media.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Studio::new((cores / 2).max(1), WAITING))
    }
}

impl nova_media::Pictures for Pictures {
    fn make(
        &self,
        file: Bytes,
        kind: PictureKind,
        most_pixels: u64,
    ) -> BoxFuture<'_, Result<MadePicture, PictureError>> {
        let kind = match kind {
            PictureKind::Avatar => Kind::Avatar,
            PictureKind::Banner => Kind::Banner,
            PictureKind::Post => Kind::Post,
            PictureKind::Thumbnail => Kind::Thumbnail,
        };
        let limits = Limits {
            // The request was bounded as it was read.
            bytes: usize::MAX,
            pixels: most_pixels,
            ..Limits::default()
        };
        Box::pin(async move {
            let made = self.0.make(file, kind, limits).await.map_err(|error| match error {
                Error::Busy => PictureError::Busy,
                Error::Unknown => PictureError::Unknown(error.to_string()),
                Error::TooLarge { .. } | Error::Pixels { .. } | Error::Damaged(_) => {
                    PictureError::Refused(error.to_string())
                }
            })?;
            Ok(MadePicture {
                width: made.width,
                height: made.height,
                hash: made.hash,
                files: made
                    .variants
                    .into_iter()
                    .map(|variant| PictureFile {
                        name: variant.name,
                        width: variant.width,
                        height: variant.height,
                        media_type: variant.format.media_type(),
                        bytes: variant.bytes,
                    })
                    .collect(),
            })
        })
    }
}
