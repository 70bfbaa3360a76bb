//! What the path probes found, as `node.json` says it: counts by verdict, and the worst peers by name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The paths to the other nodes' pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paths {
    /// Whether paths are probed (`--probe on`).
    pub probed: bool,
    /// The UDP port of the probes.
    pub port: u16,
    /// Why this node does not probe a family, by `ipv4` and `ipv6`; empty where it probes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_probed: BTreeMap<String, String>,
    /// The number of peers by `ipv4` and `ipv6` and by the verdict's word.
    pub counts: BTreeMap<String, BTreeMap<String, usize>>,
    /// The worst paths, at most 20 of each word, the longest lasting first.
    pub worst: Vec<PathLine>,
    /// How long a round over all peers takes, milliseconds.
    pub round_millis: u64,
    /// The median round trip of the open paths, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_rtt_micros: Option<u64>,
}

/// The words of the verdicts at which packets of pods do not pass as they should.
pub const BAD: [&str; 6] = ["lost-there", "lost-back", "lost", "translated", "too-big", "peer-dead"];

/// One path that is not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathLine {
    /// The peer's name.
    pub node: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The verdict's word: `open`, `lost-there`, `lost-back`, `lost`, `translated`, `too-big`, `peer-dead`,
    /// `port-closed-by-peer-firewall`, `no-agent`, `not-probed`.
    pub state: String,
    /// The verdict as a sentence without its end.
    pub text: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// The peer's probe address.
    pub probe: IpAddr,
    /// The peer's node address, where it is probed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The source address at which the peer saw this node's packets, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<IpAddr>,
    /// The last round trip, microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_micros: Option<u64>,
    /// The largest packet that passes, bytes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<u32>,
    /// The size of the packets that should pass, bytes.
    pub mtu: u32,
}
