//! The stores against a real S3 server in this process (s3s-fs), which verifies signatures and can be made to fail.

mod bucket;
mod outage;
mod signing;
