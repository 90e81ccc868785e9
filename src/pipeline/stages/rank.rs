//! The rank stage: a verifier's ranking of the first attempts of an evaluation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::{GraderConfig, PromptConfig};
use crate::domain::{Candidate, Dialogue, Episode, Key, PolicyError, Problem};
use crate::eval::{self, Metric, RankedAttempt};
use crate::model::LanguageModel;
use crate::pipeline::context::{StageContext, StageError, StageOutput};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::{EPISODES, PROBLEMS, RANKS, SCORES};
use crate::pipeline::time_estimate::RunSizes;
use crate::store::ScoreRow;

use super::cost::ComputeCost;
use super::sampling_task::FingerprintedTask;
use super::scores::score_rows;

/// Problems whose attempts are read together.
const CHUNK_PROBLEMS: usize = 25;

/// Let a verifier rank the first attempts of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankStage {
    /// The stage with the problems.
    pub problems: Key,
    /// The task, for the graders that apply to it.
    pub task: FingerprintedTask,
    /// The grader of the attempts.
    pub grader: GraderConfig,
    /// The evaluation with the attempts.
    pub episodes: Key,
    /// The checkpoint whose log-likelihood ranks them.
    pub verifier: Key,
    /// The checkpoint whose log-likelihood is subtracted, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Key>,
    /// First attempts per problem.
    pub samples: u32,
    /// The texts around attempts.
    pub prompt: PromptConfig,
    /// The backend that holds the tensors.
    pub backend: String,
}

/// The rank scores of one problem's attempts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptRanks {
    problem: String,
    /// One number per sample, in their order; more is better.
    values: Vec<f64>,
    /// Tokens that the judges read.
    tokens: u64,
}

impl Stage for RankStage {
    fn kind(&self) -> StageKind {
        StageKind::Rank
    }

    fn inputs(&self) -> Vec<Key> {
        let mut inputs = [&self.problems, &self.episodes, &self.verifier]
            .map(Key::clone)
            .to_vec();
        inputs.extend(self.reference.clone());
        inputs
    }

    /// Without the task and the grader, which the key of the evaluation holds.
    fn map_key(&self, content: &mut Map<String, Value>) {
        content.remove("task");
        content.remove("grader");
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        let attempts = sizes.eval_problems * self.samples as usize;
        sizes.time.sampling_seconds(attempts)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let problems: Vec<Problem> = context.read_rows(&self.problems, PROBLEMS)?;
        let episodes: Vec<Episode> = context.read_rows(&self.episodes, EPISODES)?;
        let mut judges = vec![context.load_model(&self.verifier, &self.backend)?];
        if let Some(reference) = &self.reference {
            judges.push(context.load_model(reference, &self.backend)?);
        }
        let mut firsts = first_attempts(&episodes, self.samples as usize);
        let attempts: Vec<(&Problem, Vec<&Candidate>)> = problems
            .iter()
            .map(|problem| {
                (
                    problem,
                    firsts.remove(problem.id.as_str()).unwrap_or_default(),
                )
            })
            .collect();
        let done = context.process_in_chunks(
            (RANKS, CHUNK_PROBLEMS),
            &attempts,
            |_: &AttemptRanks| 0,
            |chunk| Ok(rank_attempts(&judges, chunk, self.prompt)?),
        )?;
        let scores: Vec<ScoreRow> = attempts
            .iter()
            .zip(&done)
            .flat_map(|((problem, attempts), ranks)| ranking_scores(problem, ranks, attempts))
            .collect();
        context.write_rows(SCORES, &scores)?;
        let mut counts = json!({ "problems": problems.len(), "scores": scores.len() });
        ComputeCost {
            scored_tokens: done.iter().map(|ranks| ranks.tokens).sum(),
            ..ComputeCost::for_model(&judges[0].decoder)
        }
        .add_to_counts(&mut counts);
        let output = StageOutput::new_without_backend(&[RANKS, SCORES], counts);
        Ok(output.with_backend(&self.backend))
    }

    fn metrics(&self) -> Vec<Metric> {
        eval::ranking_metrics(self.samples as usize)
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(StageGrading {
            problems: &self.problems,
            task: &self.task.config,
            grader: self.grader,
        })
    }
}

/// The first `samples` first attempts at every problem, in the order of their numbers.
fn first_attempts(episodes: &[Episode], samples: usize) -> BTreeMap<&str, Vec<&Candidate>> {
    let mut numbered = BTreeMap::<&str, BTreeMap<u32, &Candidate>>::new();
    for episode in episodes {
        let problem = numbered.entry(episode.problem.as_str()).or_default();
        if let Some(turn) = episode.turns.first() {
            problem.insert(episode.sample, turn.chosen());
        }
    }
    numbered
        .into_iter()
        .map(|(problem, attempts)| (problem, attempts.into_values().take(samples).collect()))
        .collect()
}

/// Every judge reads each different text of a problem once; the second judge's log-likelihood is
/// subtracted from the first one's.
fn rank_attempts(
    judges: &[LanguageModel],
    problems: &[(&Problem, Vec<&Candidate>)],
    prompt: PromptConfig,
) -> Result<Vec<AttemptRanks>, PolicyError> {
    let mut answers: Vec<(Dialogue, String)> = Vec::new();
    let mut read = Vec::with_capacity(problems.len());
    for (problem, attempts) in problems {
        let mut tokens = 0;
        let mut known = BTreeMap::<&str, usize>::new();
        let question = prompt.dialogue(&problem.question, &[]);
        let mut indices = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            let index = *known.entry(attempt.text.as_str()).or_insert_with(|| {
                answers.push((question.clone(), attempt.text.clone()));
                tokens += u64::from(attempt.prompt_tokens + attempt.tokens) * judges.len() as u64;
                answers.len() - 1
            });
            indices.push(index);
        }
        read.push((indices, tokens));
    }
    let log_probs = judges
        .iter()
        .map(|judge| judge.log_likelihoods(&answers))
        .collect::<Result<Vec<_>, _>>()?;
    let score = |index: usize| {
        let reference = log_probs.get(1).map_or(0.0, |reference| reference[index]);
        log_probs[0][index] - reference
    };
    Ok(problems
        .iter()
        .zip(read)
        .map(|((problem, _), (indices, tokens))| AttemptRanks {
            problem: problem.id.clone(),
            values: indices.into_iter().map(score).collect(),
            tokens,
        })
        .collect())
}

fn ranking_scores(
    problem: &Problem,
    ranks: &AttemptRanks,
    attempts: &[&Candidate],
) -> Vec<ScoreRow> {
    let ranked: Vec<RankedAttempt> = ranks
        .values
        .iter()
        .zip(attempts)
        .map(|(&rank_score, attempt)| RankedAttempt {
            rank_score,
            right: attempt.grade.verdict.is_right(),
        })
        .collect();
    score_rows(&problem.id, eval::ranking_scores(&ranked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CandidateAuthor, Grade, GradeVerdict, Turn};

    #[test]
    fn samples_are_taken_in_the_order_of_their_numbers_and_only_their_first_turns() {
        let attempt = |text: &str| {
            let grade = Grade {
                answer: None,
                verdict: GradeVerdict::Wrong,
            };
            let (author, text) = (CandidateAuthor::Policy, text.to_owned());
            Turn::single(Candidate {
                author,
                text,
                tokens: 1,
                prompt_tokens: 1,
                finished: true,
                grade,
            })
        };
        let episode = |problem: &str, sample, texts: &[&str]| Episode {
            problem: problem.to_owned(),
            sample,
            turns: texts.iter().copied().map(attempt).collect(),
        };
        let episodes = [
            episode("p", 0, &["a", "b"]),
            episode("p", 2, &["d"]),
            episode("q", 0, &["e"]),
            episode("p", 1, &["c"]),
        ];
        let texts = |samples| -> Vec<(String, String)> {
            let found = first_attempts(&episodes, samples);
            let word = |all: &Vec<&Candidate>| all.iter().map(|one| one.text.as_str()).collect();
            found
                .iter()
                .map(|(problem, all)| ((*problem).to_owned(), word(all)))
                .collect()
        };
        let expected =
            |p: &str| [("p", p), ("q", "e")].map(|(id, said)| (id.to_owned(), said.to_owned()));
        assert_eq!(texts(3), expected("acd"));
        assert_eq!(texts(2), expected("ac"));
    }
}
