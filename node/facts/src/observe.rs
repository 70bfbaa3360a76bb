//! Gathers the facts: of the kernel, of /proc/sys/net, of files. Decides nothing. A fact that cannot be observed is an
//! error in its place and does not affect the others.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use hostport::Ports;
use ipam::{Presence, Stamp};
use ipnetwork::IpNetwork;
use netlink::{Family, Lookup, Procfs, Route, Socket, Sysctl, Unanswered, is_pod_link};
use nftables::Nfnetlink;

use crate::attached::{self, Attached};
use crate::decisions::observe::Peers;
use crate::decisions::{self, Decisions};
use crate::parts::Known;
use crate::{AgentSaid, Configuration, Facts, Kernel, Leases, Plugin, PluginFile, Seen, Settings, machine};
use filter::translation::{self, Translation};
use filter::{self, forward};
use install::conflist::{self, directory};
use install::{BINARIES, same};
use pods::forwarding::observe::observe as observe_forwarding;
use pods::leases::{Read, Stores, VisibleNetns};
use routes::Target;
use routes::kernel::{Kernel as _, Rtnetlink};
use state::{Clocks, ConfiguredPaths, RunDir};

/// The runtime's directory unless an option says otherwise.
const BIN_DIR: &str = "/opt/cni/bin";

/// The paths: as the operator gives them, else as the agent's command line has them, else the runtimes' defaults.
#[derive(Clone, Debug)]
pub struct Places {
    /// The agent's run directory.
    pub run_dir: RunDir,
    /// The runtime's directory of network configurations.
    pub conf_dir: PathBuf,
    /// The runtime's directory of plugins.
    pub bin_dir: PathBuf,
    /// The agent's, and those that configurations name.
    pub data_dirs: Vec<PathBuf>,
}

impl Places {
    /// Determines the paths; `None` is filled in from the agent's state.
    pub fn new(
        run_dir: RunDir,
        conf_dir: Option<PathBuf>,
        bin_dir: Option<PathBuf>,
        data_dir: Option<PathBuf>,
    ) -> Self {
        let configured = run_dir.read_state().map(|state| state.configured_paths).unwrap_or_default();
        let ConfiguredPaths { cni_bin_dir, cni_conf_dir, data_dir: agents } = configured;
        let conf_dir = conf_dir.or(cni_conf_dir).unwrap_or_else(|| conflist::DIR.into());
        let mut data_dirs = vec![data_dir.or(agents).unwrap_or_else(|| ipam::DEFAULT_DATA_DIR.into())];
        for file in configurations(&conf_dir).unwrap_or_default() {
            let ipams = file.plugins().into_iter().filter_map(|plugin| plugin.get("ipam"));
            let ours = ipams.filter(|ipam| ipam["type"] == "podlan-ipam");
            data_dirs.extend(ours.filter_map(|ipam| ipam["dataDir"].as_str()).map(PathBuf::from));
        }
        data_dirs.sort();
        data_dirs.dedup();
        Self { run_dir, conf_dir, bin_dir: bin_dir.or(cni_bin_dir).unwrap_or_else(|| BIN_DIR.into()), data_dirs }
    }

    /// The networks whose pods have an MTU that a configuration chose.
    pub fn chosen_mtus(&self) -> Seen<BTreeSet<String>> {
        let files = configurations(&self.conf_dir)?;
        Ok(files.iter().filter_map(Configuration::chooses_mtu).collect())
    }
}

/// Gathers everything.
pub fn observe(places: &Places) -> Facts {
    observe_with(places, agent(&places.run_dir), Peers::All, &mut Known::default())
}

/// The same, given what the agent says of itself, of how many peers the kernel is asked, and which parts it is known to have.
pub fn observe_with(places: &Places, agent: Seen<Option<AgentSaid>>, peers: Peers, known: &mut Known) -> Facts {
    let configurations = configurations(&places.conf_dir);
    let leases = leases(places);
    let plugins = configurations.as_ref().map_err(Clone::clone).map(|files| plugins(files, &places.bin_dir));
    let kernel = kernel(leases.as_ref().ok(), agent.as_ref().ok().and_then(Option::as_ref));
    let settings = settings(kernel.as_ref().ok());
    let packet_filter = packet_filter(&places.data_dirs);
    let parts = known.observe(misses_nat(&agent, &packet_filter));
    let pods = pods(&leases, &kernel);
    let (forward, translated) = foreign_rules(&agent, kernel.as_ref().ok(), pods.as_deref().unwrap_or_default());
    let decisions = decisions(&agent, &kernel, &pods, peers);
    let mut directories = vec![places.run_dir.0.clone()];
    directories.extend(places.data_dirs.iter().cloned());
    Facts {
        agent,
        kernel,
        settings,
        parts,
        packet_filter,
        forward,
        translated,
        decisions,
        pods,
        space: machine::observe::space(&directories),
        holders: machine::observe::holders(&places.data_dirs),
        loopback: machine::observe::loopback(&places.bin_dir),
        has_conf_dir: places.conf_dir.is_dir(),
        configurations,
        plugins,
        leases,
    }
}

/// Which of podlan's own rules are in place; the host ports, where there are records of some.
fn packet_filter(data_dirs: &[PathBuf]) -> Seen<Vec<(&'static str, bool)>> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to read the packet filter: {error}");
    let mut rules = filter::look().map(Vec::from).map_err(|error| failed(&error))?;
    for data_dir in data_dirs {
        let ports = Ports::below(data_dir, Duration::ZERO).are_in_place().map_err(|error| failed(&error))?;
        rules.extend(ports.map(|whole| ("host ports", whole)));
    }
    Ok(rules)
}

/// Whether something that needs NAT is not in place: it may be the kernel that lacks it.
fn misses_nat(agent: &Seen<Option<AgentSaid>>, packet_filter: &Seen<Vec<(&'static str, bool)>>) -> bool {
    let said = agent.as_ref().ok().and_then(Option::as_ref);
    let misses_ports = packet_filter.iter().flatten().any(|rule| *rule == ("host ports", false));
    misses_ports || said.is_some_and(|said| said.state.masquerade == "failed")
}

fn pods(leases: &Seen<Leases>, kernel: &Seen<Kernel>) -> Seen<Vec<Attached>> {
    let (leases, kernel) = (leases.as_ref().map_err(Clone::clone)?, kernel.as_ref().map_err(Clone::clone)?);
    Ok(attached::observe::observe(leases, &kernel.links))
}

fn decisions(
    agent: &Seen<Option<AgentSaid>>,
    kernel: &Seen<Kernel>,
    pods: &Seen<Vec<Attached>>,
    peers: Peers,
) -> Seen<Option<Decisions>> {
    let Some(said) = agent.as_ref().map_err(Clone::clone)? else { return Ok(None) };
    let kernel = kernel.as_ref().map_err(Clone::clone)?;
    let living: Vec<Attached> = pods.iter().flatten().filter(|pod| pod.is_podlans() && pod.lives()).cloned().collect();
    decisions::observe::observe(said, kernel, &living, peers).map(Some)
}

fn agent(run_dir: &RunDir) -> Seen<Option<AgentSaid>> {
    let failed = |path: &Path, error: &io::Error| format!("failed to read {}: {error}", path.display());
    let state = match run_dir.read_state() {
        Ok(state) => state,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&run_dir.state_file(), &error)),
    };
    let verdicts = match run_dir.read_verdicts() {
        Ok(verdicts) => Arc::new(verdicts),
        // There are none before the first complete list of nodes.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Arc::default(),
        Err(error) => return Err(failed(&run_dir.verdicts_file(), &error)),
    };
    let gone = machine::observe::is_agent_running(run_dir) == Some(false);
    let now = Clocks::now();
    Ok(Some(AgentSaid { stale: state.is_stale(now), starting: state.is_starting(now), gone, state, verdicts }))
}

/// What rules of other programs drop between pods, and what they translate.
type ForeignRules = (Seen<Option<Vec<forward::ForwardDrop>>>, Seen<Option<Vec<Translation>>>);

/// Follows packets between pods through the rules of other programs.
fn foreign_rules(agent: &Seen<Option<AgentSaid>>, kernel: Option<&Kernel>, pods: &[Attached]) -> ForeignRules {
    let (said, kernel) = match (agent, kernel) {
        (Err(why), _) => return (Err(why.clone()), Err(why.clone())),
        (Ok(Some(said)), Some(kernel)) => (said, kernel),
        (Ok(None), _) | (_, None) => return (Ok(None), Ok(None)),
    };
    let packets = packets(said, kernel, pods);
    let bridges: Vec<String> = bridges(&kernel.links);
    let failed = |error: nftables::Error| format!("failed to read the rules of other programs: {error}");
    let mut socket = match Nfnetlink::requests() {
        Ok(socket) => socket,
        Err(error) => return (Err(failed(error)), Err("the packet filter cannot be read".to_owned())),
    };
    let dropped = forward::look(&mut socket, &packets, &bridges).map(Some).map_err(failed);
    (dropped, translation::look_at(&mut socket, &packets).map(Some).map_err(failed))
}

fn packets(said: &AgentSaid, kernel: &Kernel, pods: &[Attached]) -> Vec<forward::Packet> {
    let own: Vec<IpNetwork> = said.state.pod_cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect();
    let names: Vec<(IpNetwork, Arc<str>)> = said
        .verdicts
        .iter()
        .filter_map(|line| match line.wanted? {
            Target::Hop { link, .. } => Some((line.cidr.parse().ok()?, kernel.here.link_name(link))),
            Target::Unreachable | Target::Foreign => None,
        })
        .collect();
    let peers: Vec<(IpNetwork, &str)> = names.iter().map(|(cidr, link)| (*cidr, &**link)).collect();
    let living = pods.iter().filter(|pod| pod.is_podlans() && pod.lives());
    let living: Vec<(IpAddr, &str)> =
        living.filter_map(|pod| Some((pod.lease.address.ip(), pod.link.as_ref()?.name.as_str()))).collect();
    let mut packets = forward::packets(&own, &peers, &living);
    let index = |name: &str| kernel.links.iter().find(|link| link.name == name).map(|link| link.index);
    for packet in &mut packets {
        packet.indexes = [index(&packet.incoming), index(&packet.outgoing)];
    }
    packets
}

/// The names of the links that are bridges.
pub(crate) fn bridges(links: &[netlink::Link]) -> Vec<String> {
    links.iter().filter(|link| link.bridge).map(|link| link.name.clone()).collect()
}

fn kernel(leases: Option<&Leases>, said: Option<&AgentSaid>) -> Seen<Kernel> {
    let living = leases.into_iter().flat_map(|leases| &leases.all).filter(|(.., there)| *there == Presence::Present);
    let living: Vec<IpAddr> = living.map(|(_, lease, _)| lease.address.ip()).collect();
    let look = || -> Result<Kernel, netlink::Error> {
        let (mut rtnetlink, mut socket) = (Rtnetlink::open()?, Socket::open()?);
        let links = socket.dump(netlink::Link::dump(), |message| netlink::Link::from_message(&message))?;
        let mut sources = Vec::new();
        // All pods of a family get packets from the same source address.
        for family in Family::BOTH {
            if let Some(pod) = living.iter().find(|address| family.holds(**address)) {
                let route = Route::ask(&mut socket, Lookup::Packet, *pod)?;
                sources.push((*pod, route.and_then(|route| route.source)));
            }
        }
        let inherited_mtu = netlink::inherited_mtu(&mut socket, || said?.state.pod_mtus.last().copied())?;
        let unanswered = Unanswered::all(&mut socket)?;
        Ok(Kernel {
            links,
            here: rtnetlink.here()?,
            routes: rtnetlink.all_routes()?,
            inherited_mtu,
            sources,
            unanswered,
        })
    };
    look().map_err(|error| format!("failed to query the kernel: {error}"))
}

fn settings(kernel: Option<&Kernel>) -> Settings {
    let procfs = Procfs::of_machine();
    let read = |sysctl: &Sysctl| sysctl.read(&procfs).map_err(|error| format!("failed to {error}"));
    let neighbours = |family: &str| {
        let path = Path::new("/proc/sys/net").join(family).join("neigh/default/gc_thresh3");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("failed to read {}: {error}", path.display())),
        }
    };
    let ask = || Socket::open().map_err(|error| format!("failed to {error}"));
    let forwarding = Family::BOTH.map(|family| {
        let seen = observe_forwarding(&mut ask()?, &procfs, family).map_err(|error| format!("failed to {error}"))?;
        Ok(seen.0)
    });
    let losses = ask().and_then(|mut socket| {
        netlink::lost_by_forwarding(&mut socket, &procfs).map_err(|error| format!("failed to {error}"))
    });
    let links = kernel.ok_or_else(|| "the pods' links are unknown".to_owned());
    let pods = links.map(|kernel| kernel.links.iter().filter(|link| link.veth && is_pod_link(&link.name)));
    let rp_filter = pods.and_then(|pods| {
        let mut all = Vec::new();
        for link in pods {
            // A pod that ended meanwhile has no link.
            all.extend(
                read(&Sysctl::of_link(Family::V4, &link.name, "rp_filter"))?.map(|value| (link.name.clone(), value)),
            );
        }
        Ok(all)
    });
    Settings {
        forwarding,
        losses,
        kernel_has_v6: netlink::kernel_has_v6(),
        disable_v6: read(&Sysctl::of_link(Family::V6, "all", "disable_ipv6")),
        rp_filter_all: read(&Sysctl::of_link(Family::V4, "all", "rp_filter")),
        rp_filter,
        neighbours: [neighbours("ipv4"), neighbours("ipv6")],
    }
}

/// A directory that does not exist has none.
fn configurations(dir: &Path) -> Seen<Vec<Configuration>> {
    match directory::read(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| format!("failed to read {}: {error}", dir.display())),
    }
}

/// The plugins that configurations with podlan in them name, and podlan's own.
fn plugins(files: &[Configuration], dir: &Path) -> Vec<Plugin> {
    let mut names: Vec<&str> = Vec::new();
    for plugin in files.iter().filter(|file| file.podlan().is_some()).flat_map(Configuration::plugins) {
        names.extend(plugin.get("type").and_then(|kind| kind.as_str()));
        let below = plugin.get("ipam").and_then(|ipam| ipam["type"].as_str());
        names.extend(below.filter(|below| *below != "podlan-ipam"));
    }
    names.sort_unstable();
    names.dedup();
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(PathBuf::from));
    let look = |name: &&str| {
        let path = dir.join(name);
        Plugin {
            name: (*name).to_owned(),
            path: path.display().to_string(),
            file: file(&path, name, beside.as_deref()),
        }
    };
    names.iter().map(look).collect()
}

fn file(path: &Path, name: &str, beside: Option<&Path>) -> PluginFile {
    let Some(metadata) = fs::metadata(path).ok().filter(fs::Metadata::is_file) else { return PluginFile::Missing };
    if metadata.permissions().mode() & 0o111 == 0 {
        return PluginFile::NotExecutable;
    }
    let origin = beside.filter(|_| BINARIES.contains(&name)).map(|dir| dir.join(name));
    let known = origin.and_then(|origin| same(&origin, path).ok());
    PluginFile::Present { same: known }
}

fn leases(places: &Places) -> Seen<Leases> {
    let now = Stamp::now().map_err(|error| format!("failed to {error}"))?;
    let mut visible = VisibleNetns::default();
    places.data_dirs.iter().for_each(|dir| Stores::below(dir.clone()).show(&mut visible));
    let mut leases = Leases { now, all: Vec::new(), unreadable: Vec::new() };
    for dir in &places.data_dirs {
        let judged = Stores::below(dir.clone()).judged(&visible);
        let Read { leases: all, unread } =
            judged.unwrap_or_else(|error| Read { leases: Vec::new(), unread: vec![error] });
        leases.all.extend(all.into_iter().map(|(network, lease, there)| (network.to_string(), lease, there)));
        for error in unread {
            match error {
                ipam::Error::Store(ipam::StoreError::Io { op, path, source })
                    if source.kind() == io::ErrorKind::PermissionDenied =>
                {
                    return Err(format!("failed to {op} {}: {source} (are you root?)", path.display()));
                }
                error => leases.unreadable.push(format!("failed to read the leases: {error}")),
            }
        }
    }
    Ok(leases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_exist_has_no_configuration_and_one_that_cannot_be_read_is_unknown() {
        let here = tempfile::tempdir().unwrap();
        assert!(configurations(&here.path().join("net.d")).unwrap().is_empty());
        let file = here.path().join("file");
        fs::write(&file, "").unwrap();
        let why = configurations(&file).unwrap_err();
        assert!(why.contains(&file.display().to_string()), "{why}");
    }
}
