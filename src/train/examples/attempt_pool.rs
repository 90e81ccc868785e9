//! All attempts at each problem, right and wrong, each text once.
//!
//! Hides which stage and which turn an attempt comes from. Must not know what is made of them.

use std::collections::BTreeSet;

use crate::domain::{Episode, Problem, Seed, SeededRng};

/// The attempts at one problem, in the order in which they were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPool<'a> {
    /// The problem.
    pub problem: &'a Problem,
    /// Different right texts; the reference solution comes last where it counts.
    pub right: Vec<&'a str>,
    /// Different wrong or unreadable texts.
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
        let mut by_problem = std::collections::BTreeMap::<&str, Vec<&'a Episode>>::new();
        for episode in episodes {
            by_problem
                .entry(episode.problem.as_str())
                .or_default()
                .push(episode);
        }
        let pool = |problem: &'a Problem| {
            let episodes = by_problem
                .get(problem.id.as_str())
                .map_or(&[][..], Vec::as_slice);
            Self::for_problem(problem, episodes, references)
        };
        problems.iter().map(pool).collect()
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
            if seen.insert(candidate.text.as_str()) {
                let right = candidate.grade.verdict.is_right();
                if right {
                    &mut pool.right
                } else {
                    &mut pool.wrong
                }
                .push(&candidate.text);
            }
        }
        let solution = problem.solution.as_deref().filter(|_| references);
        pool.right
            .extend(solution.filter(|solution| seen.insert(solution)));
        pool
    }

    /// A right attempt for each so many wrong ones: every right one once before any comes again,
    /// in an order drawn from the seed and the problem; none where there is no right attempt.
    #[must_use]
    pub fn draw_right_attempts(&self, seed: Seed, count: usize) -> Vec<&'a str> {
        let mut order = self.right.clone();
        let mut draws: SeededRng = seed.derive(&self.problem.id).rng();
        draws.shuffle(&mut order);
        order
            .into_iter()
            .cycle()
            .take(if self.right.is_empty() { 0 } else { count })
            .collect()
    }
}

#[cfg(test)]
pub mod testing {
    use crate::domain::{Candidate, CandidateAuthor, Episode, Grade, GradeVerdict, Problem, Turn};

    /// An episode of these texts; those that end in `!` are right.
    pub fn episode(problem: &str, texts: &[&str]) -> Episode {
        let turn = |text: &&str| {
            let verdict = if text.ends_with('!') {
                GradeVerdict::Right
            } else {
                GradeVerdict::Wrong
            };
            let grade = Grade {
                answer: None,
                verdict,
            };
            let (author, text) = (CandidateAuthor::Policy, (*text).to_owned());
            Turn::single(Candidate {
                author,
                text,
                tokens: 1,
                prompt_tokens: 1,
                finished: true,
                grade,
            })
        };
        Episode {
            problem: problem.to_owned(),
            sample: 0,
            turns: texts.iter().map(turn).collect(),
        }
    }

    /// A problem whose question is its id and whose solution is `id!!`.
    pub fn problem(id: &str) -> Problem {
        let solution = Some(format!("{id}!!"));
        Problem {
            id: id.to_owned(),
            question: id.to_owned(),
            answer: "1".to_owned(),
            solution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{episode, problem};
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
}
