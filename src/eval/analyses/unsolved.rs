//! What sequential turns solve among the problems that parallel samples leave unsolved (paper,
//! section on whether RISE only turns pass@K into pass@1, figure 5).
//!
//! For a budget of B = k x turns first attempts, `U_B` are the problems that none of them solves.
//! On `U_B` alone, k sequences of turns (the same budget again) are compared with B further first
//! attempts: problems that were merely unlucky are solved by those as well.

use crate::domain::{Episode, MetricName, Turn};
use crate::eval::vote::majority_vote;
use crate::eval::{Metric, MetricUnit};

/// All that was drawn for one problem.
#[derive(Clone, Copy, Debug)]
pub struct UnsolvedSamples<'a> {
    /// Independent first attempts, in the order drawn. Twice the largest budget where the smallest
    /// budget solves nothing; else that of the largest budget.
    pub first_attempts: &'a [Episode],
    /// Independent sequences without oracle; none where the smallest budget solves the problem.
    pub sequences: &'a [Episode],
    /// Turns of a sequence.
    pub turns: usize,
}

impl UnsolvedSamples<'_> {
    /// (name of the metric, value); of each budget in sequences, `unsolved@B` on every problem and the
    /// others only where it is 1.
    #[must_use]
    pub fn scores(&self, budgets: &[u32]) -> Vec<(String, f64)> {
        budgets
            .iter()
            .flat_map(|&budget| self.scores_at_budget(budget as usize))
            .collect()
    }

    fn scores_at_budget(&self, sequences: usize) -> Vec<(String, f64)> {
        let budget = sequences * self.turns;
        let (spent, further) = self
            .first_attempts
            .split_at(budget.min(self.first_attempts.len()));
        let unsolved = !spent.iter().any(Episode::ends_right);
        let mut scores = vec![(MetricName::unsolved("", budget).into(), f64::from(unsolved))];
        if !unsolved {
            return scores;
        }
        let sequential = &self.sequences[..sequences];
        let further = &further[..budget];
        let solves =
            |sequence: &Episode| sequence.verdicts().iter().any(|verdict| verdict.is_right());
        let named = [
            ("any", sequential.iter().any(solves)),
            ("more", further.iter().any(Episode::ends_right)),
            ("one", sequential.first().is_some_and(solves)),
            (
                "vote",
                sequential
                    .first()
                    .is_some_and(|sequence| majority_is_right(&sequence.turns)),
            ),
            (
                "more-vote",
                majority_is_right(further[..self.turns].iter().flat_map(|first| &first.turns)),
            ),
        ];
        scores
            .extend(named.map(|(name, holds)| {
                (MetricName::unsolved(name, budget).into(), f64::from(holds))
            }));
        scores
    }
}

/// Whether the majority of these answers is right.
fn majority_is_right<'a>(turns: impl IntoIterator<Item = &'a Turn>) -> bool {
    let grades: Vec<_> = turns.into_iter().map(|turn| &turn.chosen().grade).collect();
    majority_vote(&grades).right
}

/// What the scores mean.
#[must_use]
pub fn unsolved_metrics(budgets: &[u32], turns: u32) -> Vec<Metric> {
    budgets
        .iter()
        .flat_map(|&sequences| budget_metrics(sequences, turns))
        .collect()
}

fn budget_metrics(sequences: u32, turns: u32) -> [Metric; 6] {
    let budget = sequences * turns;
    let metric = |name: &str, better: bool, meaning: String| Metric {
        name: format!("{name}@{budget}"),
        version: 1,
        unit: MetricUnit::Fraction,
        higher_is_better: Some(better),
        meaning,
    };
    let among = format!("Of the problems that {budget} first attempts leave unsolved:");
    [
        metric(
            "unsolved",
            false,
            format!("None of {budget} first attempts is right."),
        ),
        metric(
            "unsolved-any",
            true,
            format!(
                "{among} some turn of {sequences} sequences of {turns} turns is right (with oracle)."
            ),
        ),
        metric(
            "unsolved-more",
            true,
            format!("{among} one of {budget} further first attempts is right (with oracle)."),
        ),
        metric(
            "unsolved-one",
            true,
            format!(
                "{among} some turn of a single sequence of {turns} turns is right (with oracle)."
            ),
        ),
        metric(
            "unsolved-vote",
            true,
            format!(
                "{among} the vote over a single sequence of {turns} turns is right (without oracle)."
            ),
        ),
        metric(
            "unsolved-more-vote",
            true,
            format!(
                "{among} the vote over {turns} further first attempts is right (without oracle)."
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Candidate, CandidateAuthor, Grade, GradeVerdict};

    /// Episodes whose turns answer these letters; 7 is right.
    fn episodes(answers: &[&str]) -> Vec<Episode> {
        let turn = |answer: char| {
            let verdict = if answer == '7' {
                GradeVerdict::Right
            } else {
                GradeVerdict::Wrong
            };
            let grade = Grade {
                answer: Some(answer.to_string()),
                verdict,
            };
            let (author, text) = (CandidateAuthor::Policy, answer.to_string());
            Turn::single(Candidate {
                author,
                text,
                tokens: 1,
                prompt_tokens: 1,
                finished: true,
                grade,
            })
        };
        let episode = |answers: &&str| Episode {
            problem: "p".to_owned(),
            sample: 0,
            turns: answers.chars().map(turn).collect(),
        };
        answers.iter().map(episode).collect()
    }

    fn shown(firsts: &str, sequences: &[&str]) -> String {
        let letters: Vec<String> = firsts.chars().map(String::from).collect();
        let firsts = episodes(&letters.iter().map(String::as_str).collect::<Vec<_>>());
        let sequences = episodes(sequences);
        let scores = UnsolvedSamples {
            first_attempts: &firsts,
            sequences: &sequences,
            turns: 2,
        }
        .scores(&[1, 2]);
        scores
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn later_samples_are_the_control_of_sequences() {
        // Two first attempts fail, so do four; the fifth and sixth are the control of four.
        assert_eq!(
            shown("12347777", &["12", "67"]),
            "unsolved@2 1, unsolved-any@2 0, unsolved-more@2 0, unsolved-one@2 0, unsolved-vote@2 0, \
             unsolved-more-vote@2 0, unsolved@4 1, unsolved-any@4 1, unsolved-more@4 1, unsolved-one@4 0, \
             unsolved-vote@4 0, unsolved-more-vote@4 1"
        );
        // Solved by the third: unsolved only at a budget of two.
        assert_eq!(
            shown("12777777", &["17", "11"]),
            "unsolved@2 1, unsolved-any@2 1, unsolved-more@2 1, unsolved-one@2 1, unsolved-vote@2 1, \
             unsolved-more-vote@2 1, unsolved@4 0"
        );
        // Solved at once: nothing more was drawn.
        assert_eq!(shown("7111", &[]), "unsolved@2 0, unsolved@4 0");
    }

    #[test]
    fn every_score_has_its_meaning() {
        let metrics: Vec<String> = unsolved_metrics(&[1, 2], 2)
            .into_iter()
            .map(|m| m.name)
            .collect();
        let scores = shown("12347777", &["12", "67"]);
        let names: Vec<&str> = scores
            .split(", ")
            .map(|score| score.split(' ').next().unwrap())
            .collect();
        assert_eq!(metrics, names);
    }
}
