//! The sample stage: several attempts at every training problem, for methods that filter them.

use serde_json::json;

use crate::domain::{Author, Episode, Problem};
use crate::pipeline::execute::{Desk, Made};
use crate::pipeline::files::{self, EPISODES, Growing, PROBLEMS};
use crate::pipeline::{Job, StageError};
use crate::rollout::{Protocol, Unroll, parallel, rationalise};

use super::collect::{CHUNK, sampled};
use super::cost::Cost;

/// Problem by problem while the stage works.
const WORKING: &str = "working.jsonl";

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Sample {
        problems,
        grader,
        policy,
        samples,
        rationalise: hinted,
        prompt,
        sampling,
        seed,
        backend,
        ..
    } = job
    else {
        unreachable!("the caller matched the job")
    };
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut model = desk.model(policy, backend)?;
    let plan = Unroll {
        turns: 1,
        window: None,
        stop_on_success: false,
        redraws: 0,
        protocol: Protocol::Retry,
        prompt: *prompt,
        sampling: *sampling,
        author: Author::Policy,
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let (mut file, mut done) = Growing::open::<Vec<Episode>>(&desk.folder.join(WORKING))?;
    desk.tokens = done.iter().map(|episodes| sampled(episodes)).sum();
    while done.len() < problems.len() {
        desk.problems_done(done.len(), problems.len())?;
        let chunk = &problems[done.len()..problems.len().min(done.len() + CHUNK)];
        // Sample 0 belongs to sequential logs.
        let drawn = parallel(&mut model, chunk, &plan, samples + 1, *seed, &grade)?;
        let mut new: Vec<Vec<Episode>> = drawn.chunks(*samples as usize).map(<[Episode]>::to_vec).collect();
        if *hinted {
            let unsolved = chunk.iter().zip(&new).filter(|(_, all)| !all.iter().any(Episode::ends_right));
            let unsolved: Vec<&Problem> = unsolved.map(|(problem, _)| problem).collect();
            let wording = (prompt, sampling);
            for episode in rationalise(&mut model, &unsolved, wording, samples + 1, *seed, &grade)? {
                let place = chunk.iter().position(|problem| problem.id == episode.problem);
                new[place.expect("the problem is of this chunk")].push(episode);
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
        "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
        "problems_solved": done.iter().filter(|all| all.iter().any(Episode::ends_right)).count(),
    });
    Cost::of_sampling(&episodes, &model).write(&mut counts);
    Ok(Made::plain(&[EPISODES], counts).on(backend))
}
