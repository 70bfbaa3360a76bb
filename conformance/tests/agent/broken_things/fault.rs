//! One lasting fault.

use super::rig::World;

/// Ends the fault.
pub(crate) type Lift = Box<dyn FnOnce()>;

/// What is broken, how that is done, and how the agent names it.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// What `status` says of it at least once; nothing where nothing of the agent's is broken.
    pub(crate) named: &'static [&'static str],
    /// Whether the leases of another network can be served meanwhile.
    pub(crate) serves_others: bool,
    /// Further arguments of the agent.
    pub(crate) arguments: &'static [&'static str],
    /// Before the agent starts.
    pub(crate) prepare: fn(&World<'_>) -> Result<(), String>,
    /// `SKIP …` where the machine cannot have it.
    pub(crate) begin: fn(&World<'_>) -> Result<Lift, String>,
}
