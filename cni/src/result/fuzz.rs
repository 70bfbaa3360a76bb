//! Any result object, read in any version: what is read can be said again in each version that can say it, and means the
//! same then.

use serde_json::Value;

use crate::{AddResult, SpecVersion};

fn survives(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    for default in SpecVersion::ALL {
        let Ok(result) = AddResult::from_value(&value, default) else { continue };
        for version in SpecVersion::ALL {
            let Ok(said) = result.to_json(version) else {
                assert!(!version.has_interfaces(), "{version} can say any result: {result:?}");
                continue;
            };
            let object: Value = serde_json::from_str(&said).expect("a result is JSON");
            let again = AddResult::from_value(&object, version).expect("what was printed can be read");
            assert_eq!(again.to_json(version).as_deref().ok(), Some(said.as_str()));
            assert_eq!(again.ips.len(), result.ips.len(), "{version} keeps every address");
            if version == SpecVersion::NEWEST {
                assert_eq!(again, result);
            }
        }
    }
}

#[test]
fn fuzz_any_result_survives_each_version() {
    fuzz::run("result", survives);
}
