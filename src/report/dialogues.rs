//! Real dialogues worth reading: an error that was corrected, a right answer that was lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Candidate, Episode, GradeVerdict, Problem};

use super::Analysis;
use super::analysis::HeadlineGroup;

/// Corrected dialogues per group.
const MAX_CORRECTED: usize = 2;

/// Lost dialogues per group.
const MAX_LOST: usize = 1;

/// A dialogue on the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogueExcerpt {
    /// The headline group.
    pub group: String,
    /// The checkpoint.
    pub checkpoint: String,
    /// `corrected` or `lost`.
    pub outcome: String,
    /// The problem's id.
    pub problem: String,
    /// The question; none where the database holds no text.
    pub question: Option<String>,
    /// The reference answer.
    pub answer: Option<String>,
    /// The attempts in order.
    pub turns: Vec<ExcerptAttempt>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcerptAttempt {
    /// The text of the attempt.
    pub text: String,
    /// The answer that the grader read.
    #[serde(rename = "read")]
    pub parsed_answer: Option<String>,
    /// `right`, `wrong` or `unreadable`.
    pub verdict: String,
}

/// A few dialogues per headline group, the first of each outcome by problem id.
#[must_use]
pub fn choose_dialogues(analysis: &Analysis<'_>) -> Vec<DialogueExcerpt> {
    analysis
        .headline_groups()
        .iter()
        .flat_map(|group| group_dialogues(analysis, group))
        .collect()
}

fn group_dialogues(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Vec<DialogueExcerpt> {
    let last = group.condition.and_then(|id| analysis.last_checkpoint(id));
    let source = group.condition.and_then(|id| analysis.dialogue_source(id));
    let Some((last, evaluation)) = last.zip(source) else {
        return Vec::new();
    };
    let episodes = analysis
        .data
        .episodes
        .get(&evaluation)
        .into_iter()
        .flatten();
    let by_problem: BTreeMap<&str, &Episode> = episodes
        .filter(|episode| episode.sample == 0)
        .map(|episode| (episode.problem.as_str(), episode))
        .collect();
    let is_outcome: [fn(&[GradeVerdict]) -> bool; 2] = [is_corrected, is_lost];
    let kinds = [("corrected", MAX_CORRECTED), ("lost", MAX_LOST)];
    let mut dialogues = Vec::new();
    for ((outcome, count), fits) in kinds.into_iter().zip(is_outcome) {
        let fitting = by_problem
            .values()
            .filter(|episode| fits(&episode.verdicts()));
        dialogues.extend(fitting.take(count).map(|episode| {
            let problem = (evaluation.clone(), episode.problem.clone());
            let problem = analysis.data.problem_texts.get(&problem);
            DialogueExcerpt {
                group: group.title.clone(),
                checkpoint: last.name.to_string(),
                ..excerpt(outcome, episode, problem)
            }
        }));
    }
    dialogues
}

/// The excerpt of a dialogue of no group and checkpoint.
fn excerpt(outcome: &str, episode: &Episode, problem: Option<&Problem>) -> DialogueExcerpt {
    let turns = episode.turns.iter();
    DialogueExcerpt {
        group: String::new(),
        checkpoint: String::new(),
        outcome: outcome.to_owned(),
        problem: episode.problem.clone(),
        question: problem.map(|problem| problem.question.clone()),
        answer: problem.map(|problem| problem.answer.clone()),
        turns: turns.map(|turn| excerpt_attempt(turn.chosen())).collect(),
    }
}

fn excerpt_attempt(candidate: &Candidate) -> ExcerptAttempt {
    ExcerptAttempt {
        text: candidate.text.clone(),
        parsed_answer: candidate.grade.answer.clone(),
        verdict: candidate.grade.verdict.name().to_owned(),
    }
}

/// Wrong at first, right from some turn on until the end.
fn is_corrected(verdicts: &[GradeVerdict]) -> bool {
    let wrong = verdicts
        .iter()
        .take_while(|verdict| !verdict.is_right())
        .count();
    wrong > 0
        && wrong < verdicts.len()
        && verdicts[wrong..].iter().all(|verdict| verdict.is_right())
}

/// Right at first and not at the end.
fn is_lost(verdicts: &[GradeVerdict]) -> bool {
    verdicts.first().is_some_and(|verdict| verdict.is_right())
        && verdicts.last().is_some_and(|verdict| !verdict.is_right())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn outcomes_by_hand() {
        use GradeVerdict::{Right, Unreadable, Wrong};
        assert!(is_corrected(&[Wrong, Right, Right]) && is_corrected(&[Unreadable, Wrong, Right]));
        assert!(
            !is_corrected(&[Wrong, Right, Wrong])
                && !is_corrected(&[Right, Right])
                && !is_corrected(&[Wrong, Wrong])
        );
        assert!(
            is_lost(&[Right, Right, Wrong]) && !is_lost(&[Right, Wrong, Right]) && !is_lost(&[])
        );
    }

    #[test]
    fn the_first_problems_are_shown_with_their_questions() {
        let data = fixtures::sample_data();
        let dialogues = choose_dialogues(&Analysis::new(&data));
        let outcomes: Vec<&str> = dialogues.iter().map(|d| d.outcome.as_str()).collect();
        assert_eq!(
            outcomes,
            [
                "corrected",
                "corrected",
                "lost",
                "corrected",
                "corrected",
                "lost"
            ]
        );
        assert!(dialogues[0].problem < dialogues[1].problem);
        assert!(
            dialogues[0]
                .question
                .as_ref()
                .is_some_and(|question| question.contains("cards"))
        );
    }
}
