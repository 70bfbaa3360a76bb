//! What the scripts install on a machine that lacks it, and what they print where they cannot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::{Machine, said};
use super::{scripts, shell};

/// A rustup that has nothing installed, and refuses `$1 ...` where `REFUSE` is set.
const RUSTUP: &str = "case \"$*\" in *install*) echo 'error: no such thing'; [ -z \"$REFUSE\" ] ;; esac";

#[test]
fn a_build_first_installs_the_rust_that_it_takes_for_each_target() {
    for (target, compiler) in
        [("x86_64-unknown-linux-musl", "cc"), ("aarch64-unknown-linux-musl", "aarch64-linux-gnu-gcc")]
    {
        let machine = Machine::new();
        machine.add("rustup", RUSTUP);
        machine.add("cargo", "");
        machine.add(compiler, "");
        let built = machine.run("scripts/build", &[], &[("PODLAN_TARGET", target)]);
        assert!(built.status.success(), "{}", said(&built));
        let calls = machine.calls();
        let installs = calls.iter().position(|call| call.contains("toolchain install") && call.contains(target));
        let builds = calls.iter().position(|call| call.starts_with("cargo build"));
        assert!(installs.is_some() && installs < builds, "{calls:#?}");
    }
}

#[test]
fn a_build_that_cannot_install_its_rust_or_has_no_compiler_says_so() {
    let machine = Machine::new();
    let alone = machine.run("scripts/build", &[], &[]);
    assert!(!alone.status.success() && said(&alone).contains("cargo is missing"), "{}", said(&alone));
    machine.add("rustup", RUSTUP);
    machine.add("cargo", "");
    machine.add("rustc", "");
    let refused = machine.run("scripts/build", &[], &[("REFUSE", "yes")]);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("rustup cannot install Rust"), "{}", said(&refused));
    assert!(said(&refused).contains("error: no such thing"), "{}", said(&refused));
    let uncompiled = machine.run("scripts/build", &[], &[]);
    assert!(!uncompiled.status.success(), "{}", said(&uncompiled));
    assert!(said(&uncompiled).contains("apt-get install gcc libc6-dev"), "{}", said(&uncompiled));
    assert!(!machine.calls().iter().any(|call| call.starts_with("cargo build")), "{:#?}", machine.calls());
}

#[test]
fn each_script_that_starts_cargo_has_its_rust_installed_before() {
    let mut strange = Vec::new();
    for (path, text) in scripts() {
        // Its caller has the toolchain installed.
        if !shell::programs(&text).contains("cargo") || path.ends_with("scripts/toolchain") {
            continue;
        }
        let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
        let installs = ["toolchain", "scripts/build)", "scripts/needs"];
        let first = lines().find(|(_, line)| installs.iter().any(|call| line.contains(call)));
        let starts = lines().find(|(_, line)| shell::programs(line).contains("cargo"));
        if first.is_none_or(|(line, _)| starts.is_some_and(|(cargo, _)| cargo < line)) {
            strange.push(path);
        }
    }
    assert!(strange.is_empty(), "these start cargo without scripts/toolchain before: {strange:?}");
}

#[test]
fn a_missing_program_is_named_and_fails_in_ci() {
    let machine = Machine::new();
    machine.add("rustup", "echo clippy rustfmt");
    machine.add("cargo", "");
    for (variables, passes) in [(&[][..], true), (&[("CI", "true")][..], false)] {
        let needs = machine.run("scripts/needs", &[], variables);
        assert_eq!(needs.status.success(), passes, "{}", said(&needs));
        for part in ["missing: strace, ", "missing: shellcheck, ", "missing: git, ", "missing: cc, ", "missing: go, "] {
            assert!(said(&needs).contains(part), "no {part:?} in {}", said(&needs));
        }
    }
    assert!(!machine.run("scripts/needs", &["nonsense"], &[]).status.success());
}

#[test]
fn find_go_finds_only_a_go_that_is_new_enough() {
    let machine = Machine::new();
    let none = machine.run("scripts/find-go", &[], &[]);
    assert!(!none.status.success() && said(&none).contains("no go 1."), "{}", said(&none));
    machine.add("go", "echo go version go1.19.8 linux/amd64");
    let old = machine.run("scripts/find-go", &[], &[]);
    assert!(!old.status.success() && said(&old).contains("no go 1."), "{}", said(&old));
    machine.add("go", "echo go version go1.99.1 linux/amd64");
    let new = machine.run("scripts/find-go", &[], &[]);
    assert_eq!(said(&new).trim(), machine.home().join("bin").to_str().unwrap());
    machine.put(".cache/podlan/go/1.99/usr/bin/go", "echo go version go1.99.1 linux/amd64");
    machine.add("go", "echo go version go1.19.8 linux/amd64");
    let beside = machine.run("scripts/find-go", &[], &[]);
    assert!(said(&beside).trim().ends_with("/.cache/podlan/go/1.99/usr/bin"), "{}", said(&beside));
}

/// Links a program at `folder/bin/conmon` with a library of its own, which it finds by `name`; returns that library's
/// path.
fn link(folder: &Path, name: &Path) -> PathBuf {
    let libraries = folder.join("lib/x86_64-linux-gnu");
    fs::create_dir_all(&libraries).unwrap();
    let (library, program) = (libraries.join("libpodlan-gone.so"), folder.join("bin/conmon"));
    let (inner, outer) = (folder.join("inner.c"), folder.join("outer.c"));
    fs::write(&inner, "int gone(void) { return 0; }").unwrap();
    fs::write(&outer, "int gone(void); int main(void) { return gone(); }").unwrap();
    let name = format!("-Wl,-soname,{}", name.display());
    let linked = Command::new("cc").args(["-shared", &name, "-o"]).arg(&library).arg(inner).status();
    assert!(linked.unwrap().success());
    let linked = Command::new("cc").arg("-o").arg(program).arg(outer).arg(&library).status();
    assert!(linked.unwrap().success());
    library
}

#[test]
fn a_fetched_program_is_accepted_only_with_every_library_that_it_needs() {
    let machine = Machine::new();
    let usr = machine.home().join(".cache/podlan/podman/4.3/usr");
    machine.put(".cache/podlan/podman/4.3/usr/bin/podman", "echo podman version 4.3.1");
    let library = link(&usr, &usr.join("lib/x86_64-linux-gnu/libpodlan-gone.so"));
    let whole = machine.run("scripts/beside", &["podman"], &[]);
    assert!(said(&whole).trim().ends_with("/podlan/podman/4.3/usr"), "{}", said(&whole));
    fs::remove_file(library).unwrap();
    let lacking = machine.run("scripts/beside", &["podman"], &[]);
    assert!(!lacking.status.success(), "conmon does not start: {}", said(&lacking));

    // podman starts it without LD_LIBRARY_PATH: only a wrapper makes it find a library of the directory.
    link(&usr, Path::new("libpodlan-gone.so"));
    let unwrapped = machine.run("scripts/beside", &["podman"], &[]);
    assert!(!unwrapped.status.success(), "conmon does not start: {}", said(&unwrapped));
    fs::create_dir_all(usr.join("wrapped/bin")).unwrap();
    fs::rename(usr.join("bin/conmon"), usr.join("wrapped/bin/conmon")).unwrap();
    let wrapped = machine.run("scripts/beside", &["podman"], &[]);
    assert!(said(&wrapped).trim().ends_with("/podlan/podman/4.3/usr"), "{}", said(&wrapped));
}
