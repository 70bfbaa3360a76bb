//! The list of attachments that GC must keep (spec section "GC"). A list that is not there, or an
//! entry that is none, fails before anything is removed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{Attachment, Code, ContainerId, Error, Fields, Ifname};

/// The spec's key, and the one that libcni has sent beside it since 1.2.3.
const KEYS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];

pub(super) fn valid(raw: &Map<String, Value>) -> Result<BTreeSet<Attachment>, Error> {
    if !KEYS.iter().any(|key| raw.contains_key(*key)) {
        let msg = format!("{} is missing", KEYS[0]);
        return Err(Error::new(Code::InvalidConfig, msg).with_details("nothing was removed"));
    }
    let fields = Fields::new(raw, "", Code::Decode);
    let mut all = BTreeSet::new();
    for key in KEYS {
        for entry in fields.objects(key)?.unwrap_or_default() {
            all.insert(attachment(&entry)?);
        }
    }
    Ok(all)
}

fn attachment(entry: &Fields<'_>) -> Result<Attachment, Error> {
    let text = |key| entry.string(key)?.ok_or_else(|| entry.missing(key));
    let (container_id, ifname) = (text("containerID")?, text("ifname")?);
    Ok(Attachment {
        container_id: ContainerId::parse(container_id)
            .map_err(|error| entry.invalid("containerID", error.to_string()))?,
        ifname: Ifname::parse(ifname).map_err(|error| entry.invalid("ifname", error.to_string()))?,
    })
}
