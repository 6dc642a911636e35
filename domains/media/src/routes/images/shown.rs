//! A picture as the API shows it.

use nova_core::clock::Timestamp;
use nova_domain::Caller;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::State;
use crate::image::Row;
use crate::pictures::PictureKind;

/// A picture in one size and format.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ImageVariant)]
pub(crate) struct Variant {
    /// Never changes what it leads to.
    pub(crate) url: String,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    #[serde(rename = "type")]
    #[schema(example = "image/jpeg")]
    pub(crate) media_type: String,
}

/// A picture.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Image)]
pub(crate) struct Shown {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: Uuid,
    pub(crate) kind: PictureKind,
    /// Of the largest variant.
    pub(crate) url: String,
    /// Pixels of the file that was uploaded, upright.
    pub(crate) width: i64,
    /// Pixels.
    pub(crate) height: i64,
    /// The largest first. A picture that can be seen through is there as WebP and as JPEG on white.
    pub(crate) variants: Vec<Variant>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// Bytes it takes in the store, for its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<i64>,
}

/// A picture as `caller` sees it.
pub(crate) fn shown(state: &State, row: &Row, caller: Option<&Caller>) -> Shown {
    let variants: Vec<Variant> = row
        .variants()
        .into_iter()
        .map(|variant| Variant {
            url: format!("{}{}", state.public_url, row.path(&variant)),
            width: variant.width,
            height: variant.height,
            media_type: variant.media_type,
        })
        .collect();
    Shown {
        id: row.id.uuid(),
        kind: row.kind(),
        url: variants.first().map(|variant| variant.url.clone()).unwrap_or_default(),
        width: row.width,
        height: row.height,
        variants,
        created_at: Timestamp(row.created_at),
        bytes: caller
            .filter(|caller| caller.user == row.owner_user_id)
            .map(|_| row.bytes),
    }
}
