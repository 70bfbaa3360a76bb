//! The agent's nodes from a real API server with etcd, and from what that server said once.
//!
//! ```text
//!   node1 (agent ── kube-apiserver ── etcd) ──┬── node2, node3
//!                                            lan
//! ```
//!
//! Each story is told twice: with the real programs (`scripts/test-apiserver` builds them; too long for each CI run),
//! and with the streams recorded from them (`scripts/test-apiserver --record` writes them anew).

mod acts;
mod bench;
mod cluster;
mod relay;
mod replay;
mod server;
mod stories;

use podlan_conformance::lab::{set_aside, within};

use cluster::Told;

/// Names the folder with kube-apiserver, etcd and signing-key.
const PROGRAMS: &str = "PODLAN_KUBE_BIN";

/// Whether the real server is here; if not, the test is set aside.
fn really() -> bool {
    let here = std::env::var_os(PROGRAMS).is_some();
    if !here {
        set_aside("no real API server: scripts/test-apiserver builds one");
    }
    here
}

#[test]
fn nodes_that_join_move_and_leave_are_followed() {
    if really() {
        within(|| stories::nodes_come_and_go(Told::Really));
    }
}

#[test]
fn nodes_that_join_move_and_leave_are_followed_as_recorded() {
    within(|| stories::nodes_come_and_go(Told::FromRecord));
}

#[test]
fn routes_stay_during_a_server_outage_and_follow_its_changes_afterwards() {
    if really() {
        within(|| stories::the_server_is_away(Told::Really));
    }
}

#[test]
fn routes_stay_during_a_server_outage_and_follow_its_changes_afterwards_as_recorded() {
    within(|| stories::the_server_is_away(Told::FromRecord));
}

#[test]
fn a_server_that_restarts_with_an_empty_store_is_followed() {
    if really() {
        within(|| stories::the_store_begins_anew(Told::Really));
    }
}

#[test]
fn a_server_that_restarts_with_an_empty_store_is_followed_as_recorded() {
    within(|| stories::the_store_begins_anew(Told::FromRecord));
}

#[test]
fn a_server_without_streamed_lists_is_listed_in_pages() {
    if really() {
        within(|| stories::no_streamed_lists(Told::Really));
    }
}

#[test]
fn a_server_without_streamed_lists_is_listed_in_pages_as_recorded() {
    within(|| stories::no_streamed_lists(Told::FromRecord));
}

#[test]
fn an_agent_without_permission_reports_it_and_starts_once_it_is_granted() {
    if really() {
        within(|| stories::permission_comes_late(Told::Really));
    }
}

#[test]
fn an_agent_without_permission_reports_it_and_starts_once_it_is_granted_as_recorded() {
    within(|| stories::permission_comes_late(Told::FromRecord));
}

#[test]
fn a_pods_service_account_with_get_list_and_watch_of_nodes_is_enough() {
    if really() {
        within(|| stories::as_a_pod("podlan-node"));
    }
}

#[test]
fn five_thousand_large_nodes_are_held_in_20_megabytes() {
    if really() {
        within(|| {
            for bench::Held { when, resident, most } in bench::five_thousand_nodes()? {
                println!("5,000 large nodes, {when}: {resident} kB resident, {most} at most");
                assert!(resident < 20_000, "{resident} kB when {when}");
            }
            Ok(())
        });
    }
}
