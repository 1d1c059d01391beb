//! The records of a run as the operator leaves them, made by hand.

use neuralops::{
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Object, Record, RecordId, VERSION},
        },
        digest::Digest,
    },
    ports::Entry,
};

use crate::log::{entry_of, second};

/// A run by its name, and what its records say.
pub struct History {
    pub name: &'static str,
    pub plan: Digest,
    /// The steps of the plan in order, each with what its intent says that it does.
    pub steps: Vec<(&'static str, Digest)>,
}

impl History {
    pub fn of(name: &'static str) -> Self {
        Self {
            name,
            plan: Digest::of(name.as_bytes()),
            steps: vec![("restart", Digest::of(b"restart"))],
        }
    }

    pub fn uid(&self) -> String {
        format!("uid-of-{}", self.name)
    }

    pub fn gate(&self) -> String {
        format!("uid-of-gate-of-{}", self.name)
    }

    /// A record about the run, or about its Gate.
    pub fn fact(&self, event: Event) -> Fact {
        let gate = event.code().starts_with("gate.");
        let (kind, uid) = if gate {
            ("Gate", self.gate())
        } else {
            ("Orchestration", self.uid())
        };
        let actor = Actor::operator("neuralops-0");
        let mut fact = Fact::new(RecordId::of(&[&uid, event.code()]), event, actor);
        fact.object = Some(Object {
            generation: None,
            kind: kind.into(),
            name: self.name.into(),
            namespace: Some("shop".into()),
            uid: uid.as_str().into(),
        });
        fact
    }

    /// With the plan in it.
    pub fn planned(&self, event: Event) -> Fact {
        let mut fact = self.fact(event);
        fact.plan_digest = Some(self.plan.clone());
        fact
    }

    pub fn step(&self, event: Event, step: usize) -> Fact {
        let (name, effect) = &self.steps[step];
        let mut fact = self.planned(event);
        fact.id = RecordId::of(&[&self.uid(), event.code(), name, "1"]);
        fact.step = Some((*name).into());
        fact.attempt = Some(1);
        if event == Event::StepIntended {
            fact.effect = Some(effect.clone());
        }
        fact
    }

    /// Everything from the request to a good end.
    pub fn healed(&self) -> Vec<Fact> {
        let mut approved = self.planned(Event::GateApproved);
        approved.decisions = vec!["uid-of-yes-1".into(), "uid-of-yes-2".into()];
        let mut started = self.planned(Event::RunStarted);
        started.gate = Some(self.gate().into());
        started.decisions.clone_from(&approved.decisions);
        let mut finished = self.fact(Event::RunFinished);
        finished.outcome = Some("Succeeded".into());
        let mut facts = vec![
            self.fact(Event::RunRequested),
            self.planned(Event::RunPlanned),
            approved,
            started,
        ];
        for step in 0..self.steps.len() {
            facts.push(self.step(Event::StepIntended, step));
            facts.push(self.step(Event::StepSucceeded, step));
        }
        facts.push(finished);
        facts
    }
}

/// As the store takes them.
pub fn entries(facts: Vec<Fact>) -> Vec<Entry> {
    let facts = facts.into_iter().enumerate();
    facts
        .map(|(number, fact)| {
            let record = Record {
                v: VERSION,
                time: second(2_000_000 + number as u64),
                epoch: 1,
                late: None,
                fact,
            };
            entry_of(&record, None)
        })
        .collect()
}
