//! The sources of the agent's list of nodes: files, a Kubernetes API served by a test, and a real API server.

mod apiserver;
mod files;
mod kubernetes;
