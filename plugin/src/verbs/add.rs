//! ADD: lease the addresses, make the link, print the result; or leave nothing behind (spec 1.1.0, section 2).

use std::os::fd::AsFd;
use std::path::Path;

use cni::{AddResult, Attachment, Code, Error as CniError, Request};
use ipam::Proof;
use netlink::{Hardening, Link, LinkSettings, NewVeth, Procfs, Socket};
use podlink::Identity;

use crate::addressing::Addressing;
use crate::agent;
use crate::apply::{apply, apply_with_v6, make_pair};
use crate::error::Error;
use crate::host;
use crate::outcome::{self, Outcome};
use crate::passage::{Beyond, Passage};
use crate::plan::Plan;
use crate::ready;
use crate::settings::Settings;
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
    settings: &'a Settings,
    addressing: &'a Addressing<'a>,
    identity: &'a Identity,
}

/// Attaches the pod. The result is printed when all is in place; what was made stays only if that succeeded.
pub(crate) fn add(
    request: &Request,
    attachment: &Attachment,
    netns: &Path,
    print: &mut dyn FnMut(&AddResult) -> Result<(), CniError>,
) -> Result<(), CniError> {
    let settings = Settings::from_request(request)?;
    if let Some(agent) = &settings.agent {
        agent::require_routed(agent)?;
    }
    let addressing = Addressing::of(request)?;
    let previous = outcome::previous(request, attachment, netns)?;
    let identity = Identity::of(&request.config.name, attachment);
    let Passage { host, own, beyond } = Passage::open(netns)?;
    let _claim = addressing.claim(attachment)?;
    if beyond.has_interface(attachment.ifname.as_str())? {
        return Err(taken(&addressing, attachment));
    }

    let mut undo = Undo::new(own, netns);
    let call = Call { request, attachment, netns, settings: &settings, addressing: &addressing, identity: &identity };
    // Its descriptors are closed before anything is undone: where there were too few, undoing needs them.
    let result = attach(&call, host, beyond, &mut undo, previous)?;
    print(&result)?;
    undo.keep();
    Ok(())
}

/// Leases the addresses and makes the link. Each step is known to `undo` before it may have been done.
fn attach<'a>(
    call: &Call<'a>,
    mut host: Socket,
    mut beyond: Beyond,
    undo: &mut Undo<'a>,
    previous: AddResult,
) -> Result<AddResult, CniError> {
    let &Call { request, attachment, netns, settings, addressing, identity } = call;
    let proof = Proof {
        host_link: Some(identity.host_name.clone()),
        netns: netns.to_owned(),
        netns_id: Some(beyond.netns.identity()),
        pod: request.args.pod.as_ref().map(ToString::to_string),
    };
    let assignment = addressing.assign(attachment, &proof, &mut host)?;
    undo.assigned(addressing, &assignment);

    let plan = Plan {
        addresses: assignment.addresses.iter().copied().map(Into::into).collect(),
        routes: outcome::pod_routes(&assignment)?,
        host_mac: identity.host_mac,
        pod_mac: settings.mac.unwrap_or(identity.pod_mac),
        alias: outcome::alias(request, attachment, identity),
        host_source: settings.host_source.clone(),
    };
    // Each pod with IPv6 makes the chain of names below /proc/sys/net longer.
    let procfs = if plan.has(true) { Procfs::own() } else { Procfs::of_machine() };
    let mtu = prepare_node(&mut host, &procfs, &plan, settings)?;
    let pair = NewVeth {
        name: &identity.host_name,
        mac: plan.host_mac.octets(),
        group: identity.group,
        peer_name: attachment.ifname.as_str(),
        peer_mac: plan.pod_mac.octets(),
        peer_netns: beyond.netns.as_fd(),
        mtu,
    };
    undo.linking(identity);
    make_pair(&mut host, &pair, identity)?;
    undo.linked(&host);
    let device = make_host_end(&mut host, &procfs, &plan, &identity.host_name)?;
    make_pod_end(&mut beyond, &procfs, &plan, attachment.ifname.as_str())?;
    ready::pass(&mut host, &identity.host_name, device, &plan.host_neighbours(device))?;

    addressing.confirm(attachment, &assignment)?;
    let outcome = Outcome { netns, attachment, identity, plan: &plan, mtu };
    Ok(outcome.result(previous, outcome::dns(request, assignment.dns)))
}

/// The pod has an interface of that name: ours, or another's (E-23, E-24).
fn taken(addressing: &Addressing<'_>, attachment: &Attachment) -> CniError {
    match addressing.held(attachment) {
        Ok(Some(held)) if !held.is_empty() => {
            let details = format!("{} of {} holds {held:?}", attachment.ifname, attachment.container_id);
            CniError::new(Code::DuplicateAttachment, "attachment exists already").with_details(details)
        }
        _ => Error::InterfaceExists { ifname: attachment.ifname.to_string() }.into(),
    }
}

/// Forwarding for the pod's families, and the MTU that its link will have.
fn prepare_node(host: &mut Socket, procfs: &Procfs, plan: &Plan, settings: &Settings) -> Result<u32, CniError> {
    let mtu = host::pod_mtu(host, settings, plan.has(true))?;
    for v6 in plan.families() {
        netlink::ensure_forwarding(host, procfs, v6).map_err(Error::from)?;
    }
    Ok(mtu)
}

/// The link's index.
fn make_host_end(host: &mut Socket, procfs: &Procfs, plan: &Plan, name: &str) -> Result<u32, Error> {
    let Some(device) = Link::index(host, name).map_err(Error::from)? else {
        return Err(Error::LinkVanished { name: name.to_owned() });
    };
    let settings = host::close_v6(host, procfs, name, plan.has(true))?;
    let operations = plan.host_end(device, Hardening { forward_v4: plan.has(false), v6: settings.is_some() });
    match settings {
        Some(link) if plan.has(true) => apply_with_v6(host, &operations, &link)?,
        _ => apply(host, &operations)?,
    }
    Ok(device)
}

/// Leaves the thread in the pod's namespace.
fn make_pod_end(beyond: &mut Beyond, procfs: &Procfs, plan: &Plan, ifname: &str) -> Result<(), Error> {
    beyond.enter()?;
    let Some(device) = Link::index(&beyond.pod, ifname).map_err(Error::from)? else {
        return Err(Error::LinkVanished { name: ifname.to_owned() });
    };
    let occupied = beyond.occupied(device, plan)?;
    let operations = plan.pod_end(device, occupied);
    if !plan.has(true) {
        return apply(&mut beyond.pod, &operations);
    }
    let Some(link) = LinkSettings::v6(procfs, ifname)? else {
        return Err(Error::LinkVanished { name: ifname.to_owned() });
    };
    // Addresses should outlive `ip link set down` (H-063), and a change of the MAC be told.
    link.set("keep_addr_on_down", "1")?;
    link.set("ndisc_notify", "1")?;
    link.raise("hop_limit", HOPS, HOP_LIMIT)?;
    apply_with_v6(&mut beyond.pod, &operations, &link)
}
