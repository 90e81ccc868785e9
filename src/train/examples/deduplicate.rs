//! Attempts that say nothing new are taken out of a trajectory.

use std::collections::BTreeSet;

use crate::domain::{Episode, Turn};

/// The episode without attempts that are empty or repeat an earlier failure of the same episode,
/// white space around them aside, as the official code's optional flag does; their retry texts
/// go with them. Nothing is compared across episodes.
///
/// A right attempt that is given again stays: it is stood by, which is what right→right pairs teach.
/// The official code never meets one, because there an episode ends at its first right attempt.
#[must_use]
pub fn deduplicate_turns(episode: &Episode) -> Episode {
    let mut seen = BTreeSet::new();
    let mut turns: Vec<Turn> = Vec::new();
    for turn in &episode.turns {
        let text = turn.chosen().text.trim();
        let new = seen.insert(text) || turn.chosen().grade.verdict.is_right();
        if !text.is_empty() && new {
            turns.push(turn.clone());
        }
    }
    Episode {
        turns,
        ..episode.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::episode;
    use super::*;

    #[test]
    fn empty_and_repeated_attempts_leave_with_their_turn() {
        let left = deduplicate_turns(&episode("p", &["a", " a\n", "", "b", "a", "B"]));
        let texts: Vec<&str> = left
            .turns
            .iter()
            .map(|turn| turn.chosen().text.as_str())
            .collect();
        assert_eq!(texts, ["a", "b", "B"]);
        assert_eq!(deduplicate_turns(&episode("p", &[" "])).turns, []);
    }

    #[test]
    fn a_right_attempt_is_stood_by_and_a_wrong_one_is_repeated() {
        let left = deduplicate_turns(&episode("p", &["a", "a", "b!", "b!"]));
        let texts: Vec<&str> = left
            .turns
            .iter()
            .map(|turn| turn.chosen().text.as_str())
            .collect();
        assert_eq!(texts, ["a", "b!", "b!"]);
    }
}
