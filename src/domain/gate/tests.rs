//! Floor 0, tests: who is heard, what settles a Gate, and both against a counter that tries everything.

use proptest::prelude::*;

use super::*;

const PLAN: &str = "sha256:1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The guard is whole since the beginning, and all that happens here happens well after it.
const WHOLE: Option<Timestamp> = Some(Timestamp::UNIX_EPOCH);

fn rule(role: &str, min: usize) -> Rule {
    Rule {
        role: role.into(),
        min,
        evidence: Evidence::Attested,
    }
}

fn asking(rules: &[(&str, usize)]) -> Question {
    Question {
        uid: "gate".into(),
        plan_digest: PLAN.into(),
        rules: rules.iter().map(|(role, min)| rule(role, *min)).collect(),
        requested_by: vec!["Rita".into()],
        deadline: Some(at(1000)),
    }
}

fn vote(user: &str, voted: Voted, order: u128) -> Vote {
    Vote {
        name: format!("vote-{order}"),
        uid: format!("uid-{order}"),
        gate: "gate".into(),
        plan_digest: PLAN.into(),
        user: user.into(),
        groups: Vec::new(),
        voted,
        order,
        created: at(100),
        evidence: Evidence::ApiServer,
    }
}

fn yes(user: &str, order: u128) -> Vote {
    vote(user, Voted::Approve, order)
}

fn roles(roles: &[&str]) -> Held {
    Held::Roles(roles.iter().map(ToString::to_string).collect())
}

/// The whole count, where everybody holds what `held` says of them.
fn tally(question: &Question, votes: Vec<Vote>, now: i64, held: impl Fn(&Vote) -> Held) -> Tally {
    let Sifted { standing, ignored } = question.sift(votes, WHOLE);
    let standing = standing
        .into_iter()
        .map(|vote| (vote.clone(), held(&vote)))
        .collect();
    question.count(standing, ignored, at(now))
}

fn everything(_: &Vote) -> Held {
    roles(&["oncall", "owner"])
}

fn whys(ignored: &[Ignored]) -> Vec<(&str, Why)> {
    ignored
        .iter()
        .map(|ignored| (ignored.vote.uid.as_str(), ignored.why))
        .collect()
}

fn counted(tally: &Tally) -> Vec<(&str, Option<&str>)> {
    tally
        .counted
        .iter()
        .map(|counted| (counted.vote.user.as_str(), counted.place.as_deref()))
        .collect()
}

#[test]
fn a_person_fills_one_place_of_one_rule() {
    let question = asking(&[("oncall", 1), ("owner", 1)]);
    let alone = tally(&question, vec![yes("alice", 1)], 200, everything);
    assert_eq!(alone.outcome, Outcome::Open);
    let progress: Vec<_> = alone
        .rules
        .iter()
        .map(|rule| (rule.role.as_str(), rule.met, rule.missing))
        .collect();
    assert_eq!(progress, [("oncall", 1, 0), ("owner", 0, 1)]);
    let twice = tally(
        &question,
        vec![yes("alice", 1), yes("ALICE", 2)],
        200,
        everything,
    );
    assert_eq!(twice.outcome, Outcome::Open, "{:?}", twice.counted);
    assert_eq!(whys(&twice.ignored), [("uid-1", Why::Older)]);
    let both = tally(
        &question,
        vec![yes("alice", 1), yes("bob", 2)],
        200,
        everything,
    );
    assert_eq!(both.outcome, Outcome::Approved);
}

#[test]
fn whoever_can_fill_several_places_makes_room_for_others() {
    let question = asking(&[("oncall", 1), ("owner", 1)]);
    // Alice came first and would take oncall; bob can take nothing else.
    let held = |vote: &Vote| {
        if vote.user == "alice" {
            everything(vote)
        } else {
            roles(&["oncall"])
        }
    };
    let tally = tally(&question, vec![yes("alice", 1), yes("bob", 2)], 200, held);
    assert_eq!(tally.outcome, Outcome::Approved);
    assert_eq!(
        counted(&tally),
        [("alice", Some("owner")), ("bob", Some("oncall"))]
    );
}

#[test]
fn one_rejection_settles_it_whatever_was_approved() {
    let question = asking(&[("oncall", 1), ("owner", 1)]);
    let mut votes = vec![
        yes("alice", 1),
        yes("bob", 2),
        vote("carol", Voted::Reject, 3),
    ];
    let held = |vote: &Vote| {
        if vote.voted == Voted::Reject {
            roles(&["owner"])
        } else {
            everything(vote)
        }
    };
    let all = tally(&question, votes.clone(), 200, held);
    assert_eq!(all.outcome, Outcome::Rejected);
    assert_eq!(
        all.deciding()
            .map(|counted| counted.vote.user.as_str())
            .collect::<Vec<_>>(),
        ["carol"]
    );
    votes.push(vote("carol", Voted::Withdraw, 4));
    assert_eq!(
        tally(&question, votes, 200, held).outcome,
        Outcome::Approved
    );
    let nobody = |vote: &Vote| {
        if vote.voted == Voted::Reject {
            roles(&["somewhere"])
        } else {
            everything(vote)
        }
    };
    let votes = vec![yes("alice", 1), vote("carol", Voted::Reject, 3)];
    assert_eq!(tally(&question, votes, 200, nobody).outcome, Outcome::Open);
}

#[test]
fn who_is_not_heard_and_why() {
    let question = asking(&[("oncall", 1)]);
    let cases = [
        (yes("rita", 1), Why::Requester),
        (yes("RITA", 1), Why::Requester),
        (yes("System:serviceaccount:a:b", 1), Why::System),
        (vote("alice", Voted::Withdraw, 1), Why::Withdrawal),
        (
            Vote {
                gate: "other".into(),
                ..yes("alice", 1)
            },
            Why::OtherGate,
        ),
        (
            Vote {
                plan_digest: "sha256:2".into(),
                ..yes("alice", 1)
            },
            Why::OtherPlan,
        ),
        (
            Vote {
                created: at(1000),
                ..yes("alice", 1)
            },
            Why::Late,
        ),
        (
            Vote {
                created: at(5),
                ..yes("alice", 1)
            },
            Why::Distrusted,
        ),
    ];
    for (vote, why) in cases {
        let tally = tally(&question, vec![vote], 200, everything);
        assert_eq!(
            (tally.outcome, whys(&tally.ignored)),
            (Outcome::Open, vec![("uid-1", why)])
        );
    }
    let held = tally(&question, vec![yes("alice", 1)], 200, |_| Held::Wildcard);
    assert_eq!(whys(&held.ignored), [("uid-1", Why::Wildcard)]);
    let held = tally(&question, vec![yes("alice", 1)], 200, |_| roles(&["owner"]));
    assert_eq!(whys(&held.ignored), [("uid-1", Why::NoRole)]);
    let first = Vote {
        created: at(6),
        ..yes("alice", 1)
    };
    assert_eq!(
        tally(&question, vec![first], 200, everything).outcome,
        Outcome::Approved
    );
}

#[test]
fn nobody_is_heard_while_the_guard_is_not_whole() {
    let question = asking(&[("oncall", 1)]);
    let votes = vec![yes("alice", 1), vote("bob", Voted::Reject, 2)];
    let sifted = question.sift(votes, None);
    assert_eq!(sifted.standing, []);
    assert_eq!(
        whys(&sifted.ignored),
        [("uid-1", Why::Distrusted), ("uid-2", Why::Distrusted)]
    );
}

#[test]
fn a_vote_that_cannot_be_believed_takes_an_approval_away_and_no_rejection() {
    let question = asking(&[("oncall", 1)]);
    let forged = |voted, order| Vote {
        created: at(3),
        ..vote("Alice", voted, order)
    };
    let voided = tally(
        &question,
        vec![yes("alice", 1), forged(Voted::Approve, 2)],
        200,
        everything,
    );
    assert_eq!(voided.outcome, Outcome::Open);
    assert_eq!(
        whys(&voided.ignored),
        [("uid-2", Why::Distrusted), ("uid-1", Why::Voided)]
    );
    let votes = vec![vote("alice", Voted::Reject, 1), forged(Voted::Withdraw, 2)];
    assert_eq!(
        tally(&question, votes, 200, everything).outcome,
        Outcome::Rejected
    );
    let votes = vec![forged(Voted::Approve, 1), yes("alice", 2)];
    assert_eq!(
        tally(&question, votes, 200, everything).outcome,
        Outcome::Approved
    );
    let late = Vote {
        created: at(1000),
        ..vote("alice", Voted::Withdraw, 2)
    };
    assert_eq!(
        tally(&question, vec![yes("alice", 1), late], 2000, everything).outcome,
        Outcome::Approved
    );
}

#[test]
fn a_rule_may_ask_for_the_persons_own_credential() {
    let mut question = asking(&[("oncall", 1), ("owner", 1)]);
    question.rules[0].evidence = Evidence::ApiServer;
    let attested = |user: &str, order| Vote {
        evidence: Evidence::Attested,
        ..yes(user, order)
    };
    let only = |_: &Vote| roles(&["oncall"]);
    let weak = tally(&question, vec![attested("alice", 1)], 200, only);
    assert_eq!(whys(&weak.ignored), [("uid-1", Why::Weak)]);
    let both = tally(
        &question,
        vec![attested("alice", 1), yes("bob", 2)],
        200,
        everything,
    );
    assert_eq!(
        counted(&both),
        [("alice", Some("owner")), ("bob", Some("oncall"))]
    );
    let stop = Vote {
        voted: Voted::Reject,
        ..attested("alice", 1)
    };
    assert_eq!(
        tally(&question, vec![stop], 200, only).outcome,
        Outcome::Rejected
    );
}

#[test]
fn the_deadline_comes_after_what_was_voted_before_it() {
    let question = asking(&[("oncall", 1)]);
    assert_eq!(
        tally(&question, Vec::new(), 999, everything).outcome,
        Outcome::Open
    );
    assert_eq!(
        tally(&question, Vec::new(), 1000, everything).outcome,
        Outcome::Expired
    );
    assert_eq!(
        tally(&question, vec![yes("alice", 1)], 2000, everything).outcome,
        Outcome::Approved
    );
    let endless = Question {
        deadline: None,
        ..question
    };
    assert_eq!(
        tally(&endless, Vec::new(), 2000, everything).outcome,
        Outcome::Open
    );
}

const ROLES: [&str; 3] = ["a", "b", "c"];

fn cast() -> impl Strategy<Value = Vote> {
    let user = prop::sample::select(vec!["al", "AL", "bo", "cy", "di", "Rita", "SYSTEM:x"]);
    let voted = prop_oneof![4 => Just(Voted::Approve), 1 => Just(Voted::Reject), 1 => Just(Voted::Withdraw)];
    let created = prop_oneof![8 => Just(100_i64), 1 => Just(3), 1 => Just(1500)];
    let plan = prop_oneof![9 => Just(PLAN), 1 => Just("sha256:2")];
    (user, voted, created, plan, any::<bool>()).prop_map(|(user, voted, created, plan, own)| Vote {
        created: at(created),
        plan_digest: plan.into(),
        evidence: if own {
            Evidence::ApiServer
        } else {
            Evidence::Attested
        },
        ..vote(user, voted, 0)
    })
}

fn question() -> impl Strategy<Value = Question> {
    prop::collection::vec((1..3_usize, any::<bool>()), 1..4).prop_map(|rules| {
        let rules = rules
            .into_iter()
            .zip(ROLES)
            .map(|((min, strong), role)| Rule {
                evidence: if strong {
                    Evidence::ApiServer
                } else {
                    Evidence::Attested
                },
                ..rule(role, min)
            });
        Question {
            rules: rules.collect(),
            ..asking(&[])
        }
    })
}

/// The votes of everybody in the order of time, each changing what stands; then every way to seat people.
fn tried_out(
    question: &Question,
    votes: &[Vote],
    held: &BTreeMap<String, Vec<bool>>,
    now: i64,
) -> Outcome {
    let mut standing: BTreeMap<String, Vote> = BTreeMap::new();
    for vote in votes.iter().filter(|vote| vote.created < at(1000)) {
        let person = vote.user.to_lowercase();
        let believed = vote.created > at(5) && vote.plan_digest == PLAN;
        match (believed, vote.voted) {
            (true, Voted::Approve | Voted::Reject) => drop(standing.insert(person, vote.clone())),
            (true, Voted::Withdraw) => drop(standing.remove(&person)),
            (false, _) => {
                standing.retain(|who, vote| *who != person || vote.voted == Voted::Reject)
            }
        }
    }
    standing.retain(|person, _| person != "rita" && !person.starts_with("system:"));
    let holds = |person: &str, rule: usize| held.get(person).is_some_and(|held| held[rule]);
    let rules = 0..question.rules.len();
    let rejects = |(person, vote): (&String, &Vote)| {
        vote.voted == Voted::Reject && rules.clone().any(|rule| holds(person, rule))
    };
    if standing.iter().any(rejects) {
        return Outcome::Rejected;
    }
    let people: Vec<Vec<usize>> = standing
        .iter()
        .filter(|(_, vote)| vote.voted == Voted::Approve)
        .map(|(person, vote)| {
            let fits = |rule: &usize| {
                holds(person, *rule) && vote.evidence >= question.rules[*rule].evidence
            };
            rules.clone().filter(fits).collect()
        })
        .collect();
    let places: Vec<usize> = question.rules.iter().map(|rule| rule.min).collect();
    if most(&people, places.clone()) == places.iter().sum::<usize>() {
        Outcome::Approved
    } else if now >= 1000 {
        Outcome::Expired
    } else {
        Outcome::Open
    }
}

/// How many places can be filled at most.
fn most(people: &[Vec<usize>], places: Vec<usize>) -> usize {
    let Some((person, others)) = people.split_first() else {
        return 0;
    };
    let seated = person.iter().filter(|rule| places[**rule] > 0).map(|rule| {
        let mut left = places.clone();
        left[*rule] -= 1;
        1 + most(others, left)
    });
    seated.chain([most(others, places.clone())]).max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn counts_as_one_who_tries_everything(
        question in question(),
        mut votes in prop::collection::vec(cast(), 0..10),
        held in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.6), 3), 6),
        now in prop::sample::select(vec![200_i64, 2000]),
        shuffled in any::<u64>(),
    ) {
        for (order, vote) in votes.iter_mut().enumerate() {
            vote.order = order as u128;
        }
        let held: BTreeMap<String, Vec<bool>> = ["al", "bo", "cy", "di", "rita", "system:x"].map(String::from).into_iter().zip(held).collect();
        let expected = tried_out(&question, &votes, &held, now);
        // The list comes in any order.
        votes.sort_by_key(|vote| (vote.order as u64 + 1).wrapping_mul(shuffled | 1));
        let tally = tally(&question, votes.clone(), now, |vote| {
            let held = &held[&vote.user.to_lowercase()];
            Held::Roles(ROLES.iter().zip(held).filter(|(_, held)| **held).map(|(role, _)| role.to_string()).collect())
        });
        prop_assert_eq!(tally.outcome, expected, "{:#?}", tally);
        prop_assert_eq!(tally.counted.len() + tally.ignored.len(), votes.len());
        for (progress, rule) in tally.rules.iter().zip(&question.rules) {
            prop_assert_eq!(progress.met + progress.missing, rule.min);
            let placed = tally.counted.iter().filter(|counted| counted.place.as_ref() == Some(&rule.role)).count();
            prop_assert_eq!(placed, progress.met);
        }
    }

    #[test]
    fn as_many_places_are_filled_as_can_be(
        places in prop::collection::vec(0..3_usize, 1..5),
        people in prop::collection::vec(prop::collection::btree_set(0..5_usize, 0..4), 0..7),
    ) {
        let people: Vec<BTreeSet<usize>> = people.into_iter().map(|rules| rules.into_iter().filter(|rule| *rule < places.len()).collect()).collect();
        let filled = matching::fill(&places, &people);
        for (rule, places) in places.iter().enumerate() {
            prop_assert!(filled.iter().filter(|place| **place == Some(rule)).count() <= *places);
        }
        for (place, rules) in filled.iter().zip(&people) {
            prop_assert!(place.is_none_or(|rule| rules.contains(&rule)));
        }
        let lists: Vec<Vec<usize>> = people.iter().map(|rules| rules.iter().copied().collect()).collect();
        prop_assert_eq!(filled.iter().flatten().count(), most(&lists, places));
    }
}
