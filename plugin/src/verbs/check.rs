//! CHECK: the plan that ADD would apply, compared with what both namespaces hold (spec 1.1.0, section 2, "CHECK").
//! Changes nothing, and reports every difference at once.

use std::net::IpAddr;
use std::path::Path;

use cni::{AddResult, Attachment, Code, Error as CniError, MacAddress, NetworkName, Request};
use hostport::{Forward, Ports, portmap};
use netlink::{Family, Hardening, Link, Procfs, Selector, Socket, Sysctl};
use podlink::Identity;

use crate::config::Config;
use crate::error::{Activity, Error};
use crate::namespaces::{Namespaces, Pod};
use crate::observe::{Absent, differences};
use crate::plan::Plan;
use crate::result;

/// Compares; error 105 lists what differs, 3 says that there is nothing to compare with.
pub(crate) fn check(request: &Request, attachment: &Attachment, netns: &Path) -> Result<(), CniError> {
    let Config { keys, addressing } = Config::of_check(request)?;
    let Some(previous) = request.config.previous_result()? else {
        return Err(CniError::new(Code::InvalidConfig, "required prevResult missing"));
    };
    let identity = Identity::of(&request.config.name, attachment);
    let Namespaces { mut host, mut pod, .. } = Namespaces::open(netns).map_err(failed)?;
    addressing.check()?;
    let known = addresses_of(&previous, attachment, netns);
    let held = addressing.held(attachment)?.unwrap_or_else(|| known.clone());
    let given = keys.mac.unwrap_or(identity.pod_mac);
    // A later plugin may have changed it, and then says so in the result (tuning).
    let pod_mac = mac_of(&previous, attachment, netns).unwrap_or(given);
    let absent = if pod_mac == given { Absent::Drift } else { Absent::Fine };
    let plan = Plan {
        addresses: held.iter().copied().map(Into::into).collect(),
        routes: result::our_routes(&previous),
        host_mac: identity.host_mac,
        pod_mac,
        alias: String::new(),
        host_source: keys.host_source,
    };
    let mut drift = unlike(&known, &held);
    let forwards = hostport::forwards(&request.config.runtime.port_mappings, &held)?;
    if !forwards.is_empty() {
        drift.extend(port_drift(&addressing.ports()?, &identity, &forwards, &request.config.name, attachment)?);
    }
    drift.extend(host_drift(&mut host, &plan, &identity, absent).map_err(failed)?);
    drift.extend(pod_drift(&mut pod, &plan, attachment.ifname.as_str(), absent).map_err(failed)?);
    if drift.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::Drift, "the attachment is not as ADD left it").with_details(drift.join("; ")))
}

/// What differs of the host ports. The list that ADD ran may have had portmap: then portmap maps them, as long as the pod lives.
fn port_drift(
    ports: &Ports,
    identity: &Identity,
    forwards: &[Forward],
    network: &NetworkName,
    attachment: &Attachment,
) -> Result<Vec<String>, CniError> {
    if let Some(differences) = ports.differences(&identity.host_name, forwards)? {
        return Ok(differences);
    }
    Ok(match portmap::maps(network, &attachment.container_id)? {
        true => Vec::new(),
        false => vec!["the record of its host ports is missing".to_owned()],
    })
}

/// Code 3, nothing is there to compare with, only where the namespace is gone: the runtime takes it as "no DEL is needed".
fn failed(error: Error) -> CniError {
    Activity::Compare.error(error)
}

/// The MAC that the runtime knows our interface to have.
fn mac_of(previous: &AddResult, attachment: &Attachment, netns: &Path) -> Option<MacAddress> {
    let ours = previous.interfaces.get(result::ours_in(previous, attachment, netns)?)?;
    ours.mac.as_deref().and_then(|mac| MacAddress::parse(mac).ok())
}

/// The addresses that the runtime knows our interface to have.
fn addresses_of(previous: &AddResult, attachment: &Attachment, netns: &Path) -> Vec<IpAddr> {
    let ours = result::ours_in(previous, attachment, netns);
    let of_ours = previous.ips.iter().filter(|ip| ours.is_some() && ip.interface == ours);
    of_ours.map(|ip| ip.address.ip()).collect()
}

/// The addresses that the runtime knows of, against those that are held.
fn unlike(known: &[IpAddr], held: &[IpAddr]) -> Vec<String> {
    if known.is_empty() {
        return vec!["prevResult has no address of this interface in CNI_NETNS".to_owned()];
    }
    let (lost, unknown) = (without(known, held), without(held, known));
    let lost = lost.map(|ip| format!("the address {ip} of prevResult is not leased to this attachment"));
    lost.chain(unknown.map(|ip| format!("the leased address {ip} is not in prevResult"))).collect()
}

fn without<'a>(these: &'a [IpAddr], those: &'a [IpAddr]) -> impl Iterator<Item = IpAddr> + 'a {
    these.iter().filter(|ip| !those.contains(ip)).copied()
}

fn host_drift(host: &mut Socket, plan: &Plan, identity: &Identity, absent: Absent) -> Result<Vec<String>, Error> {
    let mut drift = Vec::new();
    let procfs = Procfs::of_machine();
    // IPv4 is forwarded by the setting of the link that a packet comes in by, IPv6 by that of the node.
    for family in plan.families() {
        let of_node = Sysctl::forwarding(family);
        let decides = match family {
            Family::V4 => Sysctl::of_link(family, &identity.host_name, "forwarding"),
            Family::V6 => of_node.clone(),
        };
        let is_off = |setting: &Sysctl| setting.read(&procfs).map(|value| value.as_deref() == Some("0"));
        if is_off(&decides)? {
            // Switching it off for the node switches it off for each link.
            let named = if is_off(&of_node)? { of_node } else { decides };
            drift.push(format!("{} is 0: the node forwards nothing of the pod", named.path().display()));
        }
    }
    match Link::find(host, Selector::Name(&identity.host_name))? {
        Some(link) if identity.is(&link) => {
            // No hardening is compared: later plugins may tune what it set.
            let mut operations =
                plan.host_end(link.index, Hardening { forward_v4: false, kernel_has_v6: false, route_localnet: false });
            operations.extend(plan.host_neighbours(link.index));
            drift.extend(differences(host, &operations, "node", absent)?);
        }
        Some(link) => drift.push(format!("the link {} on the node is not ours any more", link.name)),
        None => drift.push(format!("the link {} is missing on the node", identity.host_name)),
    }
    Ok(drift)
}

fn pod_drift(pod: &mut Pod, plan: &Plan, ifname: &str, absent: Absent) -> Result<Vec<String>, Error> {
    pod.enter()?;
    let Some(device) = Link::index(&pod.socket, ifname).map_err(Error::from)? else {
        return Ok(vec![format!("the interface {ifname} is missing in the pod")]);
    };
    let occupied = pod.occupied(device, plan)?;
    differences(&mut pod.socket, &plan.pod_end(device, occupied), "pod", absent)
}
