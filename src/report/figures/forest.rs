//! Draws a forest: one estimate with its interval per row, its margin and its verdict.

use plotters::style::RGBColor;

use super::ForestRow;
use super::canvas::{Canvas, DrawResult, TextAnchor, draw_svg, text_width};
use super::scale::PixelScale;
use super::style::{BETTER, INK, MUTED, MarkerShape, SeriesStyle, WORSE};

const WIDTH: i32 = 960;
const TOP: i32 = 54;
const ROW: i32 = 24;
const HEADING: i32 = 34;
const BOTTOM: i32 = 52;
const VERDICTS: i32 = 120;
/// The widest labels.
const LABELS: i32 = 460;

/// The verdicts, in the order of the legend.
const VERDICT_WORDS: [&str; 3] = ["holds", "fails", "under-powered"];

/// Draws the rows over an axis of this name; values are in its unit.
///
/// # Errors
/// If a shape cannot be drawn.
pub fn draw(name: &str, rows: &[ForestRow]) -> Result<String, String> {
    let labels = rows
        .iter()
        .map(|row| text_width(&row.label, 13))
        .collect::<Result<Vec<_>, _>>()?;
    let begin = labels.into_iter().max().unwrap_or(0).clamp(120, LABELS) + 40;
    let headings = rows.iter().filter(|row| row.heading.is_some()).count() as i32;
    let floor = TOP + rows.len() as i32 * ROW + headings * HEADING;
    let scale = forest_scale(rows, (begin, WIDTH - VERDICTS));
    draw_svg((WIDTH, floor + BOTTOM), |canvas| {
        draw_legend(canvas)?;
        canvas.draw_x_ticks(&scale, (TOP, floor))?;
        let zero = scale.pixel(0.0);
        canvas.draw_line(&[(zero, TOP), (zero, floor)], MUTED, 1)?;
        canvas.draw_x_name(name, (begin, WIDTH - VERDICTS), floor)?;
        let mut y = TOP;
        for row in rows {
            if let Some(heading) = &row.heading {
                canvas.draw_bold_text(heading, (8, y + HEADING * 3 / 5), 14, TextAnchor::Start)?;
                y += HEADING;
            }
            draw_row(canvas, row, &scale, (begin, y + ROW / 2))?;
            y += ROW;
        }
        Ok(())
    })
}

/// A scale that holds every interval, every margin, and 0.
fn forest_scale(rows: &[ForestRow], span: (i32, i32)) -> PixelScale {
    let ends = rows
        .iter()
        .flat_map(|row| [row.estimate.low, row.estimate.high, row.margin]);
    let (low, high) = ends.fold((0.0_f64, 0.0_f64), |(low, high), end| {
        (low.min(end), high.max(end))
    });
    PixelScale::with_round_ends(low, high, span, 7)
}

fn verdict_style(verdict: &str) -> SeriesStyle {
    let (color, marker): (RGBColor, MarkerShape) = match verdict {
        "holds" => (BETTER, MarkerShape::Disc),
        "fails" => (WORSE, MarkerShape::Diamond),
        _ => (MUTED, MarkerShape::Ring),
    };
    SeriesStyle {
        color,
        marker,
        dash: None,
    }
}

fn draw_legend(canvas: &Canvas<'_>) -> DrawResult {
    let mut x = 14;
    for word in VERDICT_WORDS {
        canvas.draw_marker((x, 22), verdict_style(word), 5)?;
        canvas.draw_text(word, (x + 12, 22), 14, INK, TextAnchor::Start)?;
        x += text_width(word, 14)? + 40;
    }
    canvas.draw_line(&[(x, 14), (x, 30)], INK, 2)?;
    let margin = "margin";
    canvas.draw_text(margin, (x + 10, 22), 14, INK, TextAnchor::Start)?;
    x += text_width(margin, 14)? + 38;
    canvas.fill_translucent(&[(x, 15), (x + 22, 15), (x + 22, 29), (x, 29)], MUTED, 0.25)?;
    canvas.draw_text(
        "too small to matter",
        (x + 32, 22),
        14,
        INK,
        TextAnchor::Start,
    )
}

fn draw_row(
    canvas: &Canvas<'_>,
    row: &ForestRow,
    scale: &PixelScale,
    (begin, y): (i32, i32),
) -> DrawResult {
    let mut size = 13;
    while size > 9 && text_width(&row.label, size)? > begin - 40 {
        size -= 1;
    }
    canvas.draw_text(&row.label, (begin - 16, y), size, INK, TextAnchor::End)?;
    draw_margin(canvas, row, scale, (begin, y))?;
    let look = verdict_style(&row.verdict);
    canvas.draw_whisker(row.estimate.map(|value| scale.pixel(value)), y, look)?;
    canvas.draw_text(
        &row.verdict,
        (WIDTH - VERDICTS + 12, y),
        13,
        look.color,
        TextAnchor::Start,
    )
}

/// The margin as a line, and the effects beyond it that are too small to matter as a band.
fn draw_margin(
    canvas: &Canvas<'_>,
    row: &ForestRow,
    scale: &PixelScale,
    (begin, y): (i32, i32),
) -> DrawResult {
    let (margin, effect) = (scale.pixel(row.margin), scale.pixel(row.effect_threshold));
    let left = margin.min(effect).max(begin);
    let right = margin.max(effect).min(WIDTH - VERDICTS);
    let half = ROW / 2;
    if left < right {
        let (top, bottom) = (y - half + 3, y + half - 3);
        let band = [(left, top), (right, top), (right, bottom), (left, bottom)];
        canvas.fill_translucent(&band, MUTED, 0.25)?;
    }
    canvas.draw_line(&[(margin, y - half + 2), (margin, y + half - 2)], INK, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_shows_its_verdict_and_its_margin() {
        let row = |label: &str, value: f64, verdict: &str| ForestRow {
            heading: (label == "a").then(|| "E1 Main result".to_owned()),
            label: label.to_owned(),
            estimate: [value, value - 3.0, value + 3.0].into(),
            margin: 0.0,
            effect_threshold: 2.0,
            verdict: verdict.to_owned(),
        };
        let rows = [
            row("a", 12.0, "holds"),
            row("b", -5.0, "fails"),
            row("c", 1.0, "under-powered"),
        ];
        let svg = draw("points", &rows).unwrap();
        assert!(svg.contains("E1 Main result") && svg.contains("too small to matter"));
        // Once in the legend and once in its row.
        assert!(
            VERDICT_WORDS
                .iter()
                .all(|word| svg.matches(&format!(">\n{word}\n<")).count() == 2),
            "{svg}"
        );
        assert!(!svg.contains("NaN"));
    }
}
