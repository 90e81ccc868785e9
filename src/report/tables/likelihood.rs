//! How likely the reference solution is, at once and after own attempts (the paper's figure 4).

use super::super::Study;
use super::super::format::Unit;
use super::{Cell, Section, Table, TableRow};

/// One table with a row per setting that was analysed, at its last checkpoint.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    let turns = turns(study);
    if turns == 0 {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for members in study.by_regime() {
        let first = rows.len();
        for &setting in &members {
            let checkpoints = study.checkpoints(setting);
            let base = checkpoints
                .first()
                .filter(|_| setting == members[0])
                .copied();
            let last = study.last(setting);
            rows.extend(
                base.into_iter()
                    .chain(last)
                    .filter_map(|name| row(study, setting, name, turns)),
            );
        }
        let name = study.regime_name(members[0]);
        if let Some(row) = rows.get_mut(first).filter(|_| !name.is_empty()) {
            row.heading = Some(name);
        }
    }
    let after = (2..=turns).map(|turn| format!("after {}", turn - 1));
    vec![Table {
        id: "likelihood".to_owned(),
        section: Section::Analyses,
        title: "Likelihood of the reference solution".to_owned(),
        reading: "Negative log-likelihood of the reference solution in nats per token with the 95 % interval, as the \
                  first answer and after own attempts, the probability averaged over rollouts; lower is more likely."
            .to_owned(),
        head: "checkpoint".to_owned(),
        columns: std::iter::once("setting".to_owned())
            .chain(std::iter::once("at once".to_owned()))
            .chain(after)
            .collect(),
        rows,
    }]
}

/// Turns up to which the likelihood was asked for; 0 where it was not.
#[must_use]
pub fn turns(study: &Study<'_>) -> u32 {
    let names = study.frame.scores.values().flat_map(|scores| scores.keys());
    names
        .filter_map(|name| name.strip_prefix("nll@t")?.parse().ok())
        .max()
        .unwrap_or(0)
}

fn row(study: &Study<'_>, setting: usize, checkpoint: &str, turns: u32) -> Option<TableRow> {
    study.estimate(setting, checkpoint, "nll@t1")?;
    let told = study
        .axes
        .iter()
        .filter(|path| !study.regimes.contains(path));
    let values: Vec<String> = told.filter_map(|path| study.value(setting, path)).collect();
    let setting_name = Cell::Text {
        text: if checkpoint == "base" {
            String::new()
        } else {
            values.join(", ")
        },
    };
    let nats = (1..=turns).map(|turn| {
        Cell::measured(
            study.estimate(setting, checkpoint, &format!("nll@t{turn}")),
            Unit::Nats,
            None,
        )
    });
    Some(TableRow::new(
        checkpoint,
        std::iter::once(setting_name).chain(nats).collect(),
    ))
}
