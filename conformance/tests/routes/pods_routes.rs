//! An agent that starts, restarts or ends while pods are running leaves their routes alone: those belong to the plugin.
//!
//! ```text
//!   node1 ──┬── node2
//!     └── web, added before any agent ran
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};

/// The plugin's route protocol number, as the README documents it.
const POD_ROUTES: [&str; 3] = ["route", "proto", "112"];
/// The agent's protocol number.
const NODE_ROUTES: [&str; 3] = ["route", "proto", "110"];

fn routes(node: &Node, words: [&str; 3]) -> Result<Vec<String>, Error> {
    Ok(node.network()?.lines(&words).into_iter().map(str::to_owned).collect())
}

#[test]
fn an_agent_that_starts_while_pods_live_leaves_their_routes_alone() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        let at_web = web.add(&one.podnet())?;
        let before = routes(one, POD_ROUTES)?;
        assert_eq!(before.len(), 3, "a host route per family, and one to the link-local address: {before:?}");
        let _servers = [web.serve()?, two.serve()?];

        for _ in 0..2 {
            let mut agents = vec![one.agent(&[])?, two.agent(&[])?];
            eventually(Duration::from_secs(10), "the agents connect the nodes", || {
                web.reaches(&at_web, &two.ips()).map_err(|error| error.to_string())
            })?;
            assert_eq!(routes(one, POD_ROUTES)?, before);
            for agent in agents.drain(..) {
                agent.stop(Duration::from_secs(5))?;
            }
            assert_eq!(routes(one, POD_ROUTES)?, before);
        }
        assert!(
            !routes(one, NODE_ROUTES)?.is_empty(),
            "routes outlive the agent: its restart must not cut the pods off"
        );
        web.del(&one.podnet())?;
        assert_eq!(routes(one, POD_ROUTES)?, Vec::<String>::new());
        Ok(())
    });
}
