//! Attempts that say nothing new are taken out of a trajectory.

use std::collections::BTreeSet;

use crate::domain::{Episode, Turn};

/// The episode without attempts that are empty or repeat an earlier one of the same episode,
/// white space around them aside, as the official code's optional flag does; their retry texts
/// go with them. Nothing is compared across episodes.
#[must_use]
pub fn deduplicated(episode: &Episode) -> Episode {
    let mut seen = BTreeSet::new();
    let mut turns: Vec<Turn> = Vec::new();
    for turn in &episode.turns {
        let text = turn.chosen().text.trim();
        if !text.is_empty() && seen.insert(text) {
            turns.push(turn.clone());
        }
    }
    Episode { turns, ..episode.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::pool::testing::episode;
    use super::*;

    #[test]
    fn empty_and_repeated_attempts_leave_with_their_turn() {
        let left = deduplicated(&episode("p", &["a", " a\n", "", "b", "a", "B"]));
        let texts: Vec<&str> = left.turns.iter().map(|turn| turn.chosen().text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "B"]);
        assert_eq!(deduplicated(&episode("p", &[" "])).turns, []);
    }
}
