//! Real dialogues worth reading: an error that was corrected, a right answer that was lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Episode, Verdict};

use super::Study;

/// How many corrected and how many lost dialogues a group shows.
const SHOWN: (usize, usize) = (2, 1);

/// A dialogue as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The headline group.
    pub group: String,
    /// The checkpoint that spoke.
    pub checkpoint: String,
    /// What happened: `corrected` or `lost`.
    pub outcome: String,
    /// The problem's id.
    pub problem: String,
    /// What was asked; none where the database holds no text.
    pub question: Option<String>,
    /// The reference answer.
    pub answer: Option<String>,
    /// The attempts in order.
    pub turns: Vec<Attempt>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was said.
    pub text: String,
    /// The answer that was read.
    pub read: Option<String>,
    /// `right`, `wrong` or `unreadable`.
    pub verdict: String,
}

/// A few dialogues per headline group, the first of each outcome by problem id.
#[must_use]
pub fn choose(study: &Study<'_>) -> Vec<Shown> {
    study
        .groups()
        .iter()
        .flat_map(|group| of_group(study, group))
        .collect()
}

fn of_group(study: &Study<'_>, group: &super::study::Group) -> Vec<Shown> {
    let Some((setting, last)) = group.setting.and_then(|at| Some((at, study.last(at)?))) else {
        return Vec::new();
    };
    let Some(evaluation) = study.shown_of(setting) else {
        return Vec::new();
    };
    let episodes = study.frame.episodes.get(&evaluation).into_iter().flatten();
    let by_problem: BTreeMap<&str, &Episode> = episodes
        .filter(|episode| episode.sample == 0)
        .map(|e| (e.problem.as_str(), e))
        .collect();
    let shown = |outcome: &str, episode: &Episode| {
        let text = study
            .frame
            .texts
            .get(&(evaluation.clone(), episode.problem.clone()));
        Shown {
            group: group.title.clone(),
            checkpoint: last.to_owned(),
            outcome: outcome.to_owned(),
            problem: episode.problem.clone(),
            question: text.map(|problem| problem.question.clone()),
            answer: text.map(|problem| problem.answer.clone()),
            turns: episode
                .turns
                .iter()
                .map(|turn| attempt(turn.chosen()))
                .collect(),
        }
    };
    let pick = |outcome: &'static str, fits: fn(&[Verdict]) -> bool, count: usize| {
        let fitting = by_problem
            .values()
            .filter(move |episode| fits(&episode.verdicts()));
        fitting
            .take(count)
            .map(|episode| shown(outcome, episode))
            .collect::<Vec<_>>()
    };
    [
        pick("corrected", corrected, SHOWN.0),
        pick("lost", lost, SHOWN.1),
    ]
    .concat()
}

fn attempt(candidate: &crate::domain::Candidate) -> Attempt {
    Attempt {
        text: candidate.text.clone(),
        read: candidate.grade.answer.clone(),
        verdict: candidate.grade.verdict.name().to_owned(),
    }
}

/// Wrong at first, right from some turn on until the end.
fn corrected(verdicts: &[Verdict]) -> bool {
    let wrong = verdicts
        .iter()
        .take_while(|verdict| !verdict.is_right())
        .count();
    wrong > 0
        && wrong < verdicts.len()
        && verdicts[wrong..].iter().all(|verdict| verdict.is_right())
}

/// Right at first and not at the end.
fn lost(verdicts: &[Verdict]) -> bool {
    verdicts.first().is_some_and(|verdict| verdict.is_right())
        && verdicts.last().is_some_and(|verdict| !verdict.is_right())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn outcomes_by_hand() {
        use Verdict::{Right, Unreadable, Wrong};
        assert!(corrected(&[Wrong, Right, Right]) && corrected(&[Unreadable, Wrong, Right]));
        assert!(
            !corrected(&[Wrong, Right, Wrong])
                && !corrected(&[Right, Right])
                && !corrected(&[Wrong, Wrong])
        );
        assert!(lost(&[Right, Right, Wrong]) && !lost(&[Right, Wrong, Right]) && !lost(&[]));
    }

    #[test]
    fn the_first_problems_are_shown_with_their_questions() {
        let frame = sample::frame();
        let shown = choose(&Study::of(&frame));
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
