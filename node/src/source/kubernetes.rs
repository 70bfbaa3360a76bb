//! Nodes from the Kubernetes API: one slim watch, no polling, no writes. The only file that knows kube.
//!
//! A list is published only when it is complete; while a new one is streamed (after a lost connection, an expired
//! version) the last one stays. Heartbeats, which change nothing that is read, end here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, InitialListStrategy, watcher};
use kube::{Client, Config, Resource};
use serde::{Deserialize, Deserializer};
use tokio::sync::{Notify, mpsc};

use super::object::{Spec, Status, node};
use super::{Error, Node, Report, Snapshot};

/// How long a streamed list may take before a server is taken for one that cannot stream: an old one ignores the
/// parameter and never says that the list is over.
const STREAMED: Duration = Duration::from_secs(30);

/// How long the watch is left alone before what changed is published: a node's start is several changes.
const SETTLE: Duration = Duration::from_millis(20);

/// How long the agent waits before it tries to make a client again.
const AGAIN: Duration = Duration::from_secs(5);

/// Where the API server and the credentials for it are described.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// In the pod: the service account's files and the `KUBERNETES_SERVICE_*` variables.
    InCluster,
    /// In a kubeconfig file.
    Kubeconfig(PathBuf),
}

/// Watches the nodes until nobody listens. `refresh` asks for a list of now.
pub(crate) async fn run(access: Access, reports: mpsc::Sender<Report>, refresh: Arc<Notify>) {
    let client = loop {
        match connect(&access).await {
            Ok(client) => break client,
            Err(error) => {
                if reports.send(Err(error)).await.is_err() {
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    let mut strategy = InitialListStrategy::StreamingList;
    loop {
        match watch(client.clone(), &strategy, &reports, &refresh).await {
            Ended::Refresh => {}
            Ended::CannotStream => {
                tracing::info!("the API server streams no lists; listing in pages");
                strategy = InitialListStrategy::ListWatch;
            }
            Ended::Unheard => return,
        }
    }
}

async fn connect(access: &Access) -> Result<Client, Error> {
    let failed = |why: String| Error::Kubernetes { doing: "read the access to the API server", why };
    let config = match access {
        Access::InCluster => Config::incluster().map_err(|e| failed(e.to_string()))?,
        Access::Kubeconfig(path) => kubeconfig(path).await.map_err(|e| failed(e.to_string()))?,
    };
    Client::try_from(config).map_err(|e| failed(e.to_string()))
}

async fn kubeconfig(path: &Path) -> Result<Config, kube::config::KubeconfigError> {
    Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await
}

/// Why a watch was given up.
enum Ended {
    Refresh,
    CannotStream,
    Unheard,
}

/// One watch: a whole list, then its changes. Errors are waited out by kube's own backoff and told meanwhile.
async fn watch(
    client: Client,
    strategy: &InitialListStrategy,
    reports: &mpsc::Sender<Report>,
    refresh: &Notify,
) -> Ended {
    let streams = matches!(strategy, InitialListStrategy::StreamingList);
    let config = watcher::Config { initial_list_strategy: strategy.clone(), ..watcher::Config::default() };
    let mut events = pin!(watcher(Api::<NodeWatched>::all(client), config).default_backoff());
    let mut list = List::default();
    let listed_by = tokio::time::sleep(STREAMED);
    let mut listed_by = pin!(listed_by);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = refresh.notified() => return Ended::Refresh,
            () = reports.closed() => return Ended::Unheard,
            () = tokio::time::sleep(SETTLE), if list.news == News::Waits => {
                if reports.send(Ok(list.publish(Instant::now()))).await.is_err() {
                    return Ended::Unheard;
                }
                continue;
            }
            () = &mut listed_by, if streams && list.standing == Standing::Partial && !list.troubled => return Ended::CannotStream,
        };
        match event {
            Some(Ok(event)) => list.take(event),
            Some(Err(error)) if streams && refuses_to_stream(&error) => return Ended::CannotStream,
            Some(Err(error)) => {
                list.troubled = true;
                let why = error.to_string();
                if reports.send(Err(Error::Kubernetes { doing: "watch the nodes", why })).await.is_err() {
                    return Ended::Unheard;
                }
            }
            None => return Ended::Refresh,
        }
    }
}

/// The server's word that it does not know `sendInitialEvents` (feature gate WatchList).
fn refuses_to_stream(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 400 | 422),
        watcher::Error::WatchError(status) => matches!(status.code, 400 | 422),
        _ => false,
    }
}

/// The nodes as the watch has told them so far.
#[derive(Default)]
struct List {
    nodes: BTreeMap<Arc<str>, Node>,
    /// A list that is being received; it takes the place of `nodes` once it is whole.
    coming: BTreeMap<Arc<str>, Node>,
    standing: Standing,
    news: News,
    /// An error was told since the last publication.
    troubled: bool,
}

/// Whether `nodes` has ever been a whole list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Partial,
    Whole,
}

/// Whether there is something to publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum News {
    #[default]
    None,
    Waits,
}

impl List {
    fn take(&mut self, event: Event<NodeWatched>) {
        let changed = match event {
            Event::Init => {
                self.coming.clear();
                false
            }
            Event::InitApply(object) => {
                let node = object.node();
                self.coming.insert(node.name.clone(), node);
                false
            }
            Event::InitDone => {
                self.nodes = std::mem::take(&mut self.coming);
                self.standing = Standing::Whole;
                true
            }
            Event::Apply(object) => {
                let node = object.node();
                self.nodes.get(&node.name) != Some(&node) && {
                    self.nodes.insert(node.name.clone(), node);
                    true
                }
            }
            Event::Delete(object) => self.nodes.remove(object.node().name.as_ref()).is_some(),
        };
        // A publication also says that the trouble is over.
        if self.standing == Standing::Whole && (changed || self.troubled) {
            self.news = News::Waits;
        }
    }

    fn publish(&mut self, now: Instant) -> Snapshot {
        self.news = News::None;
        self.troubled = false;
        Snapshot::new(self.nodes.values().cloned().collect(), now)
    }
}

/// A Node as the watch reads it. Of its metadata only the name and the version are kept.
#[derive(Clone, Debug, Deserialize)]
struct NodeWatched {
    #[serde(deserialize_with = "slim")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

impl NodeWatched {
    fn node(&self) -> Node {
        node(self.metadata.name.as_deref().unwrap_or_default(), &self.spec, &self.status)
    }
}

fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        resource_version: Option<String>,
    }
    let Slim { name, resource_version } = Slim::deserialize(deserializer)?;
    Ok(ObjectMeta { name, resource_version, ..ObjectMeta::default() })
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
mod tests {
    use super::*;

    fn object(name: &str, cidr: &str) -> NodeWatched {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "resourceVersion": "7", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {}}]},
            "spec": {"podCIDRs": [cidr]},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.2"}], "images": [{"sizeBytes": 7}]},
        }))
        .unwrap()
    }

    fn names(list: &mut List) -> Vec<String> {
        list.publish(Instant::now()).nodes.iter().map(|node| node.name.to_string()).collect()
    }

    #[test]
    fn a_list_is_published_only_when_it_is_whole() {
        let mut list = List::default();
        for event in
            [Event::Init, Event::InitApply(object("n1", "10.244.1.0/24")), Event::Apply(object("n9", "10.244.9.0/24"))]
        {
            list.take(event);
            assert_eq!(list.news, News::None);
        }
        list.take(Event::InitDone);
        assert_eq!(list.news, News::Waits);
        assert_eq!(names(&mut list), ["n1"]);
    }

    #[test]
    fn a_list_that_comes_again_in_parts_leaves_the_last_one_in_place() {
        let mut list = List::default();
        list.take(Event::InitApply(object("n1", "10.244.1.0/24")));
        list.take(Event::InitApply(object("n2", "10.244.2.0/24")));
        list.take(Event::InitDone);
        assert_eq!(names(&mut list), ["n1", "n2"]);
        list.take(Event::Init);
        list.take(Event::InitApply(object("n3", "10.244.3.0/24")));
        assert_eq!(list.news, News::None);
        assert_eq!(names(&mut list), ["n1", "n2"]);
        list.take(Event::InitDone);
        assert_eq!(names(&mut list), ["n3"]);
    }

    #[test]
    fn heartbeats_are_no_news_and_changes_are() {
        let mut list = List::default();
        list.take(Event::InitApply(object("n1", "10.244.1.0/24")));
        list.take(Event::InitDone);
        names(&mut list);
        list.take(Event::Apply(object("n1", "10.244.1.0/24")));
        assert_eq!(list.news, News::None);
        list.take(Event::Apply(object("n1", "10.244.7.0/24")));
        assert_eq!(list.news, News::Waits);
        names(&mut list);
        list.take(Event::Delete(object("n1", "")));
        assert_eq!(list.news, News::Waits);
        assert!(names(&mut list).is_empty());
    }

    #[test]
    fn the_end_of_trouble_is_news() {
        let mut list = List::default();
        list.take(Event::InitApply(object("n1", "10.244.1.0/24")));
        list.take(Event::InitDone);
        names(&mut list);
        list.troubled = true;
        list.take(Event::Apply(object("n1", "10.244.1.0/24")));
        assert_eq!(list.news, News::Waits);
    }
}
