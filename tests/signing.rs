//! Signed Playbooks without a cluster.
