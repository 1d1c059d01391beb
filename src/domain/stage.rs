//! Floor 0: the stages of a run and every way from one to another. Pure and total: whatever is not named here cannot
//! happen, and who tries it has a defect. What leads from one to the other is decided by the controller.

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A Playbook has to be chosen.
    Suggest,
    /// It is dry-run into a plan.
    DryRun,
    /// People are asked about the plan.
    Approve,
    /// What was approved is done.
    Execute,
    /// It has come to an end.
    Done(Outcome),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Everything was done and found good.
    Succeeded,
    /// Something was not, or could not be.
    Failed,
    /// A step failed, and what was done before was undone.
    Compensated,
    /// A step failed, and what was done before could not all be undone.
    CompensationFailed,
    /// Somebody who may decide said no.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// Somebody stopped it.
    Cancelled,
    /// What was approved is not what would run.
    Superseded,
    /// It was only to be planned.
    Planned,
    /// An earlier run is about the same.
    Joined,
}

impl Outcome {
    /// Every outcome there is.
    pub const ALL: [Self; 10] = [
        Self::Succeeded,
        Self::Failed,
        Self::Compensated,
        Self::CompensationFailed,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
        Self::Superseded,
        Self::Planned,
        Self::Joined,
    ];

    /// The word in status, metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Compensated => "Compensated",
            Self::CompensationFailed => "CompensationFailed",
            Self::Rejected => "Rejected",
            Self::Expired => "Expired",
            Self::Cancelled => "Cancelled",
            Self::Superseded => "Superseded",
            Self::Planned => "Planned",
            Self::Joined => "Joined",
        }
    }

    /// The outcome with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Whether the run did what was asked of it, or nothing; if not, a person has to look.
    pub fn is_settled_well(self, effects: bool) -> bool {
        match self {
            Self::Succeeded
            | Self::Rejected
            | Self::Expired
            | Self::Superseded
            | Self::Planned
            | Self::Joined => true,
            Self::Cancelled => !effects,
            Self::Failed | Self::Compensated | Self::CompensationFailed => false,
        }
    }
}

impl Stage {
    /// The word in status, metrics and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suggest => "Suggest",
            Self::DryRun => "DryRun",
            Self::Approve => "Approve",
            Self::Execute => "Execute",
            Self::Done(_) => "Done",
        }
    }

    /// Whether a run may go from here to there; staying is always possible.
    pub fn may_become(self, next: Self) -> bool {
        if self == next {
            return true;
        }
        match (self, next) {
            (Self::Done(_), _) | (_, Self::Suggest) => false,
            (Self::Suggest, Self::DryRun)
            | (Self::Suggest | Self::DryRun, Self::Approve)
            | (Self::Approve, Self::Execute) => true,
            // A mode that needs nobody's approval goes on at once; a mid-run Gate comes back from one.
            (Self::Suggest | Self::DryRun, Self::Execute) => true,
            (Self::Execute, Self::Approve) => true,
            (Self::Approve | Self::Execute, Self::DryRun) => false,
            (from, Self::Done(outcome)) => from.may_end(outcome),
            (Self::DryRun, Self::DryRun)
            | (Self::Approve, Self::Approve)
            | (Self::Execute, Self::Execute) => true,
        }
    }

    /// Which ends can be come to from here.
    fn may_end(self, outcome: Outcome) -> bool {
        match (self, outcome) {
            (Self::Done(_), _) => false,
            // A stop is legal in every stage, and so is a failure.
            (_, Outcome::Cancelled | Outcome::Failed) => true,
            (
                Self::Suggest | Self::DryRun,
                Outcome::Planned | Outcome::Joined | Outcome::Expired,
            ) => true,
            // A restart may find a Gate settled that the status does not tell of yet.
            (
                Self::Suggest | Self::DryRun | Self::Approve,
                Outcome::Rejected | Outcome::Superseded | Outcome::Expired,
            ) => true,
            (Self::Approve, Outcome::Planned | Outcome::Joined) => false,
            (
                Self::Suggest | Self::DryRun | Self::Approve | Self::Execute,
                Outcome::Succeeded | Outcome::Compensated | Outcome::CompensationFailed,
            ) => true,
            // After a mid-run Gate.
            (Self::Execute, Outcome::Rejected | Outcome::Expired | Outcome::Superseded) => true,
            (Self::Execute, Outcome::Planned | Outcome::Joined) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_stage() -> Vec<Stage> {
        let open = [
            Stage::Suggest,
            Stage::DryRun,
            Stage::Approve,
            Stage::Execute,
        ];
        let ends = Outcome::ALL.into_iter().map(Stage::Done);
        open.into_iter().chain(ends).collect()
    }

    #[test]
    fn an_end_is_an_end() {
        for outcome in Outcome::ALL {
            for next in every_stage() {
                let done = Stage::Done(outcome);
                assert_eq!(done.may_become(next), done == next, "{done:?} {next:?}");
            }
        }
    }

    #[test]
    fn a_stop_and_a_failure_are_legal_everywhere() {
        for stage in [
            Stage::Suggest,
            Stage::DryRun,
            Stage::Approve,
            Stage::Execute,
        ] {
            for outcome in [Outcome::Cancelled, Outcome::Failed] {
                assert!(stage.may_become(Stage::Done(outcome)), "{stage:?}");
            }
        }
    }

    #[test]
    fn nothing_plans_itself_again() {
        for stage in [Stage::Approve, Stage::Execute] {
            assert!(!stage.may_become(Stage::DryRun) && !stage.may_become(Stage::Suggest));
        }
    }

    #[test]
    fn nobody_is_asked_after_the_end_and_nothing_is_merely_planned_once_it_runs() {
        assert!(!Stage::Execute.may_become(Stage::Done(Outcome::Planned)));
        assert!(!Stage::Approve.may_become(Stage::Done(Outcome::Joined)));
    }

    #[test]
    fn words_read_back() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
        }
    }
}
