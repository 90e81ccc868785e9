//! The improve stage: the teacher adds the improved turn to the episodes that failed.

use serde_json::json;

use crate::domain::{Episode, Policy, Problem};
use crate::rollout::{ImproveConfig, ImproveStats, TeacherPolicy, improve_episodes};

use super::policy_handle::PolicyHandle;
use crate::pipeline::execute::{CHUNK_PROBLEMS, StageContext, StageOutput};
use crate::pipeline::stage_files::{self, EPISODES, JsonlAppender, PROBLEMS};
use crate::pipeline::{StageError, StageSpec, TeacherRef};

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::Improve {
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
    let problems: Vec<Problem> =
        stage_files::read_jsonl(&desk.workspace.stage_file(problems, PROBLEMS))?;
    let collected: Vec<Episode> =
        stage_files::read_jsonl(&desk.workspace.stage_file(episodes, EPISODES))?;
    let mut speaker = match teacher {
        TeacherRef::Reference => None,
        TeacherRef::Model(policy) | TeacherRef::OwnPolicy { policy, .. } => {
            Some(PolicyHandle::load_checkpoint(desk, policy, backend)?)
        }
        TeacherRef::Api { endpoint, .. } => Some(PolicyHandle::open_api(desk, endpoint)?),
    };
    let plan = ImproveConfig {
        prompt: *prompt,
        sampling: *sampling,
        stop_on_success: !keep_right,
    };
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let (mut file, mut done) = JsonlAppender::open::<Episode>(&desk.folder.join(EPISODES))?;
    // What earlier processes improved counts as well.
    let mut total = ImproveStats::default();
    for (before, after) in collected.iter().zip(&done) {
        total.add(&ImproveStats::from_episodes(before, after));
    }
    desk.sampled_tokens = total.tokens;
    while done.len() < collected.len() {
        desk.report_progress(done.len(), collected.len())?;
        let chunk =
            collected[done.len()..collected.len().min(done.len() + CHUNK_PROBLEMS)].to_vec();
        let improved = |source: TeacherPolicy<'_>| {
            improve_episodes(source, chunk.clone(), &problems, &plan, *seed, &grade)
        };
        let (new, improved) = match speaker.as_mut() {
            None => improved(TeacherPolicy::Reference),
            Some(speaker) => {
                let places = [done.len(), collected.len(), chunk.len()];
                speaker.with_policy(desk, places, chunk.len(), |policy| {
                    improved(teacher_policy(teacher, policy))
                })
            }
        }?;
        file.append(&new)?;
        desk.sampled_tokens += improved.tokens;
        total.add(&improved);
        done.extend(new);
    }
    desk.report_progress(done.len(), done.len())?;
    let mut counts = json!({
        "episodes": done.len(),
        "right": done.iter().filter(|episode| episode.ends_right()).count(),
        "teacher_calls": total.problems_asked,
        "teacher_answers": total.answers,
    });
    if let Some(speaker) = &speaker {
        // What was collected before is not this stage's work.
        let new = collected.iter().zip(&done).map(|(before, after)| Episode {
            turns: after.turns[before.turns.len()..].to_vec(),
            ..after.clone()
        });
        speaker.record_usage(&new.collect::<Vec<_>>(), &mut counts);
    }
    let made = StageOutput::new_without_backend(&[EPISODES], counts);
    Ok(match &speaker {
        Some(speaker) => speaker.stamp(made, backend),
        None => made,
    })
}

/// How a policy is asked as the teacher that the job names.
fn teacher_policy<'a>(teacher: &TeacherRef, policy: &'a mut dyn Policy) -> TeacherPolicy<'a> {
    match teacher {
        TeacherRef::Reference => TeacherPolicy::Reference,
        TeacherRef::Model(_) => TeacherPolicy::StrongerModel(policy),
        TeacherRef::Api {
            view: sees,
            sampling,
            ..
        } => TeacherPolicy::CustomModel {
            policy,
            view: *sees,
            sampling: *sampling,
        },
        TeacherRef::OwnPolicy { best_of, .. } => TeacherPolicy::OwnPolicy {
            policy,
            best_of: *best_of,
        },
    }
}
