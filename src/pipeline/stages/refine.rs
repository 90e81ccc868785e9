//! The refine stage: drafts on the problems of an evaluation, their refinements, and a verifier's
//! choice among them.
//!
//! It also samples as many independent drafts as there are answers to choose from, for a vote at
//! equal samples.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::PromptConfig;
use crate::domain::{Candidate, Episode, EvalShape, Key, Problem, Turn, step_ends};
use crate::eval::{self, ACCEPT_THRESHOLD, Metric, RefinedDraft, refinement_scores};
use crate::model::LanguageModel;
use crate::pipeline::context::{
    CHUNK_PROBLEMS, StageContext, StageError, StageOutput, WORKING_FILE,
};
use crate::pipeline::stage::{Stage, StageGrading, StageKind};
use crate::pipeline::stage_files::{EPISODES, REFINEMENT_VERDICTS, SCORES};
use crate::pipeline::time_estimate::RunSizes;
use crate::rollout::{parallel_samples, refine_drafts, sequential_rollouts};
use crate::store::ScoreRow;

use super::cost::{ComputeCost, sampled_tokens};
use super::sampling_task::SamplingTask;
use super::scores::score_rows;
use super::verifier_score::{VerifierModel, VerifierScore};

/// Drafts per problem, the first of which is refined.
const DRAFTS_PER_PROBLEM: u32 = 3;
/// The shape of its parallel drafts.
const DRAFT_EVAL_SHAPE: EvalShape = EvalShape {
    turns: 1,
    samples: DRAFTS_PER_PROBLEM as usize,
    may_stop_early: false,
    self_verifies: false,
};

/// Draft, refine and choose on the test problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefineStage {
    /// The problems, and the way in which the generator answers them.
    #[serde(flatten)]
    pub on: SamplingTask,
    /// The models at work.
    #[serde(flatten)]
    pub checkpoints: GloreCheckpoints,
    /// The text that the verifiers were trained to answer.
    pub inquiry: Key,
}

/// The checkpoints that draft, judge and refine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GloreCheckpoints {
    /// Writes drafts.
    pub generator: Key,
    /// Judges whole attempts.
    pub outcome_verifier: Key,
    /// Judges attempts up to a step.
    pub step_verifier: Key,
    /// Refines a draft.
    pub global_refiner: Key,
    /// Refines a draft from a given step.
    pub local_refiner: Key,
}

/// The texts and scores of one problem.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefinementResult {
    /// The draft and, as one turn, its global and its local refinement; then the further drafts.
    episodes: Vec<Episode>,
    verdict: RefinementVerdicts,
    /// Tokens that verifiers read.
    #[serde(rename = "scored")]
    scored_tokens: u64,
}

/// The verifiers' judgements.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefinementVerdicts {
    problem: String,
    /// The step from which the local refinement starts, from 1.
    step: usize,
    /// The outcome model's probabilities for draft, global and local refinement.
    #[serde(rename = "approval")]
    probabilities: [f64; 3],
}

impl Stage for RefineStage {
    fn kind(&self) -> StageKind {
        StageKind::Refine
    }

    fn inputs(&self) -> Vec<Key> {
        let GloreCheckpoints {
            generator,
            outcome_verifier,
            step_verifier,
            global_refiner,
            local_refiner,
        } = &self.checkpoints;
        [
            &self.on.problems,
            generator,
            outcome_verifier,
            step_verifier,
            global_refiner,
            local_refiner,
        ]
        .map(Key::clone)
        .to_vec()
    }

    /// The text that requests a refinement.
    fn map_key(&self, content: &mut Map<String, Value>) {
        content.insert("request".to_owned(), json!(PromptConfig::refinement_key()));
    }

    fn estimated_seconds(&self, sizes: &RunSizes) -> f64 {
        sizes.time.sampling_seconds(sizes.eval_problems * 12)
    }

    fn run(&self, context: &mut StageContext<'_>) -> Result<StageOutput, StageError> {
        let problems = self.on.read_problems(context)?;
        let mut models = GloreModels::load(context, self)?;
        let done = context.process_in_chunks(
            (WORKING_FILE, CHUNK_PROBLEMS),
            &problems,
            |result: &RefinementResult| sampled_tokens(&result.episodes),
            |chunk| models.refine_chunk(&self.on, chunk),
        )?;
        let scores: Vec<ScoreRow> = done.iter().flat_map(RefinementResult::score_rows).collect();
        context.write_rows(SCORES, &scores)?;
        let verdicts: Vec<RefinementVerdicts> =
            done.iter().map(|result| result.verdict.clone()).collect();
        context.write_rows(REFINEMENT_VERDICTS, &verdicts)?;
        let scored_tokens = done.iter().map(|result| result.scored_tokens).sum();
        let episodes: Vec<Episode> = done
            .into_iter()
            .flat_map(|result| result.episodes)
            .collect();
        context.write_rows(EPISODES, &episodes)?;
        let mut counts = json!({ "problems": problems.len(), "scores": scores.len() });
        ComputeCost {
            scored_tokens,
            ..ComputeCost::for_sampling(&episodes, &models.generator.decoder)
        }
        .add_to_counts(&mut counts);
        let files = [EPISODES, SCORES, REFINEMENT_VERDICTS];
        Ok(StageOutput::new_without_backend(&files, counts).with_backend(&self.on.backend))
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = eval::evaluation_metrics(DRAFT_EVAL_SHAPE);
        metrics.extend(eval::refinement_metrics());
        metrics
    }

    fn grading(&self) -> Option<StageGrading<'_>> {
        Some(self.on.grading())
    }
}

/// The loaded models.
struct GloreModels {
    generator: LanguageModel,
    outcome_verifier: VerifierModel,
    step_verifier: VerifierModel,
    global_refiner: LanguageModel,
    local_refiner: LanguageModel,
}

impl GloreModels {
    fn load(context: &StageContext<'_>, stage: &RefineStage) -> Result<Self, StageError> {
        let keys = &stage.checkpoints;
        let load = |key: &Key| context.load_model(key, &stage.on.backend);
        let prompt = stage.on.prompt;
        Ok(Self {
            generator: load(&keys.generator)?,
            outcome_verifier: VerifierModel {
                model: load(&keys.outcome_verifier)?,
                prompt,
            },
            step_verifier: VerifierModel {
                model: load(&keys.step_verifier)?,
                prompt,
            },
            global_refiner: load(&keys.global_refiner)?,
            local_refiner: load(&keys.local_refiner)?,
        })
    }

    fn refine_chunk(
        &mut self,
        on: &SamplingTask,
        problems: &[Problem],
    ) -> Result<Vec<RefinementResult>, StageError> {
        let (config, seed) = (on.rollout_config(1), on.seed);
        let grade = |problem: &Problem, text: &str| on.grade(problem, text);
        let generator = &mut self.generator;
        let drafts = sequential_rollouts(generator, problems, &config, seed, &grade)?;
        let further = parallel_samples(
            generator,
            problems,
            &config,
            DRAFTS_PER_PROBLEM,
            seed,
            &grade,
        )?;
        let texts: Vec<(&Problem, &str)> =
            problems.iter().zip(drafts.iter().map(draft_text)).collect();
        let wrong_steps = locate_wrong_steps(&self.step_verifier, &texts)?;
        let global = texts
            .iter()
            .map(|(problem, draft)| (*problem, on.prompt.dialogue(&problem.question, &[draft])))
            .collect();
        let global_seed = seed.derive("global");
        let global = refine_drafts(
            &mut self.global_refiner,
            global,
            &on.sampling,
            global_seed,
            &grade,
        )?;
        let local = texts
            .iter()
            .zip(&wrong_steps)
            .map(|((problem, draft), wrong)| {
                let question = &problem.question;
                (
                    *problem,
                    on.prompt.refinement_dialogue(question, draft, wrong.step),
                )
            })
            .collect();
        let local_seed = seed.derive("local");
        let local = refine_drafts(
            &mut self.local_refiner,
            local,
            &on.sampling,
            local_seed,
            &grade,
        )?;
        let mut candidates: Vec<(&str, &str)> = Vec::with_capacity(3 * texts.len());
        for ((problem, draft), (global, local)) in texts.iter().zip(global.iter().zip(&local)) {
            for text in [draft, global.text.as_str(), local.text.as_str()] {
                candidates.push((&problem.question, text));
            }
        }
        let scores = self.outcome_verifier.score_attempts(&candidates)?;
        let mut further = further.chunks(DRAFTS_PER_PROBLEM as usize - 1);
        Ok(drafts
            .into_iter()
            .zip(global.into_iter().zip(local))
            .zip(scores.chunks_exact(3).zip(wrong_steps))
            .map(|((draft, refinements), (scores, wrong))| {
                let further = further.next().unwrap_or_default();
                RefinementResult::new(draft, refinements, scores, wrong, further)
            })
            .collect())
    }
}

impl RefinementResult {
    fn new(
        mut draft: Episode,
        (global, local): (Candidate, Candidate),
        scores: &[VerifierScore],
        wrong: WrongStep,
        further: &[Episode],
    ) -> Self {
        let probabilities = [0, 1, 2].map(|index| scores[index].probability);
        let chosen = usize::from(probabilities[2] > probabilities[1]);
        draft.turns.push(Turn::new(vec![global, local], chosen));
        let verdict = RefinementVerdicts {
            problem: draft.problem.clone(),
            step: wrong.step,
            probabilities,
        };
        let mut episodes = vec![draft];
        episodes.extend_from_slice(further);
        Self {
            episodes,
            verdict,
            scored_tokens: wrong.tokens + scores.iter().map(|score| score.tokens).sum::<u64>(),
        }
    }

    fn score_rows(&self) -> Vec<ScoreRow> {
        let (draft, further) = self
            .episodes
            .split_first()
            .expect("every problem has its draft");
        let is_right = |candidate: &Candidate| candidate.grade.verdict.is_right();
        let refinements = &draft.turns[1].candidates;
        let refined = RefinedDraft {
            right: [
                is_right(draft.turns[0].chosen()),
                is_right(&refinements[0]),
                is_right(&refinements[1]),
            ],
            probability: self.verdict.probabilities,
        };
        let scores = eval::score_problem(draft, further, DRAFT_EVAL_SHAPE);
        let scores = scores.into_iter().chain(refinement_scores(&refined));
        score_rows(&draft.problem, scores)
    }
}

/// The first wrong step of a draft, by the step verifier.
#[derive(Clone, Copy)]
struct WrongStep {
    /// From 1.
    step: usize,
    tokens: u64,
}

/// The first step after which a right answer seems out of reach; without one, the most doubtful
/// step.
fn locate_wrong_steps(
    verifier: &VerifierModel,
    drafts: &[(&Problem, &str)],
) -> Result<Vec<WrongStep>, StageError> {
    let ends: Vec<Vec<usize>> = drafts.iter().map(|(_, draft)| step_ends(draft)).collect();
    let mut beginnings = Vec::new();
    for ((problem, draft), ends) in drafts.iter().zip(&ends) {
        for &end in ends {
            beginnings.push((problem.question.as_str(), draft[..end].trim_end()));
        }
    }
    let scores = verifier.score_attempts(&beginnings)?;
    let mut rest = scores.as_slice();
    Ok(ends
        .iter()
        .map(|ends| {
            let (own, others) = rest.split_at(ends.len());
            rest = others;
            let probabilities: Vec<f64> = own.iter().map(|score| score.probability).collect();
            WrongStep {
                step: first_wrong_step(&probabilities) + 1,
                tokens: own.iter().map(|score| score.tokens).sum(),
            }
        })
        .collect())
}

fn first_wrong_step(probabilities: &[f64]) -> usize {
    let doubtful = probabilities
        .iter()
        .position(|&probability| probability < ACCEPT_THRESHOLD);
    doubtful.unwrap_or_else(|| {
        (1..probabilities.len()).fold(0, |least, next| {
            if probabilities[next] < probabilities[least] {
                next
            } else {
                least
            }
        })
    })
}

fn draft_text(episode: &Episode) -> &str {
    &episode.turns[0].chosen().text
}

#[cfg(test)]
mod tests {
    use super::first_wrong_step;

    #[test]
    fn the_first_doubtful_step_or_else_the_most_doubtful() {
        assert_eq!(first_wrong_step(&[0.9, 0.4, 0.1]), 1);
        assert_eq!(first_wrong_step(&[0.9, 0.6, 0.7]), 1);
        assert_eq!(first_wrong_step(&[0.6, 0.6]), 0);
        assert_eq!(first_wrong_step(&[0.5]), 0);
    }
}
