//! The collect stage: the policy's own turns on the training problems.

use serde_json::json;

use crate::domain::{CandidateAuthor, Episode, Problem, Turn};
use crate::rollout::{RolloutConfig, TurnProtocol, sequential_rollouts};

use crate::pipeline::execute::{CHUNK_PROBLEMS, StageContext, StageOutput, WORKING_FILE};
use crate::pipeline::stage_files::{self, EPISODES, PROBLEMS};
use crate::pipeline::{PolicyRef, StageError, StageSpec};

use super::policy_handle::PolicyHandle;

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::Collect {
        problems,
        grader,
        policy,
        samples,
        seed,
        backend,
        ..
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let mut speaker = match policy {
        PolicyRef::Checkpoint(key) => PolicyHandle::load_checkpoint(desk, key, backend)?,
        PolicyRef::Api(endpoint) => PolicyHandle::open_api(desk, endpoint)?,
    };
    let plan = rollout_config(job).expect("the caller matched the job");
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.process_in_observed_chunks(
        (WORKING_FILE, CHUNK_PROBLEMS),
        &problems,
        |episodes: &Vec<Episode>| sampled_tokens(episodes),
        |desk, done, chunk| {
            let most = chunk.len() * (plan.turns * samples) as usize;
            let places = [done, problems.len(), chunk.len()];
            let mut new: Vec<Vec<Episode>> = chunk.iter().map(|_| Vec::new()).collect();
            speaker.with_policy(desk, places, most, |policy| {
                for sample in 0..*samples {
                    // One trajectory is drawn from the stage's own seed.
                    let seed = if sample == 0 {
                        *seed
                    } else {
                        seed.derive("sample").derive_indexed(u64::from(sample))
                    };
                    let drawn = sequential_rollouts(policy, chunk, &plan, seed, &grade)?;
                    for (episodes, episode) in new.iter_mut().zip(drawn) {
                        episodes.push(Episode { sample, ..episode });
                    }
                }
                Ok(new)
            })
        },
    )?;
    let episodes = done.concat();
    stage_files::write_jsonl(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts = json!({
        "episodes": episodes.len(),
        "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
        "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
    });
    speaker.record_usage(&episodes, &mut counts);
    Ok(speaker.stamp(
        StageOutput::new_without_backend(&[EPISODES], counts),
        backend,
    ))
}

fn rollout_config(job: &StageSpec) -> Option<RolloutConfig> {
    let StageSpec::Collect {
        from_other_model: foreign,
        turns,
        protocol,
        max_resamples: redraws,
        prompt,
        sampling,
        ..
    } = job
    else {
        return None;
    };
    Some(RolloutConfig {
        turns: *turns,
        window: None,
        stop_on_success: *protocol == TurnProtocol::Retry,
        max_resamples: *redraws,
        protocol: *protocol,
        prompt: *prompt,
        sampling: *sampling,
        author: if *foreign {
            CandidateAuthor::Other
        } else {
            CandidateAuthor::Policy
        },
    })
}

/// Tokens sampled for these episodes.
pub fn sampled_tokens(episodes: &[Episode]) -> u64 {
    let turns = episodes.iter().flat_map(|episode| &episode.turns);
    let spoken = |turn: &Turn| {
        let reviewed = turn.review.as_ref().map_or(0, |review| review.tokens);
        turn.candidates
            .iter()
            .map(|candidate| u64::from(candidate.tokens))
            .sum::<u64>()
            + u64::from(reviewed)
    };
    turns.map(spoken).sum()
}
