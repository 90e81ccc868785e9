//! Corrections and losses by turn, two panels per headline group.

use super::super::Study;
use super::super::format::slug;
use super::super::tables::Section;
use super::turns::panels;
use super::{Chart, Figure, Panel};

/// One figure per headline group: what is corrected, and what is lost.
pub fn build(study: &Study<'_>) -> Vec<Figure> {
    let gained = panels(study, |turn| format!("wrong-to-right@t{turn}"), 2);
    let lost = panels(study, |turn| format!("right-to-wrong@t{turn}"), 2);
    let figure = |((group, gained), (_, lost)): ((String, Panel), (String, Panel))| {
        Figure {
        id: format!("flips-{}", slug(&group)),
        section: Section::Turns,
        title: format!("{group}: corrected and lost"),
        reading: "Percent of all problems that changed since the turn before, with 95 % bands: left what was corrected, \
                  right what was spoiled; a model improves where left is above right."
            .to_owned(),
        chart: Chart::Lines {
            x: "turn".to_owned(),
            y: "changed at this turn".to_owned(),
            percent: true,
            panels: vec![
                Panel { title: "wrong → right".to_owned(), ..gained },
                Panel { title: "right → wrong".to_owned(), ..lost },
            ],
        },
    }
    };
    gained.into_iter().zip(lost).map(figure).collect()
}
