//! Draws lines with bands: small panels side by side, one scale, one legend.

use super::canvas::{Canvas, DrawResult, TextAnchor, draw_svg, text_width};
use super::scale::PixelScale;
use super::style::{GRID, INK, MUTED, checkpoint_style};
use super::{LinePanel, LineSeries};

const PANEL_SIZE: (i32, i32) = (430, 300);
const TOP: i32 = 44;
const INSET: (i32, i32, i32, i32) = (58, 30, 14, 46); // left, top, right, bottom of a panel

/// The names of the axes, and whether values are percentages.
struct LineAxes<'a> {
    x: &'a str,
    y: &'a str,
    percent: bool,
}

/// Draws the panels in two columns.
///
/// # Errors
/// If a shape cannot be drawn.
pub fn draw(x: &str, y: &str, percent: bool, panels: &[LinePanel]) -> Result<String, String> {
    let columns = panels.len().clamp(1, 2) as i32;
    let rows = (panels.len() as i32 + columns - 1) / columns;
    let size = (PANEL_SIZE.0 * columns, TOP + PANEL_SIZE.1 * rows);
    let axes = LineAxes { x, y, percent };
    let range = value_range(panels, percent);
    draw_svg(size, |canvas| {
        draw_legend(canvas, panels, size.0)?;
        panels.iter().enumerate().try_for_each(|(at, panel)| {
            let corner = (
                at as i32 % columns * PANEL_SIZE.0,
                TOP + at as i32 / columns * PANEL_SIZE.1,
            );
            draw_panel(canvas, &axes, panel, corner, range)
        })
    })
}

/// Lowest and highest value of all panels, in the unit of the axis.
fn value_range(panels: &[LinePanel], percent: bool) -> (f64, f64) {
    let spots = panels
        .iter()
        .flat_map(|panel| &panel.lines)
        .flat_map(|line| &line.points);
    let (low, high) = spots.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), spot| {
        (
            low.min(spot.low.min(spot.y)),
            high.max(spot.high.max(spot.y)),
        )
    });
    if !low.is_finite() {
        return (0.0, 1.0);
    }
    // Fractions start at 0, so that distances in two panels can be compared by eye.
    if percent {
        (0.0, high * 100.0)
    } else {
        (low.min(0.0), high)
    }
}

fn draw_legend(canvas: &Canvas<'_>, panels: &[LinePanel], room: i32) -> DrawResult {
    let mut names: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    let widths: Vec<i32> = names
        .iter()
        .map(|name| text_width(name, 14))
        .collect::<Result<_, _>>()?;
    let whole: i32 = widths.iter().map(|width| width + 34 + 22).sum::<i32>() - 22;
    let mut x = ((room - whole) / 2).max(8);
    for (name, width) in names.iter().zip(widths) {
        let look = checkpoint_style(name);
        canvas.draw_dashed_line(&[(x, 20), (x + 28, 20)], look.dash, look.color, 2)?;
        canvas.draw_marker((x + 14, 20), look, 4)?;
        canvas.draw_text(name, (x + 34, 20), 14, INK, TextAnchor::Start)?;
        x += width + 34 + 22;
    }
    Ok(())
}

fn draw_panel(
    canvas: &Canvas<'_>,
    axes: &LineAxes<'_>,
    panel: &LinePanel,
    corner: (i32, i32),
    range: (f64, f64),
) -> DrawResult {
    let (left, right) = (corner.0 + INSET.0, corner.0 + PANEL_SIZE.0 - INSET.2);
    let (top, bottom) = (corner.1 + INSET.1, corner.1 + PANEL_SIZE.1 - INSET.3);
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let (first, last) = points.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
        (low.min(point.x), high.max(point.x))
    });
    let scales = PanelScales {
        x: PixelScale::with_exact_ends(first, last, (left + 10, right - 10), 5).with_min_step(1.0),
        y: PixelScale::with_round_ends(range.0, range.1, (bottom, top), 5),
        factor: if axes.percent { 100.0 } else { 1.0 },
    };
    let title = corner.1 + 12;
    canvas.draw_bold_text(&panel.title, (left, title), 15, TextAnchor::Start)?;
    for tick in scales.y.ticks() {
        let y = scales.y.pixel(tick);
        canvas.draw_line(&[(left, y), (right, y)], GRID, 1)?;
        let unit = if axes.percent { " %" } else { "" };
        let label = scales.y.tick_label(tick) + unit;
        canvas.draw_text(&label, (left - 8, y), 13, MUTED, TextAnchor::End)?;
    }
    let middle = TextAnchor::Middle;
    for tick in scales.x.ticks() {
        let (label, x) = (scales.x.tick_label(tick), scales.x.pixel(tick));
        canvas.draw_text(&label, (x, bottom + 14), 13, MUTED, middle)?;
    }
    canvas.draw_text(axes.y, (right, title), 13, MUTED, TextAnchor::End)?;
    let x = i32::midpoint(left, right);
    canvas.draw_text(axes.x, (x, bottom + 33), 13, MUTED, middle)?;
    let mut lines = panel.lines.iter();
    lines.try_for_each(|line| draw_band(canvas, line, &scales))?;
    let mut lines = panel.lines.iter();
    lines.try_for_each(|line| draw_series(canvas, line, &scales))
}

/// The scales of a panel, and the factor from values to the unit of the vertical one.
struct PanelScales {
    x: PixelScale,
    y: PixelScale,
    factor: f64,
}

impl PanelScales {
    fn pixel(&self, x: f64, y: f64) -> (i32, i32) {
        (self.x.pixel(x), self.y.pixel(y * self.factor))
    }
}

fn draw_band(canvas: &Canvas<'_>, line: &LineSeries, scales: &PanelScales) -> DrawResult {
    let (upper, lower) = (line.points.iter(), line.points.iter().rev());
    let outline: Vec<(i32, i32)> = upper
        .map(|point| scales.pixel(point.x, point.high))
        .chain(lower.map(|point| scales.pixel(point.x, point.low)))
        .collect();
    if outline.len() < 4 {
        return Ok(());
    }
    canvas.fill_translucent(&outline, checkpoint_style(&line.name).color, 0.13)
}

fn draw_series(canvas: &Canvas<'_>, line: &LineSeries, scales: &PanelScales) -> DrawResult {
    let style = checkpoint_style(&line.name);
    let points = line.points.iter();
    let points: Vec<(i32, i32)> = points.map(|point| scales.pixel(point.x, point.y)).collect();
    canvas.draw_dashed_line(&points, style.dash, style.color, 2)?;
    // Long curves would drown in markers.
    let every = if points.len() > 12 {
        points.len() / 6
    } else {
        1
    };
    let mut marked = points.iter().step_by(every);
    marked.try_for_each(|&point| canvas.draw_marker(point, style, 4))
}
