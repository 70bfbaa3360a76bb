//! A pod and its containers, created as kubelet creates them in a CRI runtime.

use std::net::IpAddr;
use std::time::Duration;

use podlan_conformance::lab::eventually;
use tonic::Status;

use super::client::Client;
use super::cri::*;
use super::image;
use super::rig::LAB;

/// A running sandbox.
pub struct Pod<'a> {
    cri: &'a Client,
    config: PodSandboxConfig,
    pub sandbox: String,
}

/// A running container of a pod.
pub struct Container<'a> {
    cri: &'a Client,
    pub id: String,
}

/// How a command inside a container ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The config of a pod named `name` in namespace `lab`; its host name is its name, as Kubernetes has it.
pub fn config(name: &str) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            namespace: "lab".to_owned(),
            attempt: 0,
        }),
        hostname: name.to_owned(),
        linux: Some(LinuxPodSandboxConfig::default()),
        ..PodSandboxConfig::default()
    }
}

impl<'a> Pod<'a> {
    pub fn run(cri: &'a Client, config: PodSandboxConfig) -> Result<Self, Status> {
        let sandbox = cri.run_pod_sandbox(&config)?;
        Ok(Self { cri, config, sandbox })
    }

    /// Its addresses as the runtime reports them, that of the first family first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let network = self.cri.pod_sandbox_status(&self.sandbox).unwrap().network.unwrap_or_default();
        let additional = network.additional_ips.into_iter().map(|other| other.ip);
        [network.ip].into_iter().filter(|ip| !ip.is_empty()).chain(additional).map(|ip| ip.parse().unwrap()).collect()
    }

    /// Starts a container that runs `command`, with pid namespace of its own, as kubelet does.
    pub fn container(&self, name: &str, command: &[&str]) -> Container<'a> {
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned() }),
            image: Some(ImageSpec { image: image::NAME.to_owned() }),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(NamespaceOption {
                        pid: NamespaceMode::Container.into(),
                        ..NamespaceOption::default()
                    }),
                    ..LinuxContainerSecurityContext::default()
                }),
            }),
            ..ContainerConfig::default()
        };
        self.start(config)
    }

    /// Starts a container as it is described.
    pub fn start(&self, config: ContainerConfig) -> Container<'a> {
        let request = CreateContainerRequest {
            pod_sandbox_id: self.sandbox.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let id = self.cri.create_container(request).unwrap();
        self.cri.start_container(&id).unwrap();
        Container { cri: self.cri, id }
    }

    pub fn stop(&self) -> Result<(), Status> {
        self.cri.stop_pod_sandbox(&self.sandbox)
    }

    pub fn remove(&self) -> Result<(), Status> {
        self.cri.remove_pod_sandbox(&self.sandbox)
    }

    /// Stopped twice, then removed, as kubelet does it in a pod's normal life.
    pub fn end(self) {
        self.stop().unwrap();
        self.stop().unwrap();
        self.remove().unwrap();
    }
}

impl Container<'_> {
    /// Sends SIGTERM, and SIGKILL after `patience`.
    pub fn stop(&self, patience: Duration) {
        self.cri.stop_container(&self.id, patience).unwrap();
    }

    /// Runs `command` beside the container's own program, for at most ten seconds.
    pub fn exec(&self, command: &[&str]) -> Ended {
        let answer = self.cri.exec_sync(&self.id, command, Duration::from_secs(10)).unwrap();
        Ended {
            code: answer.exit_code,
            stdout: String::from_utf8_lossy(&answer.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&answer.stderr).into_owned(),
        }
    }

    /// Waits until the server in this container, `podlan-lab serve`, is listening.
    pub fn is_serving(&self) {
        let listens = || match self.exec(&[LAB, "probe", "tcp=127.0.0.1"]) {
            Ended { code: 0, .. } => Ok(()),
            ended => Err(format!("{ended:?}")),
        };
        eventually(Duration::from_secs(5), "the server in the pod listens", listens).unwrap();
    }

    /// As [`Self::exec`], for a command that must succeed; returns its stdout without the last newline.
    pub fn run(&self, command: &[&str]) -> String {
        let ended = self.exec(command);
        assert_eq!(ended.code, 0, "{command:?}: {ended:?}");
        ended.stdout.trim_end().to_owned()
    }
}
