//! Why a machine would not give the lab its namespaces, and what its owner can do about it.

use std::fmt;
use std::fs;

use nix::errno::Errno;

/// The exit code of `podlan-lab enter` when the machine refuses; what automake and meson read as "skipped".
pub const EXIT_CODE: u8 = 77;

/// What the lab asked for when it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A user namespace of its own.
    UserNamespace,
    /// Its user as root of that namespace.
    IdMap,
    /// Network, mount, pid, uts and ipc namespaces.
    Namespaces,
    /// Mounts of its own: /proc, /sys, /run.
    Mounts,
}

/// A machine that does not let this user make a lab.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this machine refuses {what}: {errno}{cure}", what = .step.what(), errno = .errno.desc(), cure = Cures(.cures))]
pub struct Refusal {
    /// What was asked for.
    pub step: Step,
    /// The kernel's answer.
    pub errno: Errno,
    /// What to do, the likeliest first.
    pub cures: Vec<String>,
}

impl Step {
    fn what(self) -> &'static str {
        match self {
            Self::UserNamespace => "a user namespace",
            Self::IdMap => "to map this user into its own user namespace",
            Self::Namespaces => "network, mount and pid namespaces inside a user namespace",
            Self::Mounts => "a fresh /proc, /sys or /run inside the lab",
        }
    }
}

struct Cures<'a>(&'a [String]);

impl fmt::Display for Cures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|cure| write!(f, "\n  cure: {cure}"))
    }
}

impl Refusal {
    /// Joins the kernel's answer with the settings of this machine that explain it.
    #[must_use]
    pub fn explain(step: Step, errno: Errno) -> Self {
        Self { step, errno, cures: cures(step, errno, &|path| fs::read_to_string(path).ok()) }
    }
}

/// The cures that fit the settings which `read` finds; pure, so that it can be tested on any machine.
fn cures(step: Step, errno: Errno, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
    let mut cures = Vec::new();
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        cures.push("AppArmor restricts unprivileged user namespaces (Ubuntu 23.10 and later): sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".into());
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        cures.push(
            "this kernel keeps user namespaces for root: sudo sysctl -w kernel.unprivileged_userns_clone=1".into(),
        );
    }
    if is("/proc/sys/user/max_user_namespaces", "0") || errno == Errno::ENOSPC {
        cures.push("no user namespace is left: sudo sysctl -w user.max_user_namespaces=15000".into());
    }
    if step == Step::Mounts {
        cures.push("a container hides parts of /proc or /sys: run outside it, or start it with --privileged".into());
    } else if cures.is_empty() {
        cures.push("a container's seccomp profile forbids it: run outside it, or start it with --privileged".into());
    }
    cures.push("run it as root: sudo keeps the lab in namespaces too".into());
    cures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(settings: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |path| settings.iter().find(|(name, _)| *name == path).map(|(_, value)| format!("{value}\n"))
    }

    #[test]
    fn ubuntu_with_apparmor_names_its_sysctl_first() {
        let ubuntu = machine(&[
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            ("/proc/sys/user/max_user_namespaces", "96364"),
        ]);
        let cures = cures(Step::IdMap, Errno::EPERM, &ubuntu);
        assert!(cures[0].contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"), "{cures:?}");
        assert!(cures.last().unwrap().contains("root"), "{cures:?}");
    }

    #[test]
    fn a_kernel_without_user_namespaces_left_says_so() {
        let cures = cures(Step::UserNamespace, Errno::ENOSPC, &machine(&[]));
        assert!(cures[0].contains("user.max_user_namespaces"), "{cures:?}");
    }

    #[test]
    fn an_unexplained_refusal_points_at_the_container() {
        let cures = cures(Step::UserNamespace, Errno::EPERM, &machine(&[]));
        assert!(cures[0].contains("--privileged"), "{cures:?}");
    }
}
