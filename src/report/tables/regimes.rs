//! Where RISE wins and where it does not: its last round against what it competes with.

use crate::stats::{Comparison, Verdict, holm};

use super::super::Study;
use super::super::format::{Unit, p_value, slug};
use super::super::study::Measured;
use super::{Cell, Compared, Section, Table, TableRow};

/// One comparison of a headline group's last round.
#[derive(Clone, Debug, PartialEq)]
pub struct Duel {
    /// What RISE brings, e.g. `round 2's m1@t5`.
    pub own: String,
    /// What it is compared with, e.g. `sft's m5@t1`.
    pub other: String,
    /// The outcome, corrected within the group.
    pub outcome: Compared,
}

/// The comparisons of a setting's last round, Holm-corrected together; empty where there is nothing to
/// compare.
#[must_use]
pub fn duels(study: &Study<'_>, setting: usize, sft: Option<usize>) -> Vec<Duel> {
    let Some(last) = study.last(setting).filter(|_| !study.is_sft(setting)) else {
        return Vec::new();
    };
    let measures = &study.measures;
    let (sequential, parallel) = (measures.sequential.as_str(), measures.parallel.as_str());
    let mut pairs: Vec<(Measured<'_>, Measured<'_>)> = vec![
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
            rival.filter(|&rival| study.checkpoints(rival).contains(&name) && name != last)
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
    let corrected = holm(
        &made
            .iter()
            .map(|(_, _, comparison)| comparison.p)
            .collect::<Vec<_>>(),
    );
    let duel =
        |((own, other, comparison), corrected): ((Measured<'_>, Measured<'_>, Comparison), f64)| {
            let verdict = Verdict::of(&comparison.difference, Some(corrected));
            let Comparison {
                difference,
                p,
                detectable,
            } = comparison;
            Duel {
                own: format!("{}'s {}", own.1, own.2),
                other: format!("{}'s {}", other.1, other.2),
                outcome: Compared {
                    difference,
                    p,
                    corrected,
                    detectable,
                    verdict,
                },
            }
        };
    made.into_iter().zip(corrected).map(duel).collect()
}

/// One table per headline group that has a RISE round.
pub fn build(study: &Study<'_>) -> Vec<Table> {
    let tables = study.groups().into_iter().filter_map(|group| {
        let rows: Vec<TableRow> = duels(study, group.setting?, group.sft).iter().map(row).collect();
        (!rows.is_empty()).then(|| Table {
            id: format!("regime-{}", slug(&group.title)),
            section: Section::Regimes,
            title: group.title.clone(),
            reading: "Paired difference in points on the same problems and seeds, with its 95 % interval, its p value \
                      after Holm's correction over this table, the smallest difference that would have been found \
                      with 80 % power, and what it means for RISE."
                .to_owned(),
            head: "RISE".to_owned(),
            columns: ["against", "difference", "p (Holm)", "finds", "verdict"].map(str::to_owned).to_vec(),
            rows,
        })
    });
    tables.collect()
}

fn row(duel: &Duel) -> TableRow {
    let outcome = &duel.outcome;
    let text = |text: String| Cell::Text { text };
    let detectable = outcome.detectable.map_or("–".to_owned(), |x| {
        format!("≥ {}", Unit::Fraction.number(x))
    });
    TableRow::new(
        duel.own.clone(),
        vec![
            text(duel.other.clone()),
            Cell::Difference {
                difference: outcome.difference.clone(),
                verdict: Some(outcome.verdict),
            },
            text(p_value(outcome.corrected)),
            text(detectable),
            text(outcome.verdict.word().to_owned()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn rise_meets_itself_its_base_and_supervised_fine_tuning() {
        let frame = sample::frame();
        let study = Study::of(&frame);
        let duels = duels(&study, 0, Some(2));
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
