//! What this domain asks of whoever makes pictures. The binary fills it in, since codecs are not known here.

use bytes::Bytes;
use nova_core::store::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a picture is for, which says the sizes it is made in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImageKind)]
pub enum PictureKind {
    /// A person's face: squares of 64, 128, 256 and 512.
    Avatar,
    /// What stands above a profile: three to one, 750 and 1500 wide.
    Banner,
    /// In a post: its own shape, 320, 640, 1280 and 1920 wide.
    #[default]
    Post,
    /// What stands for a video: sixteen to nine, 320, 640 and 1280 wide.
    Thumbnail,
}

impl PictureKind {
    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avatar => "avatar",
            Self::Banner => "banner",
            Self::Post => "post",
            Self::Thumbnail => "thumbnail",
        }
    }

    /// Reads [`PictureKind::as_str`]; anything else is of a post.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "avatar" => Self::Avatar,
            "banner" => Self::Banner,
            "thumbnail" => Self::Thumbnail,
            _ => Self::Post,
        }
    }
}

/// A picture in one size and format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureFile {
    /// Its name beside the others, as `640.jpg`.
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Its media type.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Bytes,
}

/// What was made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadePicture {
    /// Pixels of the file, upright.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of everything in `files`.
    pub hash: [u8; 32],
    /// The largest first; never none.
    pub files: Vec<PictureFile>,
}

/// Why no picture could be made of a file. The texts are for its owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// It is nothing that is taken.
    #[error("{0}")]
    Unknown(String),
    /// It is one, and damaged, or has too many pixels.
    #[error("{0}")]
    Refused(String),
    /// Too many others wait.
    #[error("too many pictures wait for their turn")]
    Busy,
}

/// Makes pictures.
pub trait Pictures: Send + Sync {
    /// Makes the sizes of `kind` of a file that has at most `most_pixels`: without metadata, upright, written anew.
    fn make(
        &self,
        file: Bytes,
        kind: PictureKind,
        most_pixels: u64,
    ) -> BoxFuture<'_, Result<MadePicture, PictureError>>;
}
