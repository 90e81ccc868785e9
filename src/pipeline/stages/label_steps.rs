//! The steps stage: samples judged step by step, by going on from each step.

use serde_json::json;

use crate::domain::{Episode, Problem, StepLabeledAttempt};
use crate::pipeline::execute::{StageContext, StageOutput, WORKING_FILE};
use crate::pipeline::stage_files::{self, EPISODES, PROBLEMS, STEPS};
use crate::pipeline::{StageError, StageSpec};
use crate::rollout::{ContinuationConfig, ProblemStepLabels, StepLabelRequest, label_steps};
use crate::train::AttemptPool;

use super::cost::ComputeCost;

/// Problems whose attempts are judged together.
const CHUNK_PROBLEMS: usize = 50;
pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::LabelSteps {
        problems,
        grader,
        episodes,
        policy,
        glore,
        prompt,
        sampling,
        seed,
        backend,
        ..
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let episodes: Vec<Episode> =
        stage_files::read_jsonl(&desk.workspace.stage_file(episodes, EPISODES))?;
    let pools = AttemptPool::for_problems(&problems, &episodes, false);
    let asked: Vec<StepLabelRequest<'_>> = pools
        .iter()
        .map(|pool| choose_attempts(pool, glore.attempts as usize))
        .collect();
    let mut model = desk.load_model(policy, backend)?;
    let onward = ContinuationConfig {
        prompt: *prompt,
        sampling: *sampling,
        continuations: glore.rollouts,
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.process_in_chunks(
        (WORKING_FILE, CHUNK_PROBLEMS),
        &asked,
        |trace: &ProblemStepLabels| trace.sampled_tokens,
        |chunk| Ok(label_steps(&mut model, chunk, onward, *seed, &grade)?),
    )?;
    let (prompt, sampled) = (
        done.iter().map(|trace| trace.prompt_tokens).sum(),
        desk.sampled_tokens,
    );
    let traced: Vec<StepLabeledAttempt> =
        done.into_iter().flat_map(|trace| trace.attempts).collect();
    stage_files::write_jsonl(&desk.folder.join(STEPS), &traced)?;
    let steps = || traced.iter().flat_map(|traced| &traced.steps);
    let mut counts = json!({
        "attempts": traced.len(),
        "right": traced.iter().filter(|traced| traced.right).count(),
        "steps": steps().count(),
        "good": steps().filter(|step| step.right_completion.is_some()).count(),
    });
    let parameters = model.decoder.weights().parameter_count() as u64;
    ComputeCost {
        parameters,
        prompt_tokens: prompt,
        sampled_tokens: sampled,
        ..ComputeCost::default()
    }
    .add_to_counts(&mut counts);
    Ok(StageOutput::new_without_backend(&[STEPS], counts).with_backend(backend))
}

/// So many attempts, wrong ones first; one of them is right where any is.
fn choose_attempts<'a>(pool: &AttemptPool<'a>, attempts: usize) -> StepLabelRequest<'a> {
    let right = pool
        .right
        .len()
        .min(attempts.saturating_sub(pool.wrong.len()).max(1));
    let wrong = pool.wrong.len().min(attempts - right.min(attempts));
    StepLabelRequest {
        problem: pool.problem,
        wrong: pool.wrong[..wrong].to_vec(),
        right: pool.right[..right].to_vec(),
        fresh_attempt: pool.right.first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_attempts_come_first_and_a_right_one_is_among_them() {
        let problem = Problem {
            id: "p".to_owned(),
            question: "?".to_owned(),
            answer: "1".to_owned(),
            solution: None,
        };
        let counts = |wrong: usize, right: usize| {
            let pool = AttemptPool {
                problem: &problem,
                wrong: vec!["w"; wrong],
                right: vec!["r"; right],
            };
            let chosen = choose_attempts(&pool, 4);
            assert_eq!(chosen.fresh_attempt.is_some(), right > 0);
            (chosen.wrong.len(), chosen.right.len())
        };
        assert_eq!(counts(8, 0), (4, 0));
        assert_eq!(counts(8, 5), (3, 1));
        assert_eq!(counts(2, 5), (2, 2));
        assert_eq!(counts(0, 9), (0, 4));
        assert_eq!(counts(1, 1), (1, 1));
    }
}
