//! The sample stage: several attempts at every training problem, for methods that filter them.

use serde_json::json;

use crate::domain::{Episode, Problem};
use crate::pipeline::execute::{CHUNK_PROBLEMS, StageContext, StageOutput, WORKING_FILE};
use crate::pipeline::stage_files::{self, EPISODES, PROBLEMS};
use crate::pipeline::{StageError, StageSpec};
use crate::rollout::{RolloutConfig, parallel_samples, rationalise};

use super::collect::sampled_tokens;
use super::cost::ComputeCost;

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::Sample {
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
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let mut model = desk.load_model(policy, backend)?;
    let plan = RolloutConfig::new(1, *prompt, *sampling);
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.process_in_chunks(
        (WORKING_FILE, CHUNK_PROBLEMS),
        &problems,
        |episodes: &Vec<Episode>| sampled_tokens(episodes),
        |chunk| {
            // Sample 0 belongs to sequential logs.
            let drawn = parallel_samples(&mut model, chunk, &plan, samples + 1, *seed, &grade)?;
            let mut new: Vec<Vec<Episode>> = drawn
                .chunks(*samples as usize)
                .map(<[Episode]>::to_vec)
                .collect();
            if *hinted {
                let unsolved = chunk
                    .iter()
                    .zip(&new)
                    .filter(|(_, all)| !all.iter().any(Episode::ends_right));
                let unsolved: Vec<&Problem> = unsolved.map(|(problem, _)| problem).collect();
                let wording = (prompt, sampling);
                for episode in
                    rationalise(&mut model, &unsolved, wording, samples + 1, *seed, &grade)?
                {
                    let place = chunk
                        .iter()
                        .position(|problem| problem.id == episode.problem);
                    new[place.expect("the problem is of this chunk")].push(episode);
                }
            }
            Ok(new)
        },
    )?;
    let episodes = done.concat();
    stage_files::write_jsonl(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts = json!({
        "episodes": episodes.len(),
        "right": episodes.iter().filter(|episode| episode.ends_right()).count(),
        "problems_solved": done.iter().filter(|all| all.iter().any(Episode::ends_right)).count(),
    });
    ComputeCost::for_sampling(&episodes, &model).add_to_counts(&mut counts);
    Ok(StageOutput::new_without_backend(&[EPISODES], counts).with_backend(backend))
}
