//! How likely the reference solution is, at once and after own attempts (the paper's figure 4).

use super::super::Analysis;
use super::super::format::DisplayUnit;
use super::{ReportSection, ReportTable, TableCell, TableRow};

/// One table with a row per setting that was analysed, at its last checkpoint.
pub fn build(study: &Analysis<'_>) -> Vec<ReportTable> {
    let turns = turns(study);
    if turns == 0 {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for members in study.conditions_by_regime() {
        let first = rows.len();
        for &setting in &members {
            let checkpoints = study.scored_checkpoints(setting);
            let base = checkpoints
                .first()
                .filter(|_| setting == members[0])
                .copied();
            let last = study.last_checkpoint(setting);
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
    vec![ReportTable {
        id: "likelihood".to_owned(),
        section: ReportSection::Analyses,
        title: "Likelihood of the reference solution".to_owned(),
        caption: "Negative log-likelihood of the reference solution in nats per token with the 95 % interval, as the \
                  first answer and after own attempts, the probability averaged over rollouts; lower is more likely."
            .to_owned(),
        label_header: "checkpoint".to_owned(),
        columns: std::iter::once("setting".to_owned())
            .chain(std::iter::once("at once".to_owned()))
            .chain(after)
            .collect(),
        rows,
    }]
}

/// Turns up to which the likelihood was asked for; 0 where it was not.
#[must_use]
pub fn turns(study: &Analysis<'_>) -> u32 {
    let names = study.data.scores.values().flat_map(|scores| scores.keys());
    names
        .filter_map(|name| name.strip_prefix("nll@t")?.parse().ok())
        .max()
        .unwrap_or(0)
}

fn row(study: &Analysis<'_>, setting: usize, checkpoint: &str, turns: u32) -> Option<TableRow> {
    study.estimate(setting, checkpoint, "nll@t1")?;
    let told = study
        .axes
        .iter()
        .filter(|path| !study.regime_axes.contains(path));
    let values: Vec<String> = told
        .filter_map(|path| study.axis_value(setting, path))
        .collect();
    let setting_name = TableCell::Text {
        text: if checkpoint == "base" {
            String::new()
        } else {
            values.join(", ")
        },
    };
    let nats = (1..=turns).map(|turn| {
        TableCell::from_metric(
            study.estimate(setting, checkpoint, &format!("nll@t{turn}")),
            DisplayUnit::Nats,
            None,
        )
    });
    Some(TableRow::new(
        checkpoint,
        std::iter::once(setting_name).chain(nats).collect(),
    ))
}
