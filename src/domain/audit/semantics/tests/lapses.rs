//! Floor 0, tests: what can be wrong with a history in which a deadline has passed, or people are
//! asked in the middle of a run. No rule of another file.

use super::{
    ASKED, LAPSED,
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
    defect(
        LAPSED,
        2,
        "gate.expired f plan=q",
        3,
        "asked after the Gate uid-f, which asked about sha256:",
    ),
    defect(
        LAPSED,
        2,
        "gate.expired f",
        3,
        "asked after the Gate uid-f, which asked about no plan",
    ),
    defect(
        LAPSED,
        3,
        "run.escalated a plan=q gate=f",
        3,
        "goes by the plan sha256:",
    ),
    defect(LAPSED, 3, "run.escalated a gate=f", 3, "names no plan"),
    defect(
        "run.requested a
         run.planned a plan=p
         run.requested b
         run.planned b plan=p
         gate.expired f plan=p
         gate.expired g plan=p
         run.escalated a plan=p gate=f
         run.escalated b plan=p gate=g",
        7,
        "run.escalated b plan=p gate=f",
        7,
        "the Gate uid-f, which was that of the run uid-a",
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
    // In the middle of a run.
    defect(
        ASKED,
        5,
        "",
        5,
        "the Gate uid-h, and there is no gate.approved",
    ),
    defect(
        ASKED,
        5,
        "gate.expired h plan=p",
        6,
        "the Gate uid-h, whose record says gate.expired",
    ),
    defect(
        ASKED,
        5,
        "gate.approved h plan=q by=e",
        6,
        "the Gate uid-h, which was approved for sha256:",
    ),
    defect(
        ASKED,
        6,
        "step.succeeded a plan=p step=one try=1 came=Approved",
        6,
        "names neither a Gate",
    ),
    defect(
        ASKED,
        6,
        "step.succeeded a plan=p step=one try=1 gate=g came=Approved",
        6,
        "by which the run uid-a began before",
    ),
];
