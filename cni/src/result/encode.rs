//! Results as JSON: exactly the keys of the version that is asked for (S-142 to S-152).

use serde_json::{Map, Value};

use super::{AddResult, Interface, IpConfig, Route};
use crate::{Code, Dns, Error, SpecVersion, canonical};

impl AddResult {
    /// The result object of `version`, for stdout.
    ///
    /// Code 7 when the version cannot say it: before 0.3.0 that is no address at all, or two of one family.
    pub fn to_json(&self, version: SpecVersion) -> Result<String, Error> {
        let Self { interfaces, ips, routes, dns } = self;
        let mut object = Map::new();
        object.insert("cniVersion".to_owned(), version.as_str().into());
        if version.has_interfaces() {
            put_list(&mut object, "interfaces", interfaces.iter().map(|interface| interface.to_value(version)));
            put_list(&mut object, "ips", ips.iter().map(|ip| ip.to_value(version)));
            put_list(&mut object, "routes", routes.iter().map(|route| route.to_value(version)));
        } else {
            put_families(&mut object, ips, routes, version)?;
        }
        // libcni's types before 1.0.0 always print it.
        if !dns.is_empty() || version < SpecVersion::V1_0_0 {
            object.insert("dns".to_owned(), Dns::to_value(dns));
        }
        Ok(Value::Object(object).to_string())
    }
}

/// Before 0.3.0: `ip4` and `ip6`, each with its routes. A route of a family without an address is left out.
fn put_families(
    object: &mut Map<String, Value>,
    ips: &[IpConfig],
    routes: &[Route],
    version: SpecVersion,
) -> Result<(), Error> {
    if ips.is_empty() {
        return Err(Error::new(Code::InvalidConfig, "cannot convert: no valid IP addresses"));
    }
    for (key, is_ipv4) in [("ip4", true), ("ip6", false)] {
        let mut of_family = ips.iter().filter(|ip| ip.address.is_ipv4() == is_ipv4);
        let Some(ip) = of_family.next() else { continue };
        if of_family.next().is_some() {
            let msg = format!("CNI version {version} does not support more than 1 address per family");
            return Err(Error::new(Code::InvalidConfig, msg));
        }
        let mut family = Map::new();
        family.insert("ip".to_owned(), ip.address.to_string().into());
        put(&mut family, "gateway", ip.gateway.map(|gateway| gateway.to_string()));
        let routes = routes.iter().filter(|route| route.dst.is_ipv4() == is_ipv4);
        put_list(&mut family, "routes", routes.map(|route| route.to_value(version)));
        object.insert(key.to_owned(), family.into());
    }
    Ok(())
}

impl Interface {
    fn to_value(&self, version: SpecVersion) -> Value {
        let Self { name, mac, mtu, sandbox, socket_path, pci_id } = self;
        let mut object = Map::new();
        object.insert("name".to_owned(), name.as_str().into());
        put(&mut object, "mac", mac.as_deref());
        put(&mut object, "sandbox", sandbox.as_deref());
        if version.has_attributes() {
            put(&mut object, "mtu", *mtu);
            put(&mut object, "socketPath", socket_path.as_deref());
            put(&mut object, "pciID", pci_id.as_deref());
        }
        object.into()
    }
}

impl IpConfig {
    fn to_value(&self, version: SpecVersion) -> Value {
        let Self { address, gateway, interface } = self;
        let mut object = Map::new();
        object.insert("address".to_owned(), address.to_string().into());
        put(&mut object, "gateway", gateway.map(|gateway| gateway.to_string()));
        put(&mut object, "interface", *interface);
        if version.has_address_family() {
            object.insert("version".to_owned(), if address.is_ipv4() { "4" } else { "6" }.into());
        }
        object.into()
    }
}

impl Route {
    fn to_value(&self, version: SpecVersion) -> Value {
        let Self { dst, gw, mtu, advmss, priority, table, scope } = self;
        let mut object = Map::new();
        object.insert("dst".to_owned(), canonical(*dst).to_string().into());
        put(&mut object, "gw", gw.map(|gw| gw.to_string()));
        if version.has_attributes() {
            let numbers =
                [("mtu", mtu), ("advmss", advmss), ("priority", priority), ("table", table), ("scope", scope)];
            for (key, number) in numbers {
                put(&mut object, key, *number);
            }
        }
        object.into()
    }
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

fn put_list(object: &mut Map<String, Value>, key: &str, list: impl Iterator<Item = Value>) {
    let list: Vec<Value> = list.collect();
    if !list.is_empty() {
        object.insert(key.to_owned(), list.into());
    }
}
