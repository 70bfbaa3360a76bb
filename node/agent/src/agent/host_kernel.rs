//! The kernel as the shell asks it for the core. A socket that failed is opened again by the next turn.

use std::net::IpAddr;
use std::time::Instant;

use netlink::{Error, Socket, inherited_mtu};

use agent_core::{Core, MtuLook, Turned};
use routes::kernel::Rtnetlink;

/// None while no socket can be had.
#[derive(Default)]
pub(super) struct HostKernel(Option<Rtnetlink>);

impl HostKernel {
    /// Has the core make its turn.
    pub(super) fn turn(&mut self, core: &mut Core) -> Option<Turned> {
        if !core.wants_turn() {
            return None;
        }
        let began = Instant::now();
        let mut kernel = match self.0.take().map_or_else(Rtnetlink::open, Ok) {
            Ok(kernel) => kernel,
            Err(error) => return core.turn_without_kernel(error),
        };
        let mut turned = core.turn(&mut kernel)?;
        turned.took = began.elapsed();
        turned.unreadable = if turned.looked() { kernel.take_unreadable() } else { 0 };
        self.0 = turned.is_ok().then_some(kernel);
        Some(turned)
    }

    /// This node's own addresses. What cannot be asked now is asked again at the next look; until then the kernel chooses.
    pub(super) fn sources(&mut self) -> Vec<IpAddr> {
        self.0.as_mut().and_then(|kernel| kernel.sources().ok()).unwrap_or_default()
    }
}

/// The MTU that pods inherit, where the nodes are reached by links of this one.
pub(super) fn mtu(of_nodes: Option<u32>) -> Result<MtuLook, Error> {
    let mut host = Socket::open()?;
    let now = inherited_mtu(&mut host, || of_nodes)?;
    Ok(MtuLook { alone: inherited_mtu(&mut host, || None)?, now })
}
