//! Drills: at rest, in a cluster that is whole, one thing happens, and what must follow, and in which time, is known.

use ipnetwork::IpNetwork;
use netlink::{NODE_ROUTE, Route};
use routes::{Key, Routes};

use crate::agent::Source;
use crate::op::Op;
use crate::random::mix;
use crate::world::{MS, S, Time, World};

/// How many drills there are.
pub const COUNT: u64 = 23;

impl World {
    /// Makes some drills.
    pub(crate) fn drills(&mut self, op: &Op) {
        // Where a node has few peers, one that goes is more than the guard's share.
        let peers = |host: &crate::host::Host| host.kernel.node_routes().keys().filter(|key| !key.is_own()).count();
        let few = self.hosts.iter().filter(|host| host.agent.is_some()).map(peers).min().unwrap_or(0);
        if few < 4 || self.broken.is_some() {
            return;
        }
        for number in 0..3 {
            let pick = mix(&[u64::from(op.numbers[1]), number]);
            self.drill(pick % COUNT, pick >> 8);
            if self.broken.is_some() {
                return;
            }
        }
    }

    /// Makes one drill.
    pub fn drill(&mut self, which: u64, how: u64) {
        let (name, drill): (&'static str, fn(&mut Self, usize, u64)) = match which {
            0 => ("a deleted route is back at once", Self::drill_deleted),
            1 => ("agents that restart at rest change nothing", Self::drill_restart),
            2 => ("one node changes: one message each", Self::drill_one_change),
            3 => ("a bad list withdraws nothing", Self::drill_bad_list),
            4 => ("a node that loses its CIDRs in the list keeps its routes", Self::drill_lost_cidr),
            5 => ("a clock that jumps changes nothing", Self::drill_clock),
            6 => ("pods come and go without work for the routes", Self::drill_pods),
            7 => ("a link goes down and comes up", Self::drill_link),
            8 => ("of two claims of a CIDR the first by name counts", Self::drill_claims),
            9 => ("a foreign route keeps its place, and ours comes back", Self::drill_foreign),
            10 => ("an operator releases what is held", Self::drill_release),
            11 => ("a withdrawal that lasts is believed", Self::drill_lasting),
            12 => ("a route waits for the packet filter, and not for ever", Self::drill_filter),
            13 => ("probes name the direction in which packets are lost", Self::drill_probes),
            14 => ("an old list withdraws nothing for long", Self::drill_old_list),
            15 => ("what is lost with its event is found", Self::drill_lost_events),
            16 => ("a kernel that cannot be asked is asked again", Self::drill_failing),
            17 => ("a machine that reboots is back in time", Self::drill_reboot),
            18 => ("a removed node takes its routes with it", Self::drill_removed),
            19 => ("a route of another program that covers a peer's address decides", Self::drill_detour),
            20 => ("heartbeats are no work", Self::drill_heartbeats),
            21 => ("a withdrawal that grows is held from then on", Self::drill_growing),
            _ => ("a former CIDR drains", Self::drill_drain),
        };
        let agents: Vec<usize> = self.hosts.iter().filter(|host| host.agent.is_some()).map(|host| host.id).collect();
        let Some(host) = agents.get(usize::try_from(how % 1_000_003).unwrap_or(0) % agents.len().max(1)).copied()
        else {
            return;
        };
        self.coverage.law(name);
        self.tell(|world| format!("drill: {name} ({})", world.hosts[host].name));
        drill(self, host, how);
        if let Some(broken) = &mut self.broken
            && broken.law == "drill"
        {
            broken.law = name;
        }
    }

    fn fails(&mut self, text: String) {
        self.break_law("drill", text);
    }

    /// Whether its agent reads the API server.
    fn reads_api(&self, host: usize) -> bool {
        matches!(self.hosts[host].agent.as_ref().map(|agent| &agent.source), Some(Source::Kubernetes { .. }))
    }

    /// Whether its agent says that it holds a withdrawal.
    fn holds(&self, host: usize) -> bool {
        let state = self.hosts[host].agent.as_ref().and_then(|agent| agent.published.as_ref());
        state.is_some_and(|state| state.held.is_some())
    }

    fn name(&self, host: usize) -> String {
        format!("machine {host} ({})", self.hosts[host].name)
    }

    fn all_routes(&self) -> Vec<Routes> {
        self.hosts.iter().map(|host| host.kernel.node_routes()).collect()
    }

    fn forget_work(&mut self) {
        for host in &mut self.hosts {
            host.kernel.work = crate::kernel::Work::default();
        }
    }

    /// Names a machine whose routes are others than before.
    fn expect_routes(&mut self, before: &[Routes], why: &str) {
        for (host, routes) in before.iter().enumerate() {
            let now = self.hosts[host].kernel.node_routes();
            if now != *routes {
                let text =
                    format!("{} has other routes than before {why}: {}", self.name(host), difference(routes, &now));
                return self.fails(text);
            }
        }
    }

    fn expect_plan(&mut self, why: &str) {
        if self.broken.is_none() {
            self.check_rest();
        }
        if let Some(broken) = &mut self.broken {
            broken.text = format!("{} ({why})", broken.text);
        }
    }

    fn drill_deleted(&mut self, host: usize, how: u64) {
        let mut dumps = 0;
        for _ in 0..3 {
            self.forget_work();
            let before = self.all_routes();
            let Some(gone) = self.delete_route(host, low(how)) else { return };
            self.pass(500 * MS);
            let work = self.hosts[host].kernel.work.clone();
            if self.hosts[host].kernel.node_routes() != before[host] {
                return self.fails(format!("{} has not put back {gone} in half a second", self.name(host)));
            }
            if work.changes > 2 {
                return self.fails(format!("{} puts back one route with {} changes", self.name(host), work.changes));
            }
            // Once it may look at everything because it is time to.
            dumps += u32::from(work.dumps > 0);
        }
        if dumps == 3 {
            self.fails(format!("{} looks at everything to put back one route", self.name(host)));
        }
    }

    fn drill_restart(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        let conflists: Vec<_> = self.hosts.iter().map(|host| host.conflist.clone()).collect();
        let agents: Vec<usize> = self.hosts.iter().filter(|host| host.agent.is_some()).map(|host| host.id).collect();
        let some: Vec<usize> =
            agents.into_iter().filter(|agent| *agent == host || mix(&[how, *agent as u64]).is_multiple_of(8)).collect();
        self.forget_work();
        for agent in &some {
            self.restart_agent(*agent);
        }
        for _ in 0..50 {
            self.pass(100 * MS);
            for agent in &some {
                let is_ready = self.hosts[*agent].run_dir.state.as_ref().is_some_and(|state| state.ready);
                if !is_ready && self.broken.is_none() {
                    let reasons = self.hosts[*agent].run_dir.state.as_ref().map(|state| state.reasons.clone());
                    return self
                        .fails(format!("{} is not ready while its agent is replaced: {reasons:?}", self.name(*agent)));
                }
            }
        }
        self.pass(5 * S);
        for agent in &some {
            let changes = self.hosts[*agent].kernel.work.changes;
            if changes > 0 {
                return self
                    .fails(format!("the agent of {} makes {changes} changes after its start", self.name(*agent)));
            }
        }
        let now: Vec<_> = self.hosts.iter().map(|host| host.conflist.clone()).collect();
        if now != conflists {
            return self.fails("a conflist is another after restarts".to_owned());
        }
        self.expect_routes(&before, "its agent was restarted");
        self.expect_plan("after restarts");
    }

    fn drill_one_change(&mut self, host: usize, how: u64) {
        // Once it may be time to look at everything, but not twice in some seconds.
        if !self.one_change(host, how) && self.broken.is_none() && !self.one_change(host, how) {
            self.fails("most agents look at everything because one node has another CIDR".to_owned());
        }
        self.expect_plan("one node has another CIDR since 4 s");
    }

    /// Gives a node another CIDR; false where most agents looked at everything for it.
    fn one_change(&mut self, host: usize, how: u64) -> bool {
        self.forget_work();
        self.renumber_cidrs(host, low(how));
        self.pass(4 * S);
        let lookups = if low(how).is_multiple_of(2) { 8 } else { 0 };
        let (mut agents, mut dumps) = (0, 0);
        for other in 0..self.hosts.len() {
            let machine = &self.hosts[other];
            let Some(agent) = &machine.agent else { continue };
            if other == host || !matches!(agent.source, Source::Kubernetes { .. }) {
                continue;
            }
            let work = &machine.kernel.work;
            agents += 1;
            if work.dumps > 0 {
                // It was time to look at everything.
                dumps += 1;
                continue;
            }
            if work.lookups > lookups || work.changes > 6 {
                let text = format!(
                    "{} makes {} dumps, asks for {} addresses and makes {} changes because one node has another CIDR",
                    self.name(other),
                    work.dumps,
                    work.lookups,
                    work.changes
                );
                self.fails(text);
                return true;
            }
        }
        agents <= 5 || dumps * 10 <= agents * 7
    }

    fn drill_bad_list(&mut self, _: usize, how: u64) {
        let before = self.all_routes();
        let is_empty = how.is_multiple_of(2) || self.config.segments > 1 && !self.config.by_routers;
        self.change_api(
            |api| {
                (api.says_empty, api.says_part) = (is_empty, (!is_empty).then_some(3));
                api.history += 1;
            },
            "the API server has a bad list",
        );
        for _ in 0..5 {
            self.pass(8 * S);
            if self.broken.is_none() {
                self.expect_routes(&before, "a bad list came");
            }
        }
        let many = self.config.nodes >= 4;
        let holds = (0..self.hosts.len()).any(|host| self.holds(host));
        if !holds && many && self.broken.is_none() {
            return self.fails("no agent says that it holds a withdrawal".to_owned());
        }
        self.heal_api();
        self.pass(70 * S);
        self.expect_routes(&before, "the list is whole again");
        self.expect_plan("the list is whole again");
    }

    fn drill_lost_cidr(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        let name = self.hosts[host].name.clone();
        let Some(object) = self.api.objects.get(&name).cloned() else { return };
        let (addresses, cidrs) = match how % 3 {
            0 => (object.addresses.clone(), Vec::new()),
            1 => (Vec::new(), object.cidrs.clone()),
            _ => (object.addresses.clone(), vec!["10.128.0.7/24".to_owned()]),
        };
        self.tell(|_| format!("the Node {name} now has {addresses:?} and {cidrs:?}"));
        self.api.put(&name, object.uid, addresses, cidrs);
        self.api_changed();
        self.pass(3 * S);
        self.expect_routes(&before, "a node lost values in the list");
        let silent = self.hosts.iter().filter(|other| {
            let Some(agent) = &other.agent else { return false };
            other.id != host
                && before[other.id].len() > 1
                && !agent.verdicts.iter().any(|line| line.node == name && line.verdict == "kept")
        });
        if let Some(silent) = silent.map(|other| other.id).next().filter(|_| self.broken.is_none()) {
            return self.fails(format!("{} does not say that it keeps what {name} had", self.name(silent)));
        }
        // The next agent knows it too.
        let other = (host + 1) % self.hosts.len();
        if self.hosts[other].agent.is_some() && how.is_multiple_of(2) {
            self.restart_agent(other);
            self.pass(5 * S);
            self.expect_routes(&before, "a node lost values in the list and an agent was restarted");
        }
        self.api.put(&name, object.uid, object.addresses.clone(), object.cidrs.clone());
        self.api_changed();
        self.pass(3 * S);
        self.expect_routes(&before, "the values are back");
        self.expect_plan("the values are back");
    }

    fn drill_clock(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        self.forget_work();
        self.hosts[host].skew += [86_400, -86_400, 300_000_000, -300_000_000][usize::try_from(how % 4).unwrap_or(0)];
        self.pass(25 * S);
        let changes = self.hosts[host].kernel.work.changes;
        if changes > 0 {
            return self.fails(format!("{} changes {changes} routes because its clock jumped", self.name(host)));
        }
        if self.hosts[host].agent.as_ref().and_then(|agent| agent.published.as_ref()).is_some_and(|state| !state.ready)
        {
            return self.fails(format!("{} is not ready any more because its clock jumped", self.name(host)));
        }
        self.expect_routes(&before, "a clock jumped");
        self.hosts[host].skew = 0;
    }

    fn drill_pods(&mut self, host: usize, how: u64) {
        self.pass(200 * MS);
        self.forget_work();
        let before: Vec<u32> = self.hosts[host].pods.keys().copied().collect();
        let mut added = 0;
        for _ in 0..5 + how % 20 {
            added += u32::from(self.add_pod(host));
            self.pass(3 * MS);
        }
        if added == 0 && self.broken.is_none() {
            let state = self.hosts[host].run_dir.state.as_ref().map(|state| state.routed);
            return self.fails(format!(
                "{} takes no pod at rest: conflist {:?}, routed {state:?}",
                self.name(host),
                self.hosts[host].conflist
            ));
        }
        let new: Vec<u32> = self.hosts[host].pods.keys().copied().filter(|pod| !before.contains(pod)).collect();
        for pod in new.into_iter().skip(2) {
            self.remove_pod(host, pod);
            self.pass(2 * MS);
        }
        self.pass(2 * S);
        let work = &self.hosts[host].kernel.work;
        if work.dumps == 0 && work.lookups > 0 || work.changes > 0 {
            let text = format!(
                "{} makes {} dumps, asks for {} addresses and makes {} changes because pods come and go",
                self.name(host),
                work.dumps,
                work.lookups,
                work.changes
            );
            self.fails(text);
        }
    }

    fn drill_link(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        self.set_link(host, false);
        self.pass(2 * S + how % S);
        let of_peers = self.hosts[host].kernel.node_routes().keys().filter(|key| !key.is_own()).count();
        if of_peers > 0 {
            return self.fails(format!("{} has {of_peers} routes by a link that is down", self.name(host)));
        }
        self.check_down(host);
        self.set_link(host, true);
        self.pass(2 * S);
        self.expect_routes(&before, "its link went down and up");
        self.expect_plan("its link went down and up");
    }

    /// Every peer of the segment is said to be behind a link that is down.
    fn check_down(&mut self, host: usize) {
        if self.config.narrow {
            return;
        }
        let segment = self.hosts[host].segment;
        let machine = &self.hosts[host];
        let Some(agent) = &machine.agent else { return };
        let near: Vec<&str> = self
            .hosts
            .iter()
            .filter(|other| other.is_on && other.segment == segment && other.id != host)
            .map(|other| &*other.name)
            .collect();
        let odd = agent
            .verdicts
            .iter()
            .find(|line| near.contains(&&*line.node) && !line.cidr.is_empty() && line.reason != "link-down");
        if let Some(line) = odd {
            let text = format!(
                "{} says {} {:?} of {} while its link is down",
                self.name(host),
                line.verdict,
                line.reason,
                line.node
            );
            self.fails(text);
        }
    }

    fn drill_claims(&mut self, host: usize, how: u64) {
        let names: Vec<String> = self.api.objects.keys().cloned().collect();
        let (Some(first), Some(second)) = (
            names.get(usize::try_from(how % 97).unwrap_or(0) % names.len().max(1)),
            names.get(usize::try_from(how % 89).unwrap_or(0) % names.len().max(1)),
        ) else {
            return;
        };
        let (Some(one), Some(two)) = (self.api.objects.get(first).cloned(), self.api.objects.get(second).cloned())
        else {
            return;
        };
        if first == second {
            return;
        }
        let both: Vec<String> = two.cidrs.iter().chain(&one.cidrs).cloned().collect();
        self.tell(|_| format!("the Node {second} claims the CIDRs of {first}, too"));
        self.api.put(second, two.uid, two.addresses.clone(), both);
        self.api_changed();
        self.pass(4 * S);
        self.expect_plan("two nodes claim one CIDR");
        if self.broken.is_none() {
            self.restart_agent(host);
            self.pass(5 * S);
            self.expect_plan("two nodes claim one CIDR, and an agent was restarted");
        }
        self.api.put(second, two.uid, two.addresses.clone(), two.cidrs.clone());
        self.api_changed();
        self.pass(4 * S);
        self.expect_plan("the claim is withdrawn");
    }

    fn drill_foreign(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        self.foreign(host, low(how), Some(0));
        let foreign: Vec<Route> = self.hosts[host]
            .kernel
            .main()
            .filter(|route| Self::is_foreign(route) && route.metric == routes::PEER_METRIC)
            .cloned()
            .collect();
        self.pass(3 * S);
        let still = foreign.iter().all(|route| self.hosts[host].kernel.main().any(|other| other == route));
        if !still {
            return self.fails(format!("{} lost a route of another program", self.name(host)));
        }
        self.expect_plan("another program took a route's place");
        self.remove_foreign(host, None);
        self.pass(3 * S);
        self.expect_routes(&before, "the other program's route is gone");
    }

    fn drill_release(&mut self, host: usize, _: u64) {
        if self.config.nodes < 4 || !self.reads_api(host) {
            return;
        }
        let before = self.all_routes();
        self.list_a_part(1, "the API server lists a part");
        self.pass(10 * S);
        if self.holds(host) {
            self.release(host);
            self.pass(S);
            let left = self.hosts[host].kernel.node_routes();
            if self.holds(host) || left.len() >= before[host].len() {
                return self.fails(format!(
                    "{} still has {} of {} routes after the release",
                    self.name(host),
                    left.len(),
                    before[host].len()
                ));
            }
        }
        self.heal_api();
        self.pass(75 * S);
        self.expect_routes(&before, "the list is whole again");
    }

    fn drill_lasting(&mut self, host: usize, _: u64) {
        if self.config.nodes < 4 || !self.reads_api(host) {
            return;
        }
        let before = self.all_routes();
        self.list_a_part(2, "the API server lists a part, for long");
        self.pass(170 * S);
        let left = self.hosts[host].kernel.node_routes();
        if self.holds(host) || left.len() >= before[host].len() && before[host].len() > 4 {
            return self.fails(format!(
                "{} still has {} of {} routes two minutes after the list lost them",
                self.name(host),
                left.len(),
                before[host].len()
            ));
        }
        self.heal_api();
        self.pass(75 * S);
        self.expect_routes(&before, "the list is whole again");
        self.expect_plan("the list is whole again");
    }

    fn drill_growing(&mut self, host: usize, _: u64) {
        if !self.reads_api(host) || self.config.segments > 1 && !self.config.by_routers {
            return;
        }
        let before = self.all_routes();
        self.list_a_part(3, "the API server lists a part of the nodes");
        for _ in 0..70 {
            self.pass(S);
            if self.holds(host) || self.broken.is_some() {
                break;
            }
        }
        if self.holds(host) {
            self.pass(30 * S);
            self.change_api(
                |api| {
                    api.says_empty = true;
                    api.history += 1;
                },
                "the API server lists no nodes",
            );
            self.pass(35 * S);
            let now = self.hosts[host].kernel.node_routes();
            if now.len() * 4 < before[host].len() && self.broken.is_none() {
                let text = format!(
                    "{} has {} of {} routes 35 s after the list became empty",
                    self.name(host),
                    now.len(),
                    before[host].len()
                );
                return self.fails(text);
            }
        }
        self.heal_api();
        self.pass(90 * S);
        self.expect_routes(&before, "the list is whole again");
    }

    fn drill_filter(&mut self, host: usize, how: u64) {
        let Some(peer) = self.peer_of(host) else { return };
        self.hosts[host].filter_stuck = self.now + 20 * S;
        self.renumber_cidrs(peer, low(how) | 1);
        let name = self.hosts[peer].name.clone();
        let new: Vec<IpNetwork> = self.api.objects.get(&name).map(|object| object.valid_cidrs()).unwrap_or_default();
        let has = |world: &Self| {
            new.iter().all(|cidr| world.hosts[host].kernel.node_routes().contains_key(&Key::peer(*cidr)))
        };
        self.pass(1500 * MS);
        if has(self) && self.broken.is_none() {
            return self.fails(format!("{} did not wait for its packet filter", self.name(host)));
        }
        self.pass(2 * S);
        if !has(self) && self.broken.is_none() {
            return self.fails(format!("{} waits longer than two seconds for its packet filter", self.name(host)));
        }
        self.hosts[host].filter_stuck = 0;
        self.pass(30 * S);
    }

    /// A peer to which the machine has a direct route.
    fn peer_of(&self, host: usize) -> Option<usize> {
        if !matches!(self.hosts[host].agent.as_ref()?.source, Source::Kubernetes { .. }) {
            return None;
        }
        let expected = self.expected(host);
        let name = expected
            .iter()
            .find(|(_, outcome)| matches!(outcome.hop, Ok((_, "direct"))))
            .map(|((name, _), _)| name.clone())?;
        self.hosts.iter().position(|host| host.name == name && host.is_on)
    }

    fn drill_probes(&mut self, host: usize, how: u64) {
        let count = self.hosts.len();
        for host in 0..count {
            self.start_probes(host);
        }
        self.pass(4 * S);
        for number in 0..how % 4 {
            let (a, b) = (mix(&[how, number, 1]), mix(&[how, number, 2]));
            self.lose(low(a), low(b), low(a >> 32));
        }
        if let Some(peer) = self.peer_of(host) {
            self.lose(u32::try_from(host).unwrap_or(0), u32::try_from(peer).unwrap_or(0), 1);
        }
        self.pass(12 * S);
        if self.broken.is_none() {
            self.check_paths();
        }
        self.fabric.losses.clear();
        self.pass(7 * S);
        if self.broken.is_none() {
            self.check_paths();
        }
        for host in 0..count {
            self.stop_probes(host);
        }
        self.pass(S);
    }

    fn drill_old_list(&mut self, _: usize, how: u64) {
        let before = self.all_routes();
        self.change_api(
            |api| {
                api.lag = how % 30;
                api.history += 1;
            },
            "the API server answers with an old list",
        );
        self.pass(10 * S);
        self.heal_api();
        self.pass(75 * S);
        self.expect_routes(&before, "an old list came, and what followed it");
        self.expect_plan("an old list came, and what followed it");
    }

    fn drill_lost_events(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        self.hosts[host].loses_events = true;
        if self.delete_route(host, low(how)).is_none() {
            self.hosts[host].loses_events = false;
            return;
        }
        self.pass(S);
        self.expect_routes(&before, "a route was deleted and its event was lost");
    }

    fn drill_failing(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        self.hosts[host].kernel.failing = 2;
        self.delete_route(host, low(how));
        self.pass(5 * S);
        self.hosts[host].kernel.failing = 0;
        self.expect_routes(&before, "its kernel could not be asked for a while");
        self.expect_plan("its kernel could not be asked for a while");
    }

    fn drill_reboot(&mut self, host: usize, how: u64) {
        let mut before = self.all_routes();
        // With the pods go the former CIDRs that they kept.
        let name = self.hosts[host].name.clone();
        let own = self.api.objects.get(&name).map(|object| object.valid_cidrs()).unwrap_or_default();
        before[host].retain(|key, _| !key.is_own() || own.contains(&key.destination));
        self.reboot(host, how.is_multiple_of(2));
        self.pass(10 * S);
        self.expect_routes(&before, "it rebooted");
        self.expect_plan("it rebooted");
        if self.broken.is_none() && !self.add_pod(host) {
            self.fails(format!("{} takes no pod 10 s after its boot", self.name(host)));
        }
    }

    fn drill_removed(&mut self, host: usize, _: u64) {
        let name = self.hosts[host].name.clone();
        let cidrs = self.api.objects.get(&name).map(|object| object.valid_cidrs()).unwrap_or_default();
        if self.hosts.iter().filter(|host| host.is_on).count() < 5 {
            return;
        }
        self.remove_node(host);
        if self.api.objects.contains_key(&name) {
            return;
        }
        self.pass(4 * S);
        for other in 0..self.hosts.len() {
            let routes = self.hosts[other].kernel.node_routes();
            let file = matches!(self.hosts[other].agent.as_ref().map(|agent| &agent.source), Some(Source::File { .. }));
            let peers = routes.keys().filter(|key| !key.is_own()).count();
            if let Some(cidr) = cidrs.iter().find(|cidr| routes.contains_key(&Key::peer(**cidr)))
                && !file
                && peers > 4
            {
                return self
                    .fails(format!("{} still has a route to {cidr} of {name}, which was removed", self.name(other)));
            }
        }
        self.add_node();
        self.pass(6 * S);
        self.pass(70 * S);
        self.expect_plan("a node was removed and another added");
    }

    fn drill_detour(&mut self, host: usize, how: u64) {
        let before = self.all_routes();
        let Some(peer) = self.peer_of(host) else { return };
        let own = self.hosts[peer].own_addresses();
        let Some(address) = own.first() else { return };
        let machine = &mut self.hosts[host];
        let router = crate::fabric::Fabric::router(machine.segment, true);
        let route = match how % 2 {
            0 => Route {
                gateway: Some(router),
                device: Some(machine.uplink),
                ..Route::to(IpNetwork::from(address.ip()), 4)
            },
            _ => Route { kind: netlink::RouteKind::Unreachable, ..Route::to(IpNetwork::from(address.ip()), 4) },
        };
        self.tell(|world| format!("another program adds {route} on {}", world.hosts[host].name));
        let _ = self.hosts[host].kernel.add_route(route.clone());
        self.kernel_changed(host);
        self.pass(2 * S);
        self.expect_plan("a foreign route covers a peer's address");
        drop(self.hosts[host].kernel.remove_route(&route));
        self.kernel_changed(host);
        self.pass(2 * S);
        self.expect_routes(&before, "the foreign route is gone");
    }

    fn drill_heartbeats(&mut self, _: usize, how: u64) {
        self.pass(S);
        self.forget_work();
        let before: u64 = self.delivered.iter().sum();
        let names: Vec<String> = self.api.objects.keys().cloned().collect();
        for name in names.iter().skip(usize::try_from(how % 7).unwrap_or(0)).take(10) {
            self.api.touch(name);
            self.api_changed();
            self.pass(30 * MS);
        }
        self.pass(S);
        let delivered: u64 = self.delivered.iter().sum::<u64>() - before;
        let agents = self.hosts.iter().filter(|host| host.agent.is_some()).count() as u64;
        let busy = (0..self.hosts.len()).find(|host| {
            let work = &self.hosts[*host].kernel.work;
            work.changes > 0 || work.dumps == 0 && work.lookups > 0
        });
        if let Some(host) = busy {
            return self.fails(format!(
                "{} works because of heartbeats: {:?}",
                self.name(host),
                self.hosts[host].kernel.work
            ));
        }
        if delivered > agents * 80 {
            self.fails(format!("{delivered} events follow 10 heartbeats at {agents} agents"));
        }
    }

    fn drill_drain(&mut self, host: usize, how: u64) {
        self.add_pod(host);
        let old: Vec<IpNetwork> = self.hosts[host].conflist.clone().unwrap_or_default();
        if self.hosts[host].pods.is_empty() || self.broken.is_some() {
            return;
        }
        self.renumber_cidrs(host, low(how));
        self.pass(5 * S);
        let is_own =
            |world: &Self| old.iter().any(|cidr| world.hosts[host].kernel.node_routes().contains_key(&Key::own(*cidr)));
        let is_reused = |world: &Self| {
            let parse = |object: &std::rc::Rc<crate::api::Object>| object.valid_cidrs();
            world
                .api
                .objects
                .values()
                .filter(|object| object.name != world.hosts[host].name)
                .flat_map(parse)
                .any(|cidr| old.contains(&cidr))
        };
        if !is_own(self) && !is_reused(self) && self.broken.is_none() {
            return self.fails(format!(
                "{} has dropped the route of its former {old:?} while a pod has an address of it",
                self.name(host)
            ));
        }
        let pods: Vec<u32> = self.hosts[host].pods.keys().copied().collect();
        pods.into_iter().for_each(|pod| self.remove_pod(host, pod));
        self.pass(40 * S);
        if is_own(self) && self.broken.is_none() {
            return self.fails(format!(
                "{} keeps the route of its former {old:?} though no lease is left in it",
                self.name(host)
            ));
        }
        self.expect_plan("a former CIDR has drained");
    }
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}

fn difference(before: &Routes, now: &Routes) -> String {
    let gone: Vec<String> = before
        .iter()
        .filter(|(key, target)| now.get(key) != Some(target))
        .map(|(key, _)| key.destination.to_string())
        .collect();
    let new: Vec<String> = now
        .iter()
        .filter(|(key, target)| before.get(key) != Some(target))
        .map(|(key, _)| key.destination.to_string())
        .collect();
    format!("without {gone:?}, with {new:?}")
}

/// The longest time that a drill takes, for those who wait for one.
pub const LONGEST: Time = 210 * S;

/// Whether a route is podlan's.
pub fn is_ours(route: &Route) -> bool {
    route.protocol == NODE_ROUTE
}
