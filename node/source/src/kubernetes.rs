//! Nodes from the Kubernetes API: one slim watch, no polling, no writes. The only room that knows kube.
//!
//! A list is published only when it is complete; while a new one is streamed the last one stays. Heartbeats, which
//! change nothing that is read, end here.
//!
//! A watch that fails is not taken up again where it stood: the server may have another store since, and would send
//! nothing until the versions of that one are as high. The next one begins with a list, and with the credentials as they
//! are then.

mod backoff;
mod bounds;
mod endpoint;
mod list;
pub mod machine;
mod words;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, InitialListStrategy, watcher};
use kube::{Client, Config, Resource};
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use tokio::sync::{Notify, mpsc};

use super::object::{self, NODE, Place};
use super::{Error, Report};
pub use endpoint::Endpoint;
use machine::{Action, Event, Machine, WatchResult};
use nodes::Node;
use parts::at;
use words::with_causes;

/// How the API server is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// What proves to it who the agent is.
    pub credentials: Credentials,
    /// The API server's address, in place of the one that comes with the credentials.
    pub endpoint: Option<Endpoint>,
}

/// Where the credentials for the API server are, and the address that comes with them.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// In the pod: the service account's files, and the `KUBERNETES_SERVICE_*` variables.
    InCluster,
    /// In a kubeconfig file.
    Kubeconfig(PathBuf),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.credentials {
            Credentials::InCluster => write!(f, "kubernetes, in cluster")?,
            Credentials::Kubeconfig(path) => write!(f, "kubernetes, {}", path.display())?,
        }
        self.endpoint.iter().try_for_each(|endpoint| write!(f, ", at {endpoint}"))
    }
}

/// Watches the nodes until nobody listens. `refresh` asks for a list of now.
pub async fn run(access: Access, reports: mpsc::Sender<Report>, refresh: Arc<Notify>) {
    // The keys of a hash map are random.
    let machine = Machine::new(true, RandomState::new().build_hasher().finish(), now());
    let open = async |streams| connect(&access).await.map(|client| watch(client, streams));
    drive(machine, open, reports, &refresh).await;
}

/// What a watch yields.
type Events = Pin<Box<dyn Stream<Item = watcher::Result<watcher::Event<NodeWatched>>>>>;

/// The shell of the machine, which decides: this one waits, connects and publishes.
async fn drive(
    mut machine: Machine,
    open: impl AsyncFn(bool) -> Result<Events, Error>,
    reports: mpsc::Sender<Report>,
    refresh: &Notify,
) {
    let mut events: Option<(u64, bool, Events)> = None;
    loop {
        let event = tokio::select! {
            () = reports.closed() => return,
            () = refresh.notified() => Event::Refresh,
            event = next(events.as_mut()) => event,
            () = at(machine.due()) => Event::Tick,
        };
        let mut results = VecDeque::from([event]);
        while let Some(event) = results.pop_front() {
            for action in machine.on(event, now()) {
                match action {
                    Action::Leave => events = None,
                    Action::Watch { number, streams } => match open(streams).await {
                        Ok(opened) => events = Some((number, streams, opened)),
                        Err(error) => results.push_back(Event::Watch(number, WatchResult::Failed(error))),
                    },
                    Action::Publish(report) => {
                        if reports.send(report).await.is_err() {
                            return;
                        }
                    }
                    Action::LogPages => tracing::info!("the API server does not stream lists; listing in pages"),
                }
            }
        }
    }
}

/// By the runtime's clock, which a test can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The next result of the watch.
async fn next(events: Option<&mut (u64, bool, Events)>) -> Event {
    let Some((number, streams, events)) = events else { return std::future::pending().await };
    let result = match events.next().await {
        Some(Ok(event)) => WatchResult::Event(Box::new(event)),
        Some(Err(error)) if *streams && refuses_to_stream(&error) => WatchResult::CannotStream,
        Some(Err(error)) => {
            WatchResult::Failed(Error::Kubernetes { doing: "watch the nodes", why: with_causes(&error) })
        }
        None => WatchResult::Ended,
    };
    Event::Watch(*number, result)
}

async fn connect(access: &Access) -> Result<Client, Error> {
    let failed = |why: String| Error::Kubernetes { doing: "read the credentials for the API server", why };
    let mut config = match &access.credentials {
        // The variables may be missing where their address is not used.
        Credentials::InCluster if access.endpoint.is_some() => {
            Config::incluster_dns().map_err(|e| failed(with_causes(&e)))?
        }
        Credentials::InCluster => Config::incluster().map_err(|e| failed(with_causes(&e)))?,
        Credentials::Kubeconfig(path) => kubeconfig(path).await.map_err(|e| failed(with_causes(&e)))?,
    };
    if let Some(endpoint) = &access.endpoint {
        config.cluster_url = endpoint.url();
    }
    bounds::client(config).map_err(|e| failed(with_causes(&e)))
}

async fn kubeconfig(path: &Path) -> Result<Config, kube::config::KubeconfigError> {
    Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await
}

/// One watch: a complete list, then its changes, until something fails. A watch that the server ends in good order, as it
/// does every few minutes, goes on from where it stood.
fn watch(client: Client, streams: bool) -> Events {
    let config = watcher::Config {
        initial_list_strategy: match streams {
            true => InitialListStrategy::StreamingList,
            false => InitialListStrategy::ListWatch,
        },
        page_size: Some(bounds::PAGE),
        ..watcher::Config::default()
    };
    Box::pin(watcher(Api::<NodeWatched>::all(client), config))
}

/// Whether the server refuses `sendInitialEvents` (feature gate WatchList).
fn refuses_to_stream(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 400 | 422),
        watcher::Error::WatchError(status) => matches!(status.code, 400 | 422),
        _ => false,
    }
}

/// A Node as the watch reads it: whatever it holds, what is wrong in it is its own fault. Of its metadata only the name
/// and the version are kept.
#[derive(Clone, Debug)]
pub struct NodeWatched {
    metadata: ObjectMeta,
    node: Node,
}

impl<'de> Deserialize<'de> for NodeWatched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = NODE.deserialize(deserializer)?;
        let (name, version) = (object::name(&value), object::version(&value));
        let metadata = ObjectMeta {
            name: name.map(ToOwned::to_owned),
            resource_version: version.map(ToOwned::to_owned),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, node: object::node(&value, &Place::Server) })
    }
}

impl Resource for NodeWatched {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Node".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
