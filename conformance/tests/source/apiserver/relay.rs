//! A relay between the agent and the real API server that records requests and answers, line by line.
//!
//! ```text
//!   ! the operator's next action
//!   > the request of the agent
//!   < the status of the answer
//!   {a line of its body}
//!   = end, or = cut where the connection broke
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use podlan_conformance::lab::{Error, Node};
use serde_json::Value;

use super::server::{block_on, client};

/// A relay that lives as long as the lab.
pub(super) struct Relay {
    address: SocketAddr,
    record: Record,
}

#[derive(Clone)]
struct Record(Arc<Mutex<File>>);

impl Record {
    fn line(&self, mark: &str, text: &str) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{mark}{text}").expect("the record can be written");
    }
}

impl Relay {
    /// Listens on the loopback of `node`, and sends requests to the server with `access`. The recording goes to `path`.
    pub(super) fn start(node: &Node, access: &Value, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::System { doing: "start the relay".into(), source };
        let record = Record(Arc::new(Mutex::new(File::create(path).map_err(failed)?)));
        let shared = record.clone();
        let access = access.clone();
        let listening = node.place().enter(|| -> std::io::Result<SocketAddr> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            thread::spawn(move || {
                for agent in listener.incoming().flatten() {
                    let (record, access) = (shared.clone(), access.clone());
                    // The agent notices a failure by the end of its connection.
                    thread::spawn(move || block_on(relay(agent, access, &record)).unwrap_or_default());
                }
            });
            Ok(address)
        })?;
        Ok(Self { address: listening.map_err(failed)?, record })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Records the operator's next action.
    pub(super) fn mark(&self, step: &str) {
        self.record.line("! ", step);
    }
}

/// The path of the next request, without its headers; `None` when there is none.
pub(super) fn next_request(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut request = String::new();
    if reader.read_line(&mut request)? == 0 {
        return Ok(None);
    }
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    Ok(Some(request.trim_end().trim_end_matches(" HTTP/1.1").to_owned()))
}

/// The beginning of an answer whose body follows in chunks.
pub(super) fn begin(agent: &mut TcpStream, status: &str) -> std::io::Result<()> {
    write!(agent, "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
}

pub(super) fn chunk(agent: &mut TcpStream, line: &str) -> std::io::Result<()> {
    write!(agent, "{:x}\r\n{line}\n\r\n", line.len() + 1)
}

pub(super) fn end(agent: &mut TcpStream) -> std::io::Result<()> {
    write!(agent, "0\r\n\r\n")
}

async fn relay(mut agent: TcpStream, access: Value, record: &Record) -> std::io::Result<()> {
    let server = client(access).await.map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(agent.try_clone()?);
    while let Some(asked) = next_request(&mut reader)? {
        let path = asked.trim_start_matches("GET ");
        let request = Request::builder().uri(path).body(Body::empty()).map_err(std::io::Error::other)?;
        // A server that is away sends nothing.
        let answer = server.send(request).await.map_err(std::io::Error::other)?;
        record.line("> ", &asked);
        let status = answer.status().as_str().to_owned();
        record.line("< ", &status);
        begin(&mut agent, &status)?;
        let mut body = answer.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                record.line("= ", "cut");
                return Ok(());
            };
            rest.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..length]).into_owned();
                rest.drain(..=length);
                record.line("", &line);
                chunk(&mut agent, &line)?;
            }
        }
        if !rest.is_empty() {
            let line = String::from_utf8_lossy(&rest).into_owned();
            record.line("", &line);
            chunk(&mut agent, &line)?;
        }
        record.line("= ", "end");
        end(&mut agent)?;
    }
    Ok(())
}
