//! Runs that want the same target: the child's part, which claims and releases as the controllers do, and the parent's,
//! which holds what was promised against the store.

use std::time::Duration;

use neuralops::{
    adapters::{clock, ledger::Ledger},
    ports::{Claim, Claimed, Limits, RunKey},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{bed::Bed, child::every, orders::Report, sequencers::deposed, truth};
use crate::support::need;

/// What everybody wants.
const COVETED: &str = "apps/deployments/shop/checkout";
/// After a refusal.
const BREATH: Duration = Duration::from_millis(20);

/// How far a run has come, as far as its child knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reached {
    /// Its claim is on its way.
    Claiming,
    /// It was told that it holds everything.
    Held,
    /// Its release is on its way.
    Releasing,
    /// It was told that it holds nothing.
    Released,
}

/// Claims and releases for one run after another, until it is stopped.
pub struct Contender {
    pub ledger: Ledger,
    pub identity: String,
    pub task: usize,
    pub say: fn(&Report),
}

impl Contender {
    pub async fn run(self, stopping: watch::Receiver<bool>) {
        self.ledger.settled().await;
        self.inherit().await;
        let mut number = 0;
        while !*stopping.borrow() {
            let uid = format!("{}/claim-{}/{number}", self.identity, self.task);
            self.says(&uid, Reached::Claiming);
            self.claim(&uid).await;
            // A second time, as after an answer that was lost.
            self.claim(&uid).await;
            self.says(&uid, Reached::Held);
            match self.ledger.plan_of(&uid).await {
                Ok(plan) => assert_eq!(plan, Some(plan_of(&uid))),
                Err(refusal) => eprintln!("{refusal}"),
            }
            self.release(&uid).await;
            number += 1;
        }
    }

    /// Ends what an earlier child has left, as a controller does that comes to lead.
    async fn inherit(&self) {
        let mut tries = every(BREATH);
        let left = loop {
            tries.tick().await;
            if let Ok(left) = self.ledger.runs().await {
                break left;
            }
        };
        let ours = format!("{}/", self.identity);
        for run in left.iter().filter(|run| !run.uid.starts_with(&ours)) {
            self.release(&run.uid).await;
        }
    }

    async fn claim(&self, uid: &str) {
        let claim = Claim {
            run: RunKey {
                uid: uid.to_owned(),
                namespace: "shop".to_owned(),
                name: "checkout-crashes".to_owned(),
            },
            plan: plan_of(uid),
            keys: vec![uid.to_owned(), COVETED.to_owned()],
            since: clock::now(),
            playbook: "heal".to_owned(),
            limits: Limits::default(),
        };
        let mut tries = every(BREATH);
        loop {
            tries.tick().await;
            match self.ledger.claim(claim.clone()).await {
                Ok(Claimed::Held) => return,
                Ok(Claimed::Taken { key, by }) => {
                    assert_eq!(key, COVETED);
                    assert_ne!(by.uid, uid);
                }
                Ok(other) => panic!("{uid}: {other:?}"),
                Err(refusal) => eprintln!("{uid}: {refusal}"),
            }
        }
    }

    async fn release(&self, uid: &str) {
        self.says(uid, Reached::Releasing);
        let mut tries = every(BREATH);
        tries.tick().await;
        while let Err(refusal) = self.ledger.release(uid).await {
            eprintln!("{uid}: {refusal}");
            tries.tick().await;
        }
        self.says(uid, Reached::Released);
    }

    fn says(&self, uid: &str, reached: Reached) {
        let uid = uid.to_owned();
        (self.say)(&Report::Run { uid, reached });
    }
}

fn plan_of(uid: &str) -> Vec<u8> {
    format!("the plan of {uid}").into_bytes()
}

/// What was promised is so, and what everybody wants has one run at most.
pub async fn kept(bed: &Bed) {
    let store = truth::reader(bed).await;
    let runs = store.runs().await.expect("runs");
    assert!(runs.len() <= 1, "{runs:?} have the same at a time");
    for (uid, reached) in &bed.diary.runs {
        let there = runs.iter().any(|run| run.uid == *uid);
        match reached {
            Reached::Held => assert!(there, "{uid} was told that it holds everything"),
            Reached::Released => assert!(!there, "{uid} was told that it holds nothing"),
            Reached::Claiming | Reached::Releasing => {}
        }
    }
    for run in &runs {
        assert!(bed.diary.runs.contains_key(&run.uid), "{run:?}");
        let plan = store.plan_of(&run.uid).await.expect("a plan");
        assert_eq!(plan, Some(plan_of(&run.uid)));
    }
}

/// It records nothing and signs nothing: that it writes no longer is told to it by its claims alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_writer_cannot_claim() {
    need!(Owned);
    let mut bed = Bed::sqlite().await;
    let mut orders = bed.orders();
    orders.claims = 2;
    let first = bed.start(&orders, &[]);
    first.holds(20, 0).await;
    let mut orders = bed.orders();
    orders.claims = 1;
    let second = bed.start(&orders, &[]);
    deposed(&mut bed, first).await;
    second.holds(20, 0).await;
    bed.note(second.kill());
    kept(&bed).await;
    assert!(bed.diary.runs.len() > 40, "{:?}", bed.diary.runs);
    let third = bed.start(&orders, &[]);
    third.opens().await;
    let reports = third.stop().await;
    bed.note(reports);
    truth::whole(&bed).await;
    kept(&bed).await;
}
