//! Where programs run slower, as in an emulator, the environment multiplies the lab's deadlines.

use std::process::Command;
use std::time::Duration;

use podlan_conformance::lab::eventually;

#[test]
fn a_deadline_is_as_many_times_longer_as_the_environment_says() {
    for (slower, said) in [
        ("1", "not within 20ms"),
        ("7", "not within 140ms"),
        ("fast", "PODLAN_LAB_SLOWER=fast is no whole number"),
        ("0", "PODLAN_LAB_SLOWER=0 is no whole number"),
    ] {
        let mut waits = Command::new(std::env::current_exe().unwrap());
        waits.args(["--exact", "patience::waits_for_what_never_comes", "--ignored", "--nocapture"]);
        let output = waits.env("PODLAN_LAB_SLOWER", slower).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(said), "{slower}: {stderr}");
    }
}

#[test]
#[ignore = "the test above runs it"]
fn waits_for_what_never_comes() {
    let never = eventually(Duration::from_millis(20), "nothing", || Err::<(), _>("nothing".to_owned()));
    panic!("{}", never.unwrap_err());
}
