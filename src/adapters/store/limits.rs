//! Floor 2: whether a limit of runs is reached, by the rows that both databases bring in the transaction of a claim. Pure;
//! which of several limits is told is the same each time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sqlx::FromRow;

use super::rows::{RunKeyRow, nanoseconds};
use crate::ports::{Claim, Claimed, Limit, Limited, RunKey};

/// How long what began on a target counts.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What began up to then does not count any more.
pub(super) fn hour_before(claim: &Claim) -> i64 {
    nanoseconds(claim.since).saturating_sub(HOUR.as_nanos().try_into().unwrap_or(i64::MAX))
}

/// A run of the namespace that is under way.
#[derive(FromRow)]
pub(super) struct RunningRow {
    #[sqlx(flatten)]
    run: RunKeyRow,
    playbook: Option<String>,
}

impl RunningRow {
    /// Whether it is this one.
    pub(super) fn is(&self, run: &RunKey) -> bool {
        self.run.is(run)
    }
}

/// A run of the Playbook that began on a target within the hour.
#[derive(FromRow)]
pub(super) struct BegunRow {
    key: String,
    at: i64,
    #[sqlx(flatten)]
    run: RunKeyRow,
}

/// What keeps the claim from being held: `running` are the other runs of its namespace, longest first, `begun` what other
/// runs of its Playbook began on its targets within the hour, target by target and oldest first.
pub(super) fn reached(
    claim: &Claim,
    running: Vec<RunningRow>,
    begun: Vec<BegunRow>,
) -> Option<Claimed> {
    let limits = claim.limits;
    let (of_playbook, others): (Vec<_>, Vec<_>) = running
        .into_iter()
        .enumerate()
        .partition(|(_, row)| row.playbook.as_ref() == Some(&claim.playbook));
    let all = of_playbook.len() + others.len();
    let first_of = |rows: Vec<(usize, RunningRow)>| {
        let first = rows.into_iter().min_by_key(|(place, _)| *place);
        first.map(|(place, row)| (place, row.run.key()))
    };
    let counted = of_playbook.len();
    let (own, other) = (first_of(of_playbook), first_of(others));
    if let Some(allowed) = limits.playbook.filter(|most| is_full(counted, *most))
        && let Some((_, by)) = own
    {
        return Some(limited(Limit::Playbook, allowed, by, None));
    }
    let first = own.into_iter().chain(other).min_by_key(|(place, _)| *place);
    if let Some(allowed) = limits.namespace.filter(|most| is_full(all, *most))
        && let Some((_, by)) = first
    {
        return Some(limited(Limit::Namespace, allowed, by, None));
    }
    too_often(limits.target_hour?, begun)
}

fn is_full(count: usize, allowed: u32) -> bool {
    u32::try_from(count).map_or(true, |count| count >= allowed)
}

/// The target on which there is room last, with the run whose age makes it.
fn too_often(allowed: u32, begun: Vec<BegunRow>) -> Option<Claimed> {
    let most = usize::try_from(allowed).ok()?;
    let mut of_targets: BTreeMap<String, Vec<BegunRow>> = BTreeMap::new();
    for row in begun {
        of_targets.entry(row.key.clone()).or_default().push(row);
    }
    let frees = of_targets.into_values().filter_map(|rows| {
        let over = rows.len().checked_sub(most)?;
        rows.into_iter().nth(over)
    });
    let row = frees.max_by_key(|row| row.at)?;
    let began = Timestamp::from_nanosecond(row.at.into()).ok()?;
    let until = began.saturating_add(HOUR).unwrap_or(Timestamp::MAX);
    let limit = Limit::TargetHour(row.key.clone());
    Some(limited(limit, allowed, row.run.key(), Some(until)))
}

fn limited(limit: Limit, allowed: u32, by: RunKey, until: Option<Timestamp>) -> Claimed {
    Claimed::Limited(Limited {
        limit,
        allowed,
        by,
        until,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ports::Limits;

    fn claim(limits: Limits) -> Claim {
        Claim {
            run: key("mine"),
            plan: Vec::new(),
            keys: vec!["a".to_owned(), "b".to_owned()],
            since: second(10_000),
            playbook: "heal".to_owned(),
            limits,
        }
    }

    fn key(name: &str) -> RunKey {
        RunKey {
            uid: name.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn running(name: &str, playbook: Option<&str>) -> RunningRow {
        RunningRow {
            run: RunKeyRow::of(&key(name)),
            playbook: playbook.map(str::to_owned),
        }
    }

    fn begun(target: &str, name: &str, at: i64) -> BegunRow {
        BegunRow {
            key: target.to_owned(),
            at: at * 1_000_000_000,
            run: RunKeyRow::of(&key(name)),
        }
    }

    #[test]
    fn who_is_ahead_is_the_one_that_makes_room_first() {
        let limits = Limits {
            namespace: Some(3),
            playbook: Some(2),
            target_hour: Some(2),
        };
        let rows = |names: &[(&str, Option<&str>)]| -> Vec<RunningRow> {
            let rows = names.iter();
            rows.map(|(name, playbook)| running(name, *playbook))
                .collect()
        };
        let heal = Some("heal");
        assert_eq!(reached(&claim(limits), vec![], vec![]), None);
        // Of the Playbook's own the one that runs longest, of the namespace's whichever does.
        let own = [("x", None), ("one", heal), ("two", heal)];
        let full = |limit, allowed, by: &str| Some(limited(limit, allowed, key(by), None));
        let found = reached(&claim(limits), rows(&own), vec![]);
        assert_eq!(found, full(Limit::Playbook, 2, "one"));
        let all = [("x", None), ("one", heal), ("y", Some("other"))];
        let found = reached(&claim(limits), rows(&all), vec![]);
        assert_eq!(found, full(Limit::Namespace, 3, "x"));
        // Three where two are allowed: there is room when the second is an hour old, on the target where that is last.
        let often = || {
            vec![
                begun("a", "one", 9000),
                begun("a", "two", 9100),
                begun("a", "three", 9200),
                begun("b", "one", 9000),
                begun("b", "four", 9050),
            ]
        };
        let found = reached(&claim(limits), vec![], often());
        let limit = Limit::TargetHour("a".to_owned());
        let until = Some(second(9100 + 3600));
        assert_eq!(found, Some(limited(limit, 2, key("two"), until)));
        assert_eq!(
            reached(&claim(Limits::default()), rows(&own), often()),
            None
        );
    }

    proptest! {
        /// Whoever asks in whichever order, and whoever ends meanwhile: never more than allowed run at once, of the namespace
        /// and of each Playbook, nobody waits while there is room, and on no target more begin within an hour.
        #[test]
        fn no_order_of_asking_slips_under_a_limit(
            asked in prop::collection::vec((0_usize..3, 0_usize..2, 0_i64..900, any::<bool>()), 1..60),
            (most, most_of_one, most_an_hour) in (1_u32..5, 1_u32..4, 1_u32..4),
        ) {
            let limits = Limits {
                namespace: Some(most),
                playbook: Some(most_of_one),
                target_hour: Some(most_an_hour),
            };
            let playbooks = ["heal", "drain", "flush"];
            let mut under_way: Vec<(String, &str)> = Vec::new();
            let mut began: BTreeMap<(&str, &str), Vec<(i64, String)>> = BTreeMap::new();
            let mut now = 10_000_i64;
            for (number, (which, target, later, ends)) in asked.into_iter().enumerate() {
                now += later;
                if ends && !under_way.is_empty() {
                    under_way.remove(0);
                }
                let (name, playbook) = (format!("run-{number}"), playbooks[which]);
                let target = ["a", "b"][target];
                let mut wanted = claim(limits);
                wanted.playbook = playbook.to_owned();
                wanted.since = second(now);
                let rows = under_way.iter();
                let rows = rows.map(|(name, of)| running(name, Some(of))).collect();
                let of_target = began.entry((playbook, target)).or_default();
                let within = |at: i64| at * 1_000_000_000 > hour_before(&wanted);
                let lately: Vec<_> = of_target.iter().filter(|(at, _)| within(*at)).cloned().collect();
                let lately = lately.iter().map(|(at, name)| begun(target, name, *at)).collect();
                let full = under_way.len() >= most as usize
                    || under_way.iter().filter(|(_, of)| *of == playbook).count() >= most_of_one as usize
                    || of_target.iter().filter(|(at, _)| within(*at)).count() >= most_an_hour as usize;
                match reached(&wanted, rows, lately) {
                    None => {
                        prop_assert!(!full);
                        under_way.push((name.clone(), playbook));
                        of_target.push((now, name));
                    }
                    Some(Claimed::Limited(Limited { until: Some(until), .. })) => {
                        prop_assert!(full && until > second(now) && until <= second(now + 3600));
                    }
                    Some(_) => prop_assert!(full),
                }
            }
        }
    }
}
