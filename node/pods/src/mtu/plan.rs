//! In which steps a pod's link takes another MTU. Pure: what to do follows from what is there, so that a change that
//! was interrupted, or refused, goes on from where it stopped.
//!
//! A veth end silently drops what is larger than its own MTU. While the two ends differ, one side may send what
//! the other drops, whichever goes first. So the host's routes to the pod are held down first, and what does not fit is
//! answered there: fragmented, or "too big", which TCP obeys at once. Then the end that sends less goes before the end
//! that takes less.

/// The smallest MTU at which a link has IPv6 (RFC 8200 section 5). Below it the kernel takes IPv6 away from the link, and
/// with it the settings that harden it.
const MTU_V6: u32 = 1280;

/// A pod's link as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) host: u32,
    pub(super) pod: u32,
    /// The MTU at which a route of the host's to the pod is held: nobody but us does that.
    pub(super) held: Option<u32>,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Let the host's routes to the pod carry no more than this.
    Hold(u32),
    /// The host end's MTU.
    Host(u32),
    /// The pod end's MTU.
    Pod(u32),
    /// Let the routes go.
    Release,
}

/// Whether the link has an MTU that it inherited: both ends one of `former`, or a change of ours is under way.
pub(super) fn is_inherited(ends: Ends, former: &[u32]) -> bool {
    ends.held.is_some() || ends.host == ends.pod && former.contains(&ends.host)
}

/// Whether IPv6 would come to the link, or go.
pub(super) fn crosses_v6(ends: Ends, wanted: u32) -> bool {
    (ends.host < MTU_V6) != (wanted < MTU_V6)
}

/// The steps from `ends` to `wanted` on both.
pub(super) fn steps(ends: Ends, wanted: u32) -> Vec<Step> {
    let (host, pod) = (ends.host != wanted, ends.pod != wanted);
    let least = ends.host.min(ends.pod).min(wanted);
    let hold = (host || pod).then_some(Step::Hold(least));
    let (host, pod) = (host.then_some(Step::Host(wanted)), pod.then_some(Step::Pod(wanted)));
    let both = if wanted < ends.pod { [pod, host] } else { [host, pod] };
    let release = (hold.is_some() || ends.held.is_some()).then_some(Step::Release);
    hold.into_iter().chain(both.into_iter().flatten()).chain(release).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTUS: [u32; 4] = [1280, 1400, 1500, 9000];

    fn after(mut ends: Ends, step: Step) -> Ends {
        match step {
            Step::Hold(mtu) => ends.held = Some(mtu),
            Step::Host(mtu) => ends.host = mtu,
            Step::Pod(mtu) => ends.pod = mtu,
            Step::Release => ends.held = None,
        }
        ends
    }

    /// Neither side sends what the other drops.
    fn loses_nothing(ends: Ends) -> bool {
        ends.host.min(ends.held.unwrap_or(u32::MAX)) <= ends.pod && ends.pod <= ends.host
    }

    fn even(mtu: u32) -> Ends {
        Ends { host: mtu, pod: mtu, held: None }
    }

    /// What a change leaves behind that is interrupted after any of its steps, and what a change of that leaves.
    fn reached(from: Ends, depth: u8) -> Vec<Ends> {
        let mut all = vec![from];
        for wanted in MTUS.into_iter().filter(|_| depth > 0) {
            let mut now = from;
            for step in steps(from, wanted) {
                now = after(now, step);
                all.extend(reached(now, depth - 1));
            }
        }
        all
    }

    #[test]
    fn no_step_lets_a_side_send_what_the_other_drops_wherever_a_change_before_was_interrupted() {
        let mut seen = 0;
        for from in MTUS.into_iter().flat_map(|mtu| reached(even(mtu), 2)) {
            for wanted in MTUS {
                let mut now = from;
                for step in steps(from, wanted) {
                    now = after(now, step);
                    assert!(loses_nothing(now), "{from:?} to {wanted}: {now:?} after {step:?}");
                }
                assert_eq!(now, even(wanted), "from {from:?}");
                assert_eq!(steps(now, wanted), [], "done is done");
                seen += 1;
            }
        }
        assert!(seen > 1000, "{seen}");
    }

    #[test]
    fn whatever_is_interrupted_is_known_as_ours() {
        for from in MTUS {
            for wanted in MTUS {
                let mut now = even(from);
                for step in steps(now, wanted) {
                    now = after(now, step);
                    assert!(now == even(wanted) || is_inherited(now, &[from]), "{now:?} after {step:?}");
                }
            }
        }
    }

    #[test]
    fn an_mtu_that_nobody_inherited_or_of_one_end_alone_is_somebodys_choice() {
        assert!(is_inherited(even(1500), &[9000, 1500]));
        assert!(!is_inherited(even(1450), &[9000, 1500]));
        assert!(!is_inherited(Ends { pod: 1400, ..even(1500) }, &[1500]));
    }

    #[test]
    fn ipv6_neither_comes_to_a_link_nor_goes() {
        for (from, wanted, crosses) in [(1500, 1280, false), (1500, 1279, true), (1200, 1280, true), (1200, 600, false)]
        {
            assert_eq!(crosses_v6(even(from), wanted), crosses, "{from} to {wanted}");
        }
    }
}
