//! The state that the agent before this one published of this node. It stays valid until it is stale or this agent knows
//! more: a node must not become unready because its agent is replaced. It counts only while its routes are in the kernel.

use ipnetwork::IpNetwork;

use routes::{Key, Routes};
use state::{Clocks, State};

/// The last state of the previous agent.
pub struct PreviousAgent(State);

impl PreviousAgent {
    /// Its last state, if it is of the node `me` and its routes are among `held`: a reboot removes them.
    pub fn confirmed(said: State, me: &str, held: &Routes) -> Option<Self> {
        let own = |cidr: &String| cidr.parse::<IpNetwork>().is_ok_and(|cidr| held.contains_key(&Key::own(cidr)));
        let confirmed = said.node == me && !said.pod_cidrs.is_empty() && said.pod_cidrs.iter().all(own);
        confirmed.then_some(Self(said))
    }

    /// Whether the node is still ready by it.
    pub(super) fn is_ready(&self, now: Clocks) -> bool {
        self.0.ready && !self.0.is_stale(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routes::Target;

    fn said(ready: bool, cidrs: &[&str]) -> State {
        let mut state = State::starting("n1", "file x");
        state.ready = ready;
        state.pod_cidrs = cidrs.iter().map(|cidr| (*cidr).to_owned()).collect();
        state
    }

    fn held(cidrs: &[&str]) -> Routes {
        cidrs.iter().map(|cidr| (Key::own(cidr.parse().unwrap()), Target::Unreachable)).collect()
    }

    #[test]
    fn a_state_counts_for_its_node_while_the_routes_are_there() {
        let cidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"];
        let confirmed = |said, me, held: &[&str]| PreviousAgent::confirmed(said, me, &self::held(held)).is_some();
        assert!(confirmed(said(true, &cidrs), "n1", &cidrs));
        assert!(!confirmed(said(true, &cidrs), "n2", &cidrs), "another node's");
        assert!(!confirmed(said(true, &cidrs), "n1", &cidrs[..1]), "a route is gone");
        assert!(!confirmed(said(true, &[]), "n1", &cidrs), "it knew of no CIDR");
    }

    #[test]
    fn only_a_fresh_state_that_is_ready_counts() {
        let cidrs = ["10.244.1.0/24"];
        let is_ready = |said| PreviousAgent::confirmed(said, "n1", &held(&cidrs)).unwrap().is_ready(Clocks::now());
        assert!(is_ready(said(true, &cidrs)));
        assert!(!is_ready(said(false, &cidrs)));
        let mut old = said(true, &cidrs);
        old.boot_time = 0;
        assert!(!is_ready(old));
    }
}
