//! Floor 0, tests: what can be wrong with a history in which a deadline has passed. No rule of another file.

use super::{
    LAPSED,
    defects::{Defect, defect},
};

/// A history with one line changed.
pub(super) const LAPSES: &[Defect] = &[
    defect(
        LAPSED,
        2,
        "",
        2,
        "asked after the Gate uid-f, whose record says nothing",
    ),
    defect(
        LAPSED,
        2,
        "gate.rejected f plan=p by=d",
        3,
        "asked after the Gate uid-f, whose record says gate.rejected",
    ),
    defect(
        LAPSED,
        3,
        "run.escalated a plan=p",
        3,
        "after the Gate of no name",
    ),
    defect(LAPSED, 4, "", 4, "there is no gate.approved of it before"),
    defect(
        LAPSED,
        4,
        "gate.expired g plan=p",
        5,
        "the Gate uid-g, whose record says gate.expired",
    ),
    defect(
        LAPSED,
        4,
        "gate.approved g plan=p by=d",
        5,
        "the Gate uid-g, whose record says gate.approved",
    ),
    defect(
        LAPSED,
        4,
        "gate.allowed g plan=p by=d",
        4,
        "does not name the signed Playbook",
    ),
    defect(
        LAPSED,
        4,
        "gate.allowed g plan=p book=b",
        4,
        "does not name the signed Playbook",
    ),
    defect(
        LAPSED,
        4,
        "gate.allowed g plan=p policy=c",
        5,
        "allowed by the policy of sha256:",
    ),
    defect(
        LAPSED,
        4,
        "gate.allowed g plan=p policy=b late",
        4,
        "only stops may be",
    ),
    defect(
        LAPSED,
        5,
        "run.started a plan=p gate=g book=b",
        5,
        "the Gate uid-g, whose record says gate.allowed",
    ),
];
