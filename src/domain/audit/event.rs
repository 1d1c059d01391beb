//! Floor 0: the closed list of what can be recorded. A code is stable for ever: it stands in leaves that outlive the
//! version that wrote them. What is not on this list cannot be recorded, and a record that is not one of these does not
//! compile.

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident => $code:literal,)+) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event { $($(#[doc = $doc])+ $name,)+ }

        impl Event {
            /// Every event there is, in the order of the reference.
            pub const ALL: &'static [Event] = &[$(Event::$name,)+];

            /// The code that stands in the leaf.
            pub fn code(self) -> &'static str {
                match self { $(Event::$name => $code,)+ }
            }

            /// What it means, for the reference.
            pub fn meaning(self) -> &'static str {
                match self { $(Event::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

events! {
    /// A log begins; there was none before it.
    LogOpened => "log.opened",
    /// A log begins that follows another one; the leaf names where the other ended, by its anchor and by its store.
    LogFollowed => "log.followed",
    /// A replica leads from now on, under a new epoch.
    LeaderElected => "leader.elected",
    /// The leading replica gave up leadership in good order.
    LeaderReleased => "leader.released",
    /// The configuration that the leading replica runs with.
    ConfigLoaded => "config.loaded",
    /// A Playbook keeps all rules and is signed by whom its policies trust, for the first time or again.
    PlaybookAccepted => "playbook.accepted",
    /// A Playbook breaks a rule or is not trusted, and cannot be used.
    PlaybookRefused => "playbook.refused",
    /// The document of a Playbook is another than the one recorded before.
    PlaybookChanged => "playbook.changed",
    /// The highest revision of a Playbook was set, because a TrustPolicy asks for it.
    PlaybookReset => "playbook.reset",
    /// A TrustPolicy can be used, for the first time or again, or trusts others than before.
    PolicyReady => "policy.ready",
    /// A TrustPolicy cannot be used, and refuses all that it is about.
    PolicyRefused => "policy.refused",
    /// A run was asked for; the leaf names by whom.
    RunRequested => "run.requested",
    /// A run is made from what somebody suggested in a Decision; the leaf names that person and the Decision.
    RunSuggested => "run.suggested",
    /// A run was dry-run into a plan.
    RunPlanned => "run.planned",
    /// The signed Playbook allows a run in mode Auto without a Gate; the leaf names its document and its expression.
    RunAllowed => "run.allowed",
    /// A run that was approved, or needs nobody's approval, begins; the leaf names what it was allowed by.
    RunStarted => "run.started",
    /// The deadline of a run's Gate has passed, which the leaf names, and the next set of rules is asked.
    RunEscalated => "run.escalated",
    /// A Freeze, another run or a person keeps a run from going on.
    RunHeld => "run.held",
    /// Somebody cancelled a run.
    RunCancelled => "run.cancelled",
    /// A run has come to its end.
    RunFinished => "run.finished",
    /// The object of a run that was not at its end is gone; nothing of it goes on.
    RunGone => "run.gone",
    /// An effect is about to happen.
    StepIntended => "step.intended",
    /// What an attempt was to do has begun outside, and is not begun again under this attempt: a Job was made.
    StepUnderway => "step.underway",
    /// A step did what it was to do.
    StepSucceeded => "step.succeeded",
    /// A step failed; nothing after it began.
    StepFailed => "step.failed",
    /// A run failed, and what it did is taken back from now on; the leaf names why.
    RunTurned => "run.turned",
    /// A step is about to be taken back.
    UndoIntended => "undo.intended",
    /// A step was taken back.
    UndoSucceeded => "undo.succeeded",
    /// A step was not taken back, or not known to be; nothing before it is.
    UndoFailed => "undo.failed",
    /// A Gate is approved by the decisions that the leaf names.
    GateApproved => "gate.approved",
    /// The deadline of a Gate has passed with nobody against it, and the signed Playbook approves it then; the leaf names
    /// that Playbook by its digest. It is the policy's act, and nobody else's.
    GateAllowed => "gate.allowed",
    /// A Gate is rejected by a decision.
    GateRejected => "gate.rejected",
    /// The deadline of a Gate has passed.
    GateExpired => "gate.expired",
    /// What a Gate asked about is not what would run any more.
    GateSuperseded => "gate.superseded",
    /// What a Gate asked about was cancelled.
    GateCancelled => "gate.cancelled",
    /// Somebody stopped all runs, everywhere or in some namespaces.
    FreezePlaced => "freeze.placed",
    /// Somebody let runs go on.
    FreezeLifted => "freeze.lifted",
    /// A Freeze is gone without having been lifted.
    FreezeRemoved => "freeze.removed",
    /// The admission guard is whole, as the policies, bindings and kinds with this digest.
    GuardWhole => "guard.whole",
    /// The admission guard is missing or altered: identities are not proven.
    GuardBroken => "guard.broken",
    /// A backup was written and verified.
    BackupVerified => "backup.verified",
    /// The log was restored from a backup.
    BackupRestored => "backup.restored",
    /// The spool of stops was altered by somebody else and was put aside unread.
    SpoolRefused => "spool.refused",
}

impl Event {
    /// The event with this code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_word_of_a_room_and_belongs_to_one_event() {
        for event in Event::ALL {
            let code = event.code();
            let (room, word) = code.split_once('.').unwrap();
            assert!(
                [room, word]
                    .iter()
                    .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase())),
                "{code}"
            );
            assert_eq!(Event::parse(code), Some(*event));
            assert!(!event.meaning().is_empty(), "{code} has no meaning");
        }
    }
}
