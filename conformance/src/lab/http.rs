//! HTTP requests from a node or a pod, as an operator's curl makes them. The meaning of the answers is the caller's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Place, patient};

/// The deadline of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Place {
    /// Requests `path` from the server at `at`. Returns the whole answer, its head included.
    ///
    /// # Errors
    /// As a text, for polls: the place cannot be entered, nothing listens, or the answer does not end in ten seconds.
    pub fn http_get(&self, at: SocketAddr, path: &str) -> Result<String, String> {
        let asked = self.enter(|| {
            let mut stream = TcpStream::connect(at)?;
            stream.set_read_timeout(Some(patient(PATIENCE)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            let mut said = String::new();
            stream.read_to_string(&mut said).map(|_| said)
        });
        asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}
