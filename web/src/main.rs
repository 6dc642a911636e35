//! The `nova` program. See `nova --help`.

use std::process::ExitCode;

use clap::Parser;

mod addresses;
mod admin;
mod archive;
mod cli;
mod clips;
mod doctor;
mod http;
mod library;
mod live;
mod on_air;
mod operator;
mod packaging;
mod pages;
mod picture;
mod pictures;
mod platform;
mod publish;
mod purging;
mod quiet;
mod serve;
mod signing;
#[cfg(target_os = "linux")]
mod socket;
mod still;
mod storage;
mod storyboard;
mod tls;
mod transcoding;
mod vod;

/// Small allocations come and go with every frame; this allocator gives freed pages back sooner than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            eprintln!("nova: {error:#}");
            ExitCode::FAILURE
        }
    }
}
