//! Draws lines with bands: small panels side by side, one scale, one legend.

use plotters::style::RGBColor;

use super::canvas::{Canvas, DrawResult, TextAnchor, draw_svg, text_width};
use super::scale::PixelScale;
use super::style::{GRID, INK, MUTED, checkpoint_style};
use super::{IntervalPoint, LinePanel, LineSeries};

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
    let steps = panel
        .lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|spot| spot.x);
    let (first, last) = steps.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| {
        (a.min(x), b.max(x))
    });
    let across =
        PixelScale::with_exact_ends(first, last, (left + 10, right - 10), 5).with_min_step(1.0);
    let up = PixelScale::with_round_ends(range.0, range.1, (bottom, top), 5);
    canvas.draw_bold_text(&panel.title, (left, corner.1 + 12), 15, TextAnchor::Start)?;
    for tick in up.ticks() {
        let y = up.pixel(tick);
        canvas.draw_line(&[(left, y), (right, y)], GRID, 1)?;
        let label = if axes.percent {
            format!("{} %", up.tick_label(tick))
        } else {
            up.tick_label(tick)
        };
        canvas.draw_text(&label, (left - 8, y), 13, MUTED, TextAnchor::End)?;
    }
    for tick in across.ticks() {
        canvas.draw_text(
            &across.tick_label(tick),
            (across.pixel(tick), bottom + 14),
            13,
            MUTED,
            TextAnchor::Middle,
        )?;
    }
    canvas.draw_text(axes.y, (right, corner.1 + 12), 13, MUTED, TextAnchor::End)?;
    canvas.draw_text(
        axes.x,
        (i32::midpoint(left, right), bottom + 33),
        13,
        MUTED,
        TextAnchor::Middle,
    )?;
    let factor = if axes.percent { 100.0 } else { 1.0 };
    let place = |x: f64, y: f64| (across.pixel(x), up.pixel(y * factor));
    panel
        .lines
        .iter()
        .try_for_each(|line| draw_band(canvas, line, &place))?;
    panel
        .lines
        .iter()
        .try_for_each(|line| draw_series(canvas, line, &place))
}

type ToPixel<'p> = &'p dyn Fn(f64, f64) -> (i32, i32);

fn draw_band(canvas: &Canvas<'_>, line: &LineSeries, place: ToPixel<'_>) -> DrawResult {
    let edge =
        |of: fn(&IntervalPoint) -> f64| line.points.iter().map(move |spot| place(spot.x, of(spot)));
    let outline: Vec<(i32, i32)> = edge(|spot| spot.high)
        .chain(edge(|spot| spot.low).rev())
        .collect();
    if outline.len() < 4 {
        Ok(())
    } else {
        canvas.fill_translucent(&outline, series_color(line), 0.13)
    }
}

fn draw_series(canvas: &Canvas<'_>, line: &LineSeries, place: ToPixel<'_>) -> DrawResult {
    let look = checkpoint_style(&line.name);
    let points: Vec<(i32, i32)> = line
        .points
        .iter()
        .map(|spot| place(spot.x, spot.y))
        .collect();
    canvas.draw_dashed_line(&points, look.dash, look.color, 2)?;
    // Long curves would drown in markers.
    let every = if points.len() > 12 {
        points.len() / 6
    } else {
        1
    };
    points
        .iter()
        .step_by(every)
        .try_for_each(|&point| canvas.draw_marker(point, look, 4))
}

fn series_color(line: &LineSeries) -> RGBColor {
    checkpoint_style(&line.name).color
}
