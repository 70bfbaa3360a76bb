//! Nodes from the Kubernetes API: one slim watch, no polling, no writes. The only room that knows kube.
//!
//! A list is published only when it is complete; while a new one is streamed the last one stays. Heartbeats, which
//! change nothing that is read, end here.
//!
//! A watch that fails is not taken up again where it stood: the server may have another store since, and would say
//! nothing until that has counted as far. The next one begins with a list, and with the credentials as they are then.

mod bounds;
mod list;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, DefaultBackoff, Event, InitialListStrategy, watcher};
use kube::{Client, Config, Resource};
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use tokio::sync::{Notify, mpsc};

use super::object::{self, NODE, Place};
use super::{Error, MOST, Report};
use list::{List, Pending};
use nodes::Node;

/// How long a streamed list may take before a server is taken for one that cannot stream: an old one ignores the
/// parameter and never says that the list is over.
const STREAMED: Duration = Duration::from_secs(30);

/// How long the watch is left alone before what changed is published: a node's start is several changes.
const SETTLE: Duration = Duration::from_millis(20);

/// How long the agent waits before it tries again, at most.
const AGAIN: Duration = Duration::from_secs(30);

/// Where the API server and the credentials for it are described.
#[derive(Clone, Debug)]
pub enum Access {
    /// In the pod: the service account's files and the `KUBERNETES_SERVICE_*` variables.
    InCluster,
    /// In a kubeconfig file.
    Kubeconfig(PathBuf),
}

/// Watches the nodes until nobody listens. `refresh` asks for a list of now.
pub async fn run(access: Access, reports: mpsc::Sender<Report>, refresh: Arc<Notify>) {
    let mut strategy = InitialListStrategy::StreamingList;
    let mut list = List::default();
    // It grows from 0.8 s, with jitter, and begins anew once all was well for two minutes: a server that breaks off
    // every watch after its list is not asked for one list after the other.
    let mut backoff = DefaultBackoff::default();
    loop {
        let ended = match connect(&access).await {
            Ok(client) => watch(client, &strategy, &mut list, &reports, &refresh).await,
            Err(error) => Ended::Failed(error),
        };
        // What was told before the end counts.
        if list.pending() == Pending::Waits && reports.send(Ok(list.publish(Instant::now()))).await.is_err() {
            return;
        }
        list.leave();
        match ended {
            Ended::Refresh => {}
            Ended::CannotStream => {
                tracing::info!("the API server does not stream lists; listing in pages");
                strategy = InitialListStrategy::ListWatch;
            }
            Ended::Failed(error) => {
                if reports.send(Err(error)).await.is_err() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(backoff.next().unwrap_or(AGAIN)) => {}
                    () = refresh.notified() => {}
                    () = reports.closed() => return,
                }
            }
            Ended::Unheard => return,
        }
    }
}

async fn connect(access: &Access) -> Result<Client, Error> {
    let failed = |why: String| Error::Kubernetes { doing: "read the credentials for the API server", why };
    let config = match access {
        Access::InCluster => Config::incluster().map_err(|e| failed(whole(&e)))?,
        Access::Kubeconfig(path) => kubeconfig(path).await.map_err(|e| failed(whole(&e)))?,
    };
    bounds::client(config).map_err(|e| failed(whole(&e)))
}

async fn kubeconfig(path: &Path) -> Result<Config, kube::config::KubeconfigError> {
    Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await
}

/// Why a watch was given up.
enum Ended {
    Refresh,
    CannotStream,
    Failed(Error),
    Unheard,
}

/// One watch: a whole list, then its changes, until something fails. A watch that the server ends in good order, as it
/// does every few minutes, goes on from where it stood.
async fn watch(
    client: Client,
    strategy: &InitialListStrategy,
    list: &mut List,
    reports: &mpsc::Sender<Report>,
    refresh: &Notify,
) -> Ended {
    let streams = matches!(strategy, InitialListStrategy::StreamingList);
    let config = watcher::Config {
        initial_list_strategy: strategy.clone(),
        page_size: Some(bounds::PAGE),
        ..watcher::Config::default()
    };
    let mut events = pin!(watcher(Api::<NodeWatched>::all(client), config));
    let mut listed_by = pin!(tokio::time::sleep(STREAMED));
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = refresh.notified() => return Ended::Refresh,
            () = reports.closed() => return Ended::Unheard,
            () = tokio::time::sleep(SETTLE), if list.pending() == Pending::Waits => {
                if reports.send(Ok(list.publish(Instant::now()))).await.is_err() {
                    return Ended::Unheard;
                }
                continue;
            }
            () = &mut listed_by, if streams && list.is_coming() => return Ended::CannotStream,
        };
        match event {
            Some(Ok(event)) => {
                if let Event::Init = event {
                    listed_by.as_mut().reset(tokio::time::Instant::now() + STREAMED);
                }
                list.take(event);
                if list.len() > MOST {
                    let why = format!("the API server lists more than {MOST} nodes");
                    return Ended::Failed(Error::Kubernetes { doing: "watch the nodes", why });
                }
            }
            Some(Err(error)) if streams && refuses_to_stream(&error) => return Ended::CannotStream,
            Some(Err(error)) => {
                return Ended::Failed(Error::Kubernetes { doing: "watch the nodes", why: whole(&error) });
            }
            None => return Ended::Refresh,
        }
    }
}

/// What an error says and what lies beneath it: of a server that is not reached the topmost says only that.
fn whole(error: &dyn std::error::Error) -> String {
    let beneath = std::iter::successors(error.source(), |cause| cause.source());
    beneath.map(ToString::to_string).fold(error.to_string(), |said, cause| match said.contains(&cause) {
        true => said,
        false => format!("{said}: {cause}"),
    })
}

/// The server's word that it does not know `sendInitialEvents` (feature gate WatchList).
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
struct NodeWatched {
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
