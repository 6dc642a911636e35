//! HTTP connections that are no use to anybody: silent ones, and more of them than one address may have.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::server::{Server, until};

/// A connection whose reads fail instead of hanging the test.
fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.http).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    stream
}

/// What the server sends until it closes the connection, which it must.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("still open: {error}; heard {:?}", String::from_utf8_lossy(&heard)),
    }
    heard
}

/// Asks something that has an answer without a body, so that the next one starts where this one ends.
fn answered(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    let asked = stream.write_all(b"HEAD /healthz HTTP/1.1\r\nhost: nova\r\n\r\n");
    while asked.is_ok() && !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    head.starts_with(b"HTTP/1.1 200 ")
}

#[test]
fn a_connection_that_never_says_anything_is_closed() {
    let server = Server::start(&[("NOVA_HTTP__HEADER_TIMEOUT_MS", "1000")]);
    let mut speaking = connect(&server);
    assert!(answered(&mut speaking));
    let mut silent = connect(&server);
    let mut hesitating = connect(&server);
    hesitating.write_all(b"GET / HTTP/1.1\r\nhost: no").expect("sent");
    assert_eq!(until_closed(&mut silent), b"", "nothing was asked, nothing is answered");
    // Whatever it is told, it is let go of as well.
    until_closed(&mut hesitating);
    server.get("/healthz").ok();
}

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let server = Server::start(&[("NOVA_HTTP__MAX_CONNECTIONS_PER_IP", "3")]);
    let mut open: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for stream in &mut open {
        assert!(answered(stream));
    }
    assert_eq!(until_closed(&mut connect(&server)), b"");
    assert_eq!(server.metric("nova_http_refused_total", "limit_per_ip"), 1.0);
    assert!(open.iter_mut().all(answered), "who was there first goes on");
    open.pop();
    // The server hears of it a moment later.
    until("a place to be given back", 10, || {
        answered(&mut connect(&server)).then_some(())
    });
}
