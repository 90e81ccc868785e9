//! Corrections and losses by turn, two panels per headline group.

use super::super::Analysis;
use super::super::format::slug;
use super::super::tables::ReportSection;
use super::turns::panels;
use super::{Chart, Figure, LinePanel};

/// One figure per headline group: corrections and losses.
pub fn build(analysis: &Analysis<'_>) -> Vec<Figure> {
    let gained = panels(analysis, "wrong-to-right", 2);
    let lost = panels(analysis, "right-to-wrong", 2);
    gained.into_iter().zip(lost).map(figure).collect()
}

fn figure((gained, lost): (LinePanel, LinePanel)) -> Figure {
    Figure {
        id: format!("flips-{}", slug(&gained.title)),
        section: ReportSection::Turns,
        title: format!("{}: corrected and lost", gained.title),
        caption: "Percent of all problems that changed since the turn before, with 95 % bands: \
                  corrected at the left, spoiled at the right. A model improves where left is above \
                  right."
            .to_owned(),
        chart: Chart::Lines {
            x: "turn".to_owned(),
            y: "changed at this turn".to_owned(),
            percent: true,
            panels: [("wrong → right", gained), ("right → wrong", lost)]
                .map(|(title, panel)| LinePanel {
                    title: title.to_owned(),
                    ..panel
                })
                .into(),
        },
    }
}
