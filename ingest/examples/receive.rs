//! Takes publishers, prints their tracks and frame counts, throws the rest away. With `--record FILE` it also writes the first client's
//! bytes to a file, as `testdata/*.rtmp` were made.
//!
//! `cargo run -p nova-ingest --example receive -- 127.0.0.1:1935 [--record FILE]`

use std::io::Write as _;

use nova_ingest::rtmp::{Config, Output, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:1935".into());
    let record = args.find(|arg| arg == "--record").and_then(|_| args.next());
    let listener = TcpListener::bind(addr).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    match record {
        Some(path) => {
            let (stream, _) = listener.accept().await?;
            take(stream, Some(std::fs::File::create(path)?)).await
        }
        None => loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(take(stream, None));
        },
    }
}

async fn take(mut stream: TcpStream, mut record: Option<std::fs::File>) -> std::io::Result<()> {
    let mut session = Session::new(Config::default(), 1);
    let mut buffer = vec![0; 64 << 10];
    let (mut frames, mut keyframes, mut bytes) = (0_u64, 0_u64, 0_usize);
    loop {
        let count = stream.read(&mut buffer).await?;
        if let Some(file) = &mut record {
            file.write_all(&buffer[..count])?;
        }
        bytes += count;
        if count == 0 {
            break;
        }
        if let Err(error) = session.feed(&buffer[..count]) {
            eprintln!("{error}");
            break;
        }
        while let Some(output) = session.poll() {
            match output {
                Output::Bytes(bytes) => stream.write_all(&bytes).await?,
                Output::Publish(publish) => {
                    eprintln!("publish {publish:?}");
                    session.accept().map_err(std::io::Error::other)?;
                }
                Output::Track(track) => eprintln!(
                    "{} {:?}, {} bytes of config",
                    track.codec_string,
                    track.media,
                    track.config.len()
                ),
                Output::Frame(frame) => {
                    frames += 1;
                    keyframes += u64::from(frame.keyframe);
                }
                Output::Unpublish => eprintln!("unpublish"),
                Output::Close => {}
            }
        }
    }
    eprintln!(
        "{bytes} bytes, {frames} frames, {keyframes} of them keyframes, {} tags dropped",
        session.dropped_tags()
    );
    Ok(())
}
