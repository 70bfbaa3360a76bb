//! Makes the changes of the world.

use std::rc::Rc;

use agent_core::Event;
use ipnetwork::IpNetwork;
use netlink::{Address, NODE_ROUTE, POD_ROUTE, Route, RouteKind};
use routes::PEER_METRIC;
use state::control::Command;

use crate::api::Object;
use crate::fabric::{Fabric, Loss};
use crate::host::Refused;
use crate::kernel::{MAIN, Rule};
use crate::op::{Kind, Op};
use crate::random::mix;
use crate::world::{MS, World};

/// `RTPROT_STATIC`, by which the routes of other programs are made here.
const STATIC: u8 = 4;

impl World {
    /// Makes a change.
    pub fn operate(&mut self, op: &Op) {
        self.steps += 1;
        *self.coverage.changes.entry(op.kind.name()).or_default() += 1;
        let [a, b, c] = op.numbers;
        match op.kind {
            Kind::Rest => self.rest(op),
            Kind::AddNode => self.add_node(),
            Kind::RemoveNode => self.with_on(a, Self::remove_node),
            Kind::DeleteObject => self.with_on(a, Self::delete_object),
            Kind::Rename => self.with_on(a, |world, host| world.rename(host, b)),
            Kind::RenumberAddress => self.with_on(a, |world, host| world.renumber(host, b)),
            Kind::RenumberCidr => self.with_on(a, |world, host| world.renumber_cidrs(host, b)),
            Kind::Replace => self.with_on(a, Self::replace),
            Kind::Restore => self.with_on(a, Self::restore),
            Kind::LoseCidr => self.with_object(a, |object| (object.addresses.clone(), Vec::new())),
            Kind::LoseAddress => self.with_object(a, |object| (Vec::new(), object.cidrs.clone())),
            Kind::OddValue => self.with_object(a, |object| match b % 3 {
                0 => (object.addresses.clone(), vec!["10.128.7.9/24".to_owned()]),
                1 => (vec!["nowhere".to_owned()], object.cidrs.clone()),
                _ => (object.addresses.clone(), object.cidrs.iter().cloned().chain(["x/24".to_owned()]).collect()),
            }),
            Kind::DuplicateCidr => {
                if let Some(other) = self.object(b) {
                    self.with_object(a, |object| {
                        let theirs = other.cidrs.iter().filter(|cidr| !object.cidrs.contains(cidr));
                        (object.addresses.clone(), object.cidrs.iter().chain(theirs).cloned().collect())
                    });
                }
            }
            Kind::CoveringCidr => self.with_object(a, |object| {
                let wide = ["10.128.0.0/16", "172.16.0.0/16", "10.128.0.0/20", "172.16.0.8/29", "172.16.0.16/30"]
                    [b as usize % 5];
                (object.addresses.clone(), object.cidrs.iter().cloned().chain([wide.to_owned()]).collect())
            }),
            Kind::Touch => {
                if let Some(object) = self.object(a) {
                    self.api.touch(&object.name);
                    self.api_changed();
                }
            }
            Kind::ApiDown => self.change_api(|api| api.is_down = true, "the API server is gone"),
            Kind::ApiUp => self.heal_api(),
            Kind::ApiEmpty => self.change_api(
                |api| {
                    api.says_empty = true;
                    api.history += 1;
                },
                "the API server lists no nodes",
            ),
            Kind::ApiPart => self.list_a_part(u64::from(b % 8) + 1, "the API server lists a part of the nodes"),
            Kind::ApiRestore => {
                self.change_api(|api| api.restore(b as usize % 200), "the API server comes up with an older store")
            }
            Kind::ApiCompact => self.change_api(|api| api.compacted = api.version(), "old versions are compacted"),
            Kind::ApiLag => self.change_api(
                |api| {
                    api.lag = u64::from(b % 60);
                    api.history += u64::from(c % 2);
                },
                "the API server answers with old lists",
            ),
            Kind::ApiPages => self.change_api(
                |api| {
                    api.streams = false;
                    api.history += 1;
                },
                "the API server streams no lists",
            ),
            Kind::KillAgent => self.with_on(a, |world, host| {
                world.tell(|world| format!("the agent of {} is killed", world.hosts[host].name));
                world.kill_agent(host);
            }),
            Kind::StartAgent => self.start_one(a),
            Kind::RestartAgent => self.with_on(a, Self::restart_agent),
            Kind::Reboot => self.with_on(a, |world, host| world.reboot(host, b % 2 == 0)),
            Kind::DeleteRoute => self.with_on(a, |world, host| {
                world.delete_route(host, b);
            }),
            Kind::FlushRoutes => self.with_on(a, Self::flush_routes),
            Kind::ForeignInPlace => self.with_on(a, |world, host| world.foreign(host, b, Some(c))),
            Kind::ForeignBeside => self.with_on(a, |world, host| world.foreign_beside(host, b, c)),
            Kind::RemoveForeign => self.with_on(a, |world, host| world.remove_foreign(host, Some(b))),
            Kind::LinkDown => self.with_on(a, |world, host| world.set_link(host, false)),
            Kind::LinkUp => self.with_on(a, |world, host| world.set_link(host, true)),
            Kind::Carrier => self.with_on(a, |world, host| {
                let uplink = world.hosts[host].uplink;
                world.tell(|world| {
                    format!("the cable of {} is {}", world.hosts[host].name, if b % 2 == 0 { "in" } else { "out" })
                });
                world.hosts[host].kernel.set_carrier(uplink, b % 2 == 0);
                world.kernel_changed(host);
            }),
            Kind::RemoveAddress => self.with_on(a, |world, host| {
                world.tell(|world| format!("the uplink of {} loses its addresses", world.hosts[host].name));
                world.remove_addresses(host);
            }),
            Kind::AddAddress => self.with_on(a, Self::add_addresses),
            Kind::AddRule => self.with_on(a, |world, host| world.add_rule(host, b, c)),
            Kind::RemoveRule => self.with_on(a, Self::remove_rules),
            Kind::LoseEvents => self.with_on(a, |world, host| {
                world.hosts[host].loses_events = true;
                world.delete_route(host, b);
            }),
            Kind::ExtraLink => self.with_on(a, |world, host| world.extra_link(host, b)),
            Kind::RemoveLink => self.with_on(a, Self::remove_extra_links),
            Kind::Mtu => self.with_on(a, |world, host| {
                let uplink = world.hosts[host].uplink;
                world.hosts[host].kernel.set_mtu(uplink, [1500, 1450, 9000, 1400][b as usize % 4]);
                world.kernel_changed(host);
            }),
            Kind::Loss => self.lose(a, b, c),
            Kind::HealLoss => self.fabric.losses.clear(),
            Kind::Clock => self.with_on(a, |world, host| {
                world.hosts[host].skew = [0, 3600, -3600, -400_000_000, 400_000_000, -1_750_000_000][b as usize % 6];
            }),
            Kind::AddPod => self.with_on(a, |world, host| {
                world.add_pod(host);
            }),
            Kind::RemovePod => self.with_on(a, |world, host| {
                let count = world.hosts[host].pods.len();
                if let Some(pod) = world.hosts[host].pods.keys().nth(b as usize % count.max(1)).copied() {
                    world.remove_pod(host, pod);
                }
            }),
            Kind::SlowParts => self.with_on(a, |world, host| world.hosts[host].slow = [1, 20, 200][b as usize % 3]),
            Kind::FilterStuck => self.with_on(a, |world, host| {
                world.hosts[host].filter_stuck = world.now + u64::from(b % 8000) * MS;
            }),
            Kind::KernelFails => self.with_on(a, |world, host| world.hosts[host].kernel.failing = b % 3 + 1),
            Kind::Release => self.with_on(a, Self::release),
            Kind::Look => self.with_on(a, |world, host| world.core(host, Event::Order(Command::Look))),
            Kind::FileBad => {
                self.file_follows = false;
                let whole = self.file.to_string();
                let text = match a % 3 {
                    0 => whole[..whole.len() / 2].to_owned(),
                    1 => String::new(),
                    _ => "{\"kind\":\"NodeList\",\"items\":[]}".to_owned(),
                };
                self.set_file(text);
            }
            Kind::FileGood => {
                self.file_follows = true;
                self.write_file();
            }
        }
    }

    /// The machine that a number means, of those that are on.
    fn with_on(&mut self, number: u32, change: impl FnOnce(&mut Self, usize)) {
        let on: Vec<usize> = self.hosts.iter().filter(|host| host.is_on).map(|host| host.id).collect();
        if let Some(host) = on.get(number as usize % on.len().max(1)) {
            change(self, *host);
        }
    }

    fn object(&self, number: u32) -> Option<Rc<Object>> {
        self.api.objects.values().nth(number as usize % self.api.objects.len().max(1)).cloned()
    }

    /// Gives a Node object other addresses and CIDRs.
    pub(crate) fn with_object(&mut self, number: u32, change: impl FnOnce(&Object) -> (Vec<String>, Vec<String>)) {
        if let Some(object) = self.object(number) {
            let (addresses, cidrs) = change(&object);
            self.tell(|_| format!("the Node {} now has addresses {addresses:?} and pod CIDRs {cidrs:?}", object.name));
            self.api.put(&object.name, object.uid, addresses, cidrs);
            self.api_changed();
        }
    }

    pub(crate) fn change_api(&mut self, change: impl FnOnce(&mut crate::api::Api), words: &'static str) {
        self.tell(|_| words.to_owned());
        change(&mut self.api);
        self.api_changed();
    }

    /// The API server lists a part of its nodes, as [`Api::says_part`](crate::api::Api::says_part) has it.
    pub(crate) fn list_a_part(&mut self, part: u64, words: &'static str) {
        self.change_api(
            |api| {
                api.says_part = Some(part);
                api.history += 1;
            },
            words,
        );
    }

    /// The API server answers everybody with all that it has.
    pub(crate) fn heal_api(&mut self) {
        self.tell(|_| "the API server answers as it should".to_owned());
        let was_bad = self.api.says_empty || self.api.says_part.is_some();
        (self.api.is_down, self.api.says_empty, self.api.says_part) = (false, false, None);
        (self.api.lag, self.api.streams) = (0, true);
        if was_bad {
            // Those that had a bad list get another: their watches break off.
            self.api.history += 1;
        }
        self.api_changed();
    }

    pub(crate) fn add_node(&mut self) {
        let off = self.hosts.iter().position(|host| !host.is_on);
        let most = self.config.nodes + self.config.nodes / 4 + 2;
        let host = match off {
            Some(host) => {
                let segment = self.hosts[host].segment;
                let number = self.take_number(segment);
                let now = self.now;
                self.hosts[host].number = number;
                self.hosts[host].boot(now, false);
                self.register(host, None);
                host
            }
            None if self.hosts.len() < most => self.add_machine(),
            None => return,
        };
        self.tell(|world| {
            let object = world.api.objects.get(&world.hosts[host].name);
            format!(
                "the node {} is added: {:?}",
                world.hosts[host].name,
                object.map(|object| (&object.addresses, &object.cidrs))
            )
        });
        if host < self.config.agents {
            self.start_agent(host);
        }
    }

    fn forget_pods(&mut self, host: usize) {
        self.living.retain(|_, of| *of != host);
    }

    /// The names of machines that were taken by others are not used again.
    pub(crate) fn remove_node(&mut self, host: usize) {
        let on = self.hosts.iter().filter(|host| host.is_on).count();
        if on <= self.config.nodes * 3 / 4 || on < 3 {
            return;
        }
        self.tell(|world| format!("the node {} is removed", world.hosts[host].name));
        self.forget_pods(host);
        self.hosts[host].power_off();
        self.delete_object(host);
    }

    fn delete_object(&mut self, host: usize) {
        let name = self.hosts[host].name.clone();
        self.tell(|_| format!("the Node object {name} is deleted"));
        let cidrs = self.api.objects.get(&name).map(|object| object.cidrs.clone()).unwrap_or_default();
        self.api.remove(&name);
        self.free(&cidrs);
        self.api_changed();
    }

    fn rename(&mut self, host: usize, number: u32) {
        let old = self.hosts[host].name.clone();
        let cidrs = self.api.objects.get(&old).map(|object| object.cidrs.clone()).filter(|cidrs| !cidrs.is_empty());
        self.api.remove(&old);
        self.hosts[host].name = format!("n{host:04}r{}", self.api.version());
        let keeps = cidrs.filter(|_| number.is_multiple_of(2));
        self.register(host, keeps);
        self.tell(|world| {
            format!("the node {old} is called {} now, and its agent is restarted", world.hosts[host].name)
        });
        self.kill_agent(host);
        self.start_agent(host);
    }

    fn renumber(&mut self, host: usize, number: u32) {
        let segment = self.hosts[host].segment;
        let new = self.take_number(segment);
        let is_first_told = number.is_multiple_of(2);
        if !is_first_told {
            self.remove_addresses(host);
        }
        self.hosts[host].number = new;
        self.put_addresses(host);
        if is_first_told {
            let old: Vec<Address> = self.hosts[host]
                .kernel
                .addresses
                .iter()
                .filter(|own| own.device == self.hosts[host].uplink)
                .cloned()
                .collect();
            old.iter().for_each(|address| self.hosts[host].kernel.remove_address(address));
        }
        self.add_addresses(host);
        self.tell(|world| {
            format!("{} has the addresses {:?} now", world.hosts[host].name, world.hosts[host].own_addresses())
        });
    }

    fn put_addresses(&mut self, host: usize) {
        let name = self.hosts[host].name.clone();
        let addresses = self.hosts[host].own_addresses().iter().map(|own| own.ip().to_string()).collect();
        if let Some(object) = self.api.objects.get(&name).cloned() {
            self.api.put(&name, object.uid, addresses, object.cidrs.clone());
            self.api_changed();
        }
    }

    pub(crate) fn renumber_cidrs(&mut self, host: usize, number: u32) {
        let name = self.hosts[host].name.clone();
        let Some(object) = self.api.objects.get(&name).cloned() else { return };
        // Kubernetes changes a pod CIDR only with the object.
        let uid = if number.is_multiple_of(2) { self.api.uid() } else { object.uid };
        let cidrs = self.take_cidrs();
        self.tell(|_| format!("the node {name} has the pod CIDRs {cidrs:?} now"));
        if uid != object.uid {
            self.api.remove(&name);
        }
        self.api.put(&name, uid, object.addresses.clone(), cidrs);
        self.free(&object.cidrs);
        self.api_changed();
    }

    fn replace(&mut self, host: usize) {
        let Some(fresh) = self.hosts.iter().position(|host| !host.is_on) else { return };
        let name = self.hosts[host].name.clone();
        let Some(object) = self.api.objects.get(&name).cloned() else { return };
        self.forget_pods(host);
        self.hosts[host].power_off();
        self.hosts[host].name = format!("n{host:04}x{}", self.api.version());
        self.api.remove(&name);
        let segment = self.hosts[fresh].segment;
        let number = self.take_number(segment);
        let now = self.now;
        (self.hosts[fresh].name, self.hosts[fresh].number) = (name.clone(), number);
        self.hosts[fresh].boot(now, false);
        self.register(fresh, Some(object.cidrs.clone()).filter(|cidrs| !cidrs.is_empty()));
        self.tell(|_| format!("the machine of {name} is replaced by another, with the same pod CIDRs"));
        if fresh < self.config.agents {
            self.start_agent(fresh);
        }
    }

    /// Registers a machine's node as it is; with CIDRs that nobody else has.
    pub(crate) fn restore(&mut self, host: usize) {
        let name = self.hosts[host].name.clone();
        let object = self.api.objects.get(&name).cloned();
        let had =
            self.api.had.get(&name).map(|(cidrs, _)| cidrs.iter().copied().collect::<Vec<_>>()).unwrap_or_default();
        let is_free = |world: &Self, text: &String| {
            let wide = text.parse::<IpNetwork>().ok();
            wide.is_some_and(|cidr| {
                [24, 64].contains(&cidr.prefix())
                    && cidr.network() == cidr.ip()
                    && world.api.objects.values().all(|other| {
                        other.name == name || !other.valid_cidrs().iter().any(|other| routes::overlap(*other, cidr))
                    })
            })
        };
        let known: Vec<String> =
            object.iter().flat_map(|object| object.cidrs.clone()).filter(|cidr| is_free(self, cidr)).collect();
        let known = if known.is_empty() {
            let last = had.iter().rev().map(ToString::to_string).filter(|cidr| is_free(self, cidr));
            last.fold(Vec::new(), |mut firsts: Vec<String>, cidr| {
                if !firsts.iter().any(|first| first.contains(':') == cidr.contains(':')) {
                    firsts.push(cidr);
                }
                firsts
            })
        } else {
            known.into_iter().fold(Vec::new(), |mut firsts: Vec<String>, cidr| {
                if !firsts.iter().any(|first| first.contains(':') == cidr.contains(':')) {
                    firsts.push(cidr);
                }
                firsts
            })
        };
        let families = if self.config.dual { 2 } else { 1 };
        let mut cidrs = if known.len() == families { known } else { self.take_cidrs() };
        cidrs.sort_by_key(|cidr| cidr.contains(':'));
        self.free_cidrs.retain(|number| {
            *number == u32::MAX || {
                let text = format!("10.{}.{}.0/24", 128 + number / 256, number % 256);
                !cidrs.contains(&text)
            }
        });
        let addresses: Vec<String> = self.hosts[host].own_addresses().iter().map(|own| own.ip().to_string()).collect();
        let is_right = object.as_ref().is_some_and(|object| object.cidrs == cidrs && object.addresses == addresses);
        if !is_right {
            self.tell(|_| format!("the Node {name} is put right: {addresses:?}, {cidrs:?}"));
            let uid = object.map_or_else(|| self.api.uid(), |object| object.uid);
            self.api.put(&name, uid, addresses, cidrs);
            self.api_changed();
        }
    }

    fn start_one(&mut self, number: u32) {
        let off: Vec<usize> = self
            .hosts
            .iter()
            .filter(|host| host.is_on && host.agent.is_none() && host.id < self.config.agents)
            .map(|host| host.id)
            .collect();
        if let Some(host) = off.get(number as usize % off.len().max(1)).copied() {
            self.tell(|world| format!("the agent of {} is started", world.hosts[host].name));
            self.start_agent(host);
        }
    }

    pub(crate) fn restart_agent(&mut self, host: usize) {
        self.tell(|world| format!("the agent of {} is killed and started", world.hosts[host].name));
        self.kill_agent(host);
        self.start_agent(host);
    }

    pub(crate) fn reboot(&mut self, host: usize, keeps_store: bool) {
        self.tell(|world| format!("{} reboots", world.hosts[host].name));
        self.forget_pods(host);
        let now = self.now;
        self.hosts[host].boot(now, keeps_store);
        if host < self.config.agents {
            self.start_agent(host);
        }
    }

    pub(crate) fn delete_route(&mut self, host: usize, number: u32) -> Option<Route> {
        let ours: Vec<Route> =
            self.hosts[host].kernel.main().filter(|route| route.protocol == NODE_ROUTE).cloned().collect();
        let route = ours.get(number as usize % ours.len().max(1))?;
        self.tell(|world| format!("somebody deletes the route {route} of {}", world.hosts[host].name));
        let gone = self.hosts[host].kernel.remove_route(&Route { kind: route.kind, ..route.clone() }).ok();
        self.kernel_changed(host);
        gone
    }

    fn flush_routes(&mut self, host: usize) {
        self.tell(|world| format!("somebody flushes podlan's routes of {}", world.hosts[host].name));
        let ours: Vec<Route> =
            self.hosts[host].kernel.main().filter(|route| route.protocol == NODE_ROUTE).cloned().collect();
        for route in ours {
            drop(self.hosts[host].kernel.remove_route(&route));
        }
        self.kernel_changed(host);
    }

    /// A route of another program, in the place of one of podlan's where `metric` is none.
    pub(crate) fn foreign(&mut self, host: usize, number: u32, how: Option<u32>) {
        let Some(object) = self.object(number).filter(|object| object.name != self.hosts[host].name) else { return };
        let Some(cidr) = object.valid_cidrs().first().copied() else { return };
        let machine = &mut self.hosts[host];
        let gateway = Fabric::router(machine.segment, cidr.is_ipv4());
        let route = Route {
            gateway: Some(gateway),
            device: Some(machine.uplink),
            metric: PEER_METRIC,
            ..Route::to(cidr, STATIC)
        };
        let words = format!("another program routes {route} on {}", machine.name);
        let done = match how {
            Some(how) if how % 2 == 0 => machine.kernel.replace_route(route).map(drop),
            _ => machine.kernel.add_route(route),
        };
        if done.is_ok() {
            self.tell(|_| words);
        }
        self.kernel_changed(host);
    }

    fn foreign_beside(&mut self, host: usize, number: u32, how: u32) {
        let Some(object) = self.object(number).filter(|object| object.name != self.hosts[host].name) else { return };
        let (Some(cidr), Some(address)) =
            (object.valid_cidrs().first().copied(), object.valid_addresses().first().copied())
        else {
            return;
        };
        let machine = &mut self.hosts[host];
        let router = |of: &IpNetwork| Some(Fabric::router(machine.segment, of.is_ipv4()));
        let (destination, metric, kind) = match how % 6 {
            0 => (cidr, 0, RouteKind::Unicast),
            1 => (cidr, 200, RouteKind::Unicast),
            2 => (IpNetwork::from(address), 5, RouteKind::Unicast),
            3 => (half(cidr), 20, RouteKind::Unicast),
            4 => (IpNetwork::from(address), 7, RouteKind::Unreachable),
            _ => (cidr, 50, RouteKind::Other(6)),
        };
        let is_plain = kind == RouteKind::Unicast;
        let route = Route {
            kind,
            metric,
            gateway: router(&destination).filter(|_| is_plain),
            device: Some(machine.uplink).filter(|_| is_plain),
            ..Route::to(destination, STATIC)
        };
        let words = format!("another program adds {route} on {}", machine.name);
        if machine.kernel.add_route(route).is_ok() {
            self.tell(|_| words);
        }
        self.kernel_changed(host);
    }

    /// Removes one route of other programs, or all.
    pub(crate) fn remove_foreign(&mut self, host: usize, number: Option<u32>) {
        let foreign: Vec<Route> =
            self.hosts[host].kernel.main().filter(|route| route.protocol == STATIC).cloned().collect();
        let some = match number {
            Some(number) => foreign.get(number as usize % foreign.len().max(1)).into_iter().collect::<Vec<_>>(),
            None => foreign.iter().collect(),
        };
        for route in some {
            self.tell(|world| format!("another program removes {route} on {}", world.hosts[host].name));
            drop(self.hosts[host].kernel.remove_route(route));
        }
        self.kernel_changed(host);
    }

    pub(crate) fn set_link(&mut self, host: usize, up: bool) {
        let uplink = self.hosts[host].uplink;
        self.tell(|world| format!("the uplink of {} goes {}", world.hosts[host].name, if up { "up" } else { "down" }));
        self.hosts[host].kernel.set_up(uplink, up);
        if up {
            self.hosts[host].configure();
        }
        self.kernel_changed(host);
    }

    fn remove_addresses(&mut self, host: usize) {
        let uplink = self.hosts[host].uplink;
        let own: Vec<Address> =
            self.hosts[host].kernel.addresses.iter().filter(|own| own.device == uplink).cloned().collect();
        own.iter().for_each(|address| self.hosts[host].kernel.remove_address(address));
        self.kernel_changed(host);
    }

    fn add_addresses(&mut self, host: usize) {
        self.hosts[host].configure();
        self.kernel_changed(host);
    }

    fn add_rule(&mut self, host: usize, number: u32, how: u32) {
        let Some(object) = self.object(number) else { return };
        let to = match how % 3 {
            0 => object.valid_cidrs().first().copied(),
            1 => object.valid_addresses().first().copied().map(IpNetwork::from),
            _ => Some(Fabric::subnets(self.hosts[host].segment)[0]),
        };
        let machine = &mut self.hosts[host];
        if how.is_multiple_of(2)
            && let Ok(all) = "0.0.0.0/0".parse()
        {
            let router = Fabric::router(machine.segment, true);
            let route =
                Route { table: 100, gateway: Some(router), device: Some(machine.uplink), ..Route::to(all, STATIC) };
            let _ = machine.kernel.add_route(route);
        }
        machine.kernel.add_rule(Rule { priority: 1000, table: 100, to });
        self.tell(|world| format!("a rule sends packets to {to:?} to table 100 on {}", world.hosts[host].name));
        self.kernel_changed(host);
    }

    fn remove_rules(&mut self, host: usize) {
        for rule in self.hosts[host].kernel.rules.clone().into_iter().filter(|rule| rule.table == 100) {
            self.hosts[host].kernel.remove_rule(rule);
        }
        self.kernel_changed(host);
    }

    fn extra_link(&mut self, host: usize, number: u32) {
        let Some(object) = self.object(number) else { return };
        let cidr = object
            .valid_cidrs()
            .first()
            .copied()
            .filter(|_| number.is_multiple_of(2) && object.name != self.hosts[host].name);
        let address =
            cidr.and_then(|cidr| ipam::after(cidr.network()).and_then(|ip| IpNetwork::new(ip, cidr.prefix()).ok()));
        let address = address.or_else(|| "192.168.99.1/24".parse().ok());
        let Some(address) = address else { return };
        let machine = &mut self.hosts[host];
        let index = machine.kernel.add_link("br0", 1500);
        machine.kernel.add_address(Address { address, device: index, link_scope: false });
        self.tell(|world| format!("a bridge with {address} appears on {}", world.hosts[host].name));
        self.kernel_changed(host);
    }

    fn remove_extra_links(&mut self, host: usize) {
        let extra: Vec<u32> = self.hosts[host]
            .kernel
            .links
            .iter()
            .filter(|(_, link)| link.name == "br0")
            .map(|(index, _)| *index)
            .collect();
        extra.into_iter().for_each(|index| self.hosts[host].kernel.remove_link(index));
        self.kernel_changed(host);
    }

    pub(crate) fn lose(&mut self, a: u32, b: u32, how: u32) {
        let count = self.hosts.len();
        let (from, to) = (a as usize % count, b as usize % count);
        let loss = Loss { pods: true, nodes: how.is_multiple_of(4) };
        self.tell(|world| {
            format!("the fabric loses packets from {} to {}: {loss:?}", world.hosts[from].name, world.hosts[to].name)
        });
        self.fabric.losses.insert((from, to), loss);
        if how.is_multiple_of(3) {
            self.fabric.losses.insert((to, from), loss);
        }
    }

    /// Adds a pod; false where there is none.
    pub(crate) fn add_pod(&mut self, host: usize) -> bool {
        let now = self.now;
        match self.hosts[host].add_pod(now, &self.living) {
            Ok(number) => {
                let addresses = self.hosts[host].pods[&number].addresses.clone();
                self.tell(|world| format!("{} gets a pod with {addresses:?}", world.hosts[host].name));
                self.check_pod(host, &addresses);
                self.living.extend(addresses.into_iter().map(|address| (address, host)));
                self.kernel_changed(host);
                true
            }
            Err(Refused::Broken(text)) => {
                let is_contested = self
                    .api
                    .objects
                    .values()
                    .filter(|object| object.valid_cidrs().iter().any(|cidr| text.contains(&cidr.to_string())))
                    .count()
                    > 1;
                if !is_contested && !self.is_shared(host) {
                    self.break_law("no two living pods have one address", text);
                }
                false
            }
            Err(Refused::NotReady | Refused::Ipam(_)) => false,
        }
    }

    /// Whether operators gave a CIDR from which this machine leases, or leased, to another one too.
    fn is_shared(&self, host: usize) -> bool {
        let machine = &self.hosts[host];
        let pools = machine.conflist.clone().unwrap_or_default();
        let is_claimed = |pool: &ipnetwork::IpNetwork| {
            let overlaps = |(cidr, owners): (&ipnetwork::IpNetwork, &std::collections::BTreeSet<String>)| {
                routes::overlap(*cidr, *pool) && owners.iter().any(|owner| *owner != machine.name)
            };
            self.api.owners.iter().any(overlaps)
        };
        pools.iter().any(is_claimed)
    }

    pub(crate) fn remove_pod(&mut self, host: usize, pod: u32) {
        let addresses = self.hosts[host].pods.get(&pod).map(|pod| pod.addresses.clone()).unwrap_or_default();
        let now = self.now;
        if self.hosts[host].remove_pod(pod, now) {
            for address in addresses {
                if self.living.get(&address) == Some(&host) {
                    self.living.remove(&address);
                }
            }
            self.kernel_changed(host);
            self.leases_changed(host);
        }
    }

    pub(crate) fn release(&mut self, host: usize) {
        if let Some(agent) = &mut self.hosts[host].agent {
            agent.is_released = true;
        }
        self.tell(|world| format!("an operator releases what {} holds", world.hosts[host].name));
        self.core(host, Event::Order(Command::Release));
    }

    /// What passes by itself, or what operators put right, passes; everything, where `all`.
    pub(crate) fn heal(&mut self, all: bool, number: u32) {
        self.heal_api();
        self.file_follows = true;
        for host in 0..self.hosts.len() {
            let machine = &mut self.hosts[host];
            (machine.slow, machine.filter_stuck, machine.kernel.failing) = (1, 0, 0);
            if !machine.is_on {
                continue;
            }
            if all || !mix(&[u64::from(number), host as u64]).is_multiple_of(4) {
                self.remove_foreign(host, None);
                self.remove_rules(host);
                self.remove_extra_links(host);
                let uplink = self.hosts[host].uplink;
                self.hosts[host].kernel.set_carrier(uplink, true);
                self.set_link(host, true);
                self.add_addresses(host);
            }
            if host < self.config.agents && self.hosts[host].agent.is_none() {
                self.start_agent(host);
            }
        }
        if all {
            self.fabric.losses.clear();
            // Objects of machines that are no more go first.
            let names: Vec<String> = self.api.objects.keys().cloned().collect();
            for name in names {
                if !self.hosts.iter().any(|host| host.is_on && host.name == name) {
                    self.api.remove(&name);
                }
            }
            for host in 0..self.hosts.len() {
                if self.hosts[host].is_on {
                    self.restore(host);
                }
            }
            // Pods outside of their node's CIDRs are recreated elsewhere.
            for host in 0..self.hosts.len() {
                let name = self.hosts[host].name.clone();
                let own = self.api.objects.get(&name).map(|object| object.valid_cidrs()).unwrap_or_default();
                let stray: Vec<u32> = self.hosts[host]
                    .pods
                    .iter()
                    .filter(|(_, pod)| {
                        pod.addresses.iter().any(|address| !own.iter().any(|cidr| cidr.contains(*address)))
                    })
                    .map(|(number, _)| *number)
                    .collect();
                stray.into_iter().for_each(|pod| self.remove_pod(host, pod));
            }
            self.api_changed();
        }
        self.write_file();
    }

    fn rest(&mut self, op: &Op) {
        let [a, b, _] = op.numbers;
        let is_clean = a % 2 == 0;
        self.tell(|_| format!("rest{}", if is_clean { ", and everything is put right" } else { "" }));
        self.heal(is_clean, b);
        let before = self.steps;
        self.pass(Self::REST);
        let agents = self.hosts.iter().filter(|host| host.agent.is_some()).count() as u64;
        let steps = self.steps - before;
        // Heartbeats, looks at everything, and some lists of all nodes.
        if steps > agents * (400 + 12 * self.hosts.len() as u64) {
            let text = format!("{steps} events reach {agents} agents in {} s", Self::REST / crate::world::S);
            self.break_law("a cluster that nobody changes comes to rest", text);
        }
        if self.broken.is_some() {
            return;
        }
        self.check_rest();
        if is_clean && self.broken.is_none() {
            self.check_whole();
            self.drills(op);
        }
    }

    /// Whether a route in the main table is of another program.
    pub fn is_foreign(route: &Route) -> bool {
        ![NODE_ROUTE, POD_ROUTE].contains(&route.protocol) && route.table == MAIN
    }
}

/// The first half of a subnet.
fn half(cidr: IpNetwork) -> IpNetwork {
    let longest: u8 = if cidr.is_ipv4() { 32 } else { 128 };
    IpNetwork::new(cidr.network(), (cidr.prefix() + 1).min(longest)).unwrap_or(cidr)
}
