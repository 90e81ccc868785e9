//! The collect stage: the policy's own turns on the training problems.

use serde_json::json;

use crate::domain::{Author, Episode, Problem, Turn};
use crate::rollout::{Protocol, Unroll, rollout};

use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, EPISODES, Growing, PROBLEMS};
use crate::pipeline::{Job, StageError};

use super::cost::Cost;

/// Problems that are unrolled together; what is lost at most when a stage is killed.
pub const CHUNK: usize = 250;

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Collect { problems, grader, policy, samples, seed, backend, .. } = job else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut model = desk.model(policy, backend)?;
    let plan = unroll(job).expect("the caller matched the job");
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let (mut file, mut done) = Growing::open::<Vec<Episode>>(&desk.folder.join(WORKING))?;
    desk.tokens = done.iter().map(|episodes| sampled(episodes)).sum();
    while done.len() < problems.len() {
        desk.problems_done(done.len(), problems.len())?;
        let chunk = &problems[done.len()..problems.len().min(done.len() + CHUNK)];
        let mut new: Vec<Vec<Episode>> = chunk.iter().map(|_| Vec::new()).collect();
        for sample in 0..*samples {
            // One trajectory is drawn from the stage's own seed.
            let seed = if sample == 0 { *seed } else { seed.named("sample").at(u64::from(sample)) };
            for (episodes, episode) in new.iter_mut().zip(rollout(&mut model, chunk, &plan, seed, &grade)?) {
                episodes.push(Episode { sample, ..episode });
            }
        }
        file.append(&new)?;
        desk.tokens += new.iter().map(|episodes| sampled(episodes)).sum::<u64>();
        done.extend(new);
    }
    desk.problems_done(problems.len(), problems.len())?;
    let episodes = done.concat();
    files::write(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts = json!({
        "episodes": episodes.len(),
        "attempts": episodes.iter().map(|episode| episode.turns.len()).sum::<usize>(),
        "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
    });
    Cost::of_sampling(&episodes, &model).write(&mut counts);
    Ok(Made::plain(&[EPISODES], counts).on(backend))
}

/// Problem by problem while the stage works.
const WORKING: &str = "working.jsonl";

fn unroll(job: &Job) -> Option<Unroll> {
    let Job::Collect { foreign, turns, protocol, redraws, prompt, sampling, .. } = job else { return None };
    Some(Unroll {
        turns: *turns,
        window: None,
        stop_on_success: *protocol == Protocol::Retry,
        redraws: *redraws,
        protocol: *protocol,
        prompt: *prompt,
        sampling: *sampling,
        author: if *foreign { Author::Other } else { Author::Policy },
    })
}

/// Tokens sampled for these episodes.
pub fn sampled(episodes: &[Episode]) -> u64 {
    let turns = episodes.iter().flat_map(|episode| &episode.turns);
    let spoken = |turn: &Turn| {
        let reviewed = turn.review.as_ref().map_or(0, |review| review.tokens);
        turn.candidates.iter().map(|candidate| u64::from(candidate.tokens)).sum::<u64>() + u64::from(reviewed)
    };
    turns.map(spoken).sum()
}
