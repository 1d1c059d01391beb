//! Floor 2: what a run needs to itself before its first effect, written by the one who writes the log, under the same
//! epoch and by the same rules: a claim that cannot be written is refused, and one whose outcome nobody knows has the log
//! opened anew. Which keys a run claims is decided by the callers.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Ledger, Refusal, board::Board, recall::answered};
use crate::{
    adapters::{failpoint::failpoint, kube::error::chain},
    domain::{plan::LARGEST, reason::Reason},
    ports::{Claim, Claimed, Epoch, IncidentKey, Leadership, RunKey, Store, StoreError, Tally},
};

/// A store that is silent for longer is unavailable, whatever it answers in the end.
const SILENCE: Duration = Duration::from_millis(900);

/// Something about a run, on its way to whoever writes.
pub(super) enum Order {
    /// Take this.
    Claim(Claim, oneshot::Sender<Result<Claimed, Refusal>>),
    /// Let go of what the run with this uid has.
    Release(String, oneshot::Sender<Result<u64, Refusal>>),
    /// Have others with this key join the run, unless they join another that is not the one named last.
    Own(
        (IncidentKey, RunKey, Option<String>),
        oneshot::Sender<Result<RunKey, Refusal>>,
    ),
    /// Count the run with this uid at another.
    Join(
        (String, RunKey),
        oneshot::Sender<Result<Option<u64>, Refusal>>,
    ),
}

impl Order {
    /// It is not done, and why.
    pub(super) fn refuse(self, refusal: Refusal) {
        // Whoever gave up waiting has been told already.
        match self {
            Self::Claim(_, answer) => drop(answer.send(Err(refusal))),
            Self::Release(_, answer) => drop(answer.send(Err(refusal))),
            Self::Own(_, answer) => drop(answer.send(Err(refusal))),
            Self::Join(_, answer) => drop(answer.send(Err(refusal))),
        }
    }

    /// Whoever gave up waiting was refused, and asks again.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Claim(_, answer) => answer.is_closed(),
            Self::Release(_, answer) => answer.is_closed(),
            Self::Own(_, answer) => answer.is_closed(),
            Self::Join(_, answer) => answer.is_closed(),
        }
    }
}

impl Ledger {
    /// Takes everything that a run needs to itself, or nothing, and keeps its plan. The same claim again is held again. A
    /// refusal says nothing about what was taken: the claim is repeated, or the run released.
    pub async fn claim(&self, claim: Claim) -> Result<Claimed, Refusal> {
        let length = claim.plan.len();
        if length > LARGEST {
            return Err(Refusal {
                reason: Reason::PlanTooLarge,
                message: format!("the plan has {length} bytes; {LARGEST} are allowed"),
            });
        }
        let order = |answer| Order::Claim(claim, answer);
        self.exchange(&self.orders, order).await
    }

    /// What the claim would come to now; nothing is taken, and the answer may be old when it is heard.
    pub async fn would_claim(&self, claim: &Claim) -> Result<Claimed, Refusal> {
        let store = self.reach()?;
        answered(store.would_claim(claim)).await
    }

    /// Has others with this key join the run, unless another run is the one; which one is. The same again changes nothing.
    pub async fn own(
        &self,
        incident: IncidentKey,
        run: RunKey,
        instead_of: Option<String>,
    ) -> Result<RunKey, Refusal> {
        let order = |answer| Order::Own((incident, run, instead_of), answer);
        self.exchange(&self.orders, order).await
    }

    /// Counts the run with this uid at the other, once; how many that has now, or nothing if nobody joins it any more.
    pub async fn join(&self, uid: &str, owner: RunKey) -> Result<Option<u64>, Refusal> {
        let order = |answer| Order::Join((uid.to_owned(), owner), answer);
        self.exchange(&self.orders, order).await
    }

    /// The run that others with this key join.
    pub async fn owner(&self, incident: &IncidentKey) -> Result<Option<RunKey>, Refusal> {
        let store = self.reach()?;
        answered(store.owner(incident)).await
    }

    /// How many joined the run with this uid, and which one it joined.
    pub async fn tally(&self, uid: &str) -> Result<Tally, Refusal> {
        let store = self.reach()?;
        answered(store.tally(uid)).await
    }

    /// Lets go of everything that the run with this uid has, and forgets its plan; also if it has nothing. The answer is how
    /// many had joined it.
    pub async fn release(&self, uid: &str) -> Result<u64, Refusal> {
        let order = |answer| Order::Release(uid.to_owned(), answer);
        self.exchange(&self.orders, order).await
    }

    /// The runs that others join or have joined, and that were not released.
    pub async fn joinable(&self) -> Result<Vec<RunKey>, Refusal> {
        let store = self.reach()?;
        answered(store.joinable()).await
    }

    /// The runs that were claimed for and not released, longest first.
    pub async fn runs(&self) -> Result<Vec<RunKey>, Refusal> {
        let store = self.reach()?;
        answered(store.runs()).await
    }

    /// The plan of a run that was claimed for and not released. It is the database's word: whoever executes it compares its
    /// digest with the one on record.
    pub async fn plan_of(&self, uid: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let store = self.reach()?;
        answered(store.plan_of(uid)).await
    }
}

/// The one who does it, of a leadership.
pub(super) struct Clerk {
    pub(super) store: Arc<dyn Store>,
    pub(super) fence: Arc<dyn Leadership>,
    pub(super) epoch: Epoch,
    pub(super) board: Arc<Board>,
}

impl Clerk {
    /// Does what is asked until the store fails; whoever waited has been told.
    pub(super) async fn work(&self, orders: &mut mpsc::Receiver<Order>) -> StoreError {
        while let Some(order) = orders.recv().await {
            if self.fence.holds().is_err() {
                // The store would refuse it too, if another replica has begun already.
                order.refuse(Refusal::unavailable("this replica does not lead any more"));
                continue;
            }
            if order.is_given_up() {
                continue;
            }
            let done = self.carry_out(order).await;
            if let Err(error) = done {
                return error;
            }
        }
        // Nobody is left to ask; the writer, who hears of it too, is what counts.
        std::future::pending().await
    }

    async fn carry_out(&self, order: Order) -> Result<(), StoreError> {
        let (store, epoch) = (&self.store, self.epoch);
        match order {
            Order::Claim(claim, answer) => {
                failpoint!("claim.before");
                let claimed = self.patiently(store.claim(epoch, claim)).await;
                failpoint!("claim.after");
                tell(claimed, answer)
            }
            Order::Release(uid, answer) => {
                failpoint!("release.before");
                let released = self.patiently(store.release(epoch, &uid)).await;
                failpoint!("release.after");
                tell(released, answer)
            }
            Order::Own((incident, run, instead_of), answer) => {
                failpoint!("own.before");
                let owned = store.own(epoch, &incident, &run, instead_of.as_deref());
                let owned = self.patiently(owned).await;
                failpoint!("own.after");
                tell(owned, answer)
            }
            Order::Join((uid, owner), answer) => {
                failpoint!("join.before");
                let joined = self.patiently(store.join(epoch, &uid, &owner)).await;
                failpoint!("join.after");
                tell(joined, answer)
            }
        }
    }

    /// Says so while the store is silent.
    async fn patiently<T>(
        &self,
        doing: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut doing = std::pin::pin!(doing);
        if let Ok(done) = timeout(SILENCE, &mut doing).await {
            return done;
        }
        let said = format!("the store has not answered for {} ms", SILENCE.as_millis());
        self.board.store(Some(said));
        let done = doing.await;
        if done.is_ok() {
            self.board.store(None);
        }
        done
    }
}

fn tell<T>(
    done: Result<T, StoreError>,
    answer: oneshot::Sender<Result<T, Refusal>>,
) -> Result<(), StoreError> {
    let (told, end) = match done {
        Ok(done) => (Ok(done), Ok(())),
        Err(error) => (Err(Refusal::unavailable(chain(&error))), Err(error)),
    };
    // Whoever gave up waiting has been told already.
    let _ = answer.send(told);
    end
}
