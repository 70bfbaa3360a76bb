//! docs/troubleshooting.md, "An operator's first five minutes": each outage is made in the lab, and the commands and outputs on
//! the page are those of the run. `PODLAN_GOLDEN=record` writes them into the page.
//!
//! ```text
//!   node1 (agent; /run/net.d, /run/bin) ──┬── node2 (agent)
//!     └── web                            lan  └── db
//! ```

mod page;
mod stories;

use podlan_conformance::lab::{Lab, within};

use super::doctor::rig::Rig;
use page::Page;
use stories::{Shell, Story, all};

#[test]
fn the_transcripts_of_the_ten_commonest_outages_are_those_of_a_run() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        let _other = two.agent(&[])?;
        // A node without pods does not forward, and is not probed.
        let db = two.pod("db")?;
        db.add(&two.podnet())?;
        let mut rig = Rig::start(one, &web)?;
        let mut page = Page::read();
        for Story { title, cause, fault, steps, heal } in all() {
            let shell = Shell::new(&lab, one, two)?;
            fault(&shell, &mut rig)?;
            let mut transcript = String::new();
            for step in steps {
                transcript += &shell.step(step, &page)?;
            }
            heal(&shell, &mut rig)?;
            // Each outage is the only one, and what was printed as its cure is one.
            rig.is_well()?;
            page.put(title, cause, &transcript);
        }
        page.is_as_seen();
        Ok(())
    });
}
