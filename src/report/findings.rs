//! Computed sentences: what a headline group shows, and where RISE wins and loses. Every word is
//! chosen by the numbers; a bad result reads as bad.

use serde::{Deserialize, Serialize};

use crate::stats::{ComparisonVerdict, MeanEstimate};

use super::Analysis;
use super::analysis::HeadlineGroup;
use super::format::{above_or_below, count_noun, format_percent, format_points};
use super::tables::{HeadlineComparison, headline_comparisons};

/// Below this fraction, upper end included, next to nothing is solved.
const NEXT_TO_NOTHING: f64 = 0.02;

/// The headline of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadlineAnswer {
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
pub struct ReportFinding {
    /// The group.
    pub group: String,
    /// `wins`, `loses` or `undecided`.
    pub outcome: String,
    /// The sentence.
    pub sentence: String,
}

/// The headline of every group.
#[must_use]
pub fn headline_answers(study: &Analysis<'_>) -> Vec<HeadlineAnswer> {
    study
        .headline_groups()
        .iter()
        .map(|group| headline_answer(study, group))
        .collect()
}

fn headline_answer(study: &Analysis<'_>, group: &HeadlineGroup) -> HeadlineAnswer {
    let known = group
        .condition
        .and_then(|setting| Some((setting, study.last_checkpoint(setting)?)));
    let said = known.and_then(|(setting, last)| headline_sentences(study, setting, last));
    let (sentences, tone) = said.unwrap_or_else(|| {
        let why = match group.condition {
            None => "No run of this experiment belongs to this group.",
            Some(_) => "No run of this group has finished yet, so nothing can be said.",
        };
        (vec![why.to_owned()], "missing".to_owned())
    });
    HeadlineAnswer {
        title: group.title.clone(),
        sentences,
        tone,
    }
}

fn headline_sentences(
    study: &Analysis<'_>,
    setting: usize,
    last: &str,
) -> Option<(Vec<String>, String)> {
    let measures = &study.metric_columns;
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
    let solved = solved_clause(&estimate, last, sequential, measures.turns);
    let mut sentences = vec![format!(
        "{solved}: {} the same model's first turn ({first}).",
        above_or_below(&gain)
    )];
    if let Some(votes) = against(last, parallel) {
        let samples = measures.samples;
        sentences.push(format!(
            "That is {} its own vote over {samples} parallel first turns ({parallel}).",
            above_or_below(&votes)
        ));
    }
    if let Some(base) = (last != "base").then(|| against("base", first)).flatten() {
        sentences.push(base_sentence(&base));
    }
    sentences.push(sample_size_sentence(&estimate));
    let tone = match ComparisonVerdict::from_estimate(&gain, None) {
        ComparisonVerdict::Better => "better",
        ComparisonVerdict::Worse => "worse",
        ComparisonVerdict::NoClearDifference => "no-clear-difference",
    };
    Some((sentences, tone.to_owned()))
}

fn solved_clause(estimate: &MeanEstimate, last: &str, sequential: &str, turns: u32) -> String {
    let state = if last == "base" {
        "Untrained".to_owned()
    } else {
        format!("After {last}")
    };
    if estimate.value == 0.0 {
        format!(
            "Nothing is solved: {} ({sequential}) {}",
            format_percent(estimate),
            lowercase_first(&state)
        )
    } else if estimate.high < NEXT_TO_NOTHING {
        format!(
            "Next to nothing is solved: {} ({sequential}) {}",
            format_percent(estimate),
            lowercase_first(&state)
        )
    } else {
        format!(
            "{state}, voting over {turns} turns ({sequential}) solves {}",
            format_percent(estimate)
        )
    }
}

fn lowercase_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

fn base_sentence(gain: &MeanEstimate) -> String {
    let verb = if gain.is_above_zero() {
        "already gains over its turns"
    } else if gain.is_below_zero() {
        "does not improve over its turns, it loses"
    } else {
        "shows no clear change over its turns"
    };
    format!("The base {verb} ({}).", format_points(gain))
}

fn sample_size_sentence(estimate: &MeanEstimate) -> String {
    let problems = count_noun(estimate.problems, "test problem");
    match estimate.std_between_seeds() {
        Some(spread) => format!(
            "{problems}, {} (standard deviation between seeds {:.1} points).",
            count_noun(estimate.seeds, "training seed"),
            spread * 100.0
        ),
        None => {
            format!("{problems}, one training seed, so the spread between trainings is unknown.")
        }
    }
}

/// Every comparison of every group in a sentence, wins and losses alike.
#[must_use]
pub fn report_findings(study: &Analysis<'_>) -> Vec<ReportFinding> {
    let of_group = |group: &HeadlineGroup| {
        let duels = group
            .condition
            .map(|setting| headline_comparisons(study, setting, group.sft_condition))
            .unwrap_or_default();
        duels
            .into_iter()
            .map(|duel| report_finding(&group.title, &duel))
            .collect::<Vec<_>>()
    };
    study.headline_groups().iter().flat_map(of_group).collect()
}

fn report_finding(group: &str, duel: &HeadlineComparison) -> ReportFinding {
    let verdict = duel.outcome.verdict;
    let (outcome, relation) = match verdict {
        ComparisonVerdict::Better => (
            "wins",
            format!("is {}", above_or_below(&duel.outcome.difference)),
        ),
        ComparisonVerdict::Worse => (
            "loses",
            format!("is {}", above_or_below(&duel.outcome.difference)),
        ),
        ComparisonVerdict::NoClearDifference => (
            "undecided",
            format!(
                "is not clearly different ({}) from",
                format_points(&duel.outcome.difference)
            ),
        ),
    };
    ReportFinding {
        group: group.to_owned(),
        outcome: outcome.to_owned(),
        sentence: format!("{} {relation} {}.", capitalize_first(&duel.own), duel.other),
    }
}

fn capitalize_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn the_headline_is_computed() {
        let frame = fixtures::sample_data();
        let answers = headline_answers(&Analysis::new(&frame));
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
        let mut frame = fixtures::sample_data();
        for (metric, scores) in frame.scores.values_mut().flatten() {
            if metric.contains("@t") {
                for score in scores {
                    score.1 = 0.0;
                }
            }
        }
        let answers = headline_answers(&Analysis::new(&frame));
        assert!(
            answers[0].sentences[0].starts_with("Nothing is solved: 0.0 % [0.0, "),
            "{:?}",
            answers[0]
        );
        assert_ne!(answers[0].tone, "better");
    }

    #[test]
    fn nothing_finished_means_nothing_said() {
        let mut frame = fixtures::sample_data();
        frame.scores.clear();
        let answers = headline_answers(&Analysis::new(&frame));
        assert_eq!(
            answers[0].sentences,
            ["No run of this group has finished yet, so nothing can be said."]
        );
        assert!(report_findings(&Analysis::new(&frame)).is_empty());
    }
}
