//! The nodes as a watch reports them. A list counts once it is complete; until the next one is complete, the last one
//! stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kube::runtime::watcher::Event;

use super::NodeWatched;
use nodes::{Node, Snapshot};

/// The nodes as reported so far. It outlives the watches.
#[derive(Default)]
pub(super) struct List {
    nodes: BTreeMap<Arc<str>, Node>,
    /// A list that is being received; it replaces `nodes` once it is complete.
    coming: Option<BTreeMap<Arc<str>, Node>>,
    completeness: Completeness,
    pending: Pending,
}

/// Whether `nodes` has ever been a complete list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Completeness {
    #[default]
    Partial,
    Whole,
}

/// Whether there is something to publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pending {
    #[default]
    None,
    Waits,
}

impl List {
    pub(super) fn take(&mut self, event: Event<NodeWatched>) {
        let changed = match event {
            Event::Init => {
                self.coming = Some(BTreeMap::new());
                false
            }
            Event::InitApply(object) => {
                let node = object.node;
                self.coming.get_or_insert_default().insert(node.name.clone(), node);
                false
            }
            // Published even when unchanged: it also reports that an error is over.
            Event::InitDone => {
                self.nodes = self.coming.take().unwrap_or_default();
                self.completeness = Completeness::Whole;
                true
            }
            Event::Apply(object) => {
                let node = object.node;
                self.nodes.get(&node.name) != Some(&node) && {
                    self.nodes.insert(node.name.clone(), node);
                    true
                }
            }
            Event::Delete(object) => self.nodes.remove(object.node.name.as_ref()).is_some(),
        };
        if self.completeness == Completeness::Whole && changed {
            self.pending = Pending::Waits;
        }
    }

    /// The watch has ended: an incomplete list is discarded.
    pub(super) fn leave(&mut self) {
        self.coming = None;
    }

    /// Whether a list is being received.
    pub(super) fn is_coming(&self) -> bool {
        self.coming.is_some()
    }

    /// The number of nodes of the list that is being received, or else of the last one.
    pub(super) fn len(&self) -> usize {
        self.coming.as_ref().unwrap_or(&self.nodes).len()
    }

    pub(super) fn pending(&self) -> Pending {
        self.pending
    }

    pub(super) fn publish(&mut self, now: Instant) -> Snapshot {
        self.pending = Pending::None;
        Snapshot::new(self.nodes.values().cloned().collect(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, cidr: &str) -> NodeWatched {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "resourceVersion": "7", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {}}]},
            "spec": {"podCIDRs": [cidr]},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.2"}], "images": [{"sizeBytes": 7}]},
        }))
        .unwrap()
    }

    fn names(list: &mut List) -> Vec<String> {
        list.publish(Instant::now()).nodes.iter().map(|node| node.name.to_string()).collect()
    }

    /// A list that one watch finished, and that was published.
    fn listed(nodes: &[(&str, &str)]) -> List {
        let mut list = List::default();
        list.take(Event::Init);
        for (name, cidr) in nodes {
            list.take(Event::InitApply(object(name, cidr)));
        }
        list.take(Event::InitDone);
        list.publish(Instant::now());
        list
    }

    #[test]
    fn a_list_is_published_only_when_it_is_whole() {
        let mut list = List::default();
        for event in
            [Event::Init, Event::InitApply(object("n1", "10.244.1.0/24")), Event::Apply(object("n9", "10.244.9.0/24"))]
        {
            list.take(event);
            assert_eq!(list.pending, Pending::None);
        }
        list.take(Event::InitDone);
        assert_eq!(list.pending, Pending::Waits);
        assert_eq!(names(&mut list), ["n1"]);
    }

    #[test]
    fn a_list_that_comes_again_in_parts_leaves_the_last_one_in_place() {
        let mut list = listed(&[("n1", "10.244.1.0/24"), ("n2", "10.244.2.0/24")]);
        list.take(Event::Init);
        list.take(Event::InitApply(object("n3", "10.244.3.0/24")));
        assert_eq!(list.pending, Pending::None);
        assert_eq!(names(&mut list), ["n1", "n2"]);
        list.take(Event::InitDone);
        assert_eq!(names(&mut list), ["n3"]);
    }

    #[test]
    fn what_a_broken_watch_had_sent_of_a_list_is_no_part_of_the_next() {
        let mut list = listed(&[("n1", "10.244.1.0/24")]);
        list.take(Event::Init);
        list.take(Event::InitApply(object("n2", "10.244.2.0/24")));
        list.leave();
        assert!(!list.is_coming());
        assert_eq!(names(&mut list), ["n1"], "the last complete list is still in force");
        list.take(Event::Init);
        list.take(Event::InitApply(object("n3", "10.244.3.0/24")));
        list.take(Event::InitDone);
        assert_eq!(names(&mut list), ["n3"]);
    }

    #[test]
    fn heartbeats_are_not_published_and_changes_are() {
        let mut list = listed(&[("n1", "10.244.1.0/24")]);
        list.take(Event::Apply(object("n1", "10.244.1.0/24")));
        assert_eq!(list.pending, Pending::None);
        list.take(Event::Apply(object("n1", "10.244.7.0/24")));
        assert_eq!(list.pending, Pending::Waits);
        names(&mut list);
        list.take(Event::Delete(object("n1", "")));
        assert_eq!(list.pending, Pending::Waits);
        assert!(names(&mut list).is_empty());
    }

    #[test]
    fn the_end_of_trouble_is_published_also_when_the_nodes_are_the_same() {
        let mut list = listed(&[("n1", "10.244.1.0/24")]);
        list.leave();
        list.take(Event::Init);
        list.take(Event::InitApply(object("n1", "10.244.1.0/24")));
        list.take(Event::InitDone);
        assert_eq!(list.pending, Pending::Waits);
    }
}
