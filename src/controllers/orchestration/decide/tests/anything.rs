//! Floor 3, tests: whatever is found about a run, the way that is taken from there has a name, and doubt never asks.

use proptest::prelude::*;

use super::*;

fn obstacles() -> impl Strategy<Value = Vec<Obstacle>> {
    let one = prop_oneof![
        Just(Obstacle::unknown(Reason::KindUnknown, "unknown")),
        Just(Obstacle::fail(Reason::AccessDenied, "fail")),
    ];
    prop::collection::vec(one, 0..9)
}

fn any_made() -> impl Strategy<Value = Result<Made, Vec<Obstacle>>> {
    prop_oneof![
        (0_usize..4).prop_map(|steps| Ok(made(steps))),
        obstacles().prop_map(Err)
    ]
}

fn openings() -> impl Strategy<Value = Opening> {
    prop_oneof![
        Just(()).prop_map(|()| Opening::Suspended),
        Just(()).prop_map(|()| Opening::NoRequester),
        Just(()).prop_map(|()| Opening::SameAs(crate::ports::RunKey {
            uid: "o".into(),
            namespace: "shop".into(),
            name: "o".into(),
        })),
        any::<bool>().prop_map(|lasting| Opening::Distrusted {
            message: "why".into(),
            lasting
        }),
        any_made().prop_map(|made| Opening::Planned(made.map(Box::new))),
    ]
}

fn beginnings() -> impl Strategy<Value = Beginning> {
    let recount = prop::option::of(prop_oneof![Just(Ok(())), Just(Err("no".to_owned()))]);
    (
        any::<bool>(),
        any::<bool>(),
        recount,
        prop::option::of(any_made()),
    )
        .prop_map(|(frozen, distrusted, recount, made)| Beginning {
            successor: None,
            limited: None,
            frozen: if frozen { vec![freeze()] } else { vec![] },
            release_distrusted: distrusted.then(|| "who".to_owned()),
            recount,
            made,
        })
}

/// Everything that a run can be, as its records, spec and status allow it to be.
#[expect(
    clippy::too_many_lines,
    reason = "one world is put together from top to bottom"
)]
fn any_facts() -> impl Strategy<Value = Facts> {
    let spec_of = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let steps = prop::sample::subsequence(
        vec![
            (Event::StepIntended, Some("s0")),
            (Event::StepSucceeded, Some("s0")),
            (Event::StepFailed, Some("s0")),
            (Event::StepIntended, Some("s1")),
            (Event::StepFailed, Some("s1")),
            (Event::RunFinished, None),
        ],
        0..=6,
    );
    let state = prop::sample::select(vec![
        "Open",
        "Approved",
        "Rejected",
        "Expired",
        "Superseded",
        "Cancelled",
    ]);
    let found = (
        openings(),
        state,
        beginnings(),
        any::<bool>(),
        any::<bool>(),
    );
    (spec_of, 0_usize..5, steps, found, 0_i64..200_000).prop_map(
        |(
            (suspend, cancel, named, late, released),
            phase,
            steps,
            (opening, state, beginning, there, frozen),
            age,
        )| {
            let mut spec = spec(&json!({"suspend": suspend, "cancel": cancel}));
            if late {
                spec.start = Some(crate::api::v1alpha1::Start::OnRelease);
            }
            spec.released_by = released.then(|| "carol".to_owned());
            if !named && phase == 0 {
                spec.playbook_ref = None;
            }
            let history = match phase {
                0 => History::default(),
                1 | 2 => asked_about(),
                _ => begun(&steps),
            };
            let gates = if phase >= 2 {
                json!([{"name": "g", "uid": "g-uid", "state": "Open"}])
            } else {
                Value::Null
            };
            let stage = if phase >= 2 {
                "Approve"
            } else if spec.playbook_ref.is_some() {
                "DryRun"
            } else {
                "Suggest"
            };
            let status: OrchestrationStatus =
                serde_json::from_value(json!({"stage": stage, "gates": gates})).unwrap();
            let look = match standing(&spec, &status, &history) {
                Standing::Settled => Look::Settled,
                Standing::Ended => Look::Ended { planned: None },
                Standing::Cancelled => Look::Cancelled,
                Standing::Planning if spec.playbook_ref.is_none() && !suspend => {
                    Look::Planning(Box::new(Opening::NoPlaybook {
                        suggestions: there.then(Vec::new),
                        again: None,
                    }))
                }
                Standing::Planning if spec.playbook_ref.is_none() => {
                    Look::Planning(Box::new(Opening::Suspended))
                }
                Standing::Planning => Look::Planning(Box::new(opening)),
                Standing::Allowed => Look::Allowed {
                    beginning: waits_for_people(&spec)
                        .is_none()
                        .then(|| Box::new(beginning)),
                },
                Standing::Asked => Look::Asked {
                    gate: there.then(|| Box::new(gate(state))),
                    beginning: waits_for_people(&spec)
                        .is_none()
                        .then(|| Box::new(beginning)),
                    escalation: None,
                },
                Standing::Executing => Look::Working(Working {
                    plan: if there {
                        Ok(Arc::new(made(2).plan))
                    } else {
                        Err("gone".to_owned())
                    },
                    frozen: if frozen { vec![freeze()] } else { vec![] },
                    said: BTreeMap::new(),
                    midway: None,
                }),
            };
            let mut facts = facts(spec, history, look);
            facts.status = status;
            facts.now = at(100 + age);
            facts
        },
    )
}

proptest! {
    /// Whatever is found: an answer, the same twice, with words, and never a way that has no name.
    #[test]
    fn every_way_has_a_name(facts in any_facts()) {
        let stage = facts.stage();
        let decision = decide(&facts);
        prop_assert_eq!(told(&decision), told(&decide(&facts)));
        match &decision {
            Decision::Settled
            | Decision::Retire(_)
            | Decision::Hold(_)
            | Decision::Step(_)
            | Decision::Turn(_)
            | Decision::Own(_) => {}
            Decision::Join(join) => {
                let end = Stage::Done(Outcome::Joined);
                prop_assert!(join.end.outcome == Outcome::Joined && stage.may_become(end));
            }
            Decision::Wait(wait) => {
                prop_assert!(stage.may_become(wait.stage), "{stage:?} {wait:?}");
                prop_assert!(!wait.message.is_empty());
                prop_assert!(!wait.approved || wait.stage != Stage::DryRun, "{wait:?}");
            }
            Decision::Midway(_) => prop_assert_eq!(stage, Stage::Execute),
            Decision::Ask(_) | Decision::Escalate(_) => {
                prop_assert!(stage.may_become(Stage::Approve), "{stage:?}");
            }
            Decision::Begin(begin) => {
                prop_assert!(stage.may_become(Stage::Execute), "{stage:?}");
                prop_assert_eq!(&begin.made.digest, &made(2).digest);
            }
            Decision::Finish(end) => {
                prop_assert!(end.from.may_become(Stage::Done(end.outcome)), "{end:?}");
                prop_assert!(stage.may_become(end.from), "{stage:?} {end:?}");
                prop_assert!(!end.message.is_empty());
                let over = matches!(facts.look, Look::Ended { .. });
                let last = end.records.last().map(|draft| draft.fact.code);
                prop_assert!(over || last == Some(Event::RunFinished), "{last:?}");
            }
        }
    }

    /// A plan that is not whole asks nobody.
    #[test]
    fn doubt_never_asks(found in obstacles(), age in 0_i64..10_000) {
        let mut facts = planning(Opening::Planned(Err(found)));
        facts.now = at(100 + age);
        let decision = decide(&facts);
        prop_assert!(matches!(decision, Decision::Wait(_) | Decision::Finish(_)), "{decision:?}");
    }
}
