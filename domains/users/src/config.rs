use serde::Deserialize;

/// `[domains.users]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Days between two changes of a person's name.
    pub rename_days: u32,
    /// Days for which a name that was given up is nobody else's. Until somebody takes it afterwards, it leads to its former owner.
    pub name_kept_days: u32,
    /// Most people one person follows: past it, following is a tool of spam.
    pub most_following: u32,
    /// Minutes for which a report is a moderator's own after claiming it.
    pub claim_minutes: u32,
    /// Days for which a decision can be appealed.
    pub appeal_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rename_days: 14,
            name_kept_days: 30,
            most_following: 7500,
            claim_minutes: 15,
            // Six months: Regulation (EU) 2022/2065, article 20(1).
            appeal_days: 183,
        }
    }
}

/// Microseconds of `days`.
pub(crate) const fn days(days: u32) -> i64 {
    days as i64 * 86_400_000_000
}

/// Microseconds of `minutes`.
pub(crate) const fn minutes(minutes: u32) -> i64 {
    minutes as i64 * 60_000_000
}
