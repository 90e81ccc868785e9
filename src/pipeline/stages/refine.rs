//! The refine stage: drafts on the problems of an evaluation, their refinements, and a verifier's
//! choice among them.
//!
//! As many independent drafts as there are answers to choose from are drawn beside, for a vote at
//! equal samples.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::data::PromptConfig;
use crate::domain::{Candidate, Episode, EvalShape, Problem, Seed, Turn, step_ends};
use crate::eval::{self, ACCEPT_THRESHOLD, RefinedDraft, refinement_scores};
use crate::model::LanguageModel;
use crate::pipeline::execute::{CHUNK_PROBLEMS, StageContext, StageOutput, WORKING_FILE};
use crate::pipeline::stage_files::{self, EPISODES, PROBLEMS, REFINEMENT_VERDICTS, SCORES};
use crate::pipeline::{StageError, StageSpec};
use crate::rollout::{
    GradeFn, RolloutConfig, parallel_samples, refine_drafts, sequential_rollouts,
};
use crate::store::ScoreRow;

use super::collect::sampled_tokens;
use super::cost::ComputeCost;
use super::verifier_score::{VerifierModel, VerifierScore};

/// Drafts per problem, the first of which is refined.
const DRAFTS_PER_PROBLEM: u32 = 3;
/// What its parallel drafts are scored as.
pub const DRAFT_EVAL_SHAPE: EvalShape = EvalShape {
    turns: 1,
    samples: DRAFTS_PER_PROBLEM as usize,
    may_stop_early: false,
    self_verifies: false,
};

/// What was made of one problem.
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

/// What the verifiers said.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefinementVerdicts {
    problem: String,
    /// The step that the local refinement was told, from 1.
    step: usize,
    /// The outcome model's chances for draft, global and local refinement.
    #[serde(rename = "approval")]
    probabilities: [f64; 3],
}

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::Refine {
        problems,
        grader,
        prompt,
        seed,
        backend,
        ..
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let mut bench = GloreModels::load(desk, job).expect("the caller matched the job")?;
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.process_in_chunks(
        (WORKING_FILE, CHUNK_PROBLEMS),
        &problems,
        |line: &RefinementResult| sampled_tokens(&line.episodes),
        |chunk| bench.refine_chunk(chunk, *prompt, *seed, &grade),
    )?;
    let scores: Vec<ScoreRow> = done.iter().flat_map(score_rows).collect();
    stage_files::write_jsonl(&desk.folder.join(SCORES), &scores)?;
    let verdicts: Vec<RefinementVerdicts> = done.iter().map(|line| line.verdict.clone()).collect();
    stage_files::write_jsonl(&desk.folder.join(REFINEMENT_VERDICTS), &verdicts)?;
    let read = done.iter().map(|line| line.scored_tokens).sum();
    let episodes: Vec<Episode> = done.into_iter().flat_map(|line| line.episodes).collect();
    stage_files::write_jsonl(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts = json!({ "problems": problems.len(), "scores": scores.len() });
    ComputeCost {
        scored_tokens: read,
        ..ComputeCost::for_sampling(&episodes, &bench.generator)
    }
    .add_to_counts(&mut counts);
    Ok(
        StageOutput::new_without_backend(&[EPISODES, SCORES, REFINEMENT_VERDICTS], counts)
            .with_backend(backend),
    )
}

/// The models at work.
struct GloreModels {
    generator: LanguageModel,
    outcome_verifier: VerifierModel,
    step_verifier: VerifierModel,
    global_refiner: LanguageModel,
    local_refiner: LanguageModel,
    draft_config: RolloutConfig,
}

impl GloreModels {
    /// None for another job.
    fn load(desk: &StageContext<'_>, job: &StageSpec) -> Option<Result<Self, StageError>> {
        let StageSpec::Refine {
            generator,
            outcome_verifier: outcome,
            step_verifier: stepwise,
            global_refiner: global,
            local_refiner: local,
            prompt,
            sampling,
            backend,
            ..
        } = job
        else {
            return None;
        };
        let model = |key| desk.load_model(key, backend);
        let verifier = |key| -> Result<VerifierModel, StageError> {
            Ok(VerifierModel {
                model: model(key)?,
                prompt: *prompt,
            })
        };
        let drafting = RolloutConfig::new(1, *prompt, *sampling);
        let made = || -> Result<Self, StageError> {
            Ok(Self {
                generator: model(generator)?,
                outcome_verifier: verifier(outcome)?,
                step_verifier: verifier(stepwise)?,
                global_refiner: model(global)?,
                local_refiner: model(local)?,
                draft_config: drafting,
            })
        };
        Some(made())
    }

    fn refine_chunk(
        &mut self,
        problems: &[Problem],
        prompt: PromptConfig,
        seed: Seed,
        grade: GradeFn<'_>,
    ) -> Result<Vec<RefinementResult>, StageError> {
        let plan = &self.draft_config;
        let drafts = sequential_rollouts(&mut self.generator, problems, plan, seed, grade)?;
        let further = parallel_samples(
            &mut self.generator,
            problems,
            plan,
            DRAFTS_PER_PROBLEM,
            seed,
            grade,
        )?;
        let asked: Vec<(&Problem, &str)> = problems
            .iter()
            .zip(&drafts)
            .map(|(problem, draft)| (problem, draft_text(draft)))
            .collect();
        let located = locate_wrong_steps(&self.step_verifier, &asked)?;
        let global = asked
            .iter()
            .map(|(problem, draft)| (*problem, prompt.dialogue(&problem.question, &[draft])));
        let local = asked
            .iter()
            .zip(&located)
            .map(|((problem, draft), located)| {
                (
                    *problem,
                    prompt.refinement_dialogue(&problem.question, draft, located.step),
                )
            });
        let sampling = &self.draft_config.sampling;
        let global = refine_drafts(
            &mut self.global_refiner,
            global.collect(),
            sampling,
            seed.derive("global"),
            grade,
        )?;
        let local = refine_drafts(
            &mut self.local_refiner,
            local.collect(),
            sampling,
            seed.derive("local"),
            grade,
        )?;
        let three = asked.iter().zip(global.iter().zip(&local)).flat_map(
            |((problem, draft), (global, local))| {
                [draft, global.text.as_str(), local.text.as_str()]
                    .map(|text| (problem.question.as_str(), text))
            },
        );
        let approvals = self
            .outcome_verifier
            .score_attempts(&three.collect::<Vec<_>>())?;
        let mut further = further.chunks(DRAFTS_PER_PROBLEM as usize - 1);
        let lines = drafts
            .into_iter()
            .zip(global.into_iter().zip(local))
            .zip(approvals.chunks_exact(3).zip(located));
        let line = |((draft, refinements), (approvals, located)): (
            (Episode, _),
            (&[VerifierScore], WrongStep),
        )| {
            refinement_result(
                draft,
                refinements,
                approvals,
                located,
                further.next().unwrap_or_default(),
            )
        };
        Ok(lines.map(line).collect())
    }
}

fn refinement_result(
    mut draft: Episode,
    (global, local): (Candidate, Candidate),
    approvals: &[VerifierScore],
    located: WrongStep,
    further: &[Episode],
) -> RefinementResult {
    let approval = [
        approvals[0].probability,
        approvals[1].probability,
        approvals[2].probability,
    ];
    let chosen = usize::from(approval[2] > approval[1]);
    draft.turns.push(Turn::new(vec![global, local], chosen));
    let scored = located.tokens
        + approvals
            .iter()
            .map(|approval| approval.tokens)
            .sum::<u64>();
    let verdict = RefinementVerdicts {
        problem: draft.problem.clone(),
        step: located.step,
        probabilities: approval,
    };
    let episodes = std::iter::once(draft)
        .chain(further.iter().cloned())
        .collect();
    RefinementResult {
        episodes,
        verdict,
        scored_tokens: scored,
    }
}

/// Where the stepwise model sees the first fault of a draft.
#[derive(Clone, Copy)]
struct WrongStep {
    /// From 1.
    step: usize,
    tokens: u64,
}

/// The first step after which a right answer seems out of reach; the most doubtful one where none
/// does.
fn locate_wrong_steps(
    stepwise: &VerifierModel,
    asked: &[(&Problem, &str)],
) -> Result<Vec<WrongStep>, StageError> {
    let ends: Vec<Vec<usize>> = asked.iter().map(|(_, draft)| step_ends(draft)).collect();
    let beginnings = asked
        .iter()
        .zip(&ends)
        .flat_map(|((problem, draft), ends)| {
            ends.iter()
                .map(|&end| (problem.question.as_str(), draft[..end].trim_end()))
        });
    let approvals = stepwise.score_attempts(&beginnings.collect::<Vec<_>>())?;
    let mut rest = approvals.as_slice();
    let of = |ends: &Vec<usize>| {
        let (mine, others) = rest.split_at(ends.len());
        rest = others;
        let chances: Vec<f64> = mine.iter().map(|approval| approval.probability).collect();
        WrongStep {
            step: first_wrong_step(&chances) + 1,
            tokens: mine.iter().map(|approval| approval.tokens).sum(),
        }
    };
    Ok(ends.iter().map(of).collect())
}

fn first_wrong_step(chances: &[f64]) -> usize {
    let least = || {
        (1..chances.len()).fold(0, |least, next| {
            if chances[next] < chances[least] {
                next
            } else {
                least
            }
        })
    };
    chances
        .iter()
        .position(|&chance| chance < ACCEPT_THRESHOLD)
        .unwrap_or_else(least)
}

fn draft_text(episode: &Episode) -> &str {
    &episode.turns[0].chosen().text
}

fn score_rows(line: &RefinementResult) -> Vec<ScoreRow> {
    let (draft, further) = line
        .episodes
        .split_first()
        .expect("every problem has its draft");
    let right = |candidate: &Candidate| candidate.grade.verdict.is_right();
    let [global, local] = [0, 1].map(|place| right(&draft.turns[1].candidates[place]));
    let refined = RefinedDraft {
        right: [right(draft.turns[0].chosen()), global, local],
        probability: line.verdict.probabilities,
    };
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: draft.problem.clone(),
        value,
    };
    let drafts = eval::score_problem(draft, further, DRAFT_EVAL_SHAPE);
    drafts
        .into_iter()
        .chain(refinement_scores(&refined))
        .map(row)
        .collect()
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
