//! Real dialogues worth reading: an error that was corrected, a right answer that was lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Episode, GradeVerdict};

use super::Analysis;

/// How many corrected and how many lost dialogues a group shows.
const DIALOGUES_PER_GROUP: (usize, usize) = (2, 1);

/// A dialogue as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogueExcerpt {
    /// The headline group.
    pub group: String,
    /// The checkpoint that spoke.
    pub checkpoint: String,
    /// What happened: `is_corrected` or `is_lost`.
    pub outcome: String,
    /// The problem's id.
    pub problem: String,
    /// What was asked; none where the database holds no text.
    pub question: Option<String>,
    /// The reference answer.
    pub answer: Option<String>,
    /// The attempts in order.
    pub turns: Vec<ExcerptAttempt>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcerptAttempt {
    /// What was said.
    pub text: String,
    /// The answer that was read.
    #[serde(rename = "read")]
    pub parsed_answer: Option<String>,
    /// `right`, `wrong` or `unreadable`.
    pub verdict: String,
}

/// A few dialogues per headline group, the first of each outcome by problem id.
#[must_use]
pub fn choose_dialogues(study: &Analysis<'_>) -> Vec<DialogueExcerpt> {
    study
        .headline_groups()
        .iter()
        .flat_map(|group| group_dialogues(study, group))
        .collect()
}

fn group_dialogues(
    study: &Analysis<'_>,
    group: &super::analysis::HeadlineGroup,
) -> Vec<DialogueExcerpt> {
    let Some((setting, last)) = group
        .condition
        .and_then(|at| Some((at, study.last_checkpoint(at)?)))
    else {
        return Vec::new();
    };
    let Some(evaluation) = study.dialogue_source(setting) else {
        return Vec::new();
    };
    let episodes = study.data.episodes.get(&evaluation).into_iter().flatten();
    let by_problem: BTreeMap<&str, &Episode> = episodes
        .filter(|episode| episode.sample == 0)
        .map(|e| (e.problem.as_str(), e))
        .collect();
    let shown = |outcome: &str, episode: &Episode| {
        let text = study
            .data
            .problem_texts
            .get(&(evaluation.clone(), episode.problem.clone()));
        DialogueExcerpt {
            group: group.title.clone(),
            checkpoint: last.to_owned(),
            outcome: outcome.to_owned(),
            problem: episode.problem.clone(),
            question: text.map(|problem| problem.question.clone()),
            answer: text.map(|problem| problem.answer.clone()),
            turns: episode
                .turns
                .iter()
                .map(|turn| excerpt_attempt(turn.chosen()))
                .collect(),
        }
    };
    let pick = |outcome: &'static str, fits: fn(&[GradeVerdict]) -> bool, count: usize| {
        let fitting = by_problem
            .values()
            .filter(move |episode| fits(&episode.verdicts()));
        fitting
            .take(count)
            .map(|episode| shown(outcome, episode))
            .collect::<Vec<_>>()
    };
    [
        pick("corrected", is_corrected, DIALOGUES_PER_GROUP.0),
        pick("lost", is_lost, DIALOGUES_PER_GROUP.1),
    ]
    .concat()
}

fn excerpt_attempt(candidate: &crate::domain::Candidate) -> ExcerptAttempt {
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
        let frame = fixtures::sample_data();
        let shown = choose_dialogues(&Analysis::new(&frame));
        let outcomes: Vec<&str> = shown.iter().map(|shown| shown.outcome.as_str()).collect();
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
        assert!(shown[0].problem < shown[1].problem);
        assert!(
            shown[0]
                .question
                .as_ref()
                .is_some_and(|question| question.contains("cards"))
        );
    }
}
