//! What a worker cannot do once it has closed itself off, whatever a file makes of its decoders.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use nova_transcode::{confined, probe};

use crate::rig::{settings, worker};

#[tokio::test]
async fn a_worker_opens_no_file_of_the_user_reaches_nobody_and_runs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, new) = (dir.path().join("secret"), dir.path().join("new"));
    std::fs::write(&secret, "a key").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("nova-test-{}", std::process::id());
    let unix = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    unix.set_nonblocking(true).unwrap();
    let forbidden = [
        format!("read:{}", secret.display()),
        format!("write:{}", secret.display()),
        format!("write:{}", new.display()),
        format!("read:/proc/{}/environ", std::process::id()),
        "read:/etc/passwd".to_owned(),
        format!("tcp:{}", tcp.local_addr().unwrap()),
        format!("udp:{}", udp.local_addr().unwrap()),
        format!("unix:{name}"),
        "run:/bin/true".to_owned(),
    ];
    // That an attempt can succeed is seen by what has to stay open.
    let targets = [&forbidden[..], &["read:/usr/lib".to_owned()]].concat();
    let attempts = confined(&settings(&worker(dir.path(), "")), &targets).await.unwrap();
    let (open, refused): (Vec<_>, Vec<_>) = attempts.into_iter().partition(|attempt| !attempt.refused);
    let of = |attempts: Vec<nova_transcode::Attempt>| -> Vec<String> {
        attempts.into_iter().map(|attempt| attempt.target).collect()
    };
    assert_eq!(of(open), ["read:/usr/lib"]);
    assert_eq!(of(refused), forbidden);
    assert_eq!(tcp.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(udp.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(unix.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(std::fs::read(&secret).unwrap(), b"a key");
    assert!(!new.exists());
}

/// Playlists, session descriptions and the like name other files and addresses; GStreamer would open them.
#[tokio::test]
async fn a_file_that_names_others_reaches_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let film = crate::rig::pictures(dir.path(), 2, 30);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let playlist = |uri: String| {
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{uri}\n#EXT-X-ENDLIST\n")
    };
    let files = [
        ("local.m3u8", playlist(format!("file://{}", film.file.display()))),
        ("remote.m3u8", playlist(format!("http://{address}/segment.ts"))),
        (
            "remote.mpd",
            format!(
                "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT2S\" \
                 profiles=\"urn:mpeg:dash:profile:isoff-on-demand:2011\"><BaseURL>http://{address}/</BaseURL><Period><AdaptationSet \
                 mimeType=\"video/mp4\"><Representation id=\"a\" bandwidth=\"1\" codecs=\"avc1.42c01e\"><SegmentList duration=\"2\">\
                 <SegmentURL media=\"segment.m4s\"/></SegmentList></Representation></AdaptationSet></Period></MPD>"
            ),
        ),
        (
            "session.sdp",
            format!(
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video {} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
                address.port()
            ),
        ),
    ];
    for (name, text) in files {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let looked = probe(&settings(&worker(dir.path(), "")), &file).await;
        assert!(looked.is_err(), "{name}: {looked:?}");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
