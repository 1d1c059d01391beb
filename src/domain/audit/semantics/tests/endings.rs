//! Floor 0, tests: what can be wrong with the steps of a run and with its end; no rule of another file.

use super::{
    FAILED, HEALED,
    defects::{Defect, defect},
};

/// A history with one line changed.
pub(super) const ENDINGS: &[Defect] = &[
    // Steps.
    defect(
        HEALED,
        4,
        "step.intended a try=1",
        4,
        "does not say which step and which attempt",
    ),
    defect(
        HEALED,
        4,
        "step.intended a step=one",
        4,
        "does not say which step and which attempt",
    ),
    defect(
        HEALED,
        4,
        "step.intended a plan=p step=one try=2",
        4,
        "attempt 2 of the step one, where 1 is next",
    ),
    defect(
        HEALED,
        4,
        "step.intended a plan=q step=one try=1",
        4,
        "which is not the one recorded before",
    ),
    defect(
        HEALED,
        4,
        "step.intended a plan=p step=one try=1 late",
        4,
        "recorded late",
    ),
    defect(
        HEALED,
        5,
        "step.failed a step=one try=2",
        5,
        "no step.intended of attempt 2 before it",
    ),
    defect(
        HEALED,
        5,
        "step.failed a step=two try=1",
        5,
        "the step two has an outcome",
    ),
    defect(
        HEALED,
        5,
        "step.failed a step=one",
        5,
        "does not say which step and which attempt",
    ),
    defect(
        HEALED,
        5,
        "step.succeeded a step=one try=1",
        6,
        "the step one is done again, and did not fail just before",
    ),
    defect(
        HEALED,
        6,
        "step.intended a step=one try=3",
        6,
        "attempt 3 of the step one, where 2 is next",
    ),
    defect(
        HEALED,
        6,
        "step.intended a step=two try=1",
        6,
        "a step begins after one failed",
    ),
    defect(
        HEALED,
        8,
        "step.intended a step=one try=3",
        8,
        "the step one is done again",
    ),
    defect(
        HEALED,
        8,
        "step.intended a step=two try=2",
        8,
        "attempt 2 of the step two, where 1 is next",
    ),
    defect(
        HEALED,
        9,
        "step.failed a step=two try=1",
        10,
        "ends as Succeeded, and the step two failed",
    ),
    // How it ended.
    defect(HEALED, 10, "run.finished a", 10, "the record says not how"),
    defect(
        HEALED,
        10,
        "run.finished a came=Splendid",
        10,
        "the record says not how",
    ),
    defect(
        HEALED,
        10,
        "run.finished a came=Planned",
        10,
        "ends as Planned, and it began",
    ),
    defect(
        HEALED,
        10,
        "run.finished a came=Joined joins=b",
        10,
        "ends as Joined, and it began",
    ),
    defect(
        "run.requested a \n run.finished a came=Joined joins=b",
        1,
        "run.finished a came=Joined",
        1,
        "its cause names no other run",
    ),
    defect(
        "run.requested a \n run.finished a came=Joined joins=b",
        1,
        "run.finished a came=Joined joins=a",
        1,
        "its cause names no other run",
    ),
    defect(
        FAILED,
        7,
        "run.finished a came=Succeeded",
        7,
        "ends as Succeeded, and the step one failed",
    ),
];
