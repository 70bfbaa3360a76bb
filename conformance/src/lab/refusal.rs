//! Why a machine refuses the lab its namespaces, and how its owner can fix that.

use std::fmt;
use std::fs;

use nix::errno::Errno;

/// The exit code of `podlan-lab enter` when the machine refuses; automake and meson read it as "skipped".
pub const EXIT_CODE: u8 = 77;

/// What the lab requested when it was refused.
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
#[error("this machine refuses {what}: {errno}{fix}", what = .step.what(), errno = .errno.desc(), fix = Fixes(.fixes))]
pub struct Refusal {
    /// What was requested.
    pub step: Step,
    /// The kernel's error.
    pub errno: Errno,
    /// The fixes, the likeliest first.
    pub fixes: Vec<String>,
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

struct Fixes<'a>(&'a [String]);

impl fmt::Display for Fixes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fix| write!(f, "\n  fix: {fix}"))
    }
}

impl Refusal {
    /// Combines the kernel's error with the settings of this machine that explain it.
    #[must_use]
    pub fn explain(step: Step, errno: Errno) -> Self {
        Self { step, errno, fixes: fixes(step, errno, &|path| fs::read_to_string(path).ok()) }
    }
}

/// The fixes for the settings that `read` finds; pure, so that it can be tested on any machine.
fn fixes(step: Step, errno: Errno, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
    let mut fixes = Vec::new();
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        fixes.push("AppArmor restricts unprivileged user namespaces (Ubuntu 23.10 and later): sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".into());
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        fixes.push(
            "this kernel keeps user namespaces for root: sudo sysctl -w kernel.unprivileged_userns_clone=1".into(),
        );
    }
    if is("/proc/sys/user/max_user_namespaces", "0") || errno == Errno::ENOSPC {
        fixes.push("no user namespace is left: sudo sysctl -w user.max_user_namespaces=15000".into());
    }
    if step == Step::Mounts {
        fixes.push("a container hides parts of /proc or /sys: run outside it, or start it with --privileged".into());
    } else if fixes.is_empty() {
        fixes.push("a container's seccomp profile forbids it: run outside it, or start it with --privileged".into());
    }
    fixes.push("run it as root: sudo keeps the lab in namespaces too".into());
    fixes
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
        let fixes = fixes(Step::IdMap, Errno::EPERM, &ubuntu);
        assert!(fixes[0].contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"), "{fixes:?}");
        assert!(fixes.last().unwrap().contains("root"), "{fixes:?}");
    }

    #[test]
    fn a_kernel_without_user_namespaces_left_says_so() {
        let fixes = fixes(Step::UserNamespace, Errno::ENOSPC, &machine(&[]));
        assert!(fixes[0].contains("user.max_user_namespaces"), "{fixes:?}");
    }

    #[test]
    fn an_unexplained_refusal_points_at_the_container() {
        let fixes = fixes(Step::UserNamespace, Errno::EPERM, &machine(&[]));
        assert!(fixes[0].contains("--privileged"), "{fixes:?}");
    }
}
