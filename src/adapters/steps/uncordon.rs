//! Floor 2: `uncordon`: a node takes new pods again. It changes nothing else, and no other object than a node.

use super::cordon::Mark;

/// New pods come again.
pub(super) const UNCORDON: Mark = Mark {
    unschedulable: false,
};
