//! Texts that were sampled before, under another grader.
//!
//! Responsible for a grader's grades and scores of episodes whose own grades stay as they are. Must
//! not know where episodes come from or where the rows go.

use std::collections::BTreeMap;

use crate::data::GraderConfig;
use crate::domain::{Episode, EvalShape, Grade, Problem};
use crate::eval;
use crate::store::{MetricRow, RegradeResults, ScoreRow};

use super::stage_spec::StageSpec;
use super::stages::scores::{evaluation_score_rows, metric_row};

/// How the episodes of an evaluation are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalScorer(EvalShape);

impl EvalScorer {
    /// For an evaluation stage; none for another.
    #[must_use]
    pub fn for_stage(spec: &StageSpec) -> Option<Self> {
        spec.stage().eval_shape().map(Self)
    }

    /// As the episodes of an evaluation themselves show it; none without any.
    #[must_use]
    pub fn from_episodes(episodes: &[Episode]) -> Option<Self> {
        let problems = || episodes.chunk_by(|a, b| a.problem == b.problem);
        let logs = || problems().map(|episodes| episodes[0].turns.len());
        let (shortest, turns) = (logs().min()?, logs().max()?);
        let samples = problems().map(<[Episode]>::len).min()?;
        // A last attempt is verified, but never criticised.
        let last = episodes.iter().filter_map(|episode| episode.turns.last());
        let verifies = last.into_iter().any(|turn| turn.review.is_some());
        let stops = verifies || shortest < turns;
        (shortest > 0).then_some(Self(EvalShape {
            turns,
            samples,
            may_stop_early: stops,
            self_verifies: verifies,
        }))
    }

    /// For an evaluation whose texts are in the database.
    #[must_use]
    pub const fn from_stored(shape: EvalShape) -> Self {
        Self(shape)
    }

    /// The program's present metrics.
    #[must_use]
    pub fn metric_rows(self) -> Vec<MetricRow> {
        eval::evaluation_metrics(self.0)
            .into_iter()
            .map(metric_row)
            .collect()
    }

    /// The scores that the episodes' own grades come to, problem by problem.
    ///
    /// # Panics
    /// If a problem has fewer samples, or a log fewer turns where none ends early.
    #[must_use]
    pub fn score_rows(self, episodes: &[Episode]) -> Vec<ScoreRow> {
        let problems = episodes.chunk_by(|a, b| a.problem == b.problem);
        problems
            .flat_map(|episodes| evaluation_score_rows(episodes, self.0))
            .collect()
    }
}

/// Problems by their ids.
pub(super) fn problems_by_id(problems: &[Problem]) -> BTreeMap<&str, &Problem> {
    problems
        .iter()
        .map(|problem| (problem.id.as_str(), problem))
        .collect()
}

/// The grades of a grader, and the scores they come to where there is something to score; none if
/// the problem of an episode is not known.
///
/// The episodes are as they were afterwards.
pub fn regrade(
    grader: &GraderConfig,
    problems: &BTreeMap<&str, &Problem>,
    episodes: &mut [Episode],
    scoring: Option<EvalScorer>,
) -> Option<RegradeResults> {
    let mut grades = Vec::new();
    for episode in &*episodes {
        let problem = problems.get(episode.problem.as_str())?;
        let candidates = episode.turns.iter().flat_map(|turn| &turn.candidates);
        grades.extend(candidates.map(|candidate| grader.grade(problem, &candidate.text)));
    }
    let mut regraded = RegradeResults {
        grader: grader.identity(),
        grades,
        scores: Vec::new(),
    };
    if let Some(scoring) = scoring.filter(|_| !regraded.reads_nothing()) {
        // Texts are long; grades change places with them and back.
        swap_grades(episodes, &mut regraded.grades);
        regraded.scores = scoring.score_rows(episodes);
        swap_grades(episodes, &mut regraded.grades);
    }
    Some(regraded)
}

fn swap_grades(episodes: &mut [Episode], grades: &mut [Grade]) {
    let turns = episodes.iter_mut().flat_map(|episode| &mut episode.turns);
    let candidates = turns.flat_map(|turn| &mut turn.candidates);
    candidates
        .zip(grades)
        .for_each(|(candidate, grade)| std::mem::swap(&mut candidate.grade, grade));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Candidate, CandidateAuthor, GradeVerdict, Turn};

    fn problem() -> Problem {
        let (id, question) = ("p/1".to_owned(), "How many?".to_owned());
        Problem {
            id,
            question,
            answer: "18".to_owned(),
            solution: Some("#### 18".to_owned()),
        }
    }

    fn episode(sample: u32, texts: &[&str]) -> Episode {
        let turn = |text: &&str| {
            let grade = GraderConfig::Numeric.grade(&problem(), text);
            let (author, text) = (CandidateAuthor::Policy, (*text).to_owned());
            Turn::single(Candidate {
                author,
                text,
                tokens: 3,
                prompt_tokens: 9,
                finished: true,
                grade,
            })
        };
        Episode {
            problem: "p/1".to_owned(),
            sample,
            turns: texts.iter().map(turn).collect(),
        }
    }

    fn value(scores: &[ScoreRow], metric: &str) -> f64 {
        scores
            .iter()
            .find(|score| score.metric == metric)
            .unwrap()
            .value
    }

    #[test]
    fn another_grader_scores_the_same_texts_and_leaves_them_as_they_are() {
        let mut episodes = vec![
            episode(0, &["#### 18", "\\boxed{18}"]),
            episode(1, &["\\boxed{18} #### 17"]),
        ];
        let before = episodes.clone();
        let (problem, scoring) = (problem(), EvalScorer::from_episodes(&episodes).unwrap());
        assert_eq!((scoring.0.turns, scoring.0.samples), (2, 2));
        let problems = BTreeMap::from([("p/1", &problem)]);
        let compat = GraderConfig::RiseCompat(crate::data::RiseCompat::OFFICIAL);
        let regraded = regrade(&compat, &problems, &mut episodes, Some(scoring)).unwrap();
        assert_eq!(episodes, before);
        assert_eq!(regraded.grader, ("rise-compat".to_owned(), 1));
        let verdicts: Vec<GradeVerdict> =
            regraded.grades.iter().map(|grade| grade.verdict).collect();
        assert_eq!(
            verdicts,
            [
                GradeVerdict::Unreadable,
                GradeVerdict::Right,
                GradeVerdict::Right
            ]
        );
        let own = scoring.score_rows(&episodes);
        assert_eq!(own.len(), scoring.metric_rows().len());
        let both = |metric| (value(&own, metric), value(&regraded.scores, metric));
        assert_eq!(
            [both("m1@t1"), both("p1@t2"), both("accuracy@t2")],
            [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
        );
    }

    #[test]
    fn nothing_is_scored_where_nothing_is_read_and_nothing_graded_without_its_problem() {
        let mut episodes = vec![episode(0, &["#### 18"])];
        let problem = problem();
        let compat = GraderConfig::RiseCompat(crate::data::RiseCompat::OFFICIAL);
        let scoring = EvalScorer::from_episodes(&episodes);
        let regraded = regrade(
            &compat,
            &BTreeMap::from([("p/1", &problem)]),
            &mut episodes,
            scoring,
        )
        .unwrap();
        assert!(
            regraded.reads_nothing() && regraded.grades.len() == 1 && regraded.scores.is_empty()
        );
        assert_eq!(
            regrade(&compat, &BTreeMap::new(), &mut episodes, scoring),
            None
        );
        assert_eq!(EvalScorer::from_episodes(&[]), None);
    }
}
