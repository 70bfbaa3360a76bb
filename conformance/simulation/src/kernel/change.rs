//! Routes made, replaced and removed by programs, with the kernel's own refusals.

use netlink::{Event, Route, RouteKind, Scope};
use nix::errno::Errno;

use super::{Kernel, LOOPBACK, PRIO_USER};

impl Kernel {
    /// `ip route add`.
    pub fn add_route(&mut self, route: Route) -> Result<(), Errno> {
        let route = self.checked(route)?;
        let is_there = |other: &Route| other.metric == route.metric;
        if self.table(route.table).is_some_and(|table| table.to(route.destination).iter().any(is_there)) {
            return Err(Errno::EEXIST);
        }
        self.put(route);
        Ok(())
    }

    /// `ip route replace`: whatever route of the destination and metric is there goes, whoever made it. Returns that.
    pub fn replace_route(&mut self, route: Route) -> Result<Option<Route>, Errno> {
        let route = self.checked(route)?;
        let table = self.tables.entry(route.table).or_default();
        let place = table.to(route.destination).iter().position(|other| other.metric == route.metric);
        let Some(place) = place else {
            self.put(route);
            return Ok(None);
        };
        let routes = table.routes.get_mut(&route.destination).ok_or(Errno::ESRCH)?;
        let before = std::mem::replace(&mut routes[place], route.clone());
        self.events.push(Event::Changed(Box::new(route.came())));
        Ok(Some(before))
    }

    /// `ip route del`: the first that has all that is given. Returns it.
    pub fn remove_route(&mut self, wanted: &Route) -> Result<Route, Errno> {
        let table = self.tables.get_mut(&wanted.table).ok_or(Errno::ESRCH)?;
        let fits = |route: &Route| {
            let is_v4 = route.destination.is_ipv4();
            (wanted.kind == RouteKind::Other(0) || !is_v4 || wanted.kind == route.kind)
                && (!is_v4 || matches!(wanted.scope, Scope::Other(_)) || wanted.scope == route.scope)
                && (wanted.protocol == 0 || wanted.protocol == route.protocol)
                && (wanted.metric == 0 || wanted.metric == route.metric)
                && wanted.gateway.is_none_or(|gateway| route.gateway == Some(gateway))
                && wanted.device.is_none_or(|device| route.device == Some(device))
        };
        let place = table.to(wanted.destination).iter().position(fits).ok_or(Errno::ESRCH)?;
        let gone = table.remove_at(wanted.destination, place).ok_or(Errno::ESRCH)?;
        self.events.push(Event::Changed(Box::new(gone.went())));
        Ok(gone)
    }

    /// The route as the kernel keeps it.
    fn checked(&self, mut route: Route) -> Result<Route, Errno> {
        let is_v4 = route.destination.is_ipv4();
        if !is_v4 && route.metric == 0 {
            route.metric = PRIO_USER;
        }
        if route.kind != RouteKind::Unicast {
            if is_v4 && (route.gateway.is_some() || route.device.is_some()) {
                return Err(Errno::EINVAL);
            }
            if !is_v4 {
                (route.gateway, route.device) = (None, Some(LOOPBACK));
            }
            return Ok(route);
        }
        let device = route.device.and_then(|device| Some((device, self.links.get(&device)?)));
        let Some((index, link)) = device else { return Err(Errno::ENODEV) };
        let Some(gateway) = route.gateway else {
            return if link.up { Ok(route) } else { Err(Errno::ENETDOWN) };
        };
        if route.onlink {
            if !link.up {
                return Err(Errno::ENETDOWN);
            }
            if self.has_address(gateway) {
                return Err(Errno::EINVAL);
            }
            return Ok(route);
        }
        self.check_gateway(gateway, index)?;
        if link.up { Ok(route) } else { Err(Errno::ENETDOWN) }
    }
}
