//! Every setting's last checkpoint side by side: the systems that an experiment compares.

use super::super::Study;
use super::super::format::Unit;
use super::{Cell, Section, Table, TableRow};

/// More settings than this are a search, not a comparison.
const MOST: usize = 40;

/// One table with a row per setting, grouped by regime; none where there is nothing to compare.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    if !(2..=MOST).contains(&study.settings.len()) {
        return Vec::new();
    }
    let columns = columns(study);
    let mut rows = Vec::new();
    for members in study.by_regime() {
        let first = rows.len();
        rows.extend(members.iter().filter_map(|&setting| row(study, setting, &columns)));
        let name = study.regime_name(members[0]);
        if let Some(row) = rows.get_mut(first).filter(|_| !name.is_empty()) {
            row.heading = Some(name);
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let turns = study.measures.turns;
    vec![Table {
        id: "settings".to_owned(),
        section: Section::Main,
        title: "Every setting".to_owned(),
        reading: format!(
            "The last checkpoint of every setting: percent of problems solved with the 95 % interval; equal-tokens@t1 \
             votes over as many first attempts as cost the tokens of {turns} turns, tokens are those sampled per attempt."
        ),
        head: "setting".to_owned(),
        columns: std::iter::once("checkpoint".to_owned()).chain(columns).collect(),
        rows,
    }]
}

/// The paper's columns, the baseline at equal tokens where there is one, and the length of attempts.
fn columns(study: &Study<'_>) -> Vec<String> {
    let paper = study.measures.columns().map(str::to_owned).into_iter();
    let known = |metric: &str| study.frame.scores.values().any(|scores| scores.contains_key(metric));
    let further = ["equal-tokens@t1", "tokens"].into_iter().filter(|metric| known(metric));
    paper.chain(further.map(str::to_owned)).collect()
}

fn row(study: &Study<'_>, setting: usize, columns: &[String]) -> Option<TableRow> {
    let last = study.last(setting)?;
    let cell = |metric: &String| {
        let unit = if metric == "tokens" { Unit::Count } else { Unit::Fraction };
        Cell::measured(study.estimate(setting, last, metric), unit, None)
    };
    let text = Cell::Text { text: last.to_owned() };
    Some(TableRow::new(
        label(study, setting),
        std::iter::once(text).chain(columns.iter().map(cell)).collect(),
    ))
}

/// The values that tell a setting from others of its regime.
fn label(study: &Study<'_>, setting: usize) -> String {
    let told = study.axes.iter().filter(|path| !study.regimes.contains(path));
    let values: Vec<String> = told.filter_map(|path| study.value(setting, path)).collect();
    if values.is_empty() { "the one setting".to_owned() } else { values.join(", ") }
}
