//! One axis at a time: each value's last checkpoint against the baseline value.

use std::collections::BTreeMap;

use crate::stats::{Comparison, Estimate, Verdict, holm};

use super::super::Study;
use super::super::format::slug;
use super::super::study::last_part;
use super::{Cell, Compared, Section, Table, TableRow};

/// One axis value within one regime.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The regime's name; empty for an axis that itself separates regimes.
    pub regime: String,
    /// The value's label.
    pub label: String,
    /// Whether it is the baseline.
    pub baseline: bool,
    /// The checkpoint that is compared; none where nothing is finished.
    pub checkpoint: Option<String>,
    /// Estimates by metric.
    pub estimates: BTreeMap<String, Estimate>,
    /// Comparisons with the baseline by metric, corrected within the axis.
    pub compared: BTreeMap<String, Compared>,
}

/// One table per axis that was varied.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    ablated(study)
        .into_iter()
        .map(|axis| table(study, axis))
        .collect()
}

/// The axes with at least two values to compare.
pub fn ablated<'s>(study: &'s Study<'_>) -> Vec<&'s str> {
    let varied = |path: &&str| families(study, path).iter().any(|family| family.len() > 1);
    study
        .axes
        .iter()
        .map(String::as_str)
        .filter(varied)
        .collect()
}

/// Settings that differ in this axis alone, by regime, the baseline value first.
fn families(study: &Study<'_>, axis: &str) -> Vec<Vec<usize>> {
    let separates = study.regimes.iter().any(|path| path == axis);
    let candidates: Vec<Vec<usize>> = if separates {
        vec![(0..study.settings.len()).collect()]
    } else {
        study.by_regime()
    };
    let mut except = vec![axis];
    if !separates {
        except.extend(study.regimes.iter().map(String::as_str));
    }
    let family = |members: Vec<usize>| {
        let fits = |&at: &usize| study.value(at, axis).is_some() && study.at_baseline(at, &except);
        let mut family: Vec<usize> = members.into_iter().filter(fits).collect();
        family.sort_by_key(|&at| {
            (
                study.value(at, axis).as_ref() != study.baseline.get(axis),
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
pub fn values(study: &Study<'_>, axis: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut raw: Vec<(usize, String, Comparison)> = Vec::new();
    for family in families(study, axis) {
        let baseline = family[0];
        for &setting in &family {
            let is_baseline = study.value(setting, axis).as_ref() == study.baseline.get(axis);
            let last = study.last(setting);
            for metric in study.measures.columns() {
                let ends = last
                    .zip(study.last(baseline))
                    .filter(|_| setting != baseline);
                let comparison = ends.and_then(|(last, base)| {
                    study.compare((setting, last, metric), (baseline, base, metric))
                });
                raw.extend(
                    comparison.map(|comparison| (values.len(), metric.to_owned(), comparison)),
                );
            }
            values.push(Value {
                regime: if study.regimes.iter().any(|path| path == axis) {
                    String::new()
                } else {
                    study.regime_name(setting)
                },
                label: study.value(setting, axis).unwrap_or_default(),
                baseline: is_baseline,
                checkpoint: last.map(str::to_owned),
                estimates: last
                    .map(|last| estimates(study, setting, last))
                    .unwrap_or_default(),
                compared: BTreeMap::new(),
            });
        }
    }
    let corrected = holm(
        &raw.iter()
            .map(|(_, _, comparison)| comparison.p)
            .collect::<Vec<_>>(),
    );
    for ((at, metric, comparison), corrected) in raw.into_iter().zip(corrected) {
        let verdict = Verdict::of(&comparison.difference, Some(corrected));
        let Comparison {
            difference,
            p,
            detectable,
        } = comparison;
        values[at].compared.insert(
            metric,
            Compared {
                difference,
                p,
                corrected,
                detectable,
                verdict,
            },
        );
    }
    values
}

fn estimates(study: &Study<'_>, setting: usize, checkpoint: &str) -> BTreeMap<String, Estimate> {
    let columns = study.measures.columns().into_iter();
    columns
        .filter_map(|metric| {
            Some((
                metric.to_owned(),
                study.estimate(setting, checkpoint, metric)?,
            ))
        })
        .collect()
}

fn table(study: &Study<'_>, axis: &str) -> Table {
    let measures = &study.measures;
    let columns = [
        &measures.sequential,
        &measures.first,
        &measures.parallel,
        &measures.oracle,
    ];
    let mut rows: Vec<TableRow> = Vec::new();
    let mut regime: Option<String> = None;
    for value in values(study, axis) {
        let mut row = row(&value, columns);
        if regime.as_ref() != Some(&value.regime) && !value.regime.is_empty() {
            row.heading = Some(value.regime.clone());
        }
        regime = Some(value.regime);
        rows.push(row);
    }
    let mut headers = vec!["compared".to_owned()];
    headers.extend(columns.map(Clone::clone));
    Table {
        id: format!("ablation-{}", slug(axis)),
        section: Section::Ablations,
        title: format!("Axis {axis}"),
        reading: reading(&rows),
        head: last_part(axis).to_owned(),
        columns: headers,
        rows,
    }
}

fn reading(rows: &[TableRow]) -> String {
    let is_there = rows.iter().any(|row| row.cells.contains(&Cell::dash()));
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
fn row(value: &Value, metrics: [&String; 4]) -> TableRow {
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
    let cell = |metric: &String| match (value.estimates.get(metric), value.compared.get(metric)) {
        // Scored, and by a protocol that has no such number.
        (None, _) if value.checkpoint.is_some() => Cell::dash(),
        (None, _) => Cell::Missing,
        (Some(estimate), None) if !value.baseline => Cell::fraction(Some(estimate.clone())),
        (Some(estimate), comparison) => Cell::Compared {
            estimate: estimate.clone(),
            comparison: comparison.cloned(),
        },
    };
    let cells = std::iter::once(Cell::Text { text: compared }).chain(metrics.map(cell));
    TableRow::new(value.label.clone(), cells.collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn an_axis_is_compared_within_its_regime_and_with_everything_else_at_baseline() {
        let frame = sample::frame();
        let study = Study::of(&frame);
        assert_eq!(ablated(&study), ["base", "weighting", "method"]);
        let values = values(&study, "weighting");
        let labels: Vec<&str> = values.iter().map(|value| value.label.as_str()).collect();
        assert_eq!(labels, ["exp(0.4)", "uniform"]);
        assert!(values[0].baseline && values[0].compared.is_empty());
        // Uniform has one seed, so the comparison is on that seed alone.
        assert_eq!(values[1].compared["m1@t5"].difference.seeds, 1);
    }

    #[test]
    fn correction_never_lowers_a_p_value() {
        let frame = sample::frame();
        let study = Study::of(&frame);
        let values = values(&study, "method");
        let compared = values.iter().flat_map(|value| value.compared.values());
        assert!(compared.clone().count() == 8 && compared.clone().all(|c| c.corrected >= c.p));
    }
}
