//! The worker of [`nova_transcode`]: decodes, scales and encodes what it is sent. The only program of Nova that is linked to GStreamer.
//!
//! `nova-transcode work` is started by the server with a socket as its standard input and speaks [`wire`](nova_transcode::wire);
//! `nova-transcode probe` prints what this machine can decode and encode, a line of JSON each. Both take the niceness and the memory limit
//! in MiB as further arguments.
//!
//! It trusts nothing it gets: it runs with less priority, bounded memory, no privileges to gain, a file system that it can only
//! read, and no network. When something fails it says why and ends; the server starts another.

mod avc;
mod elements;
mod gate;
mod ladder;
mod peer;
mod probe;
mod rate;
mod sandbox;
mod source;
mod still;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(0);
    let task = arguments.first().map_or("", String::as_str);
    sandbox::limit(number(1), number(2).unsigned_abs());
    match task {
        "work" => {
            let socket = peer::socket().context("standard input is not the server's socket")?;
            gstreamer::init().context("GStreamer")?;
            sandbox::confine();
            peer::serve(socket)
        }
        "probe" => {
            gstreamer::init().context("GStreamer")?;
            sandbox::confine();
            probe::print()
        }
        _ => anyhow::bail!("usage: nova-transcode work|probe [NICE [MEMORY_MIB]]; the server starts it"),
    }
}
