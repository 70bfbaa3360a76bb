//! ADD: lease the addresses, make the link, print the result; or leave nothing behind (spec 1.1.0, section 2).

use std::os::fd::AsFd;
use std::path::Path;

use cni::{AddResult, Attachment, Code, Error as CniError, Request};
use hostport::{Forward, Record};
use ipam::{Proof, Settings, Stamp};
use netlink::{Family, Hardening, Link, LinkSettings, NewVeth, Procfs, Socket};
use podlink::Identity;

use crate::addressing::Addressing;
use crate::agent;
use crate::apply::{apply, apply_with_v6, make_pair};
use crate::config::{Config, Keys};
use crate::error::{Activity, Error, set_up};
use crate::host;
use crate::inputs;
use crate::namespaces::{Namespaces, Pod};
use crate::plan::Plan;
use crate::ready;
use crate::result::{self, Made};
use crate::undo::Undo;

/// Hops from a pod to a pod of another node: its own sending and two nodes. A lower limit, inherited, would cut it off;
/// then it gets the kernel's default.
const HOPS: u32 = 3;
const HOP_LIMIT: &str = "64";

/// One ADD: what it is asked for.
struct Call<'a> {
    request: &'a Request,
    attachment: &'a Attachment,
    netns: &'a Path,
    keys: &'a Keys,
    addressing: &'a Addressing<'a, Settings>,
    identity: &'a Identity,
}

/// Attaches the pod. The result is printed when all is in place; what was made stays only if that succeeded.
pub(crate) fn add(
    request: &Request,
    attachment: &Attachment,
    netns: &Path,
    print: &mut dyn FnMut(&AddResult) -> Result<(), CniError>,
) -> Result<(), CniError> {
    let Config { keys, addressing } = Config::whole(request)?;
    if let Some(agent) = &keys.agent {
        agent::require_routed(agent)?;
    }
    let previous = result::previous(request, attachment, netns)?;
    let identity = Identity::of(&request.config.name, attachment);
    let Namespaces { host, own, pod } = Namespaces::open(netns).map_err(set_up)?;
    let _claim = addressing.claim(attachment)?;
    if pod.has_interface(attachment.ifname.as_str()).map_err(set_up)? {
        return Err(taken(&addressing, attachment));
    }

    let mut undo = Undo::new(own, netns);
    let call = Call { request, attachment, netns, keys: &keys, addressing: &addressing, identity: &identity };
    // Its descriptors are closed before anything is undone: where there were too few, undoing needs them.
    let result = attach(&call, host, pod, &mut undo, previous)?;
    print(&result)?;
    undo.keep();
    Ok(())
}

/// Leases the addresses and makes the link. Each step is known to `undo` before it may have been done.
fn attach<'a>(
    call: &Call<'a>,
    mut host: Socket,
    mut pod: Pod,
    undo: &mut Undo<'a>,
    previous: AddResult,
) -> Result<AddResult, CniError> {
    let &Call { request, attachment, netns, keys, addressing, identity } = call;
    let proof = Proof {
        host_link: Some(identity.host_name.clone()),
        netns: netns.to_owned(),
        netns_id: Some(pod.netns.identity()),
        pod: request.args.pod.as_ref().map(ToString::to_string),
    };
    let assignment = addressing.assign(&request.config.name, attachment, &proof, &mut host)?;
    undo.assigned(addressing, &assignment);
    let forwards = hostport::forwards(&request.config.runtime.port_mappings, &assignment.addresses)?;
    // 127.0.0.1 of the node leads to the pod only by a link that takes packets from there.
    let route_localnet = forwards.iter().any(|forward| forward.family() == Family::V4);
    if !forwards.is_empty() {
        undo.mapping(addressing.ports()?, identity);
        claim_ports(call, &mut host, proof, forwards)?;
    }

    let plan = Plan {
        addresses: assignment.addresses.iter().copied().map(Into::into).collect(),
        routes: inputs::pod_routes(&assignment)?,
        host_mac: identity.host_mac,
        pod_mac: keys.mac.unwrap_or(identity.pod_mac),
        alias: inputs::alias(request, attachment, identity),
        host_source: keys.host_source.clone(),
    };
    // Each pod with IPv6 makes the chain of names below /proc/sys/net longer.
    let procfs = if plan.has(Family::V6) { Procfs::own() } else { Procfs::of_machine() };
    let mtu = prepare_node(&mut host, &procfs, &plan, keys)?;
    let pair = NewVeth {
        name: &identity.host_name,
        mac: plan.host_mac.octets(),
        group: identity.group,
        peer_name: attachment.ifname.as_str(),
        peer_mac: plan.pod_mac.octets(),
        peer_netns: pod.netns.as_fd(),
        mtu,
    };
    undo.linking(identity);
    make_pair(&mut host, &pair, identity).map_err(set_up)?;
    undo.linked(&host);
    let device = make_host_end(&mut host, &procfs, &plan, &identity.host_name, route_localnet).map_err(set_up)?;
    make_pod_end(&mut pod, &procfs, &plan, attachment.ifname.as_str()).map_err(set_up)?;
    ready::pass(&mut host, &identity.host_name, device, &plan.host_neighbours(device)).map_err(set_up)?;

    addressing.confirm(attachment, &assignment)?;
    let made = Made { netns, attachment, identity, plan: &plan, mtu };
    Ok(made.result(previous, inputs::dns(request, assignment.dns)))
}

/// The pod gets its host ports before its link, which is not made where another pod has one of them, and which must not be
/// open to the node's loopback before the rule is there that forbids it.
fn claim_ports(call: &Call<'_>, host: &mut Socket, proof: Proof, forwards: Vec<Forward>) -> Result<(), CniError> {
    let &Call { request, attachment, addressing, .. } = call;
    let record = Record {
        network: request.config.name.clone(),
        owner: attachment.clone(),
        proof,
        boot: Stamp::now()?.boot,
        leased: addressing.leases_them(),
        forwards,
    };
    Ok(addressing.ports()?.claim(host, record)?)
}

/// The pod has an interface of that name: ours, or another's (E-23, E-24).
fn taken(addressing: &Addressing<'_, Settings>, attachment: &Attachment) -> CniError {
    match addressing.held(attachment) {
        Ok(Some(held)) if !held.is_empty() => {
            let details = format!("{} of {} holds {held:?}", attachment.ifname, attachment.container_id);
            CniError::new(Code::DuplicateAttachment, "attachment exists already").with_details(details)
        }
        _ => set_up(Error::InterfaceExists { ifname: attachment.ifname.to_string() }),
    }
}

/// Forwarding for the pod's families, and the MTU that its link will have.
fn prepare_node(host: &mut Socket, procfs: &Procfs, plan: &Plan, keys: &Keys) -> Result<u32, CniError> {
    let mtu = host::pod_mtu(host, keys, plan.has(Family::V6), Activity::SetUp)?;
    for family in plan.families() {
        netlink::ensure_forwarding(host, procfs, family).map_err(set_up)?;
    }
    Ok(mtu)
}

/// The link's index.
fn make_host_end(
    host: &mut Socket,
    procfs: &Procfs,
    plan: &Plan,
    name: &str,
    route_localnet: bool,
) -> Result<u32, Error> {
    let Some(device) = Link::index(host, name).map_err(Error::from)? else {
        return Err(Error::LinkVanished { name: name.to_owned() });
    };
    let settings = host::close_v6(host, procfs, name, plan.has(Family::V6))?;
    let forward_v4 = plan.has(Family::V4);
    let operations = plan.host_end(device, Hardening { forward_v4, kernel_has_v6: settings.is_some(), route_localnet });
    match settings {
        Some(link) if plan.has(Family::V6) => apply_with_v6(host, &operations, &link)?,
        _ => apply(host, &operations)?,
    }
    Ok(device)
}

/// Leaves the thread in the pod's namespace.
fn make_pod_end(pod: &mut Pod, procfs: &Procfs, plan: &Plan, ifname: &str) -> Result<(), Error> {
    pod.enter()?;
    let Some(device) = Link::index(&pod.socket, ifname).map_err(Error::from)? else {
        return Err(Error::LinkVanished { name: ifname.to_owned() });
    };
    let occupied = pod.occupied(device, plan)?;
    let operations = plan.pod_end(device, occupied);
    if !plan.has(Family::V6) {
        return apply(&mut pod.socket, &operations);
    }
    let Some(link) = LinkSettings::v6(procfs, ifname)? else {
        return Err(Error::LinkVanished { name: ifname.to_owned() });
    };
    // Addresses should outlive `ip link set down` (H-063), and a change of the MAC be announced.
    link.set("keep_addr_on_down", "1")?;
    link.set("ndisc_notify", "1")?;
    link.raise("hop_limit", HOPS, HOP_LIMIT)?;
    apply_with_v6(&mut pod.socket, &operations, &link)
}

#[cfg(test)]
mod tests {
    use cni::{Args, ContainerId, Ifname, NetworkConfig, Verb};
    use serde_json::{Value, json};

    use super::*;

    /// What an ADD is refused with whose network namespace does not exist.
    fn refused(change: impl FnOnce(&mut Value)) -> (u32, String) {
        let mut config = json!({
            "cniVersion": "1.1.0", "name": "net", "type": "podlan",
            "ipam": {"type": "podlan-ipam", "ranges": [[{"subnet": "10.1.0.0/24"}]]},
        });
        change(&mut config);
        let request = Request {
            config: NetworkConfig::parse(config.to_string().as_bytes(), Verb::Add).unwrap(),
            args: Args::default(),
            path: Vec::new(),
            environment: Vec::new(),
            stdin: Vec::new(),
        };
        let attachment =
            Attachment { container_id: ContainerId::parse("c1").unwrap(), ifname: Ifname::parse("eth0").unwrap() };
        let netns = Path::new("/nowhere/netns");
        let error = add(&request, &attachment, netns, &mut |_| panic!("a result was printed")).unwrap_err();
        (error.code.number(), error.msg)
    }

    /// The own keys first, then the `ipam` section, then the agent, then what is opened.
    #[test]
    fn a_mistaken_configuration_is_refused_before_anything_is_opened() {
        assert_eq!(refused(|_| {}).1, "invalid CNI_NETNS");
        assert_eq!(refused(|config| config["agent"] = json!("/nowhere/node.json")).0, 11);
        let (code, msg) = refused(|config| {
            config["agent"] = json!("/nowhere/node.json");
            config["ipam"]["ranges"] = json!([[{"subnet": "10.1.0.1/24"}]]);
        });
        assert!(code == 7 && msg.starts_with("invalid range set 0"), "{code} {msg}");
        let (code, msg) = refused(|config| {
            config["ipam"]["ranges"] = json!([[]]);
            config["mtu"] = json!(1);
        });
        assert!(code == 7 && msg.contains("mtu"), "{code} {msg}");
    }
}
