//! Lists by keyset: a page says where the next one begins, so that rows coming and going never repeat or skip one.

use std::fmt;

use axum::extract::{FromRequestParts, Query};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::problem::Problem;

/// Rows of a page when the caller names no number.
const USUAL: u32 = 20;
/// Most rows of a page.
const MOST: u32 = 100;

/// One page of a list, as every list of the API looks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `null` at the end.
    pub next_cursor: Option<String>,
}

/// Where a page begins: after the row with this sort value and id. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub i64, pub String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}.{}", self.0, self.1)))
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (value, id) = std::str::from_utf8(&bytes).ok()?.split_once('.')?;
        (id.len() <= 64 && !id.contains('\0')).then_some(())?;
        Some(Self(value.parse().ok()?, id.to_owned()))
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Given {
    /// Rows of a page, 1 to 100.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// `?limit=&cursor=` of a request.
#[derive(Clone, Debug)]
pub struct PageQuery {
    limit: u32,
    after: Option<Cursor>,
}

impl IntoParams for PageQuery {
    fn into_params(
        parameter_in: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        Given::into_params(parameter_in)
    }
}

impl PageQuery {
    /// A first page of `limit` rows.
    pub fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }

    /// The value to bind for `LIMIT`: one row more than the page has, which tells whether there is a next one.
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The row after which a list with the newest first begins: `(created_at, id) < ($1, $2)`.
    pub fn before(&self) -> (i64, &str) {
        self.after
            .as_ref()
            .map_or((i64::MAX, "~"), |cursor| (cursor.0, &cursor.1))
    }

    /// The row after which a list with the oldest first begins: `(created_at, id) > ($1, $2)`.
    pub fn after(&self) -> (i64, &str) {
        self.after
            .as_ref()
            .map_or((i64::MIN, ""), |cursor| (cursor.0, &cursor.1))
    }

    /// Makes the page from the rows that [`PageQuery::fetch`] brought; `key` says where a row stands.
    pub fn list<R, T>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> Cursor, row: impl FnMut(R) -> T) -> List<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| key(last).to_string());
        List {
            items: rows.into_iter().map(row).collect(),
            next_cursor,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(given) = Query::<Given>::try_from_uri(&parts.uri)
            .map_err(|_bad| Problem::invalid("limit is a number from 1 to 100").field("limit", "must be 1 to 100"))?;
        let limit = given.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Problem::invalid("limit is a number from 1 to 100").field("limit", "must be 1 to 100"));
        }
        let after = match given.cursor {
            None => None,
            Some(text) => Some(Cursor::parse(&text).ok_or_else(|| {
                Problem::invalid("the cursor is not one this server gave").field("cursor", "unknown")
            })?),
        };
        Ok(Self { limit, after })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back_as_it_was_written(value: i64, id in "[a-z0-9.-]{0,64}") {
            let cursor = Cursor(value, id);
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }

        #[test]
        fn no_text_upsets_the_reader_of_cursors(text in ".{0,200}") {
            let _any = Cursor::parse(&text);
        }
    }

    #[test]
    fn a_page_has_a_next_one_only_when_a_row_more_was_there() {
        let page = PageQuery::first(2);
        let list = |rows: Vec<i64>| page.list(rows, |row| Cursor(*row, "x".into()), |row| row);
        assert_eq!(list(vec![1, 2]).next_cursor, None);
        let three = list(vec![1, 2, 3]);
        assert_eq!(
            (three.items, three.next_cursor),
            (vec![1, 2], Some(Cursor(2, "x".into()).to_string()))
        );
    }
}
