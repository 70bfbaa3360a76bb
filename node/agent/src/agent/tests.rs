//! The agent with all its parts, in a network namespace of its own: each part panics in turn. It is named in the state's
//! warnings and started again, and the rest works meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::*;
use install::conflist::{Conflist, FILE};
use parts::Activity;
use routes::guard::Limits;
use routes::kernel::{Kernel, Rtnetlink};
use routes::plan::Change;
use routes::{Key, Target};

const NAME: &str = "agent::tests::each_part_that_panics_is_named_and_started_again_and_the_rest_works";

/// Set where the test runs in a namespace of its own.
const INSIDE: &str = "PODLAN_TEST_INSIDE";

const DEADLINE: Duration = Duration::from_secs(60);

/// Parts that panic when they are asked to.
struct Breakable {
    parts: Parts,
    breakers: BTreeMap<&'static str, Breaker>,
}

#[derive(Clone, Default)]
struct Breaker {
    panic: Arc<Notify>,
    starts: Arc<AtomicU32>,
}

impl StartPart for &mut Breakable {
    fn start_part<F>(&mut self, name: &'static str, run: impl Fn(Activity) -> F + Send + Sync + 'static)
    where
        F: Future<Output = String> + 'static,
    {
        let breaker = Breaker::default();
        self.breakers.insert(name, breaker.clone());
        self.parts.start(name, move |activity| {
            breaker.starts.fetch_add(1, Ordering::SeqCst);
            let (work, breaker) = (run(activity), breaker.clone());
            async move {
                tokio::select! {
                    why = work => why,
                    () = breaker.panic.notified() => panic!("on purpose"),
                }
            }
        });
    }
}

impl From<&mut Breakable> for Parts {
    fn from(breakable: &mut Breakable) -> Self {
        std::mem::take(&mut breakable.parts)
    }
}

#[test]
fn each_part_that_panics_is_named_and_started_again_and_the_rest_works() {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(inside());
    }
    // Another program, because a process of several threads cannot take a user namespace.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(INSIDE, "1");
    match command.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => skip(&format!("unshare does not start: {error}")),
    }
}

fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true forbids: {why}");
}

async fn inside() {
    let root = Root(std::env::temp_dir().join(format!("podlan-node-parts-{}", std::process::id())));
    root.list(1);
    // A kernel whose main table was never used has none.
    let own = Change::Add(Key::own("10.244.1.0/24".parse().unwrap()), Target::Unreachable);
    Rtnetlink::open().unwrap().change(&[own]).unwrap()[0].clone().unwrap();
    let mut breakable = Breakable { parts: Parts::default(), breakers: BTreeMap::new() };
    let mut agent = Agent::start(root.options(), &mut breakable).await.unwrap();
    let state = agent.published.subscribe();
    agent.run_until(scenario(&root, state, &breakable.breakers)).await;
    agent.parts.stop().await;
}

async fn scenario(root: &Root, state: watch::Receiver<State>, breakers: &BTreeMap<&'static str, Breaker>) {
    let names: Vec<&str> = breakers.keys().copied().collect();
    let all = [
        "conditions",
        "control",
        "files",
        "forwarding",
        "leases",
        "packet filter",
        "pod MTU",
        "probes",
        "reports",
        "source",
    ];
    assert_eq!(names, all, "a part is missing here");
    works(root, &state, 1).await;
    for (round, (name, breaker)) in (2..).zip(breakers) {
        assert_eq!(breaker.starts.load(Ordering::SeqCst), 1, "{name} ended by itself");
        breaker.panic.notify_one();
        let said = format!("the agent's part {name:?} panicked: on purpose; it is started again");
        until(&said, || state.borrow().warnings.contains(&said)).await;
        until(&format!("{name} starts again"), || breaker.starts.load(Ordering::SeqCst) == 2).await;
        works(root, &state, round).await;
        until("its trouble is written to the run directory", || {
            fs::read_to_string(root.0.join("run/node.json")).is_ok_and(|text| text.contains(&said.replace('"', "\\\"")))
        })
        .await;
    }
}

/// A new list of nodes is read and decided on, a command is answered, and the conflist is written again.
async fn works(root: &Root, state: &watch::Receiver<State>, nodes: u8) {
    root.list(nodes);
    let listed = || state.borrow().verdicts.values().sum::<usize>() == usize::from(nodes);
    until(&format!("a list of {nodes}"), listed).await;
    let conflist = root.0.join("net.d").join(FILE);
    until("the conflist", || conflist.exists()).await;
    until("nothing writes the conflist", || fs::remove_file(&conflist).is_ok() && !conflist.exists()).await;
    let socket = root.0.join("run/node.sock");
    let answer = tokio::task::spawn_blocking(move || {
        let mut client = BufReader::new(UnixStream::connect(socket).ok()?);
        client.get_mut().write_all(b"look\n").ok()?;
        let mut answer = String::new();
        client.read_line(&mut answer).ok().map(|_| answer)
    });
    assert_eq!(answer.await.unwrap().as_deref(), Some("looking\n"));
    until("the conflist again", || conflist.exists()).await;
}

async fn until(what: &str, fact: impl Fn() -> bool) {
    let late = Instant::now() + DEADLINE;
    while !fact() {
        assert!(Instant::now() < late, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Where the agent's files lie; removed in the end.
struct Root(PathBuf);

impl Root {
    /// Replaces the list by one of so many nodes.
    fn list(&self, nodes: u8) {
        let node = |i| {
            json!({
                "metadata": { "name": format!("n{i}") },
                "spec": { "podCIDR": format!("10.244.{i}.0/24") },
                "status": { "addresses": [{ "type": "InternalIP", "address": format!("10.0.0.{i}") }] },
            })
        };
        let list = json!({ "kind": "List", "items": (1..=nodes).map(node).collect::<Vec<_>>() });
        fs::create_dir_all(&self.0).unwrap();
        fs::write(self.0.join("new"), list.to_string()).unwrap();
        fs::rename(self.0.join("new"), self.0.join("nodes.json")).unwrap();
    }

    fn options(&self) -> Options {
        let dir = |name: &str| {
            let dir = self.0.join(name);
            fs::create_dir_all(&dir).unwrap();
            dir
        };
        let from = dir("from");
        install::BINARIES.iter().for_each(|name| fs::write(from.join(name), "a plugin").unwrap());
        let conflist = Conflist {
            network: "podnet".into(),
            agent: shown(&self.0.join("run/node.json")),
            data_dir: shown(&dir("leases")),
            mtu: None,
            chain: Vec::new(),
            chain_if_installed: Vec::new(),
        };
        let limits = Limits { share: 0.5, hold: Duration::from_secs(60) };
        Options {
            settings: Settings { me: "n1".into(), limits, by_routers: false },
            source: Source::File(self.0.join("nodes.json")),
            run_dir: RunDir(dir("run")),
            resync: Duration::from_secs(600),
            listen: None,
            stores: Stores::below(dir("leases")),
            install: Install { from, bin_dir: Some(dir("bin")), conf_dir: Some(dir("net.d")), conflist },
            no_masquerade_to: Some(Vec::new()),
            accept_forward: false,
            keep_forwarding: false,
            recent: Recent::default(),
            probes: ProbeOptions { on: true, port: 10_111, rate: 200 },
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
