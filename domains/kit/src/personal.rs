//! What a domain keeps about a person: taken along by export, gone with erasure (GDPR articles 15, 17 and 20).
//!
//! Each domain lists its tables with a column that holds a user's id. A test of the whole house reads the schema and fails when a table with
//! such a column is in no list.

use std::sync::Arc;

use nova_core::store::BoxFuture;
use serde_json::Value;

use crate::db::{Db, Tx, UserId};

/// One table, and which of its columns hold users' ids.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns.
    pub columns: &'static [&'static str],
    /// Why rows stay after erasure, when they do: the law, or another person's right.
    pub kept: Option<&'static str>,
}

impl Table {
    /// A table whose rows go with the person.
    pub const fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self {
            name,
            columns,
            kept: None,
        }
    }

    /// A table whose rows stay, for a reason.
    pub const fn kept(name: &'static str, columns: &'static [&'static str], why: &'static str) -> Self {
        Self {
            name,
            columns,
            kept: Some(why),
        }
    }
}

type Export = Arc<dyn Fn(Db, UserId) -> BoxFuture<'static, anyhow::Result<Value>> + Send + Sync>;
type Erase = Arc<dyn for<'a> Fn(&'a mut Tx, UserId) -> BoxFuture<'a, anyhow::Result<()>> + Send + Sync>;

/// What a domain keeps about a person.
#[derive(Clone)]
pub struct Personal {
    /// Every table with a user's id in it.
    pub tables: &'static [Table],
    /// Everything the domain knows about the person, as one JSON object without secrets.
    pub export: Export,
    /// Removes it. Runs in one transaction with the erasure of the account itself.
    pub erase: Erase,
}

impl Personal {
    /// Joins the three.
    pub fn new(
        tables: &'static [Table],
        export: impl Fn(Db, UserId) -> BoxFuture<'static, anyhow::Result<Value>> + Send + Sync + 'static,
        erase: impl for<'a> Fn(&'a mut Tx, UserId) -> BoxFuture<'a, anyhow::Result<()>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            tables,
            export: Arc::new(export),
            erase: Arc::new(erase),
        }
    }
}
