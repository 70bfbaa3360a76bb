//! Reads what the previous agent left: its state, and its list of nodes. Each once, on a thread of its own: a disk that hangs
//! does not hold up the start.

use std::time::{Duration, Instant};

use agent_core::{PreviousAgent, PreviousList};
use parts::within;
use routes::kernel::{Kernel, Rtnetlink};
use source::file;
use state::{RunDir, State};

/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The state that the previous agent published last. None, or none that is readable, is what a first start finds.
pub(super) async fn state(run_dir: &RunDir) -> Option<State> {
    let run_dir = run_dir.clone();
    within(PATIENCE, move || run_dir.read_state()).await?.ok()
}

/// The same, as far as the kernel still has its routes.
pub(super) fn confirmed(state: State, me: &str) -> Option<PreviousAgent> {
    let held = Rtnetlink::open().and_then(|mut kernel| kernel.routes()).ok()?;
    PreviousAgent::confirmed(state, me, &held)
}

/// The list of nodes that it wrote last, as of `taken`, and the routes that the kernel holds.
pub(super) async fn list(run_dir: RunDir, taken: Instant) -> Option<PreviousList> {
    let read = move || read_list(&run_dir, taken);
    within(PATIENCE, read).await.unwrap_or_else(|| {
        tracing::warn!("what the nodes had before is lost: it cannot be read now");
        None
    })
}

fn read_list(run_dir: &RunDir, taken: Instant) -> Option<PreviousList> {
    let path = run_dir.kept_file();
    if !path.exists() {
        return None;
    }
    let list = match file::read(&path, &mut file::Memory::default(), taken, true)? {
        Ok(list) => list,
        Err(error) => {
            tracing::warn!(%error, "what the nodes had before is lost");
            return None;
        }
    };
    match Rtnetlink::open().and_then(|mut kernel| kernel.routes()) {
        Ok(held) => Some(PreviousList { list, held }),
        Err(error) => {
            tracing::warn!(%error, "what the nodes had before is lost: the kernel cannot be asked");
            None
        }
    }
}
