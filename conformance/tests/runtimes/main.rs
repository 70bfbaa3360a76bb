//! podlan under real container runtimes: containerd 1 and 2, podman, and a real Kubernetes cluster.

mod containerd;
mod containerd_2;
mod kubernetes;
mod podman;
