//! Corrections and losses by turn, two panels per headline group.

use super::super::Analysis;
use super::super::format::slug;
use super::super::tables::ReportSection;
use super::turns::panels;
use super::{Chart, Figure, LinePanel};

/// One figure per headline group: what is corrected, and what is lost.
pub fn build(study: &Analysis<'_>) -> Vec<Figure> {
    let gained = panels(study, |turn| format!("wrong-to-right@t{turn}"), 2);
    let lost = panels(study, |turn| format!("right-to-wrong@t{turn}"), 2);
    let figure = |((group, gained), (_, lost)): ((String, LinePanel), (String, LinePanel))| {
        Figure {
        id: format!("flips-{}", slug(&group)),
        section: ReportSection::Turns,
        title: format!("{group}: corrected and lost"),
        caption: "Percent of all problems that changed since the turn before, with 95 % bands: left what was corrected, \
                  right what was spoiled; a model improves where left is above right."
            .to_owned(),
        chart: Chart::Lines {
            x: "turn".to_owned(),
            y: "changed at this turn".to_owned(),
            percent: true,
            panels: vec![
                LinePanel { title: "wrong → right".to_owned(), ..gained },
                LinePanel { title: "right → wrong".to_owned(), ..lost },
            ],
        },
    }
    };
    gained.into_iter().zip(lost).map(figure).collect()
}
