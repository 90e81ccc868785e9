//! Computed sentences: what a headline group shows, and where RISE wins and loses. Every word is
//! chosen by the numbers; a bad result reads as bad.

use serde::{Deserialize, Serialize};

use crate::stats::{Estimate, Verdict};

use super::Study;
use super::format::{counted, percent, points, standing};
use super::study::Group;
use super::tables::{Duel, duels};

/// Below this fraction, upper end included, next to nothing is solved.
const NOTHING: f64 = 0.02;

/// The headline of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The group.
    pub title: String,
    /// One to four sentences.
    pub sentences: Vec<String>,
    /// `better`, `worse` or `no-clear-difference`: whether voting over turns gains on the first turn;
    /// `missing` where nothing can be said.
    pub tone: String,
}

/// The outcome of one comparison, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The group.
    pub group: String,
    /// `wins`, `loses` or `undecided`.
    pub outcome: String,
    /// The sentence.
    pub sentence: String,
}

/// The headline of every group.
#[must_use]
pub fn answers(study: &Study<'_>) -> Vec<Answer> {
    study
        .groups()
        .iter()
        .map(|group| answer(study, group))
        .collect()
}

fn answer(study: &Study<'_>, group: &Group) -> Answer {
    let known = group
        .setting
        .and_then(|setting| Some((setting, study.last(setting)?)));
    let said = known.and_then(|(setting, last)| spoken(study, setting, last));
    let (sentences, tone) = said.unwrap_or_else(|| {
        let why = match group.setting {
            None => "No run of this experiment belongs to this group.",
            Some(_) => "No run of this group has finished yet, so nothing can be said.",
        };
        (vec![why.to_owned()], "missing".to_owned())
    });
    Answer {
        title: group.title.clone(),
        sentences,
        tone,
    }
}

fn spoken(study: &Study<'_>, setting: usize, last: &str) -> Option<(Vec<String>, String)> {
    let measures = &study.measures;
    let (sequential, parallel, first) = (&measures.sequential, &measures.parallel, &measures.first);
    let estimate = study.estimate(setting, last, sequential)?;
    let against = |checkpoint: &str, metric: &str| {
        let comparison = study.compare(
            (setting, checkpoint, sequential),
            (setting, checkpoint, metric),
        );
        comparison.map(|comparison| comparison.difference)
    };
    let gain = against(last, first)?;
    let solved = solved(&estimate, last, sequential, measures.turns);
    let mut sentences = vec![format!(
        "{solved}: {} the same model's first turn ({first}).",
        standing(&gain)
    )];
    if let Some(votes) = against(last, parallel) {
        let samples = measures.samples;
        sentences.push(format!(
            "That is {} its own vote over {samples} parallel first turns ({parallel}).",
            standing(&votes)
        ));
    }
    if let Some(base) = (last != "base").then(|| against("base", first)).flatten() {
        sentences.push(of_base(&base));
    }
    sentences.push(behind(&estimate));
    let tone = match Verdict::of(&gain, None) {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoClearDifference => "no-clear-difference",
    };
    Some((sentences, tone.to_owned()))
}

fn solved(estimate: &Estimate, last: &str, sequential: &str, turns: u32) -> String {
    let state = if last == "base" {
        "Untrained".to_owned()
    } else {
        format!("After {last}")
    };
    if estimate.value == 0.0 {
        format!(
            "Nothing is solved: {} ({sequential}) {}",
            percent(estimate),
            lowered(&state)
        )
    } else if estimate.high < NOTHING {
        format!(
            "Next to nothing is solved: {} ({sequential}) {}",
            percent(estimate),
            lowered(&state)
        )
    } else {
        format!(
            "{state}, voting over {turns} turns ({sequential}) solves {}",
            percent(estimate)
        )
    }
}

fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

fn of_base(gain: &Estimate) -> String {
    let verb = if gain.above_zero() {
        "already gains over its turns"
    } else if gain.below_zero() {
        "does not improve over its turns, it loses"
    } else {
        "shows no clear change over its turns"
    };
    format!("The base {verb} ({}).", points(gain))
}

fn behind(estimate: &Estimate) -> String {
    let problems = counted(estimate.problems, "test problem");
    match estimate.between_seeds() {
        Some(spread) => format!(
            "{problems}, {} (standard deviation between seeds {:.1} points).",
            counted(estimate.seeds, "training seed"),
            spread * 100.0
        ),
        None => {
            format!("{problems}, one training seed, so the spread between trainings is unknown.")
        }
    }
}

/// Every comparison of every group in a sentence, wins and losses alike.
#[must_use]
pub fn findings(study: &Study<'_>) -> Vec<Finding> {
    let of_group = |group: &Group| {
        let duels = group
            .setting
            .map(|setting| duels(study, setting, group.sft))
            .unwrap_or_default();
        duels
            .into_iter()
            .map(|duel| finding(&group.title, &duel))
            .collect::<Vec<_>>()
    };
    study.groups().iter().flat_map(of_group).collect()
}

fn finding(group: &str, duel: &Duel) -> Finding {
    let verdict = duel.outcome.verdict;
    let (outcome, relation) = match verdict {
        Verdict::Better => ("wins", format!("is {}", standing(&duel.outcome.difference))),
        Verdict::Worse => (
            "loses",
            format!("is {}", standing(&duel.outcome.difference)),
        ),
        Verdict::NoClearDifference => (
            "undecided",
            format!(
                "is not clearly different ({}) from",
                points(&duel.outcome.difference)
            ),
        ),
    };
    Finding {
        group: group.to_owned(),
        outcome: outcome.to_owned(),
        sentence: format!("{} {relation} {}.", capital(&duel.own), duel.other),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_headline_is_computed() {
        let frame = sample::frame();
        let answers = answers(&Study::of(&frame));
        insta::assert_snapshot!(answers[0].sentences.join("\n"), @"
            After round 2, voting over 5 turns (m1@t5) solves 76.7 % [70.0, 83.3]: 25.8 points [18.3, 34.2] above the same model's first turn (m1@t1).
            That is not clearly different (−2.5 points [−11.7, 6.7]) from its own vote over 5 parallel first turns (m5@t1).
            The base shows no clear change over its turns (−6.7 points [−12.5, 0.0]).
            60 test problems, 2 training seeds (standard deviation between seeds 9.4 points).
        ");
        assert_eq!(answers[0].tone, "better");
    }

    #[test]
    fn a_bad_result_reads_as_bad() {
        let mut frame = sample::frame();
        for (metric, scores) in frame.scores.values_mut().flatten() {
            if metric.contains("@t") {
                for score in scores {
                    score.1 = 0.0;
                }
            }
        }
        let answers = answers(&Study::of(&frame));
        assert!(
            answers[0].sentences[0].starts_with("Nothing is solved: 0.0 % [0.0, "),
            "{:?}",
            answers[0]
        );
        assert_ne!(answers[0].tone, "better");
    }

    #[test]
    fn nothing_finished_means_nothing_said() {
        let mut frame = sample::frame();
        frame.scores.clear();
        let answers = answers(&Study::of(&frame));
        assert_eq!(
            answers[0].sentences,
            ["No run of this group has finished yet, so nothing can be said."]
        );
        assert!(findings(&Study::of(&frame)).is_empty());
    }
}
