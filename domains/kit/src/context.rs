use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use nova_core::clock::Clock;
use serde::de::DeserializeOwned;

use crate::db::Db;
use crate::http::limit::Limits;
use crate::personal::Personal;

/// What a domain is given to build itself from. Clones share everything.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// How often somebody may do something.
    pub limits: Limits,
    /// Base of absolute URLs in mails and redirects, without a slash at the end.
    pub public_url: String,
    /// What every domain keeps about a person, by the domain's name; set once all domains are built.
    pub personal: Arc<OnceLock<Vec<(&'static str, Personal)>>>,
}

/// The section `[domains.NAME]` of the configuration as a domain's own type. A key the type does not have is an error.
pub fn section<C: DeserializeOwned>(domains: &BTreeMap<String, toml::Table>, name: &str) -> anyhow::Result<C> {
    let mut table = domains.get(name).cloned().unwrap_or_default();
    table.remove("enabled");
    toml::Value::Table(table)
        .try_into()
        .with_context(|| format!("domains.{name}"))
}
