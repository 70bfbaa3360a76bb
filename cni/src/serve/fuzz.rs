//! Any environment and any stdin: one JSON object on stdout or none, an exit code that fits, and no panic.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;

use serde_json::Value;

use crate::{AddResult, Attachment, Error, Plugin, Request, Role, serve};

/// Reads all that a plugin can ask for, and prints what the chain before it has made.
struct Curious(Role);

impl Curious {
    fn read(&self, request: &Request) -> Result<AddResult, Error> {
        let previous = request.config.previous_result()?.unwrap_or_default();
        let _ = (request.requested_ips(), request.requested_mac(), &request.config.runtime.foreign);
        for key in ["mtu", "hostSource", "agent", "ipam", "ranges", "routes", "dataDir"] {
            let fields = request.config.fields();
            let _ = (
                fields.string(key),
                fields.unsigned(key),
                fields.strings(key).map(drop),
                fields.objects(key).map(drop),
            );
        }
        Ok(previous)
    }
}

impl Plugin for Curious {
    fn name(&self) -> &str {
        "curious"
    }

    fn role(&self) -> Role {
        self.0
    }

    fn add(
        &self,
        request: &Request,
        _: &Attachment,
        _: &Path,
        print: &mut dyn FnMut(&AddResult) -> Result<(), Error>,
    ) -> Result<(), Error> {
        print(&self.read(request)?)
    }

    fn del(&self, request: &Request, _: &Attachment, _: Option<&Path>) -> Result<(), Error> {
        self.read(request).map(drop)
    }

    fn check(&self, request: &Request, _: &Attachment, _: &Path) -> Result<(), Error> {
        self.read(request).map(drop)
    }

    fn gc(&self, _: &Request, _: &BTreeSet<Attachment>) -> Result<(), Error> {
        Ok(())
    }

    fn status(&self, request: &Request) -> Result<(), Error> {
        self.read(request).map(drop)
    }
}

fn is_answered(input: &[u8]) {
    let (variables, stdin) = fuzz::call(input);
    for role in [Role::Main, Role::Ipam] {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let code = serve(&Curious(role), variables.clone(), &mut Cursor::new(stdin), &mut stdout, &mut stderr);
        let said: Option<Value> = match stdout.as_slice() {
            [] => None,
            [object @ .., b'\n'] => Some(serde_json::from_slice(object).expect("one JSON object")),
            _ => panic!("stdout ends within a line"),
        };
        match (code, said) {
            (0, None) => {}
            (0, Some(result)) => assert!(result["cniVersion"].is_string(), "{result}"),
            (1, Some(error)) => {
                assert!(error["code"].as_u64().is_some_and(|code| code > 0) && error["msg"].is_string(), "{error}");
            }
            (code, said) => panic!("exit code {code} with {said:?}"),
        }
    }
}

#[test]
fn fuzz_any_call_is_answered() {
    fuzz::run("call", is_answered);
}
