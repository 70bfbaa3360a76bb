//! Looks after the leases: at the start, when a pod may have ended, and once in a while whatever was heard. Runtimes may
//! forget a DEL, and containerd never calls GC.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::ears::Ears;
use super::sight::Sight;
use super::{Counts, Stores};
use crate::agent::part::Output;
use crate::metrics::Metrics;

/// How long after word of an end to look: the kernel takes a namespace apart piece by piece, and a DEL under way gives its
/// lease back last.
const SETTLE: Duration = Duration::from_millis(50);

/// When to look once more: a DEL may have been slow, or the store busy.
const AGAIN: Duration = Duration::from_secs(1);

/// How the leases stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) leases: Vec<Counts>,
    pub(crate) warnings: Vec<String>,
}

/// Looks after the leases until nobody asks how they stand.
pub(crate) async fn keep(stores: Stores, every: Duration, metrics: Arc<Metrics>, census: Output<Census>) -> String {
    let mut ears = match Ears::open() {
        Ok(ears) => Some(ears),
        Err(error) => {
            tracing::warn!(%error, "pods that end are noticed late: the kernel cannot be listened to");
            None
        }
    };
    let mut sight = Sight::default();
    let mut next = every;
    loop {
        let now = look(&stores, &mut sight, &metrics, ears.as_ref());
        // A store at work or a slow DEL is seen to soon.
        let wait = if now.warnings.is_empty() { next } else { AGAIN.min(every) };
        census.set(now);
        next = tokio::select! {
            heard = hear(ears.as_mut()) => {
                match heard {
                    Ok(()) => sleep(SETTLE).await,
                    Err(error) => {
                        tracing::warn!(%error, "the kernel's news broke off; listening anew");
                        sleep(AGAIN).await;
                        ears = Ears::open().ok();
                    }
                }
                AGAIN
            }
            () = sleep(wait) => every,
        };
    }
}

async fn hear(ears: Option<&mut Ears>) -> std::io::Result<()> {
    match ears {
        Some(ears) => ears.hear().await,
        None => std::future::pending().await,
    }
}

fn look(stores: &Stores, sight: &mut Sight, metrics: &Metrics, ears: Option<&Ears>) -> Census {
    let mut told = |lease: &ipam::Lease| {
        metrics.reclaimed.inc();
        tracing::info!(address = %lease.address.ip(), owner = %lease.owner.container_id, "dead lease taken back");
    };
    match stores.sweep(sight, &mut told) {
        Ok(swept) => {
            if let Some(ears) = ears {
                ears.listen_to(&swept.directories);
            }
            let blind = swept.unseen.iter().map(|directory| {
                format!(
                    "the pods' network namespaces in {} cannot be seen, so that no dead lease of theirs is taken back \
                     (in a container: mount it with HostToContainer propagation)",
                    directory.display()
                )
            });
            Census { leases: swept.counts, warnings: blind.collect() }
        }
        // The plugin is at work, or the store is damaged; the next look may say more.
        Err(error) => {
            Census { leases: Vec::new(), warnings: vec![format!("failed to look after the leases: {error}")] }
        }
    }
}
