//! A link that does not become operational at once, as on kernels whose RTM_GETLINK leaves the link watch pending: ADD
//! waits for it, and when it never becomes operational, ADD fails with code 11 (try again later), names the cause and
//! leaves nothing behind. Mode `dormant`, set while strace pauses the plugin, keeps the link down.
//!
//! ```text
//!   node1
//!     └── web   its host end is dormant as soon as it is there
//! ```

use std::time::Duration;

use podlan_conformance::lab::{Command, Error, Node, Pod, Snapshot, added, eventually, within_with_strace};

const SOON: Duration = Duration::from_secs(20);

/// The file that strace writes, on the node.
const TRACE: &str = "/run/trace";

/// The plugin enters the pod's namespace and leaves it once, to inspect it, then enters it for good: there strace
/// pauses it. It sleeps between its reads of the link, and nowhere else.
const HELD_UP: [&str; 6] =
    ["-f", "-qq", "-o", TRACE, "--trace=setns,nanosleep,clock_nanosleep", "--inject=setns:delay_enter=1000000:when=3"];

fn add(pod: &Pod<'_>, node: &Node) -> Result<Command, Error> {
    Ok(pod.cni("ADD", "eth0", &node.podnet())?.under("strace", HELD_UP))
}

/// Makes the pod's host end dormant as soon as it exists; returns its name.
fn keep_down(node: &Node, before: &Snapshot) -> Result<String, Error> {
    let name = eventually(SOON, "the host end is there", || {
        let now = node.network().map_err(|error| error.to_string())?.since(before);
        let name = now.split(' ').find(|word| word.starts_with("podl")).map(str::to_owned);
        name.ok_or(now)
    })?;
    node.command("ip").args(["link", "set", "dev", &name, "mode", "dormant"]).succeeds()?;
    Ok(name)
}

#[test]
fn a_link_that_never_becomes_operational_fails_the_add_with_code_11_and_leaves_nothing() {
    within_with_strace(|node| {
        let web = node.pod("web")?;
        // The loopback stays up: a failed ADD leaves it up, as DEL does.
        web.place().switch("lo", true)?;
        let (before, pod_before) = (node.network()?, web.network()?);
        let adding = add(&web, node)?.spawn()?;
        let name = keep_down(node, &before)?;
        let refused = adding.wait(Duration::from_secs(60))?.complaint()?;
        assert_eq!(refused.code, 11, "{refused:?}");
        assert!(refused.text.contains(&format!("the link {name} is not operational after 10s")), "{refused:?}");
        eventually(SOON, "all is as before", || {
            let left = node.network().map_err(|error| error.to_string())?.since(&before)
                + &web.network().map_err(|error| error.to_string())?.since(&pod_before);
            if left.is_empty() { Ok(()) } else { Err(left) }
        })?;
        // The address was released too, and the next ADD succeeds.
        let at_web = web.add(&node.podnet())?;
        web.check(&node.podnet(), &at_web)
    });
}

#[test]
fn a_link_that_becomes_operational_later_is_waited_for() {
    within_with_strace(|node| {
        let web = node.pod("web")?;
        let before = node.network()?;
        let mut adding = add(&web, node)?.spawn()?;
        let name = keep_down(node, &before)?;
        eventually(SOON, "the plugin has looked at the link and waits", || {
            let trace = std::fs::read_to_string(node.path(TRACE)).unwrap_or_default();
            if trace.matches("nanosleep(").count() > 2 { Ok(()) } else { Err(trace) }
        })?;
        assert!(adding.is_running(), "it waits");
        node.command("ip").args(["link", "set", "dev", &name, "state", "UP"]).succeeds()?;
        let output = adding.wait(Duration::from_secs(60))?;
        assert!(output.success(), "{}", output.report());
        let at_web = added(&output.stdout)?;
        web.check(&node.podnet(), &at_web)?;
        let _server = web.serve()?;
        node.reaches(&at_web.ips())
    });
}
