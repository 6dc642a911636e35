//! CMAF track files (ISO/IEC 23000-19 on ISO/IEC 14496-12): one track each, a header and then chunks of `moof` and `mdat`.

mod boxes;
pub mod fragment;
pub mod init;
pub mod read;
