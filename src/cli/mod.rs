//! Floor 3: the commands, one file each, or a folder where one has many. They read arguments, call a floor below and say what came of it.

pub mod audit;
pub mod cluster;
pub mod crds;
pub mod http_request;
pub mod playbook;
pub mod reference;
pub mod trust;
