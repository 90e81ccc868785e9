//! The refine stage: drafts on the problems of an evaluation, their refinements, and a verifier's
//! choice among them.
//!
//! As many independent drafts as there are answers to choose from are drawn beside, for a vote at
//! equal samples.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::data::Prompt;
use crate::domain::{Candidate, Episode, Problem, Seed, Turn, steps_of};
use crate::eval::{self, APPROVED, Extent, Refined, refinement};
use crate::model::LanguageModel;
use crate::pipeline::execute::{CHUNK, Desk, Made, WORKING};
use crate::pipeline::files::{self, EPISODES, PROBLEMS, REFINED, SCORES};
use crate::pipeline::{Job, StageError};
use crate::rollout::{Grader, Unroll, parallel, refine, rollout};
use crate::store::ScoreRow;

use super::approval::{Approval, Verifier};
use super::collect::sampled;
use super::cost::Cost;

/// Drafts per problem, the first of which is refined.
const DRAFTS: u32 = 3;
/// What its parallel drafts are scored as.
pub const EXTENT: Extent = Extent {
    turns: 1,
    samples: DRAFTS as usize,
    stops: false,
    verifies: false,
};

/// What was made of one problem.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The draft and, as one turn, its global and its local refinement; then the further drafts.
    episodes: Vec<Episode>,
    verdict: Verdicts,
    /// Tokens that verifiers read.
    scored: u64,
}

/// What the verifiers said.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdicts {
    problem: String,
    /// The step that the local refinement was told, from 1.
    step: usize,
    /// The outcome model's chances for draft, global and local refinement.
    approval: [f64; 3],
}

pub fn run(desk: &mut Desk<'_>, job: &Job) -> Result<Made, StageError> {
    let Job::Refine {
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
    let problems: Vec<Problem> = files::read(&desk.workspace.file(problems, PROBLEMS))?;
    let mut bench = Bench::of(desk, job).expect("the caller matched the job")?;
    let grade = |problem: &Problem, text: &str| grader.grade(problem, text);
    let done = desk.in_chunks(
        (WORKING, CHUNK),
        &problems,
        |line: &Line| sampled(&line.episodes),
        |chunk| bench.refined(chunk, *prompt, *seed, &grade),
    )?;
    let scores: Vec<ScoreRow> = done.iter().flat_map(score).collect();
    files::write(&desk.folder.join(SCORES), &scores)?;
    let verdicts: Vec<Verdicts> = done.iter().map(|line| line.verdict.clone()).collect();
    files::write(&desk.folder.join(REFINED), &verdicts)?;
    let read = done.iter().map(|line| line.scored).sum();
    let episodes: Vec<Episode> = done.into_iter().flat_map(|line| line.episodes).collect();
    files::write(&desk.folder.join(EPISODES), &episodes)?;
    let mut counts = json!({ "problems": problems.len(), "scores": scores.len() });
    Cost {
        scored: read,
        ..Cost::of_sampling(&episodes, &bench.generator)
    }
    .write(&mut counts);
    Ok(Made::plain(&[EPISODES, SCORES, REFINED], counts).on(backend))
}

/// The models at work.
struct Bench {
    generator: LanguageModel,
    outcome: Verifier,
    stepwise: Verifier,
    global: LanguageModel,
    local: LanguageModel,
    drafting: Unroll,
}

impl Bench {
    /// None for another job.
    fn of(desk: &Desk<'_>, job: &Job) -> Option<Result<Self, StageError>> {
        let Job::Refine {
            generator,
            outcome,
            stepwise,
            global,
            local,
            prompt,
            sampling,
            backend,
            ..
        } = job
        else {
            return None;
        };
        let model = |key| desk.model(key, backend);
        let verifier = |key| -> Result<Verifier, StageError> {
            Ok(Verifier {
                model: model(key)?,
                prompt: *prompt,
            })
        };
        let drafting = Unroll::new(1, *prompt, *sampling);
        let made = || -> Result<Self, StageError> {
            Ok(Self {
                generator: model(generator)?,
                outcome: verifier(outcome)?,
                stepwise: verifier(stepwise)?,
                global: model(global)?,
                local: model(local)?,
                drafting,
            })
        };
        Some(made())
    }

    fn refined(
        &mut self,
        problems: &[Problem],
        prompt: Prompt,
        seed: Seed,
        grade: Grader<'_>,
    ) -> Result<Vec<Line>, StageError> {
        let plan = &self.drafting;
        let drafts = rollout(&mut self.generator, problems, plan, seed, grade)?;
        let further = parallel(&mut self.generator, problems, plan, DRAFTS, seed, grade)?;
        let asked: Vec<(&Problem, &str)> = problems
            .iter()
            .zip(&drafts)
            .map(|(problem, draft)| (problem, text(draft)))
            .collect();
        let located = located(&self.stepwise, &asked)?;
        let global = asked
            .iter()
            .map(|(problem, draft)| (*problem, prompt.dialogue(&problem.question, &[draft])));
        let local = asked
            .iter()
            .zip(&located)
            .map(|((problem, draft), located)| {
                (
                    *problem,
                    prompt.refinement(&problem.question, draft, located.step),
                )
            });
        let sampling = &self.drafting.sampling;
        let global = refine(
            &mut self.global,
            global.collect(),
            sampling,
            seed.named("global"),
            grade,
        )?;
        let local = refine(
            &mut self.local,
            local.collect(),
            sampling,
            seed.named("local"),
            grade,
        )?;
        let three = asked.iter().zip(global.iter().zip(&local)).flat_map(
            |((problem, draft), (global, local))| {
                [draft, global.text.as_str(), local.text.as_str()]
                    .map(|text| (problem.question.as_str(), text))
            },
        );
        let approvals = self.outcome.approvals(&three.collect::<Vec<_>>())?;
        let mut further = further.chunks(DRAFTS as usize - 1);
        let lines = drafts
            .into_iter()
            .zip(global.into_iter().zip(local))
            .zip(approvals.chunks_exact(3).zip(located));
        let line = |((draft, refinements), (approvals, located)): (
            (Episode, _),
            (&[Approval], Located),
        )| {
            line(
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

fn line(
    mut draft: Episode,
    (global, local): (Candidate, Candidate),
    approvals: &[Approval],
    located: Located,
    further: &[Episode],
) -> Line {
    let approval = [
        approvals[0].chance,
        approvals[1].chance,
        approvals[2].chance,
    ];
    let chosen = usize::from(approval[2] > approval[1]);
    draft.turns.push(Turn::of(vec![global, local], chosen));
    let scored = located.tokens
        + approvals
            .iter()
            .map(|approval| approval.tokens)
            .sum::<u64>();
    let verdict = Verdicts {
        problem: draft.problem.clone(),
        step: located.step,
        approval,
    };
    let episodes = std::iter::once(draft)
        .chain(further.iter().cloned())
        .collect();
    Line {
        episodes,
        verdict,
        scored,
    }
}

/// Where the stepwise model sees the first fault of a draft.
#[derive(Clone, Copy)]
struct Located {
    /// From 1.
    step: usize,
    tokens: u64,
}

/// The first step after which a right answer seems out of reach; the most doubtful one where none
/// does.
fn located(stepwise: &Verifier, asked: &[(&Problem, &str)]) -> Result<Vec<Located>, StageError> {
    let ends: Vec<Vec<usize>> = asked.iter().map(|(_, draft)| steps_of(draft)).collect();
    let beginnings = asked
        .iter()
        .zip(&ends)
        .flat_map(|((problem, draft), ends)| {
            ends.iter()
                .map(|&end| (problem.question.as_str(), draft[..end].trim_end()))
        });
    let approvals = stepwise.approvals(&beginnings.collect::<Vec<_>>())?;
    let mut rest = approvals.as_slice();
    let of = |ends: &Vec<usize>| {
        let (mine, others) = rest.split_at(ends.len());
        rest = others;
        let chances: Vec<f64> = mine.iter().map(|approval| approval.chance).collect();
        Located {
            step: first_fault(&chances) + 1,
            tokens: mine.iter().map(|approval| approval.tokens).sum(),
        }
    };
    Ok(ends.iter().map(of).collect())
}

fn first_fault(chances: &[f64]) -> usize {
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
        .position(|&chance| chance < APPROVED)
        .unwrap_or_else(least)
}

fn text(episode: &Episode) -> &str {
    &episode.turns[0].chosen().text
}

fn score(line: &Line) -> Vec<ScoreRow> {
    let (draft, further) = line
        .episodes
        .split_first()
        .expect("every problem has its draft");
    let right = |candidate: &Candidate| candidate.grade.verdict.is_right();
    let [global, local] = [0, 1].map(|place| right(&draft.turns[1].candidates[place]));
    let refined = Refined {
        right: [right(draft.turns[0].chosen()), global, local],
        approval: line.verdict.approval,
    };
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: draft.problem.clone(),
        value,
    };
    let drafts = eval::score(draft, further, EXTENT);
    drafts
        .into_iter()
        .chain(refinement(&refined))
        .map(row)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::first_fault;

    #[test]
    fn the_first_doubtful_step_or_else_the_most_doubtful() {
        assert_eq!(first_fault(&[0.9, 0.4, 0.1]), 1);
        assert_eq!(first_fault(&[0.9, 0.6, 0.7]), 1);
        assert_eq!(first_fault(&[0.6, 0.6]), 0);
        assert_eq!(first_fault(&[0.5]), 0);
    }
}
