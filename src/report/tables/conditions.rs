//! Every setting's last checkpoint side by side: the systems that an experiment compares.

use super::super::Analysis;
use super::super::analysis::axis_short_name;
use super::super::metric_columns::{EQUAL_TOKENS, EQUAL_TOKENS_SHORTAGE};
use crate::stats::MeanEstimate;

use super::{ReportSection, ReportTable, TableCell, TableRow};

/// The column of methods whose answer a verifier chooses.
const CHOSEN: &str = "chosen";
/// More settings than this are a search, not a comparison.
const MAX_CONDITIONS: usize = 40;

/// One table with a row per setting, grouped by regime; none where there is nothing to compare.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    if !(2..=MAX_CONDITIONS).contains(&study.conditions.len()) {
        return Vec::new();
    }
    let columns = column_names(study);
    let mut rows = Vec::new();
    for members in study.conditions_by_regime() {
        let first = rows.len();
        rows.extend(
            members
                .iter()
                .filter_map(|&setting| row(study, setting, &columns)),
        );
        let name = study.regime_name(members[0]);
        if let Some(row) = rows.get_mut(first).filter(|_| !name.is_empty()) {
            row.heading = Some(name);
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    vec![ReportTable {
        id: "settings".to_owned(),
        section: ReportSection::Main,
        title: "Every setting".to_owned(),
        caption: caption(study, &columns),
        label_header: "setting".to_owned(),
        columns: std::iter::once("checkpoint".to_owned())
            .chain(columns)
            .collect(),
        rows,
    }]
}

/// What the columns that are there mean.
fn caption(study: &Analysis<'_>, columns: &[String]) -> String {
    let turns = study.metric_columns.turns;
    let mut parts = vec![
        "The last checkpoint of every setting: percent of problems solved with the 95 % interval"
            .to_owned(),
    ];
    let there = |name: &str| columns.iter().any(|column| column == name);
    if there(EQUAL_TOKENS) {
        parts.push(format!(
            "{EQUAL_TOKENS} votes over as many first attempts as cost the tokens of {turns} turns{}",
            shortage_note(study)
        ));
    }
    if there(CHOSEN) {
        parts.push(format!(
            "{CHOSEN} is what a verifier picks among all samples, or among a draft and its refinements"
        ));
    }
    parts.push("a dash stands where a method has no such number.".to_owned());
    parts.join("; ")
}

/// How often the vote at equal tokens had fewer attempts than it could afford, where that is known.
fn shortage_note(study: &Analysis<'_>) -> String {
    let shares: Option<Vec<f64>> = (0..study.conditions.len())
        .filter_map(|setting| Some((setting, study.last_checkpoint(setting)?)))
        .filter(|&(setting, last)| study.estimate(setting, last, EQUAL_TOKENS).is_some())
        .map(|(setting, last)| Some(study.estimate(setting, last, EQUAL_TOKENS_SHORTAGE)?.value))
        .collect();
    match shares.map(|shares| shares.into_iter().fold(0.0, f64::max)) {
        None => ", at most all that were drawn".to_owned(),
        Some(most) if most > 0.0 => {
            let most = most * 100.0;
            format!(", at most all that were drawn: too few on up to {most:.1} % of the problems")
        }
        Some(_) => String::new(),
    }
}

/// The paper's columns, the baseline at equal tokens, and what a verifier chooses.
fn column_names(study: &Analysis<'_>) -> Vec<String> {
    let paper = study
        .metric_columns
        .column_names()
        .map(str::to_owned)
        .into_iter();
    let known = |metric: &str| {
        study
            .data
            .scores
            .values()
            .any(|scores| scores.contains_key(metric))
    };
    let choosing = known("best-of-1") || known("reranked-of-3");
    let further = [(EQUAL_TOKENS, known(EQUAL_TOKENS)), (CHOSEN, choosing)];
    paper
        .chain(
            further
                .into_iter()
                .filter(|(_, there)| *there)
                .map(|(name, _)| name.to_owned()),
        )
        .collect()
}

fn row(study: &Analysis<'_>, setting: usize, columns: &[String]) -> Option<TableRow> {
    let last = study.last_checkpoint(setting)?;
    let number = |estimate: Option<MeanEstimate>| match estimate {
        None => TableCell::dash(),
        known => TableCell::from_fraction(known),
    };
    let cell = |metric: &String| number(study.estimate(setting, last, metric));
    let text = TableCell::Text {
        text: last.to_owned(),
    };
    let mut cells: Vec<TableCell> = std::iter::once(text)
        .chain(columns.iter().map(cell))
        .collect();
    if let Some(place) = columns.iter().position(|column| column == CHOSEN) {
        cells[place + 1] = number(verifier_choice(study, setting, last));
    }
    Some(TableRow::new(condition_label(study, setting), cells))
}

/// What a setting has on other axes than the baseline does; the baseline is called by its value where
/// there is one such axis.
fn condition_label(study: &Analysis<'_>, setting: usize) -> String {
    let axes: Vec<&String> = study
        .axes
        .iter()
        .filter(|path| !study.regime_axes.contains(path))
        .collect();
    let named = |path: &str| {
        Some(format!(
            "{} = {}",
            axis_short_name(path),
            study.axis_value(setting, path)?
        ))
    };
    let differs = |path: &str| study.axis_value(setting, path).as_ref() != study.baseline.get(path);
    let values: Vec<String> = axes
        .iter()
        .filter(|path| differs(path))
        .filter_map(|path| named(path))
        .collect();
    match axes[..] {
        _ if !values.is_empty() => values.join(", "),
        [only] => named(only).map_or_else(
            || "baseline".to_owned(),
            |name| format!("{name} (baseline)"),
        ),
        _ => "baseline".to_owned(),
    }
}

/// What a verifier chooses at a setting's last checkpoint: among the most samples, or among a draft
/// and its refinements.
fn verifier_choice(study: &Analysis<'_>, setting: usize, last: &str) -> Option<MeanEstimate> {
    let names = study.data.scores.values().flat_map(|scores| scores.keys());
    let ranked = names
        .filter_map(|name| name.strip_prefix("best-of-")?.parse::<u32>().ok())
        .max();
    let best =
        ranked.and_then(|samples| study.estimate(setting, last, &format!("best-of-{samples}")));
    best.or_else(|| study.estimate(setting, last, "reranked-of-3"))
}
