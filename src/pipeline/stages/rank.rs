//! The rank stage: a verifier's judgement of the first attempts of an evaluation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::data::PromptConfig;
use crate::domain::{Candidate, Dialogue, Episode, Problem};
use crate::eval::{self, RankedAttempt};
use crate::model::LanguageModel;
use crate::pipeline::execute::{StageContext, StageOutput};
use crate::pipeline::stage_files::{self, EPISODES, PROBLEMS, RANKS, SCORES};
use crate::pipeline::{StageError, StageSpec};
use crate::store::ScoreRow;

use super::cost::ComputeCost;

/// Problems whose attempts are read together.
const CHUNK_PROBLEMS: usize = 25;

/// What one problem's attempts are ranked by.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptRanks {
    problem: String,
    /// One number per sample, in their order; more is better.
    values: Vec<f64>,
    /// Tokens that were read for it.
    tokens: u64,
}

pub fn run(desk: &mut StageContext<'_>, job: &StageSpec) -> Result<StageOutput, StageError> {
    let StageSpec::Rank {
        problems,
        episodes,
        verifier,
        reference,
        samples,
        prompt,
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
    let mut judges = vec![desk.load_model(verifier, backend)?];
    if let Some(reference) = reference {
        judges.push(desk.load_model(reference, backend)?);
    }
    let firsts = first_attempts(&episodes, *samples as usize);
    let of = |problem: &Problem| {
        firsts
            .get(problem.id.as_str())
            .map_or(&[][..], Vec::as_slice)
    };
    let done = desk.process_in_chunks(
        (RANKS, CHUNK_PROBLEMS),
        &problems,
        |_: &AttemptRanks| 0,
        |chunk| {
            let asked: Vec<(&Problem, &[&Candidate])> =
                chunk.iter().map(|problem| (problem, of(problem))).collect();
            rank_attempts(&judges, &asked, *prompt).map_err(StageError::from)
        },
    )?;
    let scores: Vec<ScoreRow> = problems
        .iter()
        .zip(&done)
        .flat_map(|(problem, line)| ranking_scores(problem, line, of(problem)))
        .collect();
    stage_files::write_jsonl(&desk.folder.join(SCORES), &scores)?;
    let mut counts = json!({ "problems": problems.len(), "scores": scores.len() });
    let parameters = judges[0].decoder.weights().parameter_count() as u64;
    let read = done.iter().map(|line| line.tokens).sum();
    ComputeCost {
        parameters,
        scored_tokens: read,
        ..ComputeCost::default()
    }
    .add_to_counts(&mut counts);
    Ok(StageOutput::new_without_backend(&[RANKS, SCORES], counts).with_backend(backend))
}

/// The first `samples` first attempts at every problem, in the order of their numbers.
fn first_attempts(episodes: &[Episode], samples: usize) -> BTreeMap<&str, Vec<&Candidate>> {
    let mut all = BTreeMap::<&str, Vec<(u32, &Candidate)>>::new();
    for episode in episodes {
        let first = episode
            .turns
            .first()
            .map(|turn| (episode.sample, turn.chosen()));
        all.entry(episode.problem.as_str())
            .or_default()
            .extend(first);
    }
    let ordered = |mut attempts: Vec<(u32, _)>| {
        attempts.sort_by_key(|&(sample, _)| sample);
        attempts
            .into_iter()
            .take(samples)
            .map(|(_, attempt)| attempt)
            .collect()
    };
    all.into_iter()
        .map(|(problem, attempts)| (problem, ordered(attempts)))
        .collect()
}

/// Each different text of a problem is read once by every judge; the second judge's log-likelihood
/// is taken from the first one's.
fn rank_attempts(
    judges: &[LanguageModel],
    asked: &[(&Problem, &[&Candidate])],
    prompt: PromptConfig,
) -> Result<Vec<AttemptRanks>, crate::domain::PolicyError> {
    let mut places = Vec::new();
    let mut answers: Vec<(Dialogue, String)> = Vec::new();
    let mut tokens = vec![0; asked.len()];
    for (number, (problem, attempts)) in asked.iter().enumerate() {
        let mut known = BTreeMap::<&str, usize>::new();
        let question = prompt.dialogue(&problem.question, &[]);
        let mut mine = Vec::with_capacity(attempts.len());
        for attempt in *attempts {
            let place = *known.entry(attempt.text.as_str()).or_insert_with(|| {
                answers.push((question.clone(), attempt.text.clone()));
                tokens[number] +=
                    u64::from(attempt.prompt_tokens + attempt.tokens) * judges.len() as u64;
                answers.len() - 1
            });
            mine.push(place);
        }
        places.push(mine);
    }
    let said = judges
        .iter()
        .map(|judge| judge.log_likelihoods(&answers))
        .collect::<Result<Vec<_>, _>>()?;
    let value =
        |place: usize| said[0][place] - said.get(1).map_or(0.0, |reference| reference[place]);
    let line =
        |((problem, _), (places, tokens)): (&(&Problem, _), (Vec<usize>, u64))| AttemptRanks {
            problem: problem.id.clone(),
            values: places.into_iter().map(value).collect(),
            tokens,
        };
    Ok(asked
        .iter()
        .zip(places.into_iter().zip(tokens))
        .map(line)
        .collect())
}

fn ranking_scores(
    problem: &Problem,
    line: &AttemptRanks,
    attempts: &[&Candidate],
) -> Vec<ScoreRow> {
    let ranked = line.values.iter().zip(attempts);
    let ranked: Vec<RankedAttempt> = ranked
        .map(|(&value, attempt)| RankedAttempt {
            rank_score: value,
            right: attempt.grade.verdict.is_right(),
        })
        .collect();
    let row = |(metric, value)| ScoreRow {
        metric,
        problem: problem.id.clone(),
        value,
    };
    eval::ranking_scores(&ranked).into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CandidateAuthor, Grade, GradeVerdict, Turn};

    #[test]
    fn samples_are_taken_in_the_order_of_their_numbers_and_only_their_first_turns() {
        let attempt = |text: &str| {
            let grade = Grade {
                answer: None,
                verdict: GradeVerdict::Wrong,
            };
            let (author, text) = (CandidateAuthor::Policy, text.to_owned());
            Turn::single(Candidate {
                author,
                text,
                tokens: 1,
                prompt_tokens: 1,
                finished: true,
                grade,
            })
        };
        let episode = |problem: &str, sample, texts: &[&str]| Episode {
            problem: problem.to_owned(),
            sample,
            turns: texts.iter().copied().map(attempt).collect(),
        };
        let episodes = [
            episode("p", 0, &["a", "b"]),
            episode("p", 2, &["d"]),
            episode("q", 0, &["e"]),
            episode("p", 1, &["c"]),
        ];
        let texts = |samples| -> Vec<(String, String)> {
            let found = first_attempts(&episodes, samples);
            let word = |all: &Vec<&Candidate>| all.iter().map(|one| one.text.as_str()).collect();
            found
                .iter()
                .map(|(problem, all)| ((*problem).to_owned(), word(all)))
                .collect()
        };
        let expected =
            |p: &str| [("p", p), ("q", "e")].map(|(id, said)| (id.to_owned(), said.to_owned()));
        assert_eq!(texts(3), expected("acd"));
        assert_eq!(texts(2), expected("ac"));
    }
}
