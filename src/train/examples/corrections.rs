//! A wrong attempt and then a right one: Pair-SFT (after Welleck et al. 2022, as set up by Kumar
//! et al. 2024, section 4).
//!
//! Any wrong attempt at a problem is paired with any right one, whoever made them and from which
//! state: the pairs are synthetic, unlike the trajectories that RISE unrolls.

use crate::domain::{Seed, TrainingExample};

use super::{AttemptPool, DialogueLayout};

/// One example per different wrong attempt: question, wrong attempt, retry text, right attempt, the
/// last one being the target. `keep_right` adds right attempts that are stood by (their data set
/// D+). Problems without a right attempt give nothing.
#[must_use]
pub fn correction_examples(
    pools: &[AttemptPool<'_>],
    layout: DialogueLayout<'_>,
    keep_right: bool,
    seed: Seed,
) -> Vec<TrainingExample> {
    let of = |pool: &AttemptPool<'_>| -> Vec<TrainingExample> {
        let stood_by = pool
            .right
            .iter()
            .filter(|_| keep_right)
            .map(|&right| (right, right));
        let partners = pool.draw_right_attempts(seed, pool.wrong.len());
        let corrected = pool.wrong.iter().copied().zip(partners);
        let example = |(before, after): (&str, &str)| {
            TrainingExample::from_dialogue(layout(&pool.problem.id, &[before]), after)
        };
        corrected.chain(stood_by).map(example).collect()
    };
    pools.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::attempt_pool::testing::{episode, problem};
    use super::*;
    use crate::domain::Dialogue;

    fn shown(keep_right: bool) -> Vec<String> {
        let problems = [problem("p"), problem("q"), problem("r")];
        let episodes = [
            episode("p", &["a", "b!", "c"]),
            episode("q", &["d"]),
            episode("r", &["e!"]),
        ];
        let pools = AttemptPool::for_problems(&problems, &episodes, false);
        let layout = |id: &str, attempts: &[&str]| {
            attempts
                .iter()
                .fold(Dialogue::default().user(id), |all, a| {
                    all.assistant(*a).user("again")
                })
        };
        let line = |example: &TrainingExample| {
            assert_eq!(
                example.weights,
                [0.0, 0.0, 0.0, 1.0],
                "only the second attempt is a target"
            );
            example
                .messages
                .iter()
                .map(|message| message.text.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        correction_examples(&pools, &layout, keep_right, Seed(0))
            .iter()
            .map(line)
            .collect()
    }

    #[test]
    fn wrong_attempts_are_answered_by_right_ones() {
        assert_eq!(shown(false), ["p a again b!", "p c again b!"]);
        assert_eq!(
            shown(true),
            [
                "p a again b!",
                "p c again b!",
                "p b! again b!",
                "r e! again e!"
            ]
        );
    }
}
