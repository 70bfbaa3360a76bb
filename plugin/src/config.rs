//! The configuration of one call, read once and whole before anything is opened: the plugin's own keys, and the `ipam`
//! section as far as the verb needs it. DEL and GC read leniently ([`addressing_of_removal`]).

use std::net::IpAddr;
use std::path::PathBuf;

use cni::{Code, Error, Fields, MacAddress, Request};
use ipam::{Place, Settings};
use netlink::{MTU, MtuOf};
use serde_json::Value;

use crate::addressing::Addressing;
use crate::delegate::Delegate;

/// The type of the built-in IPAM.
const BUILT_IN: &str = "podlan-ipam";

/// The smallest MTU of an IPv6 link (RFC 8200 section 5).
const MTU_V6: u32 = 1280;

/// What a call is asked for. `P` is what is read of the `ipam` section, see [`Addressing`].
pub(crate) struct Config<'a, P> {
    /// The plugin's own keys.
    pub(crate) keys: Keys,
    /// Who gives addresses.
    pub(crate) addressing: Addressing<'a, P>,
}

/// The plugin's own keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// `mtu`, bytes; `None` inherits the node's ([`netlink::inherited_mtu`]).
    pub(crate) mtu: Option<u32>,
    /// `hostSource`: at most one address of each family.
    pub(crate) host_source: Vec<IpAddr>,
    /// The MAC asked for, if any: runtimeConfig before args.cni before CNI_ARGS.
    pub(crate) mac: Option<MacAddress>,
    /// `agent`: the file in which the node agent writes its state.
    pub(crate) agent: Option<PathBuf>,
}

impl<'a> Config<'a, Settings> {
    /// For ADD and STATUS, which refuse every mistake: error 7 names the key and its value.
    pub(crate) fn whole(request: &'a Request) -> Result<Self, Error> {
        Self::read(request, Settings::from_request)
    }
}

impl<'a> Config<'a, Place> {
    /// For CHECK, which compares with what ADD made, whatever the ranges are by now (E-54).
    pub(crate) fn of_check(request: &'a Request) -> Result<Self, Error> {
        Self::read(request, Place::from_request)
    }
}

impl<'a, P> Config<'a, P> {
    fn read(request: &'a Request, read: fn(&Request) -> Result<P, Error>) -> Result<Self, Error> {
        let fields = Fields::new(&request.config.raw, "", Code::InvalidConfig);
        if !request.config.runtime.port_mappings.is_empty() {
            refuse_portmaps_keys(&fields)?;
        }
        let keys = Keys {
            mtu: mtu_of(&fields)?,
            host_source: host_source(&fields)?,
            mac: request.requested_mac(),
            agent: agent(&fields)?,
        };
        Ok(Self { keys, addressing: addressing(request, read)? })
    }
}

/// By `ipam.type`.
fn addressing<P>(request: &Request, read: fn(&Request) -> Result<P, Error>) -> Result<Addressing<'_, P>, Error> {
    let fields = Fields::new(&request.config.raw, "", Code::InvalidConfig);
    let Some(ipam) = fields.object("ipam")? else {
        return Err(Error::new(Code::InvalidConfig, "IPAM config missing 'ipam' key"));
    };
    match ipam.string("type")? {
        Some(BUILT_IN) => Ok(Addressing::BuiltIn(read(request)?)),
        Some(kind) => Ok(Addressing::Delegate(Delegate::find(kind, request)?)),
        None => Err(ipam.missing("type")),
    }
}

/// For DEL and GC, which must succeed on a configuration that lost its `ipam`: by `ipam.type`, else the built-in IPAM. The
/// plugin's own keys do not matter to them.
pub(crate) fn addressing_of_removal(request: &Request) -> Result<Addressing<'_, Result<Place, Error>>, Error> {
    let read = |request: &Request| Ok(Place::from_request(request));
    match request.config.ipam().and_then(|ipam| ipam.string("type").ok().flatten()) {
        Some(_) => addressing(request, read),
        None => Ok(Addressing::BuiltIn(Place::from_request(request))),
    }
}

/// Refuses an MTU at which a link with an IPv6 address would lose IPv6.
pub(crate) fn require_v6_mtu(mtu: u32, of: Option<&MtuOf>) -> Result<(), Error> {
    if mtu >= MTU_V6 {
        return Ok(());
    }
    let whose = of.map_or_else(String::new, |of| format!(", {of},"));
    let why = format!("mtu: {mtu}{whose} is less than the {MTU_V6} bytes that IPv6 needs");
    Err(Error::new(Code::InvalidConfig, why))
}

fn mtu_of(fields: &Fields<'_>) -> Result<Option<u32>, Error> {
    match fields.unsigned("mtu")? {
        None | Some(0) => Ok(None),
        Some(mtu) if MTU.contains(&mtu) => Ok(Some(mtu)),
        Some(mtu) => Err(fields.invalid("mtu", format!("{mtu} is not from 68 to 65535 bytes"))),
    }
}

fn host_source(fields: &Fields<'_>) -> Result<Vec<IpAddr>, Error> {
    let texts = match fields.value("hostSource") {
        Some(Value::String(one)) => vec![one.clone()],
        _ => fields.strings("hostSource")?.unwrap_or_default(),
    };
    let mut sources: Vec<IpAddr> = Vec::new();
    for text in texts {
        let source: IpAddr =
            text.parse().map_err(|_| fields.invalid("hostSource", format!("invalid IP address {text}")))?;
        if sources.iter().any(|other| other.is_ipv4() == source.is_ipv4()) {
            return Err(fields.invalid("hostSource", format!("{source} is the second address of its family")));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// Keys of portmap that ask for what podlan's host ports do not do: code 2. Without them, with their defaults, and with
/// `markMasqBit`, for no mark is used, all is as with portmap.
fn refuse_portmaps_keys(fields: &Fields<'_>) -> Result<(), Error> {
    let default = |key: &str, value: &Value| match (key, value) {
        ("snat", Value::Bool(given)) => *given,
        ("masqAll", Value::Bool(given)) => !given,
        ("conditionsV4" | "conditionsV6", Value::Array(given)) => given.is_empty(),
        ("backend", Value::String(given)) => given == "nftables",
        _ => false,
    };
    for key in ["snat", "masqAll", "conditionsV4", "conditionsV6", "externalSetMarkChain", "backend"] {
        if let Some(value) = fields.value(key).filter(|value| !default(key, value)) {
            return Err(Error::new(Code::UnsupportedField, format!("unsupported field {key}: {value}")).with_details(
                "podlan has the host ports itself; for this key chain portmap, and take the capability \
                               portMappings from podlan",
            ));
        }
    }
    Ok(())
}

fn agent(fields: &Fields<'_>) -> Result<Option<PathBuf>, Error> {
    match fields.string("agent")? {
        Some(path) if path.starts_with('/') => Ok(Some(path.into())),
        Some(path) => Err(fields.invalid("agent", format!("{path:?} is not an absolute path"))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused<T: std::fmt::Debug>(config: &Value, read: fn(&Fields<'_>) -> Result<T, Error>) -> (u32, String) {
        let error = read(&Fields::new(config.as_object().unwrap(), "", Code::InvalidConfig)).unwrap_err();
        (error.code.number(), error.msg)
    }

    fn accepted<T>(config: &Value, read: fn(&Fields<'_>) -> Result<T, Error>) -> T {
        read(&Fields::new(config.as_object().unwrap(), "", Code::InvalidConfig)).unwrap()
    }

    /// E-43
    #[test]
    fn an_mtu_is_a_number_of_bytes_that_a_link_can_have() {
        for (value, mtu) in
            [(json!(null), None), (json!(0), None), (json!(68), Some(68)), (json!(65_535), Some(65_535))]
        {
            assert_eq!(accepted(&json!({ "mtu": value }), mtu_of), mtu);
        }
        for value in [json!(1), json!(67), json!(65_536), json!(-1), json!("1500"), json!(1500.0)] {
            let (code, msg) = refused(&json!({ "mtu": value }), mtu_of);
            assert!(code == 7 && msg.contains("mtu"), "{code} {msg}");
        }
    }

    #[test]
    fn ipv6_needs_its_smallest_mtu() {
        assert!(require_v6_mtu(1280, None).is_ok());
        assert_eq!(require_v6_mtu(1279, None).unwrap_err().code, Code::InvalidConfig);
        let inherited = require_v6_mtu(1000, Some(&MtuOf::DefaultRoute("eth0".into()))).unwrap_err().to_string();
        assert!(inherited.contains("1000, that of the default route's link eth0, is less than"), "{inherited}");
    }

    #[test]
    fn a_host_source_is_one_address_a_family() {
        let both: Vec<IpAddr> = vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        assert_eq!(accepted(&json!({"hostSource": ["10.0.0.5", "fd00::5"]}), host_source), both);
        assert_eq!(accepted(&json!({"hostSource": "10.0.0.5"}), host_source), both[..1]);
        for value in [json!("x"), json!(5), json!(["10.0.0.5", "10.0.0.6"])] {
            let (code, msg) = refused(&json!({ "hostSource": value }), host_source);
            assert!(code == 7 && msg.contains("hostSource"), "{code} {msg}");
        }
    }

    /// S-181
    #[test]
    fn keys_of_portmap_are_refused_where_they_ask_for_something_else() {
        let fine =
            json!({"snat": true, "masqAll": false, "conditionsV4": [], "backend": "nftables", "markMasqBit": 13});
        accepted(&fine, refuse_portmaps_keys);
        for (key, value) in [
            ("snat", json!(false)),
            ("masqAll", json!(true)),
            ("conditionsV4", json!(["-s", "10.0.0.0/8"])),
            ("conditionsV6", json!(["!", "-s", "fd00::/8"])),
            ("externalSetMarkChain", json!("KUBE-MARK-MASQ")),
            ("backend", json!("iptables")),
        ] {
            let (code, msg) = refused(&json!({ key: value }), refuse_portmaps_keys);
            assert!(code == 2 && msg.contains(key), "{code} {msg}");
        }
    }

    #[test]
    fn the_agents_file_has_an_absolute_path() {
        assert_eq!(accepted(&json!({"agent": "/run/a"}), agent), Some("/run/a".into()));
        assert_eq!(refused(&json!({"agent": "run/a"}), agent).0, 7);
    }
}
