//! Which passwords are taken: NIST SP 800-63B-4 section 3.1.1, OWASP ASVS 5.0 6.2.1 to 6.2.12.
//!
//! A password comes in as typed and goes out as [`Normalized`], the only form that [`crate::hash`] takes, or as the fact that it is
//! refused for. There are no composition rules, no change by calendar and no truncation; paste, spaces and any script are welcome.
//! Breached sets larger than the built-in list are not looked up here.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zxcvbn::zxcvbn;

/// Fewest characters when the password is the only factor (SP 800-63B-4 3.1.1.2).
pub const MIN_ALONE: usize = 15;
/// Fewest characters when a second factor is asked for as well.
pub const MIN_WITH_SECOND_FACTOR: usize = 8;
/// Most characters. At least 64 must be taken; the bound only keeps a request from costing without limit.
pub const MAX: usize = 1024;

/// Passwords that an attacker who knows the usual lists and habits finds within this many attempts are refused.
///
/// It is a blocklist's reach, not a strength demand: the 30,000 most common passwords, their usual spellings (`p@ssw0rd`), repetitions,
/// keyboard rows and sequences lie below it; anything chosen at random or made of unrelated words lies far above.
const MIN_GUESSES: u64 = 1_000_000;

/// Context words shorter than this say nothing about a password that contains them.
const MIN_CONTEXT_WORD: usize = 3;

/// A password in the form it is hashed in: Unicode NFKC (SP 800-63B-4 3.1.1.2; UAX 15).
///
/// The same characters typed on two systems give the same bytes. The rule belongs to [`crate::hash::Scheme::Argon2id`]; a different rule
/// needs a new scheme. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Normalized(String);

impl Normalized {
    /// What was typed, normalised and otherwise unjudged: for checking a password that was chosen before. Above [`MAX`] characters it is
    /// no password of anybody's, which is `None`.
    pub fn for_check(typed: &str) -> Option<Self> {
        (typed.chars().nth(MAX).is_none()).then(|| Self::new(typed))
    }

    fn new(typed: &str) -> Self {
        Self(typed.nfkc().collect())
    }

    /// The bytes to hash.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Normalized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Normalized(..)")
    }
}

/// What else is known of the account, because a password made of it is guessed first (ASVS 6.2.11).
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The name of the site.
    pub site: &'a str,
    /// The user's name.
    pub username: &'a str,
    /// The user's address; only what stands before the `@` counts.
    pub email: &'a str,
    /// A second factor is required for this account, at every login.
    pub second_factor: bool,
}

impl<'a> Context<'a> {
    fn words(&self) -> impl Iterator<Item = &'a str> {
        let local = self.email.split('@').next().unwrap_or_default();
        [self.site, self.username, local]
            .into_iter()
            .filter(|word| word.chars().count() >= MIN_CONTEXT_WORD)
    }
}

/// Why a password is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Fewer characters than it takes.
    #[error("the password has {length} characters, it takes {min}")]
    TooShort {
        /// Unicode code points it has.
        length: usize,
        /// Code points it takes for this account.
        min: usize,
    },
    /// More characters than are read.
    #[error("the password has more than {max} characters")]
    TooLong {
        /// Code points that are read.
        max: usize,
    },
    /// A NUL, which some keyboards cannot type and some stores cut at.
    #[error("the password contains a NUL character")]
    Nul,
    /// Among the passwords that are tried first.
    #[error("the password is among the first {guesses} that an attacker tries")]
    Common {
        /// Attempts it stands, by the estimate that refused it.
        guesses: u64,
    },
    /// Little more than a word that everybody knows of this account.
    #[error("the password is little more than {word:?}")]
    ContextWord {
        /// The site's name, the user's name, or the local part of the address.
        word: String,
    },
}

/// Judges a password that somebody wants to have from now on.
pub fn check(typed: &str, context: &Context<'_>) -> Result<Normalized, Refused> {
    if typed.chars().nth(MAX).is_some() {
        return Err(Refused::TooLong { max: MAX });
    }
    if typed.contains('\0') {
        return Err(Refused::Nul);
    }
    let password = Normalized::new(typed);
    let min = if context.second_factor {
        MIN_WITH_SECOND_FACTOR
    } else {
        MIN_ALONE
    };
    // NFKC turns some single characters into many (U+FDFA into 18); they are still one choice.
    let length = typed.chars().count().min(password.0.chars().count());
    if length < min {
        return Err(Refused::TooShort { length, min });
    }
    let folded = password.0.to_lowercase();
    for word in context.words() {
        let word: String = word.nfkc().collect::<String>().to_lowercase();
        let rest = folded.replace(&word, "");
        if rest.len() != folded.len() && rest.chars().count() < MIN_WITH_SECOND_FACTOR {
            return Err(Refused::ContextWord { word });
        }
    }
    let guesses = guesses(&password, context);
    if guesses < MIN_GUESSES {
        return Err(Refused::Common { guesses });
    }
    Ok(password)
}

/// How good a password is, 0 (among the first guesses) to 4 (not to be guessed), for a meter beside the field. It decides nothing.
pub fn strength(typed: &str, context: &Context<'_>) -> u8 {
    // Each step of zxcvbn's score is a bound on the number of guesses: 10^3, 10^6, 10^8, 10^10.
    let start: String = typed.chars().take(MAX).collect();
    let guesses = guesses(&Normalized::new(&start), context);
    [1_000, 1_000_000, 100_000_000, 10_000_000_000]
        .into_iter()
        .map(|bound: u64| u8::from(guesses >= bound))
        .sum()
}

/// Characters that are judged at a time. The estimate's cost grows faster than its input; this many are enough to judge by.
const JUDGED: usize = 40;

fn guesses(password: &Normalized, context: &Context<'_>) -> u64 {
    let words: Vec<&str> = context.words().collect();
    let characters = password.0.chars().count();
    let start: String = password.0.chars().take(JUDGED).collect();
    let guesses = zxcvbn(&start, &words).guesses();
    // A long password is at least as hard as either of its ends.
    if guesses >= MIN_GUESSES || characters <= JUDGED {
        return guesses;
    }
    let end: String = password.0.chars().skip(characters - JUDGED).collect();
    guesses.max(zxcvbn(&end, &words).guesses())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Context<'_> = Context {
        site: "Nova",
        username: "alice_streams",
        email: "alice.liddell@example.org",
        second_factor: false,
    };
    const ALICE_WITH_APP: Context<'_> = Context {
        second_factor: true,
        ..ALICE
    };

    /// Letters that follow no pattern.
    fn letters(count: usize) -> String {
        let letter = |i: usize| char::from(b'a' + u8::try_from((i * i * 31 + i * 7 + i / 5) % 26).unwrap());
        (0..count).map(letter).collect()
    }

    #[test]
    fn passwords_are_taken_and_refused_as_nist_says() {
        let short = |length, min| Err(Refused::TooShort { length, min });
        let word = |word: &str| Err(Refused::ContextWord { word: word.to_owned() });
        let table: &[(&str, &Context<'_>, Result<(), Refused>)] = &[
            (&letters(14), &ALICE, short(14, 15)),
            (&letters(15), &ALICE, Ok(())),
            (&letters(64), &ALICE, Ok(())),
            (&letters(1000), &ALICE, Ok(())),
            (&letters(1024), &ALICE, Ok(())),
            (&letters(1025), &ALICE, Err(Refused::TooLong { max: 1024 })),
            (&letters(7), &ALICE_WITH_APP, short(7, 8)),
            (&letters(8), &ALICE_WITH_APP, Ok(())),
            ("", &ALICE, short(0, 15)),
            // No composition rules: one kind of character is enough, spaces and every script count.
            ("correct horse battery staple", &ALICE, Ok(())),
            ("ゆきのよるにひとりあるくねこ三匹", &ALICE, Ok(())),
            ("🦊🌊🎻🪐🧊🍋🦉🎲🧵🐙🏔🥁🛶🌵🪁", &ALICE, Ok(())),
            ("🦊🌊🎻🪐🧊🍋🦉🎲🧵🐙🏔🥁🛶🌵", &ALICE, short(14, 15)),
            // One character that normalisation turns into eighteen is one character.
            ("\u{FDFA}", &ALICE, short(1, 15)),
            ("quick\0brown foxes jump", &ALICE, Err(Refused::Nul)),
            ("alice_streams", &ALICE_WITH_APP, word("alice_streams")),
            ("ALICE_STREAMS2026", &ALICE, word("alice_streams")),
            ("1alice.liddell1", &ALICE, word("alice.liddell")),
            ("novanovanovanova", &ALICE, word("nova")),
            ("supernova over quiet fjords", &ALICE, Ok(())),
        ];
        for (password, context, expected) in table {
            let got = check(password, context).map(|_| ());
            assert_eq!(got, *expected, "{password:?}");
        }
    }

    #[test]
    fn the_four_thousand_most_common_passwords_are_refused() {
        let list = include_str!("../testdata/common-passwords.txt");
        assert!(list.lines().count() >= 3000);
        for password in list.lines() {
            let context = Context {
                second_factor: true,
                ..Context::default()
            };
            let got = check(password, &context);
            assert!(matches!(got, Err(Refused::Common { .. })), "{password}: {got:?}");
        }
    }

    #[test]
    fn length_does_not_save_a_pattern() {
        for password in [
            "passwordpassword",
            "passwordpasswordpassword",
            "aaaaaaaaaaaaaaaaaaaa",
            "123456789012345",
            "abcdefghijklmnop",
            "P@ssw0rdP@ssw0rd",
            "abcabcabcabcabcabc",
            "qwertyuiopqwertyuiop",
            &"password".repeat(100),
        ] {
            let got = check(password, &ALICE);
            assert!(matches!(got, Err(Refused::Common { .. })), "{password}: {got:?}");
        }
    }

    #[test]
    fn a_weak_beginning_is_made_good_by_the_rest() {
        assert!(check(&format!("{}{}", "password".repeat(10), letters(40)), &ALICE).is_ok());
    }

    #[test]
    fn the_same_password_typed_on_two_systems_is_the_same_password() {
        // Composed and decomposed letters, full-width forms and the ideographic space of an input method.
        let composed = check("cr\u{e8}me br\u{fb}l\u{e9}e at noon", &ALICE).unwrap();
        let decomposed = check("cre\u{300}me bru\u{302}le\u{301}e at noon", &ALICE).unwrap();
        assert_eq!(composed, decomposed);
        let wide = check("ｃｒèｍｅ　brûlée at noon", &ALICE).unwrap();
        assert_eq!(wide, composed);
        assert_eq!(
            Normalized::for_check("cr\u{e8}me br\u{fb}l\u{e9}e at noon"),
            Some(composed)
        );
    }

    #[test]
    fn case_is_kept_and_nothing_is_cut_off() {
        let long = letters(1000);
        let password = check(&long, &ALICE).unwrap();
        assert_eq!(password.as_bytes(), long.as_bytes());
        let upper = Normalized::for_check(&long.to_uppercase()).unwrap();
        assert_ne!(upper, password);
        assert_eq!(Normalized::for_check(&letters(1025)), None);
    }

    #[test]
    fn the_meter_climbs_from_common_to_random() {
        assert_eq!(strength("password", &ALICE), 0);
        assert_eq!(strength("alice_streams", &ALICE), 0);
        assert_eq!(strength("zbwhq ftkxm pdjvr", &ALICE), 4);
    }

    #[test]
    fn a_password_is_never_printed() {
        let password = check("correct horse battery staple", &ALICE).unwrap();
        assert_eq!(format!("{password:?}"), "Normalized(..)");
    }
}
