//! Where RISE wins and where it does not: its last round against its rivals.

use crate::domain::CheckpointName;

use super::super::Analysis;
use super::super::analysis::{HeadlineGroup, MeasurementId};
use super::super::format::{DisplayUnit, format_p_value, slug};
use super::{
    CorrectedComparison, ReportSection, ReportTable, TableCell, TableRow, correct_comparisons,
    tables_by_group, text_columns,
};

/// One comparison of a headline group's last round.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadlineComparison {
    /// The side of RISE, e.g. `round 2's m1@t5`.
    pub own: String,
    /// The other side, e.g. `sft's m5@t1`.
    pub other: String,
    /// The outcome, corrected within the group.
    pub outcome: CorrectedComparison,
}

/// The comparisons of a group's last round, Holm-corrected together; empty where there is nothing
/// to compare.
#[must_use]
pub fn headline_comparisons(
    analysis: &Analysis<'_>,
    group: &HeadlineGroup,
) -> Vec<HeadlineComparison> {
    let mut sides = Vec::new();
    let mut comparisons = Vec::new();
    for (own, other) in compared_measurements(analysis, group) {
        if let Some(comparison) = analysis.compare(&own, &other) {
            sides.push(
                [own, other].map(|side| format!("{}'s {}", side.checkpoint.name, side.metric)),
            );
            comparisons.push(comparison);
        }
    }
    let outcomes = correct_comparisons(comparisons);
    let comparisons = sides.into_iter().zip(outcomes);
    comparisons
        .map(|([own, other], outcome)| HeadlineComparison {
            own,
            other,
            outcome,
        })
        .collect()
}

/// The last round's votes against its own first turn, its own parallel vote, the base, the boost and
/// supervised fine-tuning.
fn compared_measurements(
    analysis: &Analysis<'_>,
    group: &HeadlineGroup,
) -> Vec<(MeasurementId, MeasurementId)> {
    let rise = group.condition.filter(|&id| !analysis.is_sft(id));
    let Some((rise, last)) = rise.and_then(|id| Some((id, analysis.last_checkpoint(id)?))) else {
        return Vec::new();
    };
    let [first, parallel, sequential, _] = analysis
        .metric_columns
        .metrics()
        .map(|metric| last.metric(metric));
    let mut pairs = vec![
        (sequential.clone(), first),
        (sequential.clone(), parallel.clone()),
    ];
    let rivals = [
        (Some(rise), CheckpointName::BASE),
        (Some(rise), CheckpointName::BOOST),
        (group.sft_condition, CheckpointName::SFT),
    ];
    let rivals = rivals
        .into_iter()
        .filter(|(_, name)| last.name != *name)
        .filter_map(|(rival, name)| analysis.scored_checkpoint(rival?, name));
    for rival in rivals {
        let [their_sequential, their_parallel] =
            [&sequential, &parallel].map(|own| rival.metric(&own.metric));
        pairs.push((sequential.clone(), their_sequential));
        pairs.push((sequential.clone(), their_parallel.clone()));
        pairs.push((parallel.clone(), their_parallel));
    }
    pairs
}

/// One table per headline group that has a RISE round.
pub fn build(analysis: &Analysis<'_>) -> Vec<ReportTable> {
    tables_by_group(analysis, table)
}

fn table(analysis: &Analysis<'_>, group: &HeadlineGroup) -> Option<ReportTable> {
    let comparisons = headline_comparisons(analysis, group);
    let rows: Vec<TableRow> = comparisons.into_iter().map(row).collect();
    (!rows.is_empty()).then(|| ReportTable {
        id: format!("regime-{}", slug(&group.title)),
        section: ReportSection::Regimes,
        title: group.title.clone(),
        caption:
            "Paired difference in points on the same problems and seeds, with its 95 % interval; \
                  its p value after Holm's correction over this table; the smallest difference \
                  detectable with 80 % power; and the verdict for RISE."
                .to_owned(),
        label_header: "RISE".to_owned(),
        columns: text_columns(["against", "difference", "p (Holm)", "detectable", "verdict"]),
        rows,
    })
}

fn row(comparison: HeadlineComparison) -> TableRow {
    let outcome = comparison.outcome;
    let detectable = match outcome.min_detectable_effect {
        None => TableCell::dash(),
        Some(effect) => {
            TableCell::text(format!("≥ {}", DisplayUnit::Fraction.format_value(effect)))
        }
    };
    let cells = vec![
        TableCell::text(comparison.other),
        TableCell::Difference {
            difference: outcome.difference,
            verdict: Some(outcome.verdict),
        },
        TableCell::text(format_p_value(outcome.corrected_p_value)),
        detectable,
        TableCell::text(outcome.verdict.label()),
    ];
    TableRow::new(comparison.own, cells)
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn rise_meets_itself_its_base_and_supervised_fine_tuning() {
        let data = fixtures::sample_data();
        let analysis = Analysis::new(&data);
        let comparisons = headline_comparisons(&analysis, &analysis.headline_groups()[0]);
        let pairs: Vec<String> = comparisons
            .iter()
            .map(|comparison| format!("{} | {}", comparison.own, comparison.other))
            .collect();
        assert_eq!(pairs[1], "round 2's m1@t5 | round 2's m5@t1");
        assert!(
            pairs.contains(&"round 2's m1@t5 | sft's m5@t1".to_owned()),
            "{pairs:?}"
        );
        assert_eq!(comparisons.len(), 8);
    }
}
