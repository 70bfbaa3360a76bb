//! What is asked for one attachment: `runtimeConfig`, which must be honoured or refused, and `args.cni`, which may be
//! ignored (CONVENTIONS.md). Malformed capabilities are refused with code 7; nothing in `args` is.

use std::net::IpAddr;

use serde_json::Value;

use super::port_mapping::{self, PortMapping};
use crate::{Code, Dns, Error, Fields, MacAddress, parse_address};

/// Capabilities that only plugins chained after an interface plugin act on.
const FOREIGN: [&str; 1] = ["bandwidth"];

/// `runtimeConfig`. Keys are matched in any case: containerd capitalises them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeConfig {
    /// `ips`: addresses to be given, in order.
    pub ips: Vec<IpAddr>,
    /// `ipRanges`: range sets that come before the configured ones. As given; read by IPAM.
    pub ip_ranges: Option<Vec<Value>>,
    /// `dns`, when it says anything.
    pub dns: Option<Dns>,
    /// `mac`: the address of the pod's end.
    pub mac: Option<MacAddress>,
    /// `portMappings`: ports of the node that lead to the pod.
    pub port_mappings: Vec<PortMapping>,
    /// Capabilities that are given and are meant for chained plugins.
    pub foreign: Vec<&'static str>,
}

/// `args.cni`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniArgs {
    /// `ips`: addresses to be given, in order.
    pub ips: Vec<IpAddr>,
    /// `mac`: the address of the pod's end.
    pub mac: Option<MacAddress>,
}

impl RuntimeConfig {
    pub(super) fn of(config: &Fields<'_>) -> Result<Self, Error> {
        let Some(Value::Object(object)) = config.value("runtimeConfig") else {
            return config.object("runtimeConfig").map(|_| Self::default());
        };
        let fields = Fields::new(object, "runtimeConfig", Code::InvalidConfig);
        Ok(Self {
            ips: ips(&fields)?,
            ip_ranges: fields.list("ipRanges")?.map(<[Value]>::to_vec),
            dns: Dns::from_capability(fields.object("dns")?)?,
            mac: fields.parsed("mac", "MAC address", |text| MacAddress::parse(text).ok())?,
            port_mappings: port_mapping::of(&fields)?,
            foreign: FOREIGN.into_iter().filter(|key| fields.value(key).is_some()).collect(),
        })
    }
}

fn ips(fields: &Fields<'_>) -> Result<Vec<IpAddr>, Error> {
    let read =
        |text: &String| parse_address(text).ok_or_else(|| fields.invalid("ips", format!("invalid IP address {text}")));
    fields.strings("ips")?.unwrap_or_default().iter().map(read).collect()
}

impl CniArgs {
    /// What is understood of it (S-186).
    pub(super) fn of(config: &Fields<'_>) -> Self {
        let Some(args) = config.value("args").and_then(Value::as_object) else { return Self::default() };
        let args = Fields::new(args, "args", Code::Decode);
        let Some(cni) = args.value("cni").and_then(Value::as_object) else { return Self::default() };
        let fields = Fields::new(cni, "args.cni", Code::Decode);
        let list = fields.value("ips").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Self {
            ips: list.iter().filter_map(Value::as_str).filter_map(parse_address).collect(),
            mac: fields.value("mac").and_then(Value::as_str).and_then(|text| MacAddress::parse(text).ok()),
        }
    }
}
