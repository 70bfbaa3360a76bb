//! Two nodes with agents and pods, the output of `podlan-node trace`, and the damages of the first node.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use netlink::{Request, Socket};
use podlan_conformance::lab::{Command, Error, Node, Output, Place, Pod, binaries, eventually, skip};
use serde_json::Value;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The port of the servers that report the client's address.
const PORT: u16 = 7779;

/// The output of one run.
pub(crate) struct Said {
    pub(crate) json: Value,
    output: Output,
}

pub(crate) fn trace(node: &Node, arguments: &[&str]) -> Result<Command, Error> {
    Ok(node.command(binaries::find("podlan-node")?).arg("trace").args(arguments))
}

/// Traces; the exit code must match the output.
pub(crate) fn said(node: &Node, one: &str, other: &str) -> Result<Said, Error> {
    let output = trace(node, &[one, other, "--json"])?.run()?;
    let json: Value = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    let said = Said { json, output };
    let code = said.output.status.and_then(|status| status.code());
    let fits = match (said.red().is_empty(), &said.json["ok"]) {
        (false, ok) => code == Some(1) && *ok == false,
        (true, ok) => *ok == true && code == Some(0) || *ok == false && code == Some(2),
    };
    if fits { Ok(said) } else { Err(said.output.but("exit code, verdict and hops should fit")) }
}

impl Said {
    /// The hops of the first family: `there` or `back`, and their place.
    fn hops(&self) -> Vec<(String, Value)> {
        let mut hops = Vec::new();
        for (leg, word) in ["there", "back"].into_iter().enumerate() {
            for hop in self.json["ways"][0]["legs"][leg]["hops"].as_array().into_iter().flatten() {
                hops.push((format!("{word} {}", hop["place"].as_str().unwrap_or_default()), hop.clone()));
            }
        }
        hops
    }

    pub(crate) fn places(&self) -> Vec<String> {
        self.hops().into_iter().map(|(place, _)| place).collect()
    }

    /// One hop; of several at one kind of place, the one with this number.
    pub(crate) fn hop(&self, place: &str, number: usize) -> Value {
        self.hops().into_iter().filter(|(at, _)| at == place).nth(number).map_or(Value::Null, |(_, hop)| hop)
    }

    /// The hops that are wrong.
    pub(crate) fn red(&self) -> Vec<String> {
        self.hops().into_iter().filter(|(_, hop)| hop["state"] == "wrong").map(|(place, _)| place).collect()
    }

    /// Whether everything that this node can judge is ok.
    pub(crate) fn is_well(&self) -> bool {
        let fine = |hop: &Value| hop["state"] == "ok" || hop["state"] == "elsewhere";
        self.json["ok"] == true && !self.hops().is_empty() && self.hops().iter().all(|(_, hop)| fine(hop))
    }
}

/// Waits until everything between two pods is ok.
pub(crate) fn is_well(node: &Node, one: IpAddr, other: IpAddr) -> Result<Said, Error> {
    eventually(SOON, &format!("everything is ok between {one} and {other}"), || {
        let said = said(node, &one.to_string(), &other.to_string()).map_err(|error| error.to_string())?;
        if said.is_well() { Ok(said) } else { Err(said.json.to_string()) }
    })
}

/// Waits until exactly these hops are red; the text output has these words.
pub(crate) fn is_red(node: &Node, ends: [IpAddr; 2], hops: &[&str], words: &[&str]) -> Result<(), Error> {
    let [one, other] = ends.map(|end| end.to_string());
    eventually(SOON, &format!("{hops:?} are red"), || {
        let said = said(node, &one, &other).map_err(|error| error.to_string())?;
        if said.red() == hops { Ok(()) } else { Err(format!("{:?}: {}", said.red(), said.json)) }
    })?;
    let text = trace(node, &[&one, &other])?.fails()?.stdout;
    for word in words.iter().chain(&["WRONG", "wrong: ", "why: ", "fix: ", "hops that are wrong: "]) {
        assert!(text.contains(word), "{word:?} is missing in\n{text}");
    }
    Ok(())
}

/// The source address that one end sees when the other sends a datagram with its own address.
pub(crate) fn seen(from: &Pod<'_>, own: IpAddr, to: &Pod<'_>, at: IpAddr) -> Result<Option<IpAddr>, Error> {
    receive(from, own, to, at, Duration::from_secs(2))
}

/// Whether no datagram arrives.
pub(crate) fn is_cut(from: &Pod<'_>, own: IpAddr, to: &Pod<'_>, at: IpAddr) -> Result<bool, Error> {
    Ok(receive(from, own, to, at, Duration::from_millis(200))?.is_none())
}

fn receive(from: &Pod<'_>, own: IpAddr, to: &Pod<'_>, at: IpAddr, wait: Duration) -> Result<Option<IpAddr>, Error> {
    let receiver = io("listen", to.place().enter(|| UdpSocket::bind(SocketAddr::new(at, PORT)))?)?;
    io("set a deadline", receiver.set_read_timeout(Some(wait)))?;
    let sent = from
        .place()
        .enter(|| UdpSocket::bind(SocketAddr::new(own, 0))?.send_to(b"it is me", SocketAddr::new(at, PORT)))?;
    // A path that the kernel refuses at once counts as none.
    if sent.is_err() {
        return Ok(None);
    }
    Ok(receiver.recv_from(&mut [0; 16]).ok().map(|(_, seen)| seen.ip()))
}

pub(crate) fn io<T>(doing: &str, outcome: std::io::Result<T>) -> Result<T, Error> {
    outcome.map_err(|source| Error::System { doing: doing.to_owned(), source })
}

pub(crate) fn write(node: &Node, path: &str, value: &str) -> Result<(), Error> {
    io(&format!("write {path}"), node.place().enter(|| fs::write(path, value))?)
}

/// Requests a change from the kernel of a place.
pub(crate) fn change(place: &Place, request: impl FnOnce() -> Request + Send) -> Result<(), Error> {
    let done = place.enter(|| -> Result<(), String> {
        let mut socket = Socket::open().map_err(|error| error.to_string())?;
        let verdicts = socket.request(&mut [request()]).map_err(|error| error.to_string())?;
        verdicts.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    })?;
    done.map_err(|said| Error::Unreadable { from: "the kernel".into(), said })
}

/// Runs nft(8); false where there is none.
pub(crate) fn nft(node: &Node, words: &str) -> Result<bool, Error> {
    let Some(nft) = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| Path::new(path).exists())
    else {
        skip("nft is missing (Debian: apt-get install nftables)");
        return Ok(false);
    };
    node.command(nft).args(words.split(' ')).succeeds()?;
    Ok(true)
}
