//! The MTU of pods that live when the node's changes. New pods get it from the plugin; here the links of the others follow.
//! Only those that inherited theirs: a pod with an MTU of its own keeps it.

mod follow;
mod keep;
mod plan;

pub use follow::{Followed, Whose, follow};
pub use keep::{Options, keep};

/// Takes in the MTU that pods inherit now: `since_boot` has all that they ever inherited, the present one last.
pub fn remember(since_boot: &mut Vec<u32>, now: u32) {
    since_boot.retain(|mtu| *mtu != now);
    since_boot.push(now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_inherited_is_remembered_once_and_the_present_last() {
        let mut since_boot = Vec::new();
        [1500, 1400, 1400, 9000, 1500].into_iter().for_each(|mtu| remember(&mut since_boot, mtu));
        assert_eq!(since_boot, [1400, 9000, 1500]);
    }
}
