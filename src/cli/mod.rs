//! Floor 3: the commands, one file each. They read arguments, call a floor below and say what came of it.

pub mod crds;
pub mod playbook;
pub mod reference;
