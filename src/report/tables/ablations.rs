//! One axis at a time: each value's last checkpoint against the baseline value.

use std::collections::BTreeMap;

use crate::stats::{ComparisonVerdict, MeanEstimate, PairedComparison, holm_correction};

use super::super::Analysis;
use super::super::analysis::axis_short_name;
use super::super::format::slug;
use super::{CorrectedComparison, ReportSection, ReportTable, TableCell, TableRow};

/// One axis value within one regime.
#[derive(Clone, Debug, PartialEq)]
pub struct AblationValue {
    /// The regime's name; empty for an axis that itself separates regimes.
    pub regime: String,
    /// The value's label.
    pub label: String,
    /// Whether it is the baseline.
    pub baseline: bool,
    /// The checkpoint that is compared; none where nothing is finished.
    pub checkpoint: Option<String>,
    /// Estimates by metric.
    pub estimates: BTreeMap<String, MeanEstimate>,
    /// Comparisons with the baseline by metric, corrected within the axis.
    pub comparisons: BTreeMap<String, CorrectedComparison>,
}

/// One table per axis that was varied.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    varied_axes(study)
        .into_iter()
        .map(|axis| table(study, axis))
        .collect()
}

/// The axes with at least two values to compare.
pub fn varied_axes<'s>(study: &'s Analysis<'_>) -> Vec<&'s str> {
    let varied = |path: &&str| {
        comparable_conditions(study, path)
            .iter()
            .any(|family| family.len() > 1)
    };
    study
        .axes
        .iter()
        .map(String::as_str)
        .filter(varied)
        .collect()
}

/// Settings that differ in this axis alone, by regime, the baseline value first.
fn comparable_conditions(study: &Analysis<'_>, axis: &str) -> Vec<Vec<usize>> {
    let separates = study.regime_axes.iter().any(|path| path == axis);
    let candidates: Vec<Vec<usize>> = if separates {
        vec![(0..study.conditions.len()).collect()]
    } else {
        study.conditions_by_regime()
    };
    let mut except = vec![axis];
    if !separates {
        except.extend(study.regime_axes.iter().map(String::as_str));
    }
    let family = |members: Vec<usize>| {
        let fits = |&at: &usize| {
            study.axis_value(at, axis).is_some() && study.matches_baseline(at, &except)
        };
        let mut family: Vec<usize> = members.into_iter().filter(fits).collect();
        family.sort_by_key(|&at| {
            (
                study.axis_value(at, axis).as_ref() != study.baseline.get(axis),
                at,
            )
        });
        family
    };
    candidates
        .into_iter()
        .map(family)
        .filter(|family| family.len() > 1)
        .collect()
}

/// Every value of an axis with its comparisons; Holm's correction runs over the values, regimes and
/// metrics of the axis together.
#[must_use]
pub fn ablation_values(study: &Analysis<'_>, axis: &str) -> Vec<AblationValue> {
    let mut values = Vec::new();
    let mut raw: Vec<(usize, String, PairedComparison)> = Vec::new();
    for family in comparable_conditions(study, axis) {
        let baseline = family[0];
        for &setting in &family {
            let is_baseline = study.axis_value(setting, axis).as_ref() == study.baseline.get(axis);
            let last = study.last_checkpoint(setting);
            for metric in study.metric_columns.column_names() {
                let ends = last
                    .zip(study.last_checkpoint(baseline))
                    .filter(|_| setting != baseline);
                let comparison = ends.and_then(|(last, base)| {
                    study.compare((setting, last, metric), (baseline, base, metric))
                });
                raw.extend(
                    comparison.map(|comparison| (values.len(), metric.to_owned(), comparison)),
                );
            }
            values.push(AblationValue {
                regime: if study.regime_axes.iter().any(|path| path == axis) {
                    String::new()
                } else {
                    study.regime_name(setting)
                },
                label: study.axis_value(setting, axis).unwrap_or_default(),
                baseline: is_baseline,
                checkpoint: last.map(str::to_owned),
                estimates: last
                    .map(|last| metric_estimates(study, setting, last))
                    .unwrap_or_default(),
                comparisons: BTreeMap::new(),
            });
        }
    }
    let corrected = holm_correction(
        &raw.iter()
            .map(|(_, _, comparison)| comparison.p)
            .collect::<Vec<_>>(),
    );
    for ((at, metric, comparison), corrected) in raw.into_iter().zip(corrected) {
        let verdict = ComparisonVerdict::from_estimate(&comparison.difference, Some(corrected));
        let PairedComparison {
            difference,
            p,
            min_detectable_effect: detectable,
        } = comparison;
        values[at].comparisons.insert(
            metric,
            CorrectedComparison {
                difference,
                p_value: p,
                corrected_p_value: corrected,
                min_detectable_effect: detectable,
                verdict,
            },
        );
    }
    values
}

fn metric_estimates(
    study: &Analysis<'_>,
    setting: usize,
    checkpoint: &str,
) -> BTreeMap<String, MeanEstimate> {
    let columns = study.metric_columns.column_names().into_iter();
    columns
        .filter_map(|metric| {
            Some((
                metric.to_owned(),
                study.estimate(setting, checkpoint, metric)?,
            ))
        })
        .collect()
}

fn table(study: &Analysis<'_>, axis: &str) -> ReportTable {
    let measures = &study.metric_columns;
    let columns = [
        &measures.sequential,
        &measures.first,
        &measures.parallel,
        &measures.oracle,
    ];
    let mut rows: Vec<TableRow> = Vec::new();
    let mut regime: Option<String> = None;
    for value in ablation_values(study, axis) {
        let mut row = row(&value, columns);
        if regime.as_ref() != Some(&value.regime) && !value.regime.is_empty() {
            row.heading = Some(value.regime.clone());
        }
        regime = Some(value.regime);
        rows.push(row);
    }
    let mut headers = vec!["compared".to_owned()];
    headers.extend(columns.map(Clone::clone));
    ReportTable {
        id: format!("ablation-{}", slug(axis)),
        section: ReportSection::Ablations,
        title: format!("Axis {axis}"),
        caption: caption(&rows),
        label_header: axis_short_name(axis).to_owned(),
        columns: headers,
        rows,
    }
}

fn caption(rows: &[TableRow]) -> String {
    let is_there = rows
        .iter()
        .any(|row| row.cells.contains(&TableCell::dash()));
    let dashes = if is_there {
        "; a dash stands where a method has no such number"
    } else {
        ""
    };
    format!(
        "Percent solved by the last checkpoint with 95 % interval; below it the paired difference to the baseline \
         value, its p value after Holm's correction over this axis, the smallest difference that would have been \
         found with 80 % power, and the verdict{dashes}."
    )
}

/// What is compared, and one cell per metric.
fn row(value: &AblationValue, metrics: [&String; 4]) -> TableRow {
    let compared = value
        .checkpoint
        .as_ref()
        .map_or("not finished".to_owned(), |checkpoint| {
            match value
                .estimates
                .values()
                .map(|estimate| estimate.seeds)
                .max()
            {
                Some(seeds) => format!("{checkpoint}, n seeds = {seeds}"),
                None => checkpoint.clone(),
            }
        });
    let cell = |metric: &String| match (value.estimates.get(metric), value.comparisons.get(metric))
    {
        // Scored, and by a protocol that has no such number.
        (None, _) if value.checkpoint.is_some() => TableCell::dash(),
        (None, _) => TableCell::Missing,
        (Some(estimate), None) if !value.baseline => {
            TableCell::from_fraction(Some(estimate.clone()))
        }
        (Some(estimate), comparison) => TableCell::Comparison {
            estimate: estimate.clone(),
            comparison: comparison.cloned(),
        },
    };
    let cells = std::iter::once(TableCell::Text { text: compared }).chain(metrics.map(cell));
    TableRow::new(value.label.clone(), cells.collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn an_axis_is_compared_within_its_regime_and_with_everything_else_at_baseline() {
        let frame = fixtures::sample_data();
        let study = Analysis::new(&frame);
        assert_eq!(varied_axes(&study), ["base", "weighting", "method"]);
        let values = ablation_values(&study, "weighting");
        let labels: Vec<&str> = values.iter().map(|value| value.label.as_str()).collect();
        assert_eq!(labels, ["exp(0.4)", "uniform"]);
        assert!(values[0].baseline && values[0].comparisons.is_empty());
        // Uniform has one seed, so the comparison is on that seed alone.
        assert_eq!(values[1].comparisons["m1@t5"].difference.seeds, 1);
    }

    #[test]
    fn correction_never_lowers_a_p_value() {
        let frame = fixtures::sample_data();
        let study = Analysis::new(&frame);
        let values = ablation_values(&study, "method");
        let compared = values.iter().flat_map(|value| value.comparisons.values());
        assert!(
            compared.clone().count() == 8
                && compared.clone().all(|c| c.corrected_p_value >= c.p_value)
        );
    }
}
