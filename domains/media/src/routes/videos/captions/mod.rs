//! Captions: WebVTT tracks of a video, one a language.

use nova_core::clock::Timestamp;
use nova_domain::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caption::Caption;

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod put;

/// A track of captions.
#[derive(Serialize, ToSchema)]
#[schema(as = Captions)]
pub(crate) struct Shown {
    /// BCP 47, in small letters.
    #[schema(example = "en")]
    language: String,
    /// What players show in their menus.
    label: String,
    /// How many there are.
    cues: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Caption> for Shown {
    fn from(caption: Caption) -> Self {
        Self {
            language: caption.language,
            label: caption.label,
            cues: caption.cues,
            created_at: Timestamp(caption.created_at),
        }
    }
}

/// A language tag in small letters; 422 when it is none.
fn language(text: &str) -> Result<String, Problem> {
    let mut parts = text.split('-');
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let first = parts
        .next()
        .is_some_and(|part| (2..=3).contains(&part.len()) && letters(part));
    let mut rest =
        parts.map(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if first && rest.all(|fine| fine) && text.len() <= 35 {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::invalid("the language is a tag of BCP 47, as en or pt-br").field("language", "is no language tag"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_tags_in_small_letters() {
        for (text, read) in [("en", "en"), ("pt-BR", "pt-br"), ("zh-Hant-TW", "zh-hant-tw")] {
            assert_eq!(language(text).ok().as_deref(), Some(read));
        }
        for bad in ["", "e", "english", "en_US", "en-", "en-123456789", "../x", "en\0"] {
            assert!(language(bad).is_err(), "{bad:?}");
        }
    }
}
