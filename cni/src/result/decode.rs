//! Results from JSON, read in the version that they name (S-153, S-154). Keys that the version does not have are
//! ignored. Code 6 for values of a wrong type, and for an index that points at no interface.

use serde_json::Value;

use super::{AddResult, Interface, IpConfig, Route};
use crate::{Code, Dns, Error, Fields, SpecVersion, canonical, parse_network};

impl AddResult {
    /// Reads a result object: a `prevResult`, or the output of a delegate. One that names no version has `default`.
    pub fn from_value(value: &Value, default: SpecVersion) -> Result<Self, Error> {
        Self::read(value, default).map_err(|error| Error { code: Code::Decode, ..error })
    }

    fn read(value: &Value, default: SpecVersion) -> Result<Self, Error> {
        let Some(object) = value.as_object() else {
            return Err(Error::new(Code::Decode, "a result must be an object"));
        };
        let fields = Fields::new(object, "", Code::Decode);
        let version = match fields.string("cniVersion")?.filter(|text| !text.is_empty()) {
            Some(text) => SpecVersion::parse(text)
                .ok_or_else(|| fields.invalid("cniVersion", format!("unsupported result version {text:?}")))?,
            None => default,
        };
        let dns = Dns::from_config(fields.object("dns")?)?.unwrap_or_default();
        if version.has_interfaces() {
            let interfaces = each(&fields, "interfaces", |fields| interface(fields, version))?;
            let ips = each(&fields, "ips", |fields| ip(fields, interfaces.len()))?;
            let routes = each(&fields, "routes", |fields| route(fields, version))?;
            return Ok(Self { interfaces, ips, routes, dns });
        }
        let mut result = Self { dns, ..Self::default() };
        for (key, is_ipv4) in [("ip4", true), ("ip6", false)] {
            let Some(family) = fields.object(key)? else { continue };
            let address = family.network("ip")?.ok_or_else(|| family.missing("ip"))?;
            if address.is_ipv4() != is_ipv4 {
                return Err(family.invalid("ip", format!("{address} is of the other family")));
            }
            result.ips.push(IpConfig { address, gateway: family.address("gateway")?, interface: None });
            result.routes.extend(each(&family, "routes", |fields| route(fields, version))?);
        }
        Ok(result)
    }
}

impl Route {
    /// Reads a route as it stands in a result of 1.1.0, which is also how configs spell it.
    pub fn from_fields(fields: &Fields<'_>) -> Result<Self, Error> {
        route(fields, SpecVersion::NEWEST)
    }
}

fn each<'a, T>(
    fields: &Fields<'a>,
    key: &str,
    read: impl Fn(&Fields<'a>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    fields.objects(key)?.unwrap_or_default().iter().map(read).collect()
}

fn interface(fields: &Fields<'_>, version: SpecVersion) -> Result<Interface, Error> {
    // libcni prints an absent text as an empty one.
    let text = |key: &str| -> Result<Option<String>, Error> {
        Ok(fields.string(key)?.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let name = text("name")?.ok_or_else(|| fields.missing("name"))?;
    let interface = Interface { mac: text("mac")?, sandbox: text("sandbox")?, ..Interface::named(name) };
    if !version.has_attributes() {
        return Ok(interface);
    }
    Ok(Interface {
        mtu: fields.unsigned("mtu")?,
        socket_path: text("socketPath")?,
        pci_id: text("pciID")?,
        ..interface
    })
}

fn ip(fields: &Fields<'_>, interfaces: usize) -> Result<IpConfig, Error> {
    let address = fields.network("address")?.ok_or_else(|| fields.missing("address"))?;
    let index = match fields.value("interface") {
        None => None,
        Some(value) => {
            let index = value.as_u64().and_then(|index| usize::try_from(index).ok());
            let index = index.filter(|index| *index < interfaces);
            Some(index.ok_or_else(|| {
                fields.invalid("interface", format!("{value} is no index of the {interfaces} interfaces"))
            })?)
        }
    };
    Ok(IpConfig { address, gateway: fields.address("gateway")?, interface: index })
}

fn route(fields: &Fields<'_>, version: SpecVersion) -> Result<Route, Error> {
    let dst = fields.parsed("dst", "CIDR address", parse_network)?.ok_or_else(|| fields.missing("dst"))?;
    let route = Route::via(canonical(dst), fields.address("gw")?);
    if !version.has_attributes() {
        return Ok(route);
    }
    Ok(Route {
        mtu: fields.unsigned("mtu")?,
        advmss: fields.unsigned("advmss")?,
        priority: fields.unsigned("priority")?,
        table: fields.unsigned("table")?,
        scope: fields.unsigned("scope")?,
        ..route
    })
}
