//! Right answers against wrong ones: what a verifier is trained on (V-STaR, Hosseini et al. 2024).
//!
//! Any right attempt at a problem is compared with any wrong one, whoever made them. Must not know
//! how preferences are learnt.

use crate::domain::{PreferencePair, Seed, TrainingExample};

use super::{AttemptPool, DialogueLayout};

/// One pair per different wrong attempt: a right attempt at the same problem is the better answer
/// to the plain question. Problems without a right attempt give nothing.
#[must_use]
pub fn attempt_preferences(
    pools: &[AttemptPool<'_>],
    layout: DialogueLayout<'_>,
    seed: Seed,
) -> Vec<PreferencePair> {
    let of = |pool: &AttemptPool<'_>| -> Vec<PreferencePair> {
        let question = layout(&pool.problem.id, &[]);
        let partners = pool.draw_right_attempts(seed, pool.wrong.len());
        let pair = |(right, wrong): (&str, &&str)| PreferencePair {
            chosen: TrainingExample::from_dialogue(question.clone(), right),
            rejected: TrainingExample::from_dialogue(question.clone(), wrong),
        };
        partners.into_iter().zip(&pool.wrong).map(pair).collect()
    };
    pools.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::{episode, problem};
    use super::*;
    use crate::domain::Dialogue;

    #[test]
    fn every_wrong_attempt_loses_against_a_right_one() {
        let problems = [problem("p"), problem("q"), problem("r")];
        let episodes = [
            episode("p", &["a", "b!", "c"]),
            episode("q", &["d"]),
            episode("r", &["e!"]),
        ];
        let shown = |references| -> Vec<String> {
            let pools = AttemptPool::for_problems(&problems, &episodes, references);
            let layout = |id: &str, _: &[&str]| Dialogue::default().user(id);
            let said = |example: &TrainingExample| {
                assert_eq!(example.weights, [0.0, 1.0]);
                format!("{} {}", example.messages[0].text, example.messages[1].text)
            };
            let line = |pair: &PreferencePair| {
                format!("{} > {}", said(&pair.chosen), said(&pair.rejected))
            };
            attempt_preferences(&pools, &layout, Seed(0))
                .iter()
                .map(line)
                .collect()
        };
        assert_eq!(shown(false), ["p b! > p a", "p b! > p c"]);
        let with_references = shown(true);
        assert_eq!(with_references.len(), 3);
        assert!(with_references.contains(&"q q!! > q d".to_owned()));
        assert!(
            with_references
                .iter()
                .any(|line| line.starts_with("p p!! > "))
        );
    }
}
