//! The improve stage: the teacher adds the improved turn to the episodes that failed.

use serde_json::json;

use crate::domain::{Episode, Policy, Problem};
use crate::rollout::{Improved, Improvement, Source, improve};

use super::speaker::Speaker;
use crate::pipeline::execute::{CHUNK, Desk, Made};
use crate::pipeline::files::{self, EPISODES, Growing, PROBLEMS};
use crate::pipeline::{Job, StageError, TeacherJob};

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Improve {
        problems,
        grader,
        episodes,
        teacher,
        keep_right,
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
    let collected: Vec<Episode> = files::read(&desk.workspace.file(episodes, EPISODES))?;
    let mut speaker = match teacher {
        TeacherJob::Reference => None,
        TeacherJob::Model(policy) | TeacherJob::Oneself { policy, .. } => {
            Some(Speaker::checkpoint(desk, policy, backend)?)
        }
        TeacherJob::Remote { endpoint, .. } => Some(Speaker::remote(desk, endpoint)?),
    };
    let plan = Improvement {
        prompt: *prompt,
        sampling: *sampling,
        stop_on_success: !keep_right,
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let (mut file, mut done) = Growing::open::<Episode>(&desk.folder.join(EPISODES))?;
    // What earlier processes improved counts as well.
    let mut total = Improved::default();
    for (before, after) in collected.iter().zip(&done) {
        total.add(&Improved::between(before, after));
    }
    desk.tokens = total.tokens;
    while done.len() < collected.len() {
        desk.problems_done(done.len(), collected.len())?;
        let chunk = collected[done.len()..collected.len().min(done.len() + CHUNK)].to_vec();
        let improved =
            |source: Source<'_>| improve(source, chunk.clone(), &problems, &plan, *seed, &grade);
        let (new, improved) = match speaker.as_mut() {
            None => improved(Source::Reference),
            Some(speaker) => {
                let places = [done.len(), collected.len(), chunk.len()];
                speaker.speak(desk, places, chunk.len(), |policy| {
                    improved(source(teacher, policy))
                })
            }
        }?;
        file.append(&new)?;
        desk.tokens += improved.tokens;
        total.add(&improved);
        done.extend(new);
    }
    desk.problems_done(done.len(), done.len())?;
    let mut counts = json!({
        "episodes": done.len(),
        "right": done.iter().filter(|episode| episode.ends_right()).count(),
        "teacher_calls": total.asked,
        "teacher_answers": total.answers,
    });
    if let Some(speaker) = &speaker {
        // What was collected before is not this stage's work.
        let new = collected.iter().zip(&done).map(|(before, after)| Episode {
            turns: after.turns[before.turns.len()..].to_vec(),
            ..after.clone()
        });
        speaker.count(&new.collect::<Vec<_>>(), &mut counts);
    }
    let made = Made::plain(&[EPISODES], counts);
    Ok(match &speaker {
        Some(speaker) => speaker.sign(made, backend),
        None => made,
    })
}

/// How a policy is asked as the teacher that the job names.
fn source<'a>(teacher: &TeacherJob, policy: &'a mut dyn Policy) -> Source<'a> {
    match teacher {
        TeacherJob::Reference => Source::Reference,
        TeacherJob::Model(_) => Source::Model(policy),
        TeacherJob::Remote { sees, sampling, .. } => Source::Other {
            policy,
            sees: *sees,
            sampling: *sampling,
        },
        TeacherJob::Oneself { best_of, .. } => Source::Oneself {
            policy,
            best_of: *best_of,
        },
    }
}
