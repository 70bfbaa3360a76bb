//! The command line: the arguments of every command, and the calls.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::ask::Asker;
use crate::command::{doctor, leases, map, paths, report, smoke, status, trace};
use crate::transport::Kubectl;

/// The codes and the rights, for the help.
const AFTER: &str = "\
Exit code: 0 all is well; 1 something is wrong; 2 nothing wrong was found, but not everything could be asked.

It runs kubectl, which needs these rights: to list pods and to create pods/exec in the namespace of the agents; to list nodes;
for trace to get pods in the namespaces of the two pods; for smoke to create, get, list and delete daemonsets, services, pods and
pods/exec in the namespace of its pods.";

/// What podlan's agents say, of the whole cluster.
#[derive(Debug, Parser)]
#[command(name = "kubectl-podlan", bin_name = "kubectl podlan", version = state::release::version(), about, after_help = AFTER)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show whether each node's agent is ready, its routes and paths, and what is wrong.
    Status(status::Args),
    /// Check each node: what is wrong, why it matters and how to fix it.
    Doctor(doctor::Args),
    /// List the leases of all nodes.
    Leases(leases::Args),
    /// Trace packets between two pods in both directions, over both nodes and the path between them.
    Trace(trace::Args),
    /// Show whether packets of pods pass between all nodes, as the agents' probes find.
    Paths(paths::Args),
    /// Start a pod on each node, and let each reach the others at their own addresses; the pods are deleted again.
    Smoke(smoke::Args),
    /// Write one archive with the report of each node, without secrets.
    Report(report::Args),
    /// Write the cluster as one page of HTML: nodes by segment, paths, conditions.
    Map(map::Args),
}

/// How the cluster is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "The cluster")]
pub(crate) struct Global {
    /// The kubeconfig file
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// The context of the kubeconfig file
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The cluster of the kubeconfig file
    #[arg(long, global = true, value_name = "NAME")]
    cluster: Option<String>,
    /// The user of the kubeconfig file
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// The user to impersonate
    #[arg(long = "as", global = true, value_name = "USER")]
    impersonate: Option<String>,
    /// The namespace of pods that are named without one, and of the pods of smoke [default: the context's]
    #[arg(long, short, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// The namespace of the agents
    #[arg(long, global = true, value_name = "NAME", default_value = "kube-system")]
    agent_namespace: String,
    /// How long one node may take to answer
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// How many nodes are asked at once
    #[arg(long, global = true, value_name = "COUNT", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// The kubectl to run
    #[arg(long, global = true, value_name = "PROGRAM", default_value = "kubectl")]
    kubectl: OsString,
}

impl Cli {
    /// Runs the command; its exit code says whether all is well.
    pub(crate) fn run(self) -> ExitCode {
        let asker = self.global.asker();
        let namespace = self.global.namespace.as_deref();
        let ran = match &self.command {
            Command::Status(args) => status::run(args, &asker),
            Command::Doctor(args) => doctor::run(args, &asker),
            Command::Leases(args) => leases::run(args, &asker),
            Command::Trace(args) => trace::run(args, &asker, namespace),
            Command::Paths(args) => paths::run(args, &asker),
            Command::Smoke(args) => smoke::run(args, &asker, namespace),
            Command::Report(args) => report::run(args, &asker),
            Command::Map(args) => map::run(args, &asker),
        };
        match ran {
            Ok(code) => ExitCode::from(code),
            Err(why) => {
                crate::print::error(&why);
                ExitCode::from(2)
            }
        }
    }
}

impl Global {
    fn asker(&self) -> Asker {
        let Self {
            kubeconfig, context, cluster, user, impersonate, agent_namespace, timeout, parallel, kubectl, ..
        } = self;
        let named = [
            ("--kubeconfig", kubeconfig),
            ("--context", context),
            ("--cluster", cluster),
            ("--user", user),
            ("--as", impersonate),
        ];
        let global = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        Asker {
            kubectl: Kubectl { program: kubectl.clone(), global: global.collect() },
            agents: agent_namespace.clone(),
            limit: *timeout,
            at_once: usize::from(*parallel),
        }
    }
}

/// Reads `30s`, `2m`; not zero, and a day at most.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error} (try 30s, 2m)"))?;
    match duration {
        Duration::ZERO => Err("it is zero (try 30s)".to_owned()),
        long if long > Duration::from_secs(86_400) => Err("it is more than a day".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_flags_of_kubectl_are_passed_on_and_may_follow_the_command() {
        let words = ["kubectl-podlan", "status", "--context", "kind-a", "-n", "shop", "--as=me", "--timeout", "5s"];
        let cli = Cli::try_parse_from(words).unwrap();
        let asker = cli.global.asker();
        assert_eq!(asker.kubectl.global, ["--context=kind-a", "--as=me"]);
        assert_eq!((asker.limit, asker.at_once, asker.agents.as_str()), (Duration::from_secs(5), 16, "kube-system"));
        assert_eq!(cli.global.namespace.as_deref(), Some("shop"));
        for wrong in [["--timeout", "0s"], ["--parallel", "0"], ["--timeout", "x"]] {
            assert!(Cli::try_parse_from(["kubectl-podlan", "status", wrong[0], wrong[1]]).is_err(), "{wrong:?}");
        }
    }
}
