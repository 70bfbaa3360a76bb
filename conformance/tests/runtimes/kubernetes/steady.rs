//! A continuous check: a pod that sends requests to others without end, and its counts, read through the API server.

use std::fmt;

use podlan_conformance::lab::Error;
use serde_json::Value;

use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::objects::{self, PODS};

/// A pod `steady-..` that sends requests.
pub struct Steady {
    name: String,
}

/// Its counts so far.
#[derive(Debug, Clone)]
pub struct Sum {
    pub asked: u64,
    pub carried: u64,
    pub failed: u64,
    pub slowest: u64,
    /// All its failure lines.
    pub failures: Vec<String>,
}

impl Steady {
    /// Starts it on a node, with these servers, and waits until it has sent requests for a while without failure.
    pub fn start(cluster: &Cluster<'_>, node: &str, servers: &[String]) -> Result<Self, Error> {
        let steady = Self { name: format!("steady-{node}") };
        cluster.run(&objects::asking(&steady.name, node, servers))?;
        steady.goes_on(cluster, 100)?;
        Ok(steady)
    }

    /// Waits until it has sent this many more requests.
    pub fn goes_on(&self, cluster: &Cluster<'_>, more: u64) -> Result<Sum, Error> {
        let from = self.sum(cluster).map_or(0, |sum| sum.asked);
        cluster.until(&format!("{} has asked {more} times more", self.name), || {
            let sum = self.sum(cluster).map_err(|error| error.to_string())?;
            if sum.asked >= from + more { Ok(sum) } else { Err(format!("{sum:?}")) }
        })
    }

    /// Ends it.
    pub fn end(self, cluster: &Cluster<'_>) -> Result<(), Error> {
        cluster.delete(&format!("{PODS}/{}", self.name))
    }

    fn sum(&self, cluster: &Cluster<'_>) -> Result<Sum, Error> {
        let said = cluster.kubectl(&["logs", &self.name]).succeeds()?;
        let last = said.lines().rfind(|line| line.starts_with("asked "));
        let unreadable = || Error::Unreadable { from: self.name.clone(), said: said.clone() };
        let numbers: Vec<u64> =
            last.ok_or_else(unreadable)?.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        let [asked, carried, failed, slowest] = numbers[..] else { return Err(unreadable()) };
        let failures = said.lines().filter(|line| line.starts_with("failed ")).map(str::to_owned).collect();
        Ok(Sum { asked, carried, failed, slowest, failures })
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, carried, failed, slowest, failures: _ } = self;
        write!(
            f,
            "asked {asked} times over new connections and {carried} times over held connections, {failed} failed, slowest {slowest} ms"
        )
    }
}

/// `address:port` as a client writes it.
pub fn at(address: &Value, port: u16) -> String {
    let address = address.as_str().unwrap_or_default();
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
