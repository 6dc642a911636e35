//! Rules that several domains apply in the same words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who may see something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody; it is listed and found.
    #[default]
    Public,
    /// Everybody who knows the address; it is listed nowhere.
    Unlisted,
    /// The owner and who the owner lets in.
    Private,
}

impl Visibility {
    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unlisted => "unlisted",
            Self::Private => "private",
        }
    }

    /// Reads [`Visibility::as_str`]; anything else is private.
    pub fn parse(text: &str) -> Self {
        match text {
            "public" => Self::Public,
            "unlisted" => Self::Unlisted,
            _ => Self::Private,
        }
    }
}

/// The one predicate for people who do not want to meet: true for a row whose `column` is neither blocked by the viewer in `$viewer` nor
/// blocking them. Bind the viewer's id, or an empty text for a guest. It reads the view `users_hidden (viewer_id, hidden_id)`, which the users
/// domain keeps for everybody.
pub fn not_hidden(column: &str, viewer: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM users_hidden h WHERE h.viewer_id = {viewer} AND h.hidden_id = {column})")
}
