//! Where RISE wins and where it does not: its last round against what it competes with.

use crate::stats::{ComparisonVerdict, PairedComparison, holm_correction};

use super::super::Analysis;
use super::super::analysis::MeasurementRef;
use super::super::format::{DisplayUnit, format_p_value, slug};
use super::{CorrectedComparison, ReportSection, ReportTable, TableCell, TableRow};

/// One comparison of a headline group's last round.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadlineComparison {
    /// What RISE brings, e.g. `round 2's m1@t5`.
    pub own: String,
    /// What it is compared with, e.g. `sft's m5@t1`.
    pub other: String,
    /// The outcome, corrected within the group.
    pub outcome: CorrectedComparison,
}

/// The comparisons of a setting's last round, Holm-corrected together; empty where there is nothing to
/// compare.
#[must_use]
pub fn headline_comparisons(
    study: &Analysis<'_>,
    setting: usize,
    sft: Option<usize>,
) -> Vec<HeadlineComparison> {
    let Some(last) = study
        .last_checkpoint(setting)
        .filter(|_| !study.is_sft(setting))
    else {
        return Vec::new();
    };
    let measures = &study.metric_columns;
    let (sequential, parallel) = (measures.sequential.as_str(), measures.parallel.as_str());
    let mut pairs: Vec<(MeasurementRef<'_>, MeasurementRef<'_>)> = vec![
        (
            (setting, last, sequential),
            (setting, last, measures.first.as_str()),
        ),
        ((setting, last, sequential), (setting, last, parallel)),
    ];
    let rivals = [
        (Some(setting), "base"),
        (Some(setting), "boost"),
        (sft, "sft"),
    ];
    for (rival, name) in rivals {
        let Some(rival) =
            rival.filter(|&rival| study.scored_checkpoints(rival).contains(&name) && name != last)
        else {
            continue;
        };
        pairs.push(((setting, last, sequential), (rival, name, sequential)));
        pairs.push(((setting, last, sequential), (rival, name, parallel)));
        pairs.push(((setting, last, parallel), (rival, name, parallel)));
    }
    let made = pairs
        .into_iter()
        .filter_map(|(own, other)| Some((own, other, study.compare(own, other)?)));
    let made: Vec<_> = made.collect();
    let corrected = holm_correction(
        &made
            .iter()
            .map(|(_, _, comparison)| comparison.p)
            .collect::<Vec<_>>(),
    );
    let duel = |((own, other, comparison), corrected): (
        (MeasurementRef<'_>, MeasurementRef<'_>, PairedComparison),
        f64,
    )| {
        let verdict = ComparisonVerdict::from_estimate(&comparison.difference, Some(corrected));
        let PairedComparison {
            difference,
            p,
            min_detectable_effect: detectable,
        } = comparison;
        HeadlineComparison {
            own: format!("{}'s {}", own.1, own.2),
            other: format!("{}'s {}", other.1, other.2),
            outcome: CorrectedComparison {
                difference,
                p_value: p,
                corrected_p_value: corrected,
                min_detectable_effect: detectable,
                verdict,
            },
        }
    };
    made.into_iter().zip(corrected).map(duel).collect()
}

/// One table per headline group that has a RISE round.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    let tables = study.headline_groups().into_iter().filter_map(|group| {
        let rows: Vec<TableRow> = headline_comparisons(study, group.condition?, group.sft_condition).iter().map(row).collect();
        (!rows.is_empty()).then(|| ReportTable {
            id: format!("regime-{}", slug(&group.title)),
            section: ReportSection::Regimes,
            title: group.title.clone(),
            caption: "Paired difference in points on the same problems and seeds, with its 95 % interval, its p value \
                      after Holm's correction over this table, the smallest difference that would have been found \
                      with 80 % power, and what it means for RISE."
                .to_owned(),
            label_header: "RISE".to_owned(),
            columns: ["against", "difference", "p (Holm)", "finds", "verdict"].map(str::to_owned).to_vec(),
            rows,
        })
    });
    tables.collect()
}

fn row(duel: &HeadlineComparison) -> TableRow {
    let outcome = &duel.outcome;
    let text = |text: String| TableCell::Text { text };
    let detectable = outcome.min_detectable_effect.map_or("–".to_owned(), |x| {
        format!("≥ {}", DisplayUnit::Fraction.format_value(x))
    });
    TableRow::new(
        duel.own.clone(),
        vec![
            text(duel.other.clone()),
            TableCell::Difference {
                difference: outcome.difference.clone(),
                verdict: Some(outcome.verdict),
            },
            text(format_p_value(outcome.corrected_p_value)),
            text(detectable),
            text(outcome.verdict.label().to_owned()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn rise_meets_itself_its_base_and_supervised_fine_tuning() {
        let frame = fixtures::sample_data();
        let study = Analysis::new(&frame);
        let duels = headline_comparisons(&study, 0, Some(2));
        let pairs: Vec<String> = duels
            .iter()
            .map(|duel| format!("{} | {}", duel.own, duel.other))
            .collect();
        assert_eq!(pairs[1], "round 2's m1@t5 | round 2's m5@t1");
        assert!(
            pairs.contains(&"round 2's m1@t5 | sft's m5@t1".to_owned()),
            "{pairs:?}"
        );
        assert_eq!(duels.len(), 8);
    }
}
