//! Floor 0: people into places, one place a person, as many places as can be filled: a bipartite matching by augmenting
//! paths. It knows neither votes nor roles.

use std::collections::BTreeSet;

/// For each person the rule in whose place they stand, if any. `places` says how many each rule has, `eligible` in which rules
/// each person can stand. As many places as possible are filled, those of earlier rules rather than those of later ones.
pub(super) fn fill(places: &[usize], eligible: &[BTreeSet<usize>]) -> Vec<Option<usize>> {
    let mut hall = Hall {
        eligible,
        standing: vec![None; eligible.len()],
        asked: BTreeSet::new(),
    };
    for (rule, places) in places.iter().enumerate() {
        for _ in 0..*places {
            hall.asked.clear();
            if !hall.find(rule) {
                break;
            }
        }
    }
    hall.standing
}

struct Hall<'a> {
    eligible: &'a [BTreeSet<usize>],
    standing: Vec<Option<usize>>,
    /// Who was asked already, in the search for one person.
    asked: BTreeSet<usize>,
}

impl Hall<'_> {
    /// Finds one more person for this rule: somebody who stands nowhere, or somebody for whom another can be found. It goes
    /// down at most once for each person who stands somewhere, and so never deeper than there are places.
    fn find(&mut self, rule: usize) -> bool {
        for (person, rules) in self.eligible.iter().enumerate() {
            if !rules.contains(&rule) || !self.asked.insert(person) {
                continue;
            }
            let free = match self.standing.get(person).copied().flatten() {
                None => true,
                Some(elsewhere) => elsewhere != rule && self.find(elsewhere),
            };
            if let Some(place) = self.standing.get_mut(person).filter(|_| free) {
                *place = Some(rule);
                return true;
            }
        }
        false
    }
}
