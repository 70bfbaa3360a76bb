//! Where the agent's list of nodes comes from: files, a Kubernetes API served by a test, and a real API server.

mod apiserver;
mod files;
mod kubernetes;
