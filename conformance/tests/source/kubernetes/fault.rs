//! The faults of a server: what it sends in the place of an answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How a server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Ends the connection in the middle of a node.
    Cut,
    /// Sends bytes that are no HTTP.
    Garbage,
    /// Sends 64 MiB that are no list, in one piece.
    Flood,
    /// Sends a list with a node of 64 MiB.
    HugeNode,
    /// Answers with an error status of its own.
    Status(u16),
    /// Sends nothing, not even the head of an answer.
    Silence,
    /// Sends half a node, and nothing after it.
    SilenceInNode,
}

/// More than any node or list has.
const MUCH: usize = 64 << 20;

const HALF: &str = "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[{\"metadata\":{\"name\":\"node";
const HALF_AN_EVENT: &str = "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Node\",\"metadata\":{\"name\":\"node";

impl Fault {
    /// Answers one request with the fault; the connection is useless afterwards.
    pub(super) fn answer(self, stream: &mut TcpStream, watches: bool) -> std::io::Result<()> {
        let half = if watches { HALF_AN_EVENT } else { HALF };
        match self {
            Self::Cut => {
                head(stream)?;
                piece(stream, half.as_bytes())
            }
            Self::Garbage => stream.write_all(&[0x7f, 0, 0xff, b'\r', b'\n'].repeat(1000)),
            Self::Flood => {
                head(stream)?;
                (0..MUCH / (1 << 16)).try_for_each(|_| piece(stream, &[b'['; 1 << 16]))
            }
            Self::HugeNode => {
                head(stream)?;
                piece(stream, format!("{half}2\",\"annotations\":{{\"a\":\"").as_bytes())?;
                (0..MUCH / (1 << 16)).try_for_each(|_| piece(stream, &[b'a'; 1 << 16]))
            }
            Self::Status(code) => {
                let body = format!(
                    "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"no luck today\",\"reason\":\"Unlucky\",\"code\":{code}}}"
                );
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {code} Unlucky\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )
            }
            Self::Silence => wait_for_the_end(stream),
            Self::SilenceInNode => {
                head(stream)?;
                piece(stream, half.as_bytes())?;
                wait_for_the_end(stream)
            }
        }
    }
}

fn head(stream: &mut TcpStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
}

fn piece(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n", bytes.len())?;
    stream.write_all(bytes)?;
    stream.write_all(b"\r\n")
}

/// Sends nothing until the other side closes the connection.
fn wait_for_the_end(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(600)))?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}
