//! The agent's nodes from a real API server with etcd, and from recordings of that server's answers.
//!
//! ```text
//!   node1 (agent ── kube-apiserver ── etcd) ──┬── node2, node3
//!                                            lan
//! ```
//!
//! Each scenario runs twice: with the real programs (`scripts/test-apiserver` builds them; too long for each CI run),
//! and with the streams recorded from them (`scripts/test-apiserver --record` records them again).

mod acts;
mod bench;
mod cluster;
mod relay;
mod replay;
mod scenarios;
mod server;

use podlan_conformance::lab::{set_aside, within};

use cluster::Backend;

/// Names the directory of kube-apiserver, etcd and signing-key.
const PROGRAMS: &str = "PODLAN_KUBE_BIN";

/// Whether the real server is available; if not, the test is set aside.
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
        within(|| scenarios::nodes_come_and_go(Backend::Real));
    }
}

#[test]
fn nodes_that_join_move_and_leave_are_followed_as_recorded() {
    within(|| scenarios::nodes_come_and_go(Backend::Recording));
}

#[test]
fn routes_stay_during_a_server_outage_and_follow_its_changes_afterwards() {
    if really() {
        within(|| scenarios::the_server_is_away(Backend::Real));
    }
}

#[test]
fn routes_stay_during_a_server_outage_and_follow_its_changes_afterwards_as_recorded() {
    within(|| scenarios::the_server_is_away(Backend::Recording));
}

#[test]
fn a_server_that_restarts_with_an_empty_store_is_followed() {
    if really() {
        within(|| scenarios::the_store_is_lost(Backend::Real));
    }
}

#[test]
fn a_server_that_restarts_with_an_empty_store_is_followed_as_recorded() {
    within(|| scenarios::the_store_is_lost(Backend::Recording));
}

#[test]
fn a_server_without_streamed_lists_is_listed_in_pages() {
    if really() {
        within(|| scenarios::no_streamed_lists(Backend::Real));
    }
}

#[test]
fn a_server_without_streamed_lists_is_listed_in_pages_as_recorded() {
    within(|| scenarios::no_streamed_lists(Backend::Recording));
}

#[test]
fn an_agent_without_permission_reports_it_and_starts_once_it_is_granted() {
    if really() {
        within(|| scenarios::permission_comes_late(Backend::Real));
    }
}

#[test]
fn an_agent_without_permission_reports_it_and_starts_once_it_is_granted_as_recorded() {
    within(|| scenarios::permission_comes_late(Backend::Recording));
}

#[test]
fn a_pods_service_account_with_get_list_and_watch_of_nodes_is_enough() {
    if really() {
        within(|| scenarios::as_a_pod("podlan-node", scenarios::Told::ByTheService));
    }
}

#[test]
fn an_api_server_that_no_service_leads_to_is_reached_at_the_address_that_the_agent_is_given() {
    if really() {
        within(|| scenarios::as_a_pod("podlan-node", scenarios::Told::ByTheCommandLine));
    }
}

#[test]
fn five_thousand_large_nodes_are_held_in_30_megabytes() {
    if really() {
        within(|| {
            for bench::Held { when, resident, most } in bench::five_thousand_nodes()? {
                println!("5,000 large nodes, {when}: {resident} kB resident, {most} at most");
                assert!(resident < 30_000, "{resident} kB when {when}");
            }
            Ok(())
        });
    }
}
