//! A hundred ADDs at once give a hundred pods with addresses of their own; a hundred DELs leave nothing.
//!
//! ```text
//!   node1
//!     └── pod0 … pod99, added by a hundred processes at once
//! ```

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, eventually, within};

const PODS: usize = 100;

#[test]
fn a_hundred_adds_at_once_give_unique_addresses() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (before, config) = (node.network()?, node.podnet());
        let pods = (0..PODS).map(|number| node.pod(&format!("pod{number}"))).collect::<Result<Vec<_>, _>>()?;

        let added = thread::scope(|scope| -> Result<Vec<_>, Error> {
            let adds: Vec<_> = pods.iter().map(|pod| scope.spawn(|| pod.add(&config))).collect();
            adds.into_iter().map(|add| add.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })?;
        let unique: BTreeSet<_> = added.iter().flat_map(podlan_conformance::lab::Added::ips).collect();
        assert_eq!(unique.len(), 2 * PODS);

        let _server = pods[PODS - 1].serve()?;
        pods[0].reaches(&added[0], &added[PODS - 1].ips())?;

        thread::scope(|scope| -> Result<(), Error> {
            let dels: Vec<_> = pods.iter().map(|pod| scope.spawn(|| pod.del(&config))).collect();
            dels.into_iter().try_for_each(|del| del.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        eventually(Duration::from_secs(5), "the node is as it was before", || {
            let difference = node.network().map_err(|error| error.to_string())?.since(&before);
            if difference.is_empty() { Ok(()) } else { Err(difference) }
        })
    });
}
