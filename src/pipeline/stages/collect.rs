//! The collect stage: the policy's own turns on the training problems.

use serde_json::json;

use crate::domain::{Author, Episode, Problem, Turn};
use crate::rollout::{Protocol, Unroll, rollout};

use crate::pipeline::execute::{CHUNK, Desk, Made, WORKING};
use crate::pipeline::files::{self, EPISODES, PROBLEMS};
use crate::pipeline::{Job, PolicyJob, StageError};

use super::speaker::Speaker;

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Collect {
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
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut speaker = match policy {
        PolicyJob::Checkpoint(key) => Speaker::checkpoint(desk, key, backend)?,
        PolicyJob::Remote(endpoint) => Speaker::remote(desk, endpoint)?,
    };
    let plan = unroll(job).expect("the caller matched the job");
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.in_watched_chunks(
        (WORKING, CHUNK),
        &problems,
        |episodes: &Vec<Episode>| sampled(episodes),
        |desk, done, chunk| {
            let most = chunk.len() * (plan.turns * samples) as usize;
            let places = [done, problems.len(), chunk.len()];
            let mut new: Vec<Vec<Episode>> = chunk.iter().map(|_| Vec::new()).collect();
            speaker.speak(desk, places, most, |policy| {
                for sample in 0..*samples {
                    // One trajectory is drawn from the stage's own seed.
                    let seed = if sample == 0 {
                        *seed
                    } else {
                        seed.named("sample").at(u64::from(sample))
                    };
                    let drawn = rollout(policy, chunk, &plan, seed, &grade)?;
                    for (episodes, episode) in new.iter_mut().zip(drawn) {
                        episodes.push(Episode { sample, ..episode });
                    }
                }
                Ok(new)
            })
        },
    )?;
    let episodes = done.concat();
    files::write(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts = json!({
        "episodes": episodes.len(),
        "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
        "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
    });
    speaker.count(&episodes, &mut counts);
    Ok(speaker.sign(Made::plain(&[EPISODES], counts), backend))
}

fn unroll(job: &Job) -> Option<Unroll> {
    let Job::Collect {
        foreign,
        turns,
        protocol,
        redraws,
        prompt,
        sampling,
        ..
    } = job
    else {
        return None;
    };
    Some(Unroll {
        turns: *turns,
        window: None,
        stop_on_success: *protocol == Protocol::Retry,
        redraws: *redraws,
        protocol: *protocol,
        prompt: *prompt,
        sampling: *sampling,
        author: if *foreign {
            Author::Other
        } else {
            Author::Policy
        },
    })
}

/// Tokens sampled for these episodes.
pub fn sampled(episodes: &[Episode]) -> u64 {
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
