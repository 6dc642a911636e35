//! Links people put on their profile.

use nova_domain::http::problem::Fields;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

/// Most links of a profile.
pub(crate) const MOST: usize = 5;
/// Longest address.
const LONGEST: usize = 500;
/// Longest title.
const LONGEST_TITLE: usize = 60;

/// A link on a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProfileLink)]
pub(crate) struct Link {
    /// What it is called; empty: the address.
    #[serde(default)]
    #[schema(max_length = 60)]
    pub(crate) title: String,
    /// Where it leads: `https` or `http`, without a name and a password in it.
    #[schema(format = "uri", max_length = 500)]
    pub(crate) url: String,
}

/// True for an address that may stand on a page: a browser that follows it leaves for a web site and does nothing else.
pub(crate) fn is_web(text: &str) -> bool {
    text.len() <= LONGEST
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|host| !host.is_empty())
                && url.username().is_empty()
                && url.password().is_none()
        })
}

/// Notes what is wrong with `links`.
pub(crate) fn check(fields: &mut Fields, links: &[Link]) {
    fields.check(links.len() <= MOST, "links", format!("must be {MOST} at most"));
    for (index, link) in links.iter().take(MOST).enumerate() {
        fields.text(&format!("links.{index}.title"), &link.title, 0, LONGEST_TITLE);
        fields.check(
            is_web(&link.url),
            &format!("links.{index}.url"),
            "must be an http or https address of 500 characters at most, without a name and a password in it",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_web_site_and_carries_no_password() {
        for good in [
            "https://example.org",
            "http://example.org/a?b=c#d",
            "https://münchen.example/",
            "https://[2001:db8::1]/",
        ] {
            assert!(is_web(good), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://example.org",
            "https://user@example.org",
            "https://user:password@example.org",
            "https://:password@example.org",
            "https://",
            "//example.org",
            "https://example.org/a b",
            "https://example.org/\n",
            "mailto:a@example.org",
        ] {
            assert!(!is_web(bad), "{bad}");
        }
        assert!(!is_web(&format!("https://example.org/{}", "a".repeat(500))));
    }
}
