//! What the agent says of pods that keep a former MTU of the node's.

use crate::mtu::PodMtus;

/// For the operator.
pub(super) fn told(mtus: &PodMtus) -> Option<String> {
    let first = mtus.kept.first()?;
    Some(format!(
        "{} pods keep a former MTU of this node's: make them anew, or run `podlan-node doctor --fix` as root of the node; \
         the first is {first}",
        mtus.kept.len(),
    ))
}
