//! A CRI client over containerd's unix socket: one blocking call per RPC, each with a deadline. It never retries: tests
//! judge the runtime's answers, error texts included.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::cri::*;

/// As kubelet's: a RunPodSandbox that takes longer is a failure.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct Client {
    tokio: tokio::runtime::Runtime,
    channel: Channel,
}

impl Client {
    /// Connects at the first call, and again after a restart of the runtime.
    pub fn new(socket: PathBuf) -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel = {
            let _inside = tokio.enter();
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
        };
        Self { tokio, channel }
    }

    pub fn version(&self) -> Result<VersionResponse, Status> {
        self.call("/runtime.v1.RuntimeService/Version", Nothing {})
    }

    /// The condition `NetworkReady`: kubelet shows a node without it as not ready.
    pub fn network_ready(&self) -> Result<RuntimeCondition, Status> {
        let answer: StatusResponse =
            self.call("/runtime.v1.RuntimeService/Status", StatusRequest { verbose: false })?;
        let conditions = answer.status.unwrap_or_default().conditions;
        Ok(conditions.into_iter().find(|condition| condition.r#type == "NetworkReady").expect("NetworkReady in Status"))
    }

    /// The texts of the conflists in use, including its own one of the loopback.
    pub fn conflists(&self) -> Result<Vec<String>, Status> {
        let status: StatusResponse = self.call("/runtime.v1.RuntimeService/Status", StatusRequest { verbose: true })?;
        let config = status.info.get("cniconfig").map_or("null", String::as_str);
        let config: serde_json::Value = serde_json::from_str(config).expect("cniconfig is JSON");
        let networks = config["Networks"].as_array().into_iter().flatten();
        Ok(networks.filter_map(|network| network["Config"]["Source"].as_str().map(str::to_owned)).collect())
    }

    pub fn run_pod_sandbox(&self, config: &PodSandboxConfig) -> Result<String, Status> {
        let request = RunPodSandboxRequest { config: Some(config.clone()) };
        let answer: PodSandboxId = self.call("/runtime.v1.RuntimeService/RunPodSandbox", request)?;
        Ok(answer.pod_sandbox_id)
    }

    pub fn pod_sandbox_status(&self, sandbox: &str) -> Result<PodSandboxStatus, Status> {
        let request = PodSandboxId { pod_sandbox_id: sandbox.to_owned() };
        let answer: PodSandboxStatusResponse = self.call("/runtime.v1.RuntimeService/PodSandboxStatus", request)?;
        Ok(answer.status.unwrap_or_default())
    }

    pub fn stop_pod_sandbox(&self, sandbox: &str) -> Result<(), Status> {
        let request = PodSandboxId { pod_sandbox_id: sandbox.to_owned() };
        self.call("/runtime.v1.RuntimeService/StopPodSandbox", request).map(|Nothing {}| ())
    }

    pub fn remove_pod_sandbox(&self, sandbox: &str) -> Result<(), Status> {
        let request = PodSandboxId { pod_sandbox_id: sandbox.to_owned() };
        self.call("/runtime.v1.RuntimeService/RemovePodSandbox", request).map(|Nothing {}| ())
    }

    pub fn create_container(&self, request: CreateContainerRequest) -> Result<String, Status> {
        let answer: ContainerId = self.call("/runtime.v1.RuntimeService/CreateContainer", request)?;
        Ok(answer.container_id)
    }

    pub fn start_container(&self, container: &str) -> Result<(), Status> {
        let request = ContainerId { container_id: container.to_owned() };
        self.call("/runtime.v1.RuntimeService/StartContainer", request).map(|Nothing {}| ())
    }

    pub fn stop_container(&self, container: &str, patience: Duration) -> Result<(), Status> {
        let timeout = patience.as_secs().try_into().unwrap();
        let request = StopContainerRequest { container_id: container.to_owned(), timeout };
        self.call("/runtime.v1.RuntimeService/StopContainer", request).map(|Nothing {}| ())
    }

    pub fn exec_sync(&self, container: &str, cmd: &[&str], timeout: Duration) -> Result<ExecSyncResponse, Status> {
        let request = ExecSyncRequest {
            container_id: container.to_owned(),
            cmd: cmd.iter().map(|&word| word.to_owned()).collect(),
            timeout: timeout.as_secs().try_into().unwrap(),
        };
        self.call("/runtime.v1.RuntimeService/ExecSync", request)
    }

    fn call<Q, A>(&self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        self.tokio.block_on(async move {
            grpc.ready().await.map_err(|error| Status::unavailable(format!("{method}: {error:?}")))?;
            let mut request = Request::new(question);
            request.set_timeout(DEADLINE);
            let answer = grpc.unary(request, PathAndQuery::from_static(method), ProstCodec::<Q, A>::default());
            let answer = tokio::time::timeout(DEADLINE, answer).await;
            Ok(answer.map_err(|_| Status::deadline_exceeded(method))??.into_inner())
        })
    }
}
