//! Draws dots with intervals: values at the left, differences to the baseline at the right.

use plotters::style::RGBColor;

use super::canvas::{Canvas, DrawResult, TextAnchor, draw_svg, text_width};
use super::scale::PixelScale;
use super::style::{BETTER, INK, MUTED, MarkerShape, SeriesStyle, WORSE, mark_style};
use super::{IntervalRow, ValueInterval};

const WIDTH: i32 = 920;
const TOP: i32 = 52;
const ROW: i32 = 46;
const HEADING: i32 = 30;
const BOTTOM: i32 = 50;
const VERDICTS: i32 = 130;

/// The positions of the rows and of both halves.
struct IntervalLayout {
    /// Vertical middle of each row.
    middles: Vec<i32>,
    /// Vertical middle of each row's heading, where it has one.
    headings: Vec<Option<i32>>,
    height: i32,
    left: (i32, i32),
    right: (i32, i32),
}

impl IntervalLayout {
    fn new(rows: &[IntervalRow], labels: i32) -> Self {
        let (mut middles, mut headings) = (Vec::new(), Vec::new());
        let mut y = TOP;
        for row in rows {
            headings.push(row.heading.as_ref().map(|_| y + HEADING / 2));
            y += if row.heading.is_some() { HEADING } else { 0 };
            middles.push(y + ROW / 2);
            y += ROW;
        }
        let begin = labels + 28;
        let room = WIDTH - VERDICTS - begin;
        let left = (begin, begin + room * 11 / 20 - 20);
        Self {
            middles,
            headings,
            height: y + BOTTOM,
            left,
            right: (left.1 + 40, WIDTH - VERDICTS),
        }
    }

    fn floor(&self) -> i32 {
        self.height - BOTTOM
    }
}

/// Draws the rows.
///
/// # Errors
/// If a shape cannot be drawn.
pub fn draw(marks: &[String], difference: &str, rows: &[IntervalRow]) -> Result<String, String> {
    let layout = IntervalLayout::new(rows, label_width(rows)?);
    let (low, high) = percent_range(rows.iter().flat_map(|row| row.values.iter().flatten()));
    let values = PixelScale::with_round_ends(low, high, layout.left, 5);
    let (low, high) = percent_range(rows.iter().filter_map(|row| row.difference.as_ref()));
    let differences = PixelScale::with_round_ends(low.min(0.0), high.max(0.0), layout.right, 4);
    draw_svg((WIDTH, layout.height), |canvas| {
        draw_legend(canvas, marks, layout.left)?;
        let floor = layout.floor();
        canvas.draw_x_ticks(&values, (TOP, floor))?;
        canvas.draw_x_name("percent solved", layout.left, floor)?;
        canvas.draw_x_ticks(&differences, (TOP, floor))?;
        canvas.draw_x_name(difference, layout.right, floor)?;
        let zero = differences.pixel(0.0);
        canvas.draw_line(&[(zero, TOP), (zero, floor)], MUTED, 1)?;
        rows.iter().enumerate().try_for_each(|(at, row)| {
            if let (Some(y), Some(heading)) = (layout.headings[at], &row.heading) {
                canvas.draw_bold_text(heading, (8, y), 14, TextAnchor::Start)?;
            }
            draw_row(
                canvas,
                row,
                layout.middles[at],
                (&values, &differences),
                &layout,
            )
        })
    })
}

/// Room for the longest label, within reason.
fn label_width(rows: &[IntervalRow]) -> Result<i32, String> {
    let texts = rows
        .iter()
        .flat_map(|row| row.heading.iter().chain([&row.label]));
    let widths: Vec<i32> = texts
        .map(|text| text_width(text, 14))
        .collect::<Result<_, _>>()?;
    Ok(widths.into_iter().max().unwrap_or(0).clamp(60, 300))
}

/// Lowest and highest end, in percent.
fn percent_range<'v>(values: impl Iterator<Item = &'v ValueInterval>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (
            low.min(value.low.min(value.value)),
            high.max(value.high.max(value.value)),
        )
    });
    if low.is_finite() {
        (low * 100.0, high * 100.0)
    } else {
        (0.0, 1.0)
    }
}

fn draw_legend(canvas: &Canvas<'_>, marks: &[String], span: (i32, i32)) -> DrawResult {
    let mut x = span.0;
    for (at, name) in marks.iter().enumerate() {
        canvas.draw_marker((x + 6, 22), mark_style(at), 5)?;
        canvas.draw_text(name, (x + 18, 22), 14, INK, TextAnchor::Start)?;
        x += text_width(name, 14)? + 18 + 24;
    }
    Ok(())
}

fn draw_row(
    canvas: &Canvas<'_>,
    row: &IntervalRow,
    y: i32,
    (values, differences): (&PixelScale, &PixelScale),
    layout: &IntervalLayout,
) -> DrawResult {
    let (left, right, start) = (layout.left.0, layout.right.1, TextAnchor::Start);
    let size = fitting_font_size(&row.label, left - 24)?;
    canvas.draw_text(&row.label, (left - 16, y), size, INK, TextAnchor::End)?;
    let count = row.values.len() as i32;
    for (at, value) in row.values.iter().enumerate() {
        let lane = y + (2 * at as i32 - count + 1) * 11 / 2;
        if let Some(value) = value {
            canvas.draw_whisker(percent_pixels(values, *value), lane, mark_style(at))?;
        }
    }
    if row.values.iter().all(Option::is_none) {
        canvas.draw_text(&row.missing_text, (left + 8, y), 13, MUTED, start)?;
    }
    let color = verdict_color(&row.verdict);
    if let Some(difference) = row.difference {
        let style = SeriesStyle {
            color,
            marker: MarkerShape::Disc,
            dash: None,
        };
        canvas.draw_whisker(percent_pixels(differences, difference), y, style)?;
    }
    let (word, color) = if row.baseline {
        ("baseline", MUTED)
    } else {
        (row.verdict.as_str(), color)
    };
    canvas.draw_text(word, (right + 12, y), 13, color, start)
}

fn percent_pixels(scale: &PixelScale, interval: ValueInterval) -> [i32; 3] {
    interval.map(|value| scale.pixel(value * 100.0))
}

/// A font size at which a label has room.
fn fitting_font_size(label: &str, room: i32) -> Result<i32, String> {
    for size in [14, 13, 12, 11] {
        if text_width(label, size)? <= room {
            return Ok(size);
        }
    }
    Ok(10)
}

fn verdict_color(verdict: &str) -> RGBColor {
    match verdict {
        "better" => BETTER,
        "worse" => WORSE,
        _ => MUTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_row_says_so() {
        let row = |label: &str, values| IntervalRow {
            heading: None,
            label: label.to_owned(),
            baseline: label == "a",
            values,
            missing_text: "missing".to_owned(),
            difference: None,
            verdict: String::new(),
        };
        let rows = [
            row("a", vec![Some([0.5, 0.4, 0.6].into())]),
            row("b", vec![None]),
        ];
        let svg = draw(&["m1@t5".to_owned()], "difference", &rows).unwrap();
        assert!(svg.contains("missing") && svg.contains("baseline"));
    }
}
