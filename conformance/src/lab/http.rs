//! Questions over HTTP, as an operator's curl asks them from a node or a pod. Knows nothing of what the answers mean.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Place;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Place {
    /// Asks for `path` of the server at `at`. The whole answer, its head included.
    ///
    /// # Errors
    /// In words, for polls: the place cannot be entered, nobody listens, or the answer does not end in ten seconds.
    pub fn http_get(&self, at: SocketAddr, path: &str) -> Result<String, String> {
        let asked = self.enter(|| {
            let mut stream = TcpStream::connect(at)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
            let mut said = String::new();
            stream.read_to_string(&mut said).map(|_| said)
        });
        asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}
