//! Floor 0: which Playbooks fit an incident, and which of them fits best. Pure: labels are compared here, expressions are
//! evaluated by the caller. Nothing is chosen: what comes out is shown to people, with its reasons.

use std::collections::BTreeMap;

/// What a status shows.
pub const MOST: usize = 8;
/// What one reason may be long.
const LONGEST_REASON: usize = 256;
/// A Playbook that matches without any further claim.
const BASE: i32 = 500_000;
/// What the author's word counts; it goes before everything else.
const PRIORITY: i32 = 100;
/// What each label counts, and an expression.
const LABEL: i32 = 5;
const EXPRESSION: i32 = 3;

/// What a Playbook says about when it is to be suggested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub playbook: String,
    /// The digest of its document.
    pub digest: String,
    /// Labels that the incident must have.
    pub labels: BTreeMap<String, String>,
    /// What must hold over the incident.
    pub expression: Option<String>,
    /// Whether that holds is not known: it takes too long.
    pub doubt: bool,
    /// The higher, the earlier.
    pub priority: i32,
}

/// A Playbook that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggested {
    /// Its name.
    pub playbook: String,
    /// The digest of its document.
    pub digest: String,
    /// The higher, the better it fits.
    pub score: i32,
    /// Why.
    pub reasons: Vec<String>,
}

impl Candidate {
    /// Whether the incident has all its labels.
    pub fn has_labels(&self, incident: Option<&BTreeMap<String, String>>) -> bool {
        let mut wanted = self.labels.iter();
        wanted.all(|(name, value)| incident.and_then(|all| all.get(name)) == Some(value))
    }

    fn suggested(self) -> Suggested {
        let labels = i32::try_from(self.labels.len()).unwrap_or(i32::MAX);
        let expression = i32::from(self.expression.is_some() && !self.doubt);
        let score = BASE
            .saturating_add(self.priority.saturating_mul(PRIORITY))
            .saturating_add(labels.saturating_mul(LABEL))
            .saturating_add(expression * EXPRESSION);
        let mut reasons = Vec::new();
        if !self.labels.is_empty() {
            let labels = self.labels.iter();
            let labels: Vec<String> = labels
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            reasons.push(cut(&format!("the incident has {}", labels.join(", "))));
        }
        if let Some(expression) = &self.expression {
            reasons.push(cut(&if self.doubt {
                format!("it took too long to find out, and is tried again later, whether it holds that {expression}")
            } else {
                format!("it holds that {expression}")
            }));
        }
        if reasons.is_empty() {
            reasons.push("it is for every incident".to_owned());
        }
        if self.priority != 0 {
            reasons.push(format!("its author gives it priority {}", self.priority));
        }
        Suggested {
            playbook: self.playbook,
            digest: self.digest,
            score,
            reasons,
        }
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST_REASON {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LONGEST_REASON - 1).collect();
    kept + "…"
}

/// Those that fit, best first; of equals the one whose name comes first.
pub fn rank(fitting: Vec<Candidate>) -> Vec<Suggested> {
    let mut suggested: Vec<Suggested> = fitting.into_iter().map(Candidate::suggested).collect();
    suggested.sort_by(|one, other| {
        let better = other.score.cmp(&one.score);
        better.then_with(|| one.playbook.cmp(&other.playbook))
    });
    suggested.truncate(MOST);
    suggested
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(name: &str, labels: usize, expression: bool, priority: i32) -> Candidate {
        let labels = (0..labels).map(|number| (format!("l{number}"), "v".to_owned()));
        Candidate {
            playbook: name.to_owned(),
            digest: "sha256:0".to_owned(),
            labels: labels.collect(),
            expression: expression.then(|| "incident.severity == 'critical'".to_owned()),
            doubt: false,
            priority,
        }
    }

    #[test]
    fn the_authors_word_goes_first_then_the_closer_match_then_the_name() {
        let all = vec![
            candidate("every", 0, false, 0),
            candidate("b", 1, false, 0),
            candidate("a", 1, false, 0),
            candidate("closer", 1, true, 0),
            candidate("wanted", 0, false, 1),
            candidate("last", 16, true, -1),
        ];
        let ranked = rank(all);
        let names: Vec<&str> = ranked.iter().map(|one| one.playbook.as_str()).collect();
        assert_eq!(names, ["wanted", "closer", "a", "b", "every", "last"]);
        assert_eq!(
            ranked[1].reasons,
            [
                "the incident has l0=v",
                "it holds that incident.severity == 'critical'"
            ]
        );
        assert_eq!(
            ranked[0].reasons,
            ["it is for every incident", "its author gives it priority 1"]
        );
        assert_eq!(ranked[4].score, 500_000);
    }

    #[test]
    fn what_is_not_known_counts_nothing_and_is_told() {
        let mut doubted = candidate("a", 1, true, 0);
        doubted.doubt = true;
        let ranked = rank(vec![doubted, candidate("b", 1, true, 0)]);
        assert_eq!(ranked[0].playbook, "b");
        assert_eq!(ranked[1].score, 500_005);
        assert_eq!(
            ranked[1].reasons,
            [
                "the incident has l0=v",
                "it took too long to find out, and is tried again later, whether it holds that incident.severity == 'critical'"
            ]
        );
    }

    #[test]
    fn all_labels_have_to_be_there_and_equal() {
        let wanted = candidate("a", 2, false, 0);
        let incident = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert!(wanted.has_labels(Some(&incident(&[("l0", "v"), ("l1", "v"), ("x", "y")]))));
        assert!(!wanted.has_labels(Some(&incident(&[("l0", "v"), ("l1", "w")]))));
        assert!(!wanted.has_labels(Some(&incident(&[("l0", "v")]))));
        assert!(!wanted.has_labels(None));
        assert!(candidate("every", 0, false, 0).has_labels(None));
    }

    proptest! {
        /// Whatever authors write fits into a status, and the order in which Playbooks are listed says nothing.
        #[test]
        fn what_is_suggested_fits_and_does_not_hang_on_the_order(
            found in prop::collection::vec((0_usize..17, any::<bool>(), -1000_i32..=1000, "[a-z]{1,3}"), 0..20),
        ) {
            let all: Vec<Candidate> = found
                .into_iter()
                .map(|(labels, expression, priority, name)| candidate(&name, labels, expression, priority))
                .collect();
            let mut turned = all.clone();
            turned.reverse();
            let ranked = rank(all);
            let scores = |ranked: &[Suggested]| -> Vec<(i32, String)> {
                ranked.iter().map(|one| (one.score, one.playbook.clone())).collect()
            };
            prop_assert_eq!(scores(&ranked), scores(&rank(turned)));
            prop_assert!(ranked.len() <= MOST);
            for one in &ranked {
                prop_assert!((0..=1_000_000).contains(&one.score));
                prop_assert!(!one.reasons.is_empty() && one.reasons.len() <= 16);
                prop_assert!(one.reasons.iter().all(|reason| reason.chars().count() <= 256));
            }
        }
    }
}
