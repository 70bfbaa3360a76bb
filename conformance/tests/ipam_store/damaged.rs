//! One damaged store affects no other network: pods of another network are added, checked and deleted, its STATUS is
//! ok, its garbage is collected. Calls for the damaged store fail and name it, and nothing is reset.
//!
//! ```text
//!   node1
//!     ├── web  in the network `broken`, whose store is damaged in each way in turn
//!     └── db   in podnet
//! ```

use std::fs;
use std::path::Path;

use podlan_conformance::lab::{Error, Lab, Pod, within};
use serde_json::{Value, json};

/// A way to damage a store.
type Damage = (&'static str, fn(&Path) -> std::io::Result<()>);

fn flip(store: &Path, at: usize) -> std::io::Result<()> {
    let mut bytes = fs::read(store)?;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    fs::write(store, bytes)
}

const DAMAGES: [Damage; 9] = [
    ("a flipped superblock", |store| flip(store, 30)),
    ("two flipped redo records", |store| flip(store, 2 * 512 + 20).and_then(|()| flip(store, 130 * 512 + 20))),
    ("no bytes", |store| fs::write(store, "")),
    ("half of its bytes", |store| fs::write(store, &fs::read(store)?[..40_000])),
    ("zeros", |store| fs::write(store, vec![0; 200_000])),
    ("a newer version", |store| fs::write(store, format!("{:<511}\n", "podlan-ipam version=9").repeat(400))),
    ("a directory", |store| fs::remove_file(store).and_then(|()| fs::create_dir(store))),
    ("a symlink", |store| fs::remove_file(store).and_then(|()| std::os::unix::fs::symlink("/etc/hostname", store))),
    ("a fifo", |store| {
        fs::remove_file(store)?;
        Ok(nix::unistd::mkfifo(store, nix::sys::stat::Mode::S_IRUSR)?)
    }),
];

fn call(pod: &Pod<'_>, verb: &str, config: &Value) -> Result<podlan_conformance::lab::Output, Error> {
    let mut config = config.clone();
    config["cniVersion"] = json!("1.1.0");
    config["cni.dev/valid-attachments"] = json!([]);
    let command = pod.cni(verb, "", &config)?;
    command.without_env("CNI_CONTAINERID").without_env("CNI_NETNS").without_env("CNI_IFNAME").run()
}

fn wrong(what: &str, error: &std::io::Error) -> Error {
    Error::Unreadable { from: what.to_owned(), said: error.to_string() }
}

#[test]
fn one_damaged_store_harms_no_other_network() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let (web, db) = (node.pod("web")?, node.pod("db")?);
        let sound = node.podnet();
        let mut broken = sound.clone();
        broken["name"] = json!("broken");
        broken["ipam"]["ranges"] = json!([[{ "subnet": "10.99.0.0/24" }]]);
        for (name, damage) in DAMAGES {
            let when = |what: &str| format!("with {name} as its store: {what}");
            web.add(&broken)?;
            let store = node.path("/run/podlan/broken/store");
            damage(&store).map_err(|error| wrong(&when("it"), &error))?;

            let added = db.add(&sound)?;
            db.check(&sound, &added)?;
            let status = call(&db, "STATUS", &sound)?;
            let gc = call(&db, "GC", &sound)?;
            for output in [status, gc] {
                if !output.success() {
                    return Err(output.but(&when("the network beside it is served")));
                }
            }
            assert!(db.network()?.lines(&["link", "eth0"]).is_empty(), "{}", when("GC works"));
            db.del(&sound)?;

            let other = node.pod("other")?;
            let refused = other.cni("ADD", "eth0", &broken)?.run()?.complaint()?;
            assert!(matches!(refused.code, 5 | 103), "{} {refused:?}", when("ADD is refused"));
            assert!(refused.text.contains("broken/store"), "{} {refused:?}", when("the store is named"));
            let refused = call(&web, "STATUS", &broken)?.complaint()?;
            assert!(refused.code == 50 && refused.text.contains("broken/store"), "{} {refused:?}", when("STATUS"));
            other.remove()?;

            // By hand, as the error text says.
            node.command("rm").args(["-r", "/run/podlan/broken"]).succeeds()?;
            web.del(&broken)?;
        }
        Ok(())
    });
}
