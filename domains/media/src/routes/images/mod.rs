//! Pictures that people upload.

pub(super) mod create;
pub(super) mod delete;
mod file;
pub(super) mod list;
pub(super) mod show;
mod shown;
