//! The stores against a real S3 server in this process (s3s-fs), which verifies signatures and can be made to fail.
//! CloudFront against ministack, with faults before it.

mod bucket;
mod invalidation;
mod outage;
mod path_token;
mod signing;
