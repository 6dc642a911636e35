//! What people write about themselves: a small part of Markdown, shown as HTML that cannot do anything.
//!
//! The text is kept as it was written and made into HTML when it is read: a mistake in here is mended for everybody by the next release. HTML
//! in the text is text. The cleaner behind the renderer is the one that decides what may leave.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;
use pulldown_cmark::{Event, Options, Parser, html};

/// Longest bio, in characters.
pub(crate) const LONGEST: usize = 1000;

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut cleaner = Builder::empty();
    cleaner
        .tags(HashSet::from([
            "a",
            "blockquote",
            "br",
            "code",
            "del",
            "em",
            "li",
            "ol",
            "p",
            "strong",
            "ul",
        ]))
        .tag_attributes(HashMap::from([("a", HashSet::from(["href"]))]))
        .url_schemes(HashSet::from(["http", "https"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("nofollow noopener noreferrer ugc"));
    cleaner
});

/// `text` as HTML.
pub(crate) fn to_html(text: &str) -> String {
    let events = Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        // People press Enter once and mean it.
        Event::SoftBreak => Event::HardBreak,
        other => other,
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    CLEANER.clean(&out).to_string().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bio_may_have_emphasis_lists_and_links() {
        assert_eq!(
            to_html("**Hi**, I *stream* `Rust`\nand ~~sleep~~ <https://example.org>"),
            "<p><strong>Hi</strong>, I <em>stream</em> <code>Rust</code><br>\nand <del>sleep</del> <a href=\"https://example.org\" rel=\"nofollow \
             noopener noreferrer ugc\">https://example.org</a></p>"
        );
        assert_eq!(to_html("- a\n- b"), "<ul>\n<li>a</li>\n<li>b</li>\n</ul>");
        assert_eq!(to_html(""), "");
    }

    #[test]
    fn nothing_in_a_bio_runs() {
        for evil in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "[x](data:text/html,<script>)",
            "![x](https://example.org/pixel.gif)",
            "<a href=\"https://example.org\" onclick=\"x\" style=\"position:fixed\">x</a>",
            "<iframe src=//example.org></iframe>",
            "[x](//example.org)",
            "[x](/settings/delete)",
        ] {
            let html = to_html(evil);
            for tag in html.split('<').skip(1) {
                let tag = tag.split('>').next().unwrap_or_default();
                for sign in [
                    "script",
                    "img",
                    "iframe",
                    "javascript:",
                    "data:",
                    "onclick",
                    "style",
                    "href=\"/",
                ] {
                    assert!(!tag.contains(sign), "{evil}: {html}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_html_of_known_tags_only(text in "[ -~\n]{0,300}") {
            let html = to_html(&text);
            for piece in html.split('<').skip(1) {
                let tag = piece.trim_start_matches('/').split([' ', '>']).next().unwrap_or_default();
                prop_assert!(["a", "blockquote", "br", "code", "del", "em", "li", "ol", "p", "strong", "ul"].contains(&tag), "{html}");
            }
        }
    }
}
