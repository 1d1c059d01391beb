//! Floor 3: one step of a run, one attempt, one pass: intent, effect, outcome. Each stands by itself if the process ends
//! between them, and whoever goes on asks the step kind what has happened already.

use std::time::Duration;

use jiff::Timestamp;

use super::{AT_ONCE, Acted, Halt, OrchestrationError, Pass, Told, records};
use crate::{
    adapters::{
        clock,
        failpoint::failpoint,
        kube::{account::AccountError, error::chain},
        ledger::Ack,
        steps::{Progress, Running, kind_named},
    },
    api::v1alpha1::Step,
    controllers::orchestration::{
        decide::{Stepping, passed, undo_of},
        memory::{Held, Memory},
    },
    domain::{
        plan::{self, Obstacle, Plan, PlannedStep},
        reason::Reason,
        run::{Started, Way},
        verdict::Verdict,
    },
    ports::{Leadership, NotLeader},
};

/// Before a step that something stops is looked at again.
const STOPPED: Duration = Duration::from_secs(2);
/// Before what a step needs is asked for again.
const UNPREPARED: Duration = Duration::from_secs(5);

/// Refuses every write while something stops the run, and else asks whether this process leads.
struct Gatekeeper<'a> {
    fence: &'a dyn Leadership,
    stopped: bool,
    memory: &'a Memory,
    uid: &'a str,
}

impl Leadership for Gatekeeper<'_> {
    fn holds(&self) -> Result<(), NotLeader> {
        if self.stopped || self.memory.has_left(self.uid) {
            return Err(NotLeader);
        }
        self.fence.holds()
    }
}

impl Pass<'_> {
    pub(super) async fn step(&mut self, stepping: Stepping) -> Acted {
        let history = self.facts.history.as_ref().ok();
        let started = history.and_then(|history| history.started.clone());
        let (Some(step), Some(started)) = (stepping.plan.steps.get(stepping.index), started) else {
            return Ok((Told::Same, Verdict::Settled));
        };
        let began = match stepping.began {
            Some(began) => began,
            None => self.intend(&started, step, &stepping).await?,
        };
        let since = self.since(&stepping, step, began);
        let progress = self.go_on(&stepping, step, &started, (began, since)).await;
        let late = passed(since, stepping.time, clock::now());
        failpoint!("outcome.before");
        let progress = judged(progress, late.then(clock::now), stepping.stopped.as_ref());
        let progress = progress.map_err(OrchestrationError::Step)?;
        self.tell(&stepping, step, &started, progress).await
    }

    /// Since when its time goes by. On the way back nobody's absence and no Freeze counts: what was done is to be taken back
    /// whenever that can be tried.
    fn since(&self, stepping: &Stepping, step: &PlannedStep, began: Timestamp) -> Timestamp {
        match stepping.way {
            Way::Forth => began,
            Way::Back => {
                let anew = stepping.stopped.is_some();
                let (memory, uid) = (&self.kind.memory, &self.facts.run.uid);
                memory.tried_since(uid, &said_by(Way::Back, step), (clock::now(), anew))
            }
        }
    }

    /// That it is about to happen is under an anchored checkpoint before it happens.
    async fn intend(
        &mut self,
        started: &Started,
        step: &PlannedStep,
        stepping: &Stepping,
    ) -> Result<Timestamp, Halt> {
        failpoint!("intent.before");
        let attempt = (stepping.way, stepping.attempt);
        let intent = records::intended(&self.facts.run, &started.plan, step, attempt);
        self.record(intent, Ack::Anchored).await?;
        failpoint!("intent.after");
        Ok(clock::now())
    }

    /// The effect itself, or the next look at it, as the playbook's own account.
    async fn go_on(
        &self,
        stepping: &Stepping,
        step: &PlannedStep,
        started: &Started,
        (began, since): (Timestamp, Timestamp),
    ) -> Result<Progress, Trouble> {
        let Some(kind) = kind_named(&step.kind) else {
            let message = format!("this version does not know the step kind {}", step.kind);
            let reason = Reason::StepUnsupported;
            return Ok(Progress::Failed { reason, message });
        };
        let run = &self.facts.run;
        let plan = &stepping.plan;
        let gatekeeper = Gatekeeper {
            fence: self.fence,
            // What comes after its time is over is not begun any more; what has happened is still looked at.
            stopped: stepping.stopped.is_some() || passed(since, stepping.time, clock::now()),
            memory: &self.kind.memory,
            uid: &self.facts.run.uid,
        };
        let planner = &self.kind.planner;
        let rendered = self.rendered(plan, stepping.index).await?;
        let account = planner.account(&run.namespace, &plan.service_account)?;
        let veil = planner.veil().await;
        let held = self
            .kind
            .memory
            .held(&run.uid, &said_by(stepping.way, step));
        let running = Running {
            account: &account,
            plan,
            digest: &started.plan,
            step,
            attempt: stepping.attempt,
            underway: stepping.underway,
            ever: stepping.ever,
            refused: stepping.refused,
            // What an earlier attempt has left is not others' doing.
            fresh: stepping.way == Way::Forth && stepping.began.is_none() && stepping.attempt == 1,
            began,
            now: clock::now(),
            memory: held.map(|held| held.since),
            looked: held.map(|held| held.at),
            rendered: rendered.as_ref(),
            veil: veil?,
            cel: planner.cel(),
            installation: planner.installation(),
            fence: &gatekeeper,
        };
        let progress = match stepping.way {
            Way::Forth => kind.run(&running).await,
            Way::Back => kind.undo(&running).await,
        };
        Ok(progress?)
    }

    /// The outcome is on record before anything follows from it.
    async fn tell(
        &mut self,
        stepping: &Stepping,
        step: &PlannedStep,
        started: &Started,
        progress: Progress,
    ) -> Acted {
        let uid = self.facts.run.uid.clone();
        let said_by = said_by(stepping.way, step);
        let memory = &self.kind.memory;
        let (ended, message) = match progress {
            Progress::Begun { message } => {
                let run = &self.facts.run;
                let record = records::underway(run, &step.name, stepping.attempt, &message);
                self.record(record, Ack::Durable).await?;
                failpoint!("underway.after");
                return Ok((self.going(started.at, &said_by, &message), AT_ONCE));
            }
            Progress::Done { message } => (Ok(()), message),
            Progress::Failed { reason, message } => (Err(reason), message),
            Progress::Busy { after, message, .. } => {
                return Ok(self.waits(started.at, &said_by, (message, after), None));
            }
            Progress::Pending {
                after,
                message,
                memory,
            } => return Ok(self.waits(started.at, &said_by, (message, after), memory)),
        };
        memory.holds(&uid, &said_by, None);
        let attempt = (stepping.way, step.name.as_str(), stepping.attempt);
        let record = records::step_ended(&self.facts.run, attempt, ended, &message);
        self.record(record, Ack::Durable).await?;
        failpoint!("outcome.after");
        self.kind.memory.say(&uid, &said_by, &message);
        Ok((self.going(started.at, &said_by, &message), AT_ONCE))
    }

    /// Something outside must happen first.
    fn waits(
        &self,
        began: Timestamp,
        said_by: &str,
        (message, after): (String, Duration),
        since: Option<Timestamp>,
    ) -> (Told, Verdict) {
        let (memory, uid) = (&self.kind.memory, &self.facts.run.uid);
        memory.say(uid, said_by, &message);
        let at = clock::now();
        memory.holds(uid, said_by, since.map(|since| Held { since, at }));
        let verdict = Verdict::Waiting {
            reason: Reason::Running,
            after: Some(after),
        };
        (self.going(began, said_by, &message), verdict)
    }

    /// The step as the verified Playbook has it, where the plan does not hold all of it.
    async fn rendered(&self, plan: &Plan, index: usize) -> Result<Option<Step>, Obstacle> {
        let step = plan.steps.get(index);
        if !step.is_some_and(|step| step.effect.to_string().contains("\"$hmac\"")) {
            return Ok(None);
        }
        let (facts, memory) = (&self.facts, &self.kind.memory);
        if let Some(steps) = memory.steps(&facts.run.uid) {
            return Ok(steps.get(index).cloned());
        }
        // Another process began it: what is secret is in the Playbook alone, which is verified once more.
        let steps = self.kind.planner.steps(&facts.run, &facts.spec).await?;
        let step = steps.get(index).cloned();
        memory.keep_steps(&facts.run.uid, steps);
        Ok(step)
    }

    fn going(&self, began: Timestamp, step: &str, message: &str) -> Told {
        let uid = &self.facts.run.uid;
        if self.kind.memory.paces(uid, began, clock::now()) {
            let message = format!("step {step}: {message}");
            Told::Going { message }
        } else {
            Told::Same
        }
    }
}

/// Under which name is remembered what it says.
fn said_by(way: Way, step: &PlannedStep) -> String {
    match way {
        Way::Forth => step.name.clone(),
        Way::Back => undo_of(&step.name),
    }
}

/// Why a look at a step has come to nothing.
enum Trouble {
    /// What it needs cannot be had, now or ever.
    Unprepared(Obstacle),
    /// The API server did not answer.
    Unanswered(AccountError),
}

impl From<Obstacle> for Trouble {
    fn from(obstacle: Obstacle) -> Self {
        Self::Unprepared(obstacle)
    }
}

impl From<AccountError> for Trouble {
    fn from(error: AccountError) -> Self {
        Self::Unanswered(error)
    }
}

/// What a look at a step comes to: what takes too long has failed, and what is stopped waits.
fn judged(
    progress: Result<Progress, Trouble>,
    late: Option<Timestamp>,
    stopped: Option<&(Reason, String)>,
) -> Result<Progress, AccountError> {
    let over = |message: &str| Progress::Failed {
        reason: Reason::DeadlineExceeded,
        message: format!("its time was over: {message}"),
    };
    match (progress, stopped) {
        (Ok(Progress::Pending { message, .. }), _) if late.is_some() => Ok(over(&message)),
        (Ok(Progress::Busy { message, until, .. }), _) if late.is_some_and(|now| now >= until) => {
            Ok(over(&message))
        }
        (Ok(progress), _) => Ok(progress),
        (Err(Trouble::Unprepared(obstacle)), _) if obstacle.verdict == plan::Verdict::Fail => {
            Ok(Progress::Failed {
                reason: obstacle.reason,
                message: obstacle.message,
            })
        }
        (Err(Trouble::Unprepared(obstacle)), _) if late.is_some() => Ok(over(&obstacle.message)),
        (Err(Trouble::Unprepared(obstacle)), _) => Ok(Progress::Pending {
            after: UNPREPARED,
            message: obstacle.message,
            memory: None,
        }),
        // What comes too late is kept from writing as by a lost lead.
        (Err(Trouble::Unanswered(AccountError::Deposed(_))), _) if late.is_some() => {
            Ok(over("what was left to do is not begun any more"))
        }
        (Err(Trouble::Unanswered(error)), _) if late.is_some() => Ok(over(&chain(&error))),
        (Err(Trouble::Unanswered(AccountError::Deposed(_))), Some((_, message))) => {
            Ok(Progress::Pending {
                after: STOPPED,
                message: message.clone(),
                memory: None,
            })
        }
        (Err(Trouble::Unanswered(error)), _) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_goes_on_by_itself_is_waited_for_where_other_things_are_over() {
        let pending = || Progress::Pending {
            after: Duration::from_secs(1),
            message: "waits".to_owned(),
            memory: None,
        };
        let busy = || Progress::Busy {
            after: Duration::from_secs(1),
            message: "runs".to_owned(),
            until: at(100),
        };
        let over = |progress: Progress, late: Option<i64>| {
            let ended = judged(Ok(progress), late.map(at), None).unwrap();
            matches!(
                ended,
                Progress::Failed {
                    reason: Reason::DeadlineExceeded,
                    ..
                }
            )
        };
        assert!(!over(pending(), None) && over(pending(), Some(1)));
        assert!(!over(busy(), None) && !over(busy(), Some(99)));
        assert!(
            over(busy(), Some(100)),
            "nothing is waited for without an end"
        );
    }
}
