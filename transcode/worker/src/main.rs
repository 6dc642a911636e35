//! The worker of [`nova_transcode`]: decodes, scales and encodes what it is sent. The only program of Nova that is linked to GStreamer.
//!
//! `nova-transcode work` is started by the server with a socket as its standard input and speaks [`wire`](nova_transcode::wire);
//! `nova-transcode probe` prints what this machine can decode and encode, a line of JSON each; `nova-transcode inspect` what a file is,
//! `nova-transcode pictures` writes JPEGs of it, `nova-transcode confined` says what it cannot do here. All
//! take the niceness and the memory limit in MiB as further arguments, and then the one file that they may read.
//!
//! It trusts nothing it gets: it runs with less priority, bounded memory, no privileges to gain, of the file system only libraries and that
//! one file, no network, and no other programs. When something fails it says why and ends; the server starts another.

mod avc;
mod elements;
mod gate;
mod inspect;
mod ladder;
mod peer;
mod probe;
mod rate;
mod sandbox;
mod source;
mod still;
mod storyboard;

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
            sandbox::confine(arguments.get(3));
            peer::serve(socket)
        }
        "probe" => {
            gstreamer::init().context("GStreamer")?;
            sandbox::confine(None);
            probe::print()
        }
        "inspect" => {
            let path = arguments.get(3).context("no file")?;
            gstreamer::init().context("GStreamer")?;
            sandbox::confine(Some(path));
            inspect::print(path)
        }
        "pictures" => {
            let path = arguments.get(3).context("no file")?;
            gstreamer::init().context("GStreamer")?;
            sandbox::confine(Some(path));
            let times = arguments.get(7).context("no times")?;
            storyboard::print(path, &arguments[4..7], times)
        }
        "confined" => {
            gstreamer::init().context("GStreamer")?;
            sandbox::confine(None);
            sandbox::print(arguments.get(3..).unwrap_or_default())
        }
        _ => anyhow::bail!(
            "usage: nova-transcode work|probe|inspect|pictures|confined [NICE [MEMORY_MIB [FILE]]]; the server starts it"
        ),
    }
}
