//! Floor 3, tests: when a finished run is deleted, and that no other is.

use super::*;
use crate::{
    api::conditions::{self, ConditionStatus, ConditionType},
    controllers::orchestration::gather::Retiring,
    domain::audit::record::{Actor, Fact, RecordId},
};

/// A run that ended at second 200, if it has, with this time to live.
fn finished(outcome: Option<&str>, time: Option<i32>, now: i64) -> Facts {
    let mut facts = facts(
        spec(&json!({"ttlSecondsAfterFinished": time})),
        asked_about(),
        Look::Settled,
    );
    let draft = conditions::Draft::new(
        ConditionType::Ready,
        ConditionStatus::True,
        Reason::Succeeded,
        "",
    );
    facts.status = serde_json::from_value(json!({"outcome": outcome})).unwrap();
    facts.status.conditions = Some(conditions::merge(&[], vec![draft], Some(1), at(200)));
    facts.now = at(now);
    facts
}

#[test]
fn a_run_is_due_when_it_has_ended_and_its_time_is_over_or_it_is_one_too_many() {
    for (outcome, time, now, due, over) in [
        (Some("Succeeded"), Some(60), 259, false, Some(260)),
        (Some("Succeeded"), Some(60), 260, true, Some(260)),
        (Some("Failed"), Some(0), 200, true, Some(200)),
        (Some("Succeeded"), None, 999_999, false, None),
        (None, Some(0), 999_999, false, None),
        (
            Some("Succeeded"),
            Some(i32::MAX),
            999_999,
            false,
            Some(200 + i64::from(i32::MAX)),
        ),
    ] {
        let mut facts = finished(outcome, time, now);
        assert_eq!(is_due(&facts), due, "{outcome:?} {time:?} {now}");
        assert_eq!(over_at(&facts), over.map(at), "{outcome:?} {time:?}");
        facts.too_many = true;
        assert_eq!(is_due(&facts), outcome.is_some(), "{outcome:?}");
    }
}

#[test]
fn nothing_is_deleted_whose_end_is_not_on_record() {
    let newest = || {
        let fact = Fact::new(
            RecordId::of(&["x"]),
            Event::RunFinished,
            Actor::operator("c"),
        );
        Some(Box::new(Record {
            v: VERSION,
            time: at(200),
            epoch: 1,
            late: None,
            fact,
        }))
    };
    let decided = |finished_on_record, newest| {
        let mut facts = finished(Some("Succeeded"), Some(0), 300);
        facts.look = Look::Retiring(Retiring {
            finished: finished_on_record,
            newest,
        });
        told(&decide(&facts))
    };
    assert_eq!(decided(true, newest()), "Retire");
    assert_eq!(decided(false, newest()), "Settled");
    assert_eq!(decided(false, None), "Settled");
}
