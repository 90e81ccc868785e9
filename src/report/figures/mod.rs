//! Figures as plain data, the registry of those a report has, and their drawing.
//!
//! A figure says which points it shows; `lines`, `intervals` and `forest` draw them. To add one: a file here with
//! a `build` function, and a line in [`FIGURES`].

mod ablations;
mod canvas;
mod curves;
mod flips;
mod forest;
mod intervals;
mod likelihood;
mod lines;
mod png;
mod scale;
mod style;
mod turns;
mod unsolved;
mod votes;

use serde::{Deserialize, Serialize};

use super::format::deduplicate_names;
use super::tables::ReportSection;
use super::{Analysis, ReportError};

pub use png::png;
pub use style::{FONT_BOLD, FONT_REGULAR, inline_svg};

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name of its files.
    pub id: String,
    /// Where it belongs.
    pub section: ReportSection,
    /// What it shows.
    pub title: String,
    /// One sentence on how to read it.
    #[serde(rename = "reading")]
    pub caption: String,
    /// What is drawn.
    pub chart: Chart,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Chart {
    /// Lines over a common kind of axis, in one or more panels.
    Lines {
        /// Name of the horizontal axis.
        x: String,
        /// Name of the vertical axis.
        y: String,
        /// Whether the vertical axis is a percentage.
        percent: bool,
        /// The panels in order.
        panels: Vec<LinePanel>,
    },
    /// Dots with intervals: a row per setting, absolute values at the left and differences at the right.
    Intervals {
        /// Names of the marks of the left half, in order of their style.
        marks: Vec<String>,
        /// What the right half shows.
        difference: String,
        /// The rows in order.
        rows: Vec<IntervalRow>,
    },
    /// One estimate with its interval per row, its margin, and a verdict.
    Forest {
        /// Name of the horizontal axis.
        x: String,
        /// The rows in order.
        rows: Vec<ForestRow>,
    },
}

/// One panel of lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinePanel {
    /// What it shows.
    pub title: String,
    /// Its lines.
    pub lines: Vec<LineSeries>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineSeries {
    /// What the legend calls it; lines of one name share colour, marker and dash in all panels.
    pub name: String,
    /// Its points from left to right.
    pub points: Vec<IntervalPoint>,
}

/// A point with an interval that may have no width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalPoint {
    /// Horizontal position.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// One row of dots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalRow {
    /// A heading above this row.
    pub heading: Option<String>,
    /// What the row is about.
    pub label: String,
    /// Whether the others are compared with it.
    pub baseline: bool,
    /// One value, low, high per mark; none where it is missing.
    pub values: Vec<Option<[f64; 3]>>,
    /// What is said in place of values where there are none.
    #[serde(rename = "without")]
    pub missing_text: String,
    /// Difference, low, high; none for the baseline or where it is missing.
    pub difference: Option<[f64; 3]>,
    /// `better`, `worse`, `no clear difference`, or empty.
    pub verdict: String,
}

/// One row of a forest; numbers are in the unit of its axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForestRow {
    /// A heading above this row.
    pub heading: Option<String>,
    /// What the row is about.
    pub label: String,
    /// Value, low, high.
    pub estimate: [f64; 3],
    /// What it is held against.
    pub margin: f64,
    /// From here on a difference would be of interest.
    #[serde(rename = "worth")]
    pub effect_threshold: f64,
    /// `holds`, `fails` or `under-powered`.
    pub verdict: String,
}

/// Builds figures of one kind from a study: none where there is nothing to show.
pub type FigureBuilder = fn(&Analysis<'_>) -> Vec<Figure>;

/// Every kind of figure, in the order of the page.
pub const FIGURES: &[(&str, FigureBuilder)] = &[
    ("turns", turns::build),
    ("votes", votes::build),
    ("flips", flips::build),
    ("ablations", ablations::build),
    ("unsolved", unsolved::build),
    ("likelihood", likelihood::build),
    ("curves", curves::build),
];

/// Every figure of a study.
#[must_use]
pub fn build_figures(study: &Analysis<'_>) -> Vec<Figure> {
    let mut figures: Vec<Figure> = FIGURES.iter().flat_map(|(_, build)| build(study)).collect();
    deduplicate_names(figures.iter_mut().map(|figure| &mut figure.id));
    figures
}

/// The figure as an SVG document with text as text.
///
/// # Errors
/// If a glyph or a shape cannot be drawn.
pub fn figure_svg(figure: &Figure) -> Result<String, ReportError> {
    let drawn = match &figure.chart {
        Chart::Lines {
            x,
            y,
            percent,
            panels,
        } => lines::draw(x, y, *percent, panels),
        Chart::Intervals {
            marks,
            difference,
            rows,
        } => intervals::draw(marks, difference, rows),
        Chart::Forest { x, rows } => forest::draw(x, rows),
    };
    drawn.map_err(|problem| ReportError::Figure {
        figure: figure.id.clone(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn every_figure_is_drawn_named_once_and_explained() {
        let frame = fixtures::sample_data();
        let figures = build_figures(&Analysis::new(&frame));
        let mut ids: Vec<&str> = figures.iter().map(|figure| figure.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), figures.len());
        for figure in &figures {
            assert!(figure.caption.ends_with('.'), "{}", figure.id);
            let svg = figure_svg(figure).unwrap();
            assert!(
                svg.contains("<text") && svg.contains("Lab Sans"),
                "{}",
                figure.id
            );
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{}",
                figure.id
            );
        }
        for (kind, build) in FIGURES {
            assert!(
                !build(&Analysis::new(&frame)).is_empty(),
                "{kind} shows nothing of the sample"
            );
        }
    }
}
