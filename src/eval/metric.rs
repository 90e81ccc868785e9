//! Names, units, directions and meanings of metrics, and the scores of one problem's episodes.

use crate::domain::{AttemptReview, Candidate, Episode, EvalShape, Grade, Turn};

use super::metrics::METRIC_FAMILIES;

/// The unit of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// A part of all problems or turns, in [0, 1].
    Fraction,
    /// Tokens.
    Tokens,
    /// Samples or turns.
    Count,
    /// Natural units of information.
    Nats,
}

impl MetricUnit {
    /// The name as written in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fraction => "fraction",
            Self::Tokens => "tokens",
            Self::Count => "count",
            Self::Nats => "nats",
        }
    }
}

/// Name and meaning of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in the paper's pattern, e.g. `m1@t5`: (m)ajority of 1 sample at each of 5 (t)urns.
    pub name: String,
    /// Raised when its meaning changes.
    pub version: u32,
    /// The unit of its scores.
    pub unit: MetricUnit,
    /// Whether more is better; none when neither is.
    pub higher_is_better: Option<bool>,
    /// One sentence.
    pub meaning: String,
}

impl Metric {
    /// The first version of a metric.
    pub(super) fn new(
        name: impl Into<String>,
        unit: MetricUnit,
        higher_is_better: Option<bool>,
        meaning: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            version: 1,
            unit,
            higher_is_better,
            meaning: meaning.into(),
        }
    }
}

/// Name of a metric, and its value on one problem.
pub type NamedScore = (String, f64);

/// A metric with the function that computes it.
pub(super) struct MetricFn {
    pub(super) metric: Metric,
    pub(super) score: Box<dyn Fn(&ProblemEpisodes<'_>) -> f64>,
}

impl MetricFn {
    /// A fraction.
    pub(super) fn fraction(
        name: String,
        higher_is_better: Option<bool>,
        meaning: String,
        score: impl Fn(&ProblemEpisodes<'_>) -> f64 + 'static,
    ) -> Self {
        Self {
            metric: Metric::new(name, MetricUnit::Fraction, higher_is_better, meaning),
            score: Box::new(score),
        }
    }

    /// A fraction that is 0 or 1 on one problem.
    pub(super) fn indicator(
        name: String,
        higher_is_better: Option<bool>,
        meaning: String,
        holds: impl Fn(&ProblemEpisodes<'_>) -> bool + 'static,
    ) -> Self {
        Self::fraction(name, higher_is_better, meaning, move |log| {
            f64::from(holds(log))
        })
    }
}

/// The episodes of one problem.
pub(super) struct ProblemEpisodes<'a> {
    /// The attempts of the sequential log, one per turn.
    pub(super) turns: Vec<&'a Candidate>,
    /// Number of turns in the log; later ones repeat the last attempt.
    pub(super) turns_made: usize,
    /// The policy's review of each attempt in the log.
    pub(super) reviews: Vec<Option<&'a AttemptReview>>,
    /// The first attempts: the log's own, then the parallel samples in the order of their numbers.
    pub(super) first_attempts: Vec<&'a Candidate>,
}

impl<'a> ProblemEpisodes<'a> {
    fn new(log: &'a Episode, parallel: &'a [Episode], shape: EvalShape) -> Self {
        let made = &log.turns[..log.turns.len().min(shape.turns)];
        let mut turns: Vec<&Candidate> = made.iter().map(Turn::chosen).collect();
        if shape.may_stop_early
            && let Some(&last) = turns.last()
        {
            turns.resize(shape.turns, last);
        }
        let mut samples: Vec<&Episode> = parallel.iter().collect();
        samples.sort_by_key(|episode| episode.sample);
        let further = samples.iter().filter_map(|episode| episode.turns.first());
        let first_attempts: Vec<&Candidate> = made
            .first()
            .into_iter()
            .chain(further)
            .map(Turn::chosen)
            .collect();
        assert_eq!(
            turns.len(),
            shape.turns,
            "`{}` has too few turns in its log",
            log.problem
        );
        assert!(
            first_attempts.len() >= shape.samples,
            "`{}` has {} first attempts, not {}",
            log.problem,
            first_attempts.len(),
            shape.samples
        );
        Self {
            turns,
            turns_made: made.len(),
            reviews: made.iter().map(|turn| turn.review.as_ref()).collect(),
            first_attempts,
        }
    }

    /// Whether the attempt of a turn, which counts from 1, is right.
    pub(super) fn is_right(&self, turn: usize) -> bool {
        self.turns[turn - 1].grade.verdict.is_right()
    }
}

/// The grades of some attempts.
pub(super) fn grades_of_candidates<'a>(candidates: &[&'a Candidate]) -> Vec<&'a Grade> {
    candidates
        .iter()
        .map(|candidate| &candidate.grade)
        .collect()
}

fn metric_fns(shape: EvalShape) -> impl Iterator<Item = MetricFn> {
    assert!(
        shape.turns > 0 && shape.samples > 0,
        "{shape:?} leaves nothing to score"
    );
    METRIC_FAMILIES.iter().flat_map(move |family| family(shape))
}

/// Every metric of an evaluation of this shape, in a fixed order.
///
/// # Panics
/// If there are no turns or no samples.
#[must_use]
pub fn evaluation_metrics(shape: EvalShape) -> Vec<Metric> {
    metric_fns(shape).map(|measure| measure.metric).collect()
}

/// The scores of one problem in the order of [`evaluation_metrics`], under the episodes' own grades.
///
/// `log` is the sequential log without oracle, `parallel` holds the further first-turn samples.
///
/// # Panics
/// If the log has too few turns and may not end early, or there are fewer than `samples - 1`
/// parallel episodes: a score over part of the attempts would pass for one over all of them.
#[must_use]
pub fn score_problem(log: &Episode, parallel: &[Episode], shape: EvalShape) -> Vec<NamedScore> {
    let episodes = ProblemEpisodes::new(log, parallel, shape);
    metric_fns(shape)
        .map(|metric_fn| {
            let value = (metric_fn.score)(&episodes);
            (metric_fn.metric.name, value)
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "scores of one problem are exact")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{CandidateAuthor, GradeVerdict};

    /// An episode whose answers are the letters; `-` is unreadable, `7` is right; token counts rise.
    fn episode(sample: u32, answers: &str) -> Episode {
        let turn = |(index, answer): (usize, char)| {
            let verdict = match answer {
                '-' => GradeVerdict::Unreadable,
                '7' => GradeVerdict::Right,
                _ => GradeVerdict::Wrong,
            };
            let grade = Grade {
                answer: (answer != '-').then(|| answer.to_string()),
                verdict,
            };
            let (author, text) = (CandidateAuthor::Policy, answer.to_string());
            Turn::single(Candidate {
                author,
                text,
                tokens: 10 + index as u32,
                prompt_tokens: 9,
                finished: true,
                grade,
            })
        };
        Episode {
            problem: "toy/1".to_owned(),
            sample,
            turns: answers.chars().enumerate().map(turn).collect(),
        }
    }

    const fn shape(turns: usize, samples: usize) -> EvalShape {
        EvalShape {
            turns,
            samples,
            may_stop_early: false,
            self_verifies: false,
        }
    }

    /// One log, and the further first attempts as one letter each, as a table of scores.
    fn scored(log: &str, further: &str) -> BTreeMap<String, f64> {
        let parallel: Vec<Episode> = (1..)
            .zip(further.chars())
            .map(|(sample, answer)| episode(sample, &answer.to_string()))
            .collect();
        let (turns, samples) = (log.chars().count(), parallel.len() + 1);
        score_problem(&episode(0, log), &parallel, shape(turns, samples))
            .into_iter()
            .collect()
    }

    /// The scores, one per line, in the order of the registry.
    fn table(log: &str, further: &str) -> String {
        let scores = scored(log, further);
        let (turns, samples) = (log.chars().count(), further.chars().count() + 1);
        let lines = evaluation_metrics(shape(turns, samples))
            .into_iter()
            .map(|metric| {
                let value = scores[&metric.name];
                format!("{} {value}", metric.name)
            });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_metric_on_a_log_that_finds_the_answer_and_loses_it() {
        // Turns: wrong, right, right, unreadable, wrong. Votes: 3, 7, 7, 3 tie; 3 was given last.
        // First attempts: 3, then 7, 7, 3 and an unreadable one: 3 and 7 tie, 3 was given last.
        insta::assert_snapshot!(table("377-3", "773-"), @"
            m1@t1 0
            m1@t2 1
            m1@t3 1
            m1@t4 1
            m1@t5 0
            m1@t5-low 0
            m1@t5-high 1
            tie@t5 1
            p1@t2 1
            p1@t3 1
            p1@t4 1
            p1@t5 1
            accuracy@t1 0
            accuracy@t2 1
            accuracy@t3 1
            accuracy@t4 0
            accuracy@t5 0
            m2@t1 1
            m3@t1 1
            m4@t1 0
            m5@t1 0
            pass@1 0.4
            pass@5 1
            wrong-to-right@t2 1
            right-to-wrong@t2 0
            right-to-right@t2 0
            unchanged@t2 0
            wrong-to-right@t3 0
            right-to-wrong@t3 0
            right-to-right@t3 1
            unchanged@t3 1
            wrong-to-right@t4 0
            right-to-wrong@t4 1
            right-to-right@t4 0
            unchanged@t4 0
            wrong-to-right@t5 0
            right-to-wrong@t5 0
            right-to-right@t5 0
            unchanged@t5 0
            edit@t2 1
            same@t2 0
            corrected-small@t2 0
            edit@t3 0
            same@t3 1
            corrected-small@t3 0
            edit@t4 1
            same@t4 0
            corrected-small@t4 0
            edit@t5 1
            same@t5 0
            corrected-small@t5 0
            unreadable 0.2
            tokens 12
        ");
    }

    #[test]
    fn every_metric_on_a_log_that_repeats_itself() {
        // Unreadable turns do not vote; the first attempts 7, 1, 2 tie and 2 was given last.
        insta::assert_snapshot!(table("77--", "12"), @"
            m1@t1 1
            m1@t2 1
            m1@t3 1
            m1@t4 1
            m1@t4-low 1
            m1@t4-high 1
            tie@t4 0
            p1@t2 1
            p1@t3 1
            p1@t4 1
            accuracy@t1 1
            accuracy@t2 1
            accuracy@t3 0
            accuracy@t4 0
            m2@t1 0
            m3@t1 0
            pass@1 0.33333333333333337
            pass@3 1
            wrong-to-right@t2 0
            right-to-wrong@t2 0
            right-to-right@t2 1
            unchanged@t2 1
            wrong-to-right@t3 0
            right-to-wrong@t3 1
            right-to-right@t3 0
            unchanged@t3 0
            wrong-to-right@t4 0
            right-to-wrong@t4 0
            right-to-right@t4 0
            unchanged@t4 1
            edit@t2 0
            same@t2 1
            corrected-small@t2 0
            edit@t3 1
            same@t3 0
            corrected-small@t3 0
            edit@t4 0
            same@t4 1
            corrected-small@t4 0
            unreadable 0.5
            tokens 11.5
        ");
    }

    #[test]
    fn a_single_turn_and_a_single_sample_are_the_first_attempt_alone() {
        insta::assert_snapshot!(table("7", ""), @"
            m1@t1 1
            p1@t1 1
            accuracy@t1 1
            pass@1 1
            unreadable 0
            tokens 10
            ");
    }

    #[test]
    fn parallel_samples_vote_in_the_order_of_their_numbers() {
        let mut parallel = vec![episode(2, "7"), episode(1, "5")];
        let vote = |parallel: &[Episode]| {
            let scores: BTreeMap<String, f64> =
                score_problem(&episode(0, "1"), parallel, shape(1, 3))
                    .into_iter()
                    .collect();
            scores["m3@t1"]
        };
        assert_eq!(
            vote(&parallel),
            1.0,
            "sample 2 was given last and wins the tie"
        );
        parallel.reverse();
        assert_eq!(vote(&parallel), 1.0);
        parallel[0].sample = 3;
        assert_eq!(vote(&parallel), 0.0);
    }

    #[test]
    fn names_are_unique_and_meanings_are_sentences_at_every_shape() {
        for (turns, samples) in [(1, 1), (1, 5), (5, 1), (5, 5), (10, 64)] {
            let metrics = evaluation_metrics(shape(turns, samples));
            let names: BTreeSet<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
            assert_eq!(
                names.len(),
                metrics.len(),
                "{turns} turns, {samples} samples"
            );
            for metric in &metrics {
                assert!(
                    metric.meaning.ends_with('.') && metric.meaning.len() > 20,
                    "{metric:?}"
                );
                assert!(metric.version > 0);
            }
        }
    }

    #[test]
    #[should_panic(expected = "`toy/1` has too few turns in its log")]
    fn a_log_that_was_cut_short_is_refused() {
        let _ = score_problem(&episode(0, "77"), &[], shape(5, 1));
    }

    #[test]
    #[should_panic(expected = "`toy/1` has 2 first attempts, not 5")]
    fn missing_samples_are_refused() {
        let _ = score_problem(&episode(0, "77"), &[episode(1, "7")], shape(2, 5));
    }

    proptest! {
        #[test]
        fn scores_keep_their_order(log in "[-7123]{5}", further in "[-7123]{4}") {
            let scores = scored(&log, &further);
            let of = |name: &str| scores[name];
            prop_assert!(of("m1@t5-low") <= of("m1@t5") && of("m1@t5") <= of("m1@t5-high"));
            prop_assert!(of("m1@t5-high") <= of("p1@t5"));
            prop_assert!(of("m5@t1") <= of("pass@5"));
            prop_assert!(of("m1@t1") <= of("p1@t5") && of("m1@t1") <= of("pass@5"));
            prop_assert_eq!(of("m1@t1"), of("accuracy@t1"));
            prop_assert!(of("tie@t5") == 1.0 || of("m1@t5-low") == of("m1@t5-high"));
            for turn in 2..=5 {
                let change = of(&format!("accuracy@t{turn}")) - of(&format!("accuracy@t{}", turn - 1));
                let gained = of(&format!("wrong-to-right@t{turn}"));
                let lost = of(&format!("right-to-wrong@t{turn}"));
                prop_assert_eq!(change, gained - lost);
                let unchanged = of(&format!("unchanged@t{turn}"));
                prop_assert!(gained + lost + unchanged <= 1.0);
            }
        }

        #[test]
        fn every_fraction_is_one(log in "[-7123]{1,6}", further in "[-7123]{0,5}") {
            let scores = scored(&log, &further);
            for metric in evaluation_metrics(shape(log.len(), further.len() + 1)) {
                let value = scores[&metric.name];
                let fits = metric.unit != MetricUnit::Fraction || (0.0..=1.0).contains(&value);
                prop_assert!(fits && value.is_finite(), "{} is {}", metric.name, value);
            }
        }
    }
}
