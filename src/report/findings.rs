//! Computed sentences: the headline of each group, and where RISE wins and loses. The numbers
//! choose every word; a bad result reads as bad.

use serde::{Deserialize, Serialize};

use crate::domain::{CheckpointName, MetricName, plural};
use crate::stats::{ComparisonVerdict, MeanEstimate};

use super::Analysis;
use super::analysis::{CheckpointId, HeadlineGroup};
use super::format::{
    above_or_below, format_percent, format_points, lowercase_first, uppercase_first,
};
use super::tables::{HeadlineComparison, headline_comparisons};

/// Next to nothing is solved if the whole interval is below this fraction.
const NEXT_TO_NOTHING: f64 = 0.02;

/// The headline of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadlineAnswer {
    /// The group.
    pub title: String,
    /// One to four sentences.
    pub sentences: Vec<String>,
    /// `better`, `worse` or `no-clear-difference` for the vote over turns against the first turn;
    /// `missing` without a finished run.
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
pub fn headline_answers(analysis: &Analysis<'_>) -> Vec<HeadlineAnswer> {
    let groups = analysis.headline_groups().into_iter();
    groups
        .map(|group| headline_answer(analysis, group))
        .collect()
}

fn headline_answer(analysis: &Analysis<'_>, group: HeadlineGroup) -> HeadlineAnswer {
    let last = group.condition.and_then(|id| analysis.last_checkpoint(id));
    let answer = last.and_then(|last| headline_sentences(analysis, &last));
    let (sentences, tone) = answer.unwrap_or_else(|| {
        let reason = match group.condition {
            None => "No run of this experiment belongs to this group.",
            Some(_) => "No run of this group has finished yet.",
        };
        (vec![reason.to_owned()], "missing")
    });
    HeadlineAnswer {
        title: group.title,
        sentences,
        tone: tone.to_owned(),
    }
}

fn headline_sentences(
    analysis: &Analysis<'_>,
    last: &CheckpointId,
) -> Option<(Vec<String>, &'static str)> {
    let columns = &analysis.metric_columns;
    let (sequential, parallel, first) = (&columns.sequential, &columns.parallel, &columns.first);
    let estimate = analysis.estimate(&last.metric(sequential))?;
    let against = |checkpoint: &CheckpointId, metric: &MetricName| {
        let comparison =
            analysis.compare(&checkpoint.metric(sequential), &checkpoint.metric(metric));
        comparison.map(|comparison| comparison.difference)
    };
    let gain = against(last, first)?;
    let solved = solved_clause(&estimate, &last.name, sequential, columns.turns);
    let mut sentences = vec![format!(
        "{solved}: {} the same model's first turn ({first}).",
        above_or_below(&gain)
    )];
    if let Some(votes) = against(last, parallel) {
        let samples = columns.samples;
        sentences.push(format!(
            "That is {} its own vote over {samples} parallel first turns ({parallel}).",
            above_or_below(&votes)
        ));
    }
    if !last.name.is_base() {
        let base = CheckpointId::new(last.condition, CheckpointName::BASE);
        sentences.extend(against(&base, first).map(|gain| base_sentence(&gain)));
    }
    sentences.push(sample_size_sentence(&estimate));
    let tone = match ComparisonVerdict::from_estimate(&gain, None) {
        ComparisonVerdict::Better => "better",
        ComparisonVerdict::Worse => "worse",
        ComparisonVerdict::NoClearDifference => "no-clear-difference",
    };
    Some((sentences, tone))
}

fn solved_clause(
    estimate: &MeanEstimate,
    last: &CheckpointName,
    sequential: &MetricName,
    turns: u32,
) -> String {
    let state = if last.is_base() {
        "Untrained".to_owned()
    } else {
        format!("After {last}")
    };
    let solved = format_percent(estimate);
    let little = if estimate.value == 0.0 {
        "Nothing"
    } else if estimate.high < NEXT_TO_NOTHING {
        "Next to nothing"
    } else {
        return format!("{state}, voting over {turns} turns ({sequential}) solves {solved}");
    };
    let state = lowercase_first(&state);
    format!("{little} is solved: {solved} ({sequential}) {state}")
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
    let problems = plural(estimate.problems, "test problem");
    match estimate.std_between_seeds() {
        Some(spread) => format!(
            "{problems}, {} (standard deviation between seeds {:.1} points).",
            plural(estimate.seeds, "training seed"),
            spread * 100.0
        ),
        None => {
            format!("{problems}, one training seed, so the spread between trainings is unknown.")
        }
    }
}

/// Every comparison of every group in a sentence, wins and losses alike.
#[must_use]
pub fn report_findings(analysis: &Analysis<'_>) -> Vec<ReportFinding> {
    let mut findings = Vec::new();
    for group in analysis.headline_groups() {
        let comparisons = headline_comparisons(analysis, &group);
        findings.extend(
            comparisons
                .iter()
                .map(|comparison| report_finding(&group.title, comparison)),
        );
    }
    findings
}

fn report_finding(group: &str, comparison: &HeadlineComparison) -> ReportFinding {
    let difference = &comparison.outcome.difference;
    let (outcome, relation) = match comparison.outcome.verdict {
        ComparisonVerdict::Better => ("wins", above_or_below(difference)),
        ComparisonVerdict::Worse => ("loses", above_or_below(difference)),
        // The interval alone may be clear of zero where the corrected p value is not.
        ComparisonVerdict::NoClearDifference => (
            "undecided",
            format!("not clearly different ({}) from", format_points(difference)),
        ),
    };
    let own = uppercase_first(&comparison.own);
    ReportFinding {
        group: group.to_owned(),
        outcome: outcome.to_owned(),
        sentence: format!("{own} is {relation} {}.", comparison.other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn the_headline_is_computed() {
        let data = fixtures::sample_data();
        let answers = headline_answers(&Analysis::new(&data));
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
        let mut data = fixtures::sample_data();
        for (metric, scores) in data.scores.values_mut().flatten() {
            if metric.contains("@t") {
                for score in scores {
                    score.1 = 0.0;
                }
            }
        }
        let answers = headline_answers(&Analysis::new(&data));
        assert!(
            answers[0].sentences[0].starts_with("Nothing is solved: 0.0 % [0.0, "),
            "{:?}",
            answers[0]
        );
        assert_ne!(answers[0].tone, "better");
    }

    #[test]
    fn nothing_finished_means_nothing_said() {
        let mut data = fixtures::sample_data();
        data.scores.clear();
        let answers = headline_answers(&Analysis::new(&data));
        assert_eq!(
            answers[0].sentences,
            ["No run of this group has finished yet."]
        );
        assert!(report_findings(&Analysis::new(&data)).is_empty());
    }
}
