//! Attempts at a problem, right and wrong, and the examples of filtered fine-tuning and corrections.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Episode, Problem, Seed, TrainingExample};

use super::DialogueLayout;

/// The attempts at one problem in sampling order, each text once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPool<'a> {
    /// The problem.
    pub problem: &'a Problem,
    /// Distinct right texts, with the reference solution last if references are included.
    pub right: Vec<&'a str>,
    /// Distinct wrong or unreadable texts.
    pub wrong: Vec<&'a str>,
}

impl<'a> AttemptPool<'a> {
    /// The pools of all problems, in their order; `references` adds reference solutions to the
    /// right attempts.
    #[must_use]
    pub fn for_problems(
        problems: &'a [Problem],
        episodes: &'a [Episode],
        references: bool,
    ) -> Vec<Self> {
        let mut by_problem = BTreeMap::<&str, Vec<&'a Episode>>::new();
        for episode in episodes {
            by_problem
                .entry(episode.problem.as_str())
                .or_default()
                .push(episode);
        }
        problems
            .iter()
            .map(|problem| {
                let episodes = by_problem.get(problem.id.as_str());
                Self::for_problem(problem, episodes.map_or(&[][..], Vec::as_slice), references)
            })
            .collect()
    }

    fn for_problem(problem: &'a Problem, episodes: &[&'a Episode], references: bool) -> Self {
        let mut pool = Self {
            problem,
            right: Vec::new(),
            wrong: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        let turns = episodes.iter().flat_map(|episode| &episode.turns);
        for candidate in turns.flat_map(|turn| &turn.candidates) {
            if !seen.insert(candidate.text.as_str()) {
                continue;
            }
            if candidate.grade.verdict.is_right() {
                pool.right.push(&candidate.text);
            } else {
                pool.wrong.push(&candidate.text);
            }
        }
        let solution = problem.solution.as_deref().filter(|_| references);
        pool.right
            .extend(solution.filter(|solution| seen.insert(solution)));
        pool
    }

    /// `count` right attempts in a random order: all of them once before any repeats; none if there
    /// is no right attempt.
    #[must_use]
    pub fn draw_right_attempts(&self, seed: Seed, count: usize) -> Vec<&'a str> {
        let mut order = self.right.clone();
        seed.derive(&self.problem.id).rng().shuffle(&mut order);
        order
            .into_iter()
            .cycle()
            .take(if self.right.is_empty() { 0 } else { count })
            .collect()
    }
}

/// One example of weight 1 for each attempt as the answer to the plain question, right ones first.
///
/// Rejection fine-tuning (Yuan et al. 2023), STaR (Zelikman et al. 2022) and the paper's rows of
/// supervised fine-tuning on its own data differ only in their pools and in `right_only`.
#[must_use]
pub fn single_turn_examples(
    pools: &[AttemptPool<'_>],
    layout: DialogueLayout<'_>,
    right_only: bool,
) -> Vec<TrainingExample> {
    let mut examples = Vec::new();
    for pool in pools {
        let question = layout(&pool.problem.id, &[]);
        let wrong = pool.wrong.iter().filter(|_| !right_only);
        let texts = pool.right.iter().chain(wrong);
        examples.extend(texts.map(|text| TrainingExample::from_dialogue(question.clone(), text)));
    }
    examples
}

/// Pair-SFT (after Welleck et al. 2022, as set up by Kumar et al. 2024, section 4): one example per
/// distinct wrong attempt with question, wrong attempt, retry text and right attempt, the target.
///
/// `keep_right` adds right attempts that the policy repeats (their data set D+). Problems without a
/// right attempt give nothing. The pairs are synthetic: any wrong attempt meets any right one,
/// unlike the trajectories that RISE unrolls.
#[must_use]
pub fn correction_examples(
    pools: &[AttemptPool<'_>],
    layout: DialogueLayout<'_>,
    keep_right: bool,
    seed: Seed,
) -> Vec<TrainingExample> {
    let mut examples = Vec::new();
    for pool in pools {
        let right = pool.draw_right_attempts(seed, pool.wrong.len());
        let corrected = pool.wrong.iter().copied().zip(right);
        let repeated = pool.right.iter().map(|&right| (right, right));
        let pairs = corrected.chain(repeated.filter(|_| keep_right));
        examples.extend(pairs.map(|(first, second)| {
            TrainingExample::from_dialogue(layout(&pool.problem.id, &[first]), second)
        }));
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{episode, layout, lines, problem};
    use super::*;

    #[test]
    fn each_text_is_there_once_and_the_reference_comes_last() {
        let problems = [problem("p"), problem("q")];
        let episodes = [
            episode("p", &["a", "b!"]),
            episode("p", &["a", "c", "b!"]),
            episode("q", &["q!!"]),
        ];
        let pools = AttemptPool::for_problems(&problems, &episodes, true);
        assert_eq!(
            (&pools[0].right, &pools[0].wrong),
            (&vec!["b!", "p!!"], &vec!["a", "c"])
        );
        assert_eq!((&pools[1].right, &pools[1].wrong), (&vec!["q!!"], &vec![]));
        assert_eq!(
            AttemptPool::for_problems(&problems, &episodes, false)[0].right,
            ["b!"]
        );
    }

    #[test]
    fn partners_take_turns() {
        let problems = [problem("p")];
        let episodes = [episode("p", &["a!", "b!", "c!"])];
        let pool = &AttemptPool::for_problems(&problems, &episodes, false)[0];
        let partners = pool.draw_right_attempts(Seed(1), 7);
        for right in &pool.right {
            assert!((2..=3).contains(&partners.iter().filter(|partner| partner == &right).count()));
        }
        assert_eq!(partners[..3], partners[3..6]);
        assert_eq!(
            AttemptPool::for_problems(&problems, &[], false)[0].draw_right_attempts(Seed(1), 3),
            [""; 0]
        );
    }

    #[test]
    fn wrong_attempts_come_only_if_asked_for() {
        let problems = [problem("p"), problem("q")];
        let episodes = [episode("p", &["a", "b!"]), episode("q", &["c", "c"])];
        let pools = AttemptPool::for_problems(&problems, &episodes, false);
        let right = single_turn_examples(&pools, &layout, true);
        assert_eq!(lines(&right), ["p | [b!]"]);
        let all = single_turn_examples(&pools, &layout, false);
        assert_eq!(lines(&all), ["p | [b!]", "p | [a]", "q | [c]"]);
    }

    #[test]
    fn wrong_attempts_are_answered_by_right_ones() {
        let problems = [problem("p"), problem("q"), problem("r")];
        let episodes = [
            episode("p", &["a", "b!", "c"]),
            episode("q", &["d"]),
            episode("r", &["e!"]),
        ];
        let pools = AttemptPool::for_problems(&problems, &episodes, false);
        let expected = [
            "p | a | again | [b!]",
            "p | c | again | [b!]",
            "p | b! | again | [b!]",
            "r | e! | again | [e!]",
        ];
        let corrections = correction_examples(&pools, &layout, false, Seed(0));
        assert_eq!(lines(&corrections), expected[..2]);
        let with_right = correction_examples(&pools, &layout, true, Seed(0));
        assert_eq!(lines(&with_right), expected);
    }
}
