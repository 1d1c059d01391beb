//! Floor 0: how the votes about a Gate are counted: which vote of a person stands, who is heard at all, and whether all places
//! of all rules are filled. Rights and times come in as facts; nothing is asked here.

mod matching;
mod vote;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use vote::{Evidence, Held, Ignored, Vote, Voted, Why};

/// A vote is trusted only if it was made so long after the admission guard was seen whole: clocks differ, and a policy
/// acts a moment after it was installed.
pub const GUARD_MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// What a Gate asks, as far as counting goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The uid of the Gate.
    pub uid: String,
    /// The plan that is asked about.
    pub plan_digest: String,
    /// All of them must be filled.
    pub rules: Vec<Rule>,
    /// Who shaped the plan, and does not decide.
    pub requested_by: Vec<String>,
    /// From when on votes come too late.
    pub deadline: Option<Timestamp>,
}

/// So many holders of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The role.
    pub role: String,
    /// How many people.
    pub min: usize,
    /// The weakest proof of identity that fills a place.
    pub evidence: Evidence,
}

/// What is left when everything is gone that needs no look at anybody's rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sifted {
    /// One vote a person, Approve or Reject, oldest first.
    pub standing: Vec<Vote>,
    /// The others.
    pub ignored: Vec<Ignored>,
}

/// A vote that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The vote.
    pub vote: Vote,
    /// The role in whose place the voter stands; none for a rejection, and for an approval that is one too many.
    pub place: Option<String>,
}

/// How far a rule is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its role.
    pub role: String,
    /// Places that are filled.
    pub met: usize,
    /// Places that are not.
    pub missing: usize,
}

/// What a count comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Open,
    Approved,
    Rejected,
    Expired,
}

/// A count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What it comes to.
    pub outcome: Outcome,
    /// How far each rule is filled, in the order of the rules.
    pub rules: Vec<Progress>,
    /// The votes that count: rejections first, then those that fill a place, then the others.
    pub counted: Vec<Counted>,
    /// The votes that do not.
    pub ignored: Vec<Ignored>,
}

impl Question {
    /// Finds the vote of each person that stands. Votes are trusted that were made well after `whole`, since when the guard is
    /// known to be whole; none while it is not.
    ///
    /// A vote that came too late does not exist. Any other that cannot be believed still speaks against what was approved
    /// before in the same name, but takes no rejection away: of both readings the one that stops.
    pub fn sift(&self, votes: Vec<Vote>, whole: Option<Timestamp>) -> Sifted {
        let mut sifted = Sifted::default();
        let mut people: BTreeMap<String, Vec<Vote>> = BTreeMap::new();
        for vote in votes {
            if vote.gate != self.uid {
                sifted.ignore(vote, Why::OtherGate);
            } else if self
                .deadline
                .is_some_and(|deadline| vote.created >= deadline)
            {
                sifted.ignore(vote, Why::Late);
            } else {
                let person = vote.user.to_ascii_lowercase();
                people.entry(person).or_default().push(vote);
            }
        }
        for (person, mut votes) in people {
            votes.sort_by_key(|vote| std::cmp::Reverse(vote.order));
            self.sift_person(&person, votes, whole, &mut sifted);
        }
        sifted.standing.sort_by_key(|vote| vote.order);
        sifted
    }

    /// The votes of one person, newest first.
    fn sift_person(
        &self,
        person: &str,
        votes: Vec<Vote>,
        whole: Option<Timestamp>,
        sifted: &mut Sifted,
    ) {
        let (mut spoken, mut doubted) = (false, false);
        for vote in votes {
            let why = if spoken {
                Some(Why::Older)
            } else if let Some(doubt) = self.doubt(&vote, whole) {
                doubted = true;
                Some(doubt)
            } else {
                spoken = true;
                self.unheard(person, &vote, doubted)
            };
            match why {
                Some(why) => sifted.ignore(vote, why),
                None => sifted.standing.push(vote),
            }
        }
    }

    /// Why a vote cannot be believed.
    fn doubt(&self, vote: &Vote, whole: Option<Timestamp>) -> Option<Why> {
        let trusted = |since: Timestamp| vote.created.duration_since(since) > GUARD_MARGIN;
        if !whole.is_some_and(trusted) {
            Some(Why::Distrusted)
        } else if vote.plan_digest != self.plan_digest {
            Some(Why::OtherPlan)
        } else {
            None
        }
    }

    /// Why the newest vote of a person that can be believed is not heard all the same.
    fn unheard(&self, person: &str, vote: &Vote, doubted: bool) -> Option<Why> {
        let requested = |by: &String| by.eq_ignore_ascii_case(person);
        if vote.voted == Voted::Withdraw {
            Some(Why::Withdrawal)
        } else if person.starts_with("system:") {
            Some(Why::System)
        } else if self.requested_by.iter().any(requested) {
            Some(Why::Requester)
        } else if doubted && vote.voted == Voted::Approve {
            Some(Why::Voided)
        } else {
            None
        }
    }

    /// Counts the votes that stand, each with the roles that its voter holds now.
    ///
    /// One rejection settles it, whatever was approved; it fills no place, so no rule's demand for evidence keeps it out.
    /// The deadline comes last: what was voted before it is counted first.
    pub fn count(&self, votes: Vec<(Vote, Held)>, ignored: Vec<Ignored>, now: Timestamp) -> Tally {
        let mut sifted = Sifted {
            standing: Vec::new(),
            ignored,
        };
        let (mut rejections, mut approvals, mut eligible) = (Vec::new(), Vec::new(), Vec::new());
        for (vote, held) in votes {
            match self.weigh(&vote, &held) {
                Err(why) => sifted.ignore(vote, why),
                Ok(_) if vote.voted == Voted::Reject => rejections.push(vote),
                Ok(rules) => {
                    approvals.push(vote);
                    eligible.push(rules);
                }
            }
        }
        let places: Vec<usize> = self.rules.iter().map(|rule| rule.min).collect();
        let filled = matching::fill(&places, &eligible);
        let rules: Vec<Progress> = self
            .rules
            .iter()
            .enumerate()
            .map(|(at, rule)| {
                let met = filled.iter().filter(|place| **place == Some(at)).count();
                Progress {
                    role: rule.role.clone(),
                    met,
                    missing: rule.min.saturating_sub(met),
                }
            })
            .collect();
        let outcome = if !rejections.is_empty() {
            Outcome::Rejected
        } else if rules.iter().all(|rule| rule.missing == 0) {
            Outcome::Approved
        } else if self.deadline.is_some_and(|deadline| now >= deadline) {
            Outcome::Expired
        } else {
            Outcome::Open
        };
        let rejections = rejections
            .into_iter()
            .map(|vote| Counted { vote, place: None });
        let (placed, spare): (Vec<_>, Vec<_>) = approvals
            .into_iter()
            .zip(filled)
            .map(|(vote, place)| Counted {
                vote,
                place: place
                    .and_then(|at| self.rules.get(at))
                    .map(|rule| rule.role.clone()),
            })
            .partition(|counted| counted.place.is_some());
        Tally {
            outcome,
            rules,
            counted: rejections.chain(placed).chain(spare).collect(),
            ignored: sifted.ignored,
        }
    }

    /// The rules in which a vote can count, by their place in the list.
    fn weigh(&self, vote: &Vote, held: &Held) -> Result<BTreeSet<usize>, Why> {
        let Held::Roles(roles) = held else {
            return Err(Why::Wildcard);
        };
        let rules = self.rules.iter().enumerate();
        let own: Vec<_> = rules
            .filter(|(_, rule)| roles.contains(&rule.role))
            .collect();
        if own.is_empty() {
            return Err(Why::NoRole);
        }
        let strong = |rule: &Rule| vote.voted == Voted::Reject || vote.evidence >= rule.evidence;
        let own: BTreeSet<usize> = own
            .iter()
            .filter(|(_, rule)| strong(rule))
            .map(|(at, _)| *at)
            .collect();
        if own.is_empty() {
            return Err(Why::Weak);
        }
        Ok(own)
    }
}

impl Sifted {
    fn ignore(&mut self, vote: Vote, why: Why) {
        self.ignored.push(Ignored { vote, why });
    }
}

impl Tally {
    /// The votes that the outcome rests on: those that reject, or those that fill the places.
    pub fn deciding(&self) -> impl Iterator<Item = &Counted> {
        let rejected = self.outcome == Outcome::Rejected;
        self.counted.iter().filter(move |counted| {
            if rejected {
                counted.vote.voted == Voted::Reject
            } else {
                counted.place.is_some()
            }
        })
    }

    /// Whether a vote is left out because nothing proves who made it.
    pub fn distrusts(&self) -> bool {
        self.ignored
            .iter()
            .any(|ignored| ignored.why == Why::Distrusted)
    }
}

#[cfg(test)]
mod tests;
