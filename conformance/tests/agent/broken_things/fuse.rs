//! A file system that hangs: FUSE whose server never answers. Any access blocks until the file system is aborted.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use podlan_conformance::lab::Place;

use super::fault::Lift;

/// Mounts it over a directory of a place.
pub(crate) fn hang(place: &Place, at: &str) -> Result<Lift, String> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let device: File = device.map_err(|error| format!("SKIP no FUSE here: /dev/fuse: {error}"))?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let (here, at) = (place.clone(), PathBuf::from(at));
    let mounted = place.enter(|| mount(Some("hung"), &at, Some("fuse"), MsFlags::MS_NOSUID, Some(options.as_str())));
    mounted.map_err(|error| error.to_string())?.map_err(|errno| format!("SKIP no FUSE here: mount: {errno}"))?;
    Ok(Box::new(move || {
        let gone = here.enter(|| umount2(&at, MntFlags::MNT_DETACH));
        // A process that waits for it gets an error when it is aborted.
        drop(device);
        gone.unwrap().unwrap();
    }))
}
