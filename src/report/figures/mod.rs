//! Figures as plain data, the registry of those a report has, and their drawing.
//!
//! A figure holds its points; `lines`, `intervals` and `forest` draw them. To add one: a file here
//! with a `build` function, and a line in [`FIGURES`].

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

use crate::domain::MetricName;
use crate::stats::MeanEstimate;

use super::analysis::{CheckpointId, HeadlineGroup};
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
    /// Its section.
    pub section: ReportSection,
    /// Its title.
    pub title: String,
    /// One sentence on how to read it.
    #[serde(rename = "reading")]
    pub caption: String,
    /// Its drawing.
    pub chart: Chart,
}

/// The drawing of a figure.
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
    /// Dots with intervals: a row per condition, values at the left and differences at the right.
    Intervals {
        /// Names of the marks of the left half, in order of their style.
        marks: Vec<String>,
        /// Name of the axis of the right half.
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
    /// Its title.
    pub title: String,
    /// Its lines.
    pub lines: Vec<LineSeries>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineSeries {
    /// Its name in the legend; lines of one name share colour, marker and dash in all panels.
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

impl IntervalPoint {
    /// An estimate at a horizontal position.
    fn new(x: f64, estimate: &MeanEstimate) -> Self {
        Self {
            x,
            y: estimate.value,
            low: estimate.low,
            high: estimate.high,
        }
    }
}

/// A value with its interval, written as `[value, low, high]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 3]", into = "[f64; 3]")]
pub struct ValueInterval {
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl ValueInterval {
    /// The three numbers after a change of unit or scale.
    fn map<T>(self, convert: impl Fn(f64) -> T) -> [T; 3] {
        [self.value, self.low, self.high].map(convert)
    }
}

impl From<[f64; 3]> for ValueInterval {
    fn from([value, low, high]: [f64; 3]) -> Self {
        Self { value, low, high }
    }
}

impl From<ValueInterval> for [f64; 3] {
    fn from(interval: ValueInterval) -> Self {
        [interval.value, interval.low, interval.high]
    }
}

impl From<&MeanEstimate> for ValueInterval {
    fn from(estimate: &MeanEstimate) -> Self {
        [estimate.value, estimate.low, estimate.high].into()
    }
}

/// One row of dots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalRow {
    /// A heading above this row.
    pub heading: Option<String>,
    /// Its label.
    pub label: String,
    /// Whether the others are compared with it.
    pub baseline: bool,
    /// One value per mark; none where it is missing.
    pub values: Vec<Option<ValueInterval>>,
    /// The text where all values are missing.
    #[serde(rename = "without")]
    pub missing_text: String,
    /// The difference to the baseline; none for the baseline itself or where it is missing.
    pub difference: Option<ValueInterval>,
    /// `better`, `worse`, `no clear difference`, or empty.
    pub verdict: String,
}

/// One row of a forest; numbers are in the unit of its axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForestRow {
    /// A heading above this row.
    pub heading: Option<String>,
    /// Its label.
    pub label: String,
    /// The estimate.
    pub estimate: ValueInterval,
    /// The value that it must pass.
    pub margin: f64,
    /// The smallest effect of interest beyond the margin.
    #[serde(rename = "worth")]
    pub effect_threshold: f64,
    /// `holds`, `fails` or `under-powered`.
    pub verdict: String,
}

impl Figure {
    /// The figure, unless it is one of lines and has no panel.
    fn unless_empty(self) -> Vec<Self> {
        match &self.chart {
            Chart::Lines { panels, .. } if panels.is_empty() => Vec::new(),
            _ => vec![self],
        }
    }
}

/// The panel of every headline group with lines.
fn panels_by_group(
    analysis: &Analysis<'_>,
    lines_of: impl Fn(&HeadlineGroup) -> Vec<LineSeries>,
) -> Vec<LinePanel> {
    let panels = analysis
        .headline_groups()
        .into_iter()
        .map(|group| LinePanel {
            lines: lines_of(&group),
            title: group.title,
        });
    panels.filter(|panel| !panel.lines.is_empty()).collect()
}

/// The line of a checkpoint through metrics at horizontal positions, where they were measured.
fn series(
    analysis: &Analysis<'_>,
    name: &str,
    checkpoint: &CheckpointId,
    metrics: impl Iterator<Item = (u32, MetricName)>,
) -> LineSeries {
    let points = metrics.filter_map(|(x, metric)| {
        let estimate = analysis.estimate(&checkpoint.metric(metric))?;
        Some(IntervalPoint::new(f64::from(x), &estimate))
    });
    LineSeries {
        name: name.to_owned(),
        points: points.collect(),
    }
}

/// Builds the figures of one kind; none where there is nothing to show.
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

/// Every figure of a report.
#[must_use]
pub fn build_figures(analysis: &Analysis<'_>) -> Vec<Figure> {
    let mut figures: Vec<Figure> = FIGURES
        .iter()
        .flat_map(|(_, build)| build(analysis))
        .collect();
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
        let data = fixtures::sample_data();
        let figures = build_figures(&Analysis::new(&data));
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
                !build(&Analysis::new(&data)).is_empty(),
                "{kind} shows nothing of the sample"
            );
        }
    }
}
