//! Names: which ones a person may have, and how two are the same.
//!
//! ASCII only: a letter of another script that looks like one of ours would be somebody else's face.

use nova_domain::accounts::ClaimError;

/// Shortest name.
pub(crate) const SHORTEST: usize = 3;
/// Longest name.
pub(crate) const LONGEST: usize = 30;

/// Names that could be taken for this server, for those who speak for it, or for a place on it. Folded, and without `_`.
const RESERVED: &[&str] = &[
    "about",
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "admins",
    "all",
    "anonymous",
    "api",
    "app",
    "apps",
    "auth",
    "billing",
    "blog",
    "bot",
    "channel",
    "channels",
    "contact",
    "deleted",
    "discover",
    "docs",
    "embed",
    "everyone",
    "explore",
    "feed",
    "guest",
    "help",
    "here",
    "home",
    "hostmaster",
    "info",
    "legal",
    "live",
    "login",
    "logout",
    "mail",
    "me",
    "mod",
    "moderator",
    "moderators",
    "mods",
    "nobody",
    "noreply",
    "nova",
    "null",
    "official",
    "oauth",
    "operator",
    "owner",
    "police",
    "postmaster",
    "press",
    "privacy",
    "register",
    "reels",
    "root",
    "search",
    "security",
    "server",
    "settings",
    "signin",
    "signup",
    "site",
    "staff",
    "status",
    "stories",
    "streams",
    "studio",
    "suggestions",
    "support",
    "system",
    "team",
    "terms",
    "trending",
    "undefined",
    "upload",
    "uploads",
    "user",
    "users",
    "verified",
    "verify",
    "videos",
    "vod",
    "watch",
    "webmaster",
    "www",
];

/// `name` as it is compared: lower case.
pub(crate) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// True for text that may be somebody's name as it is written.
pub(crate) fn is_well_formed(name: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The folded form of `name`, when a person may have it.
pub(crate) fn check(name: &str) -> Result<String, ClaimError> {
    if !is_well_formed(name) {
        return Err(ClaimError::Malformed);
    }
    let folded = fold(name);
    // `_admin_` and `a_d_m_i_n` are read as `admin`.
    let bare = folded.replace('_', "");
    if RESERVED.contains(&bare.as_str()) {
        return Err(ClaimError::Reserved);
    }
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_letters_digits_and_underscores_after_a_letter() {
        for good in ["abc", "Abc", "a_1", "abcdefghijklmnopqrstuvwxyz_123"] {
            assert_eq!(check(good).unwrap(), good.to_lowercase());
        }
        for bad in [
            "",
            "ab",
            "1ab",
            "_ab",
            "a-b",
            "a b c",
            "abc\0",
            "аbс",
            "ａbc",
            "abcdefghijklmnopqrstuvwxyz_1234",
            "a.b.c",
            "ſab",
        ] {
            assert!(matches!(check(bad), Err(ClaimError::Malformed)), "{bad}");
        }
    }

    #[test]
    fn a_name_that_speaks_for_the_server_is_nobodys() {
        for reserved in ["admin", "Admin", "ad_min", "admin__", "suggestions", "Support"] {
            assert!(matches!(check(reserved), Err(ClaimError::Reserved)), "{reserved}");
        }
        assert!(check("administrata").is_ok());
    }

    #[test]
    fn reserved_names_are_written_as_they_are_compared() {
        assert!(RESERVED.iter().all(|name| !name.contains('_') && fold(name) == *name));
    }
}
