//! What the agent before this one said of this node. It stands until it is stale or this one knows better: a node must
//! not become unready because its agent is replaced. It refuses to believe what the kernel does not bear out.

use ipnetwork::IpNetwork;

use routes::{Key, Routes};
use state::State;

/// The last word of a former agent.
pub(super) struct PreviousAgent(State);

impl PreviousAgent {
    /// Its last word on the node `me`, if the routes that it speaks of are among `held`: they go with a reboot.
    pub(super) fn confirmed(said: State, me: &str, held: &Routes) -> Option<Self> {
        let own = |cidr: &String| cidr.parse::<IpNetwork>().is_ok_and(|cidr| held.contains_key(&Key::own(cidr)));
        let confirmed = said.node == me && !said.pod_cidrs.is_empty() && said.pod_cidrs.iter().all(own);
        confirmed.then_some(Self(said))
    }

    /// Whether the node counts as ready by it still.
    pub(super) fn vouches(&self) -> bool {
        self.0.ready && !self.0.is_stale()
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
    fn a_word_counts_for_its_node_while_the_routes_are_there() {
        let cidrs = ["10.244.1.0/24", "fd00:10:244:1::/64"];
        let confirmed = |said, me, held: &[&str]| PreviousAgent::confirmed(said, me, &self::held(held)).is_some();
        assert!(confirmed(said(true, &cidrs), "n1", &cidrs));
        assert!(!confirmed(said(true, &cidrs), "n2", &cidrs), "another node's");
        assert!(!confirmed(said(true, &cidrs), "n1", &cidrs[..1]), "a route is gone");
        assert!(!confirmed(said(true, &[]), "n1", &cidrs), "it knew of no CIDR");
    }

    #[test]
    fn only_a_fresh_word_of_readiness_vouches() {
        let cidrs = ["10.244.1.0/24"];
        let word = |said| PreviousAgent::confirmed(said, "n1", &held(&cidrs)).unwrap();
        assert!(word(said(true, &cidrs)).vouches());
        assert!(!word(said(false, &cidrs)).vouches());
        let mut old = said(true, &cidrs);
        old.boot_time = 0;
        assert!(!word(old).vouches());
    }
}
