use std::sync::Arc;
use std::time::Duration;

use nova_core::clock::Clock;
use nova_domain::accounts::{Accounts, Images};
use nova_domain::db::Db;
use nova_domain::http::limit::{Limits, Rule};
use nova_domain::reports::Reportable;

use crate::card::Base;
use crate::config::Config;

const HOUR: Duration = Duration::from_secs(3600);

/// Follows and requests of one account.
pub(crate) const FOLLOW: Rule = Rule::new("users.follow", 60, 60, HOUR);
/// Blocks, mutes, and what a person decides about their own followers.
pub(crate) const RELATE: Rule = Rule::new("users.relate", 120, 240, HOUR);
/// Changes of a profile and of settings.
pub(crate) const EDIT: Rule = Rule::new("users.edit", 30, 60, HOUR);
/// Reports of one account.
pub(crate) const REPORT: Rule = Rule::new("users.report", 10, 20, HOUR);
/// Appeals of one account.
pub(crate) const APPEAL: Rule = Rule::new("users.appeal", 5, 5, HOUR);
/// Reads that cost more than a row: lists of people, suggestions, batches.
pub(crate) const LIST: Rule = Rule::new("users.list", 300, 3600, HOUR);

/// What the handlers of this domain share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) base: Base,
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) images: Arc<dyn Images>,
    pub(crate) reportables: Arc<[Arc<dyn Reportable>]>,
    pub(crate) config: Config,
}
