//! A drawing area in pixels with the few shapes of the figures; hides plotters and its grid.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::{Color, DrawingArea, IntoDrawingArea, RGBColor, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle};

use super::scale::PixelScale;
use super::style::{
    FAMILY, GRID, INK, MUTED, MarkerShape, PAGE, SeriesStyle, hex_color, register_embedded_font,
};

/// Nothing, or the reason why a shape was not drawn.
pub type DrawResult = Result<(), String>;

/// The position of a text relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextAnchor {
    /// The point is at its left end.
    Start,
    /// The point is in its middle.
    Middle,
    /// The point is at its right end.
    End,
}

/// Steps per pixel at which shapes are placed, since the backend takes whole numbers only.
const SUBPIXELS: i32 = 10;

/// A canvas that becomes an SVG document.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// The SVG document of this size on which `drawing` has drawn.
///
/// # Errors
/// If something could not be drawn.
pub fn draw_svg(
    size: (i32, i32),
    drawing: impl FnOnce(&Canvas<'_>) -> DrawResult,
) -> Result<String, String> {
    register_embedded_font();
    let mut svg = String::new();
    let fine = ((size.0 * SUBPIXELS) as u32, (size.1 * SUBPIXELS) as u32);
    let canvas = Canvas {
        area: SVGBackend::with_string(&mut svg, fine).into_drawing_area(),
    };
    drawing(&canvas)?;
    canvas.area.present().map_err(error_message)?;
    drop(canvas);
    Ok(svg_document(&svg, size, fine))
}

/// The document at its real size, on a page, with fonts to fall back to.
fn svg_document(svg: &str, size: (i32, i32), fine: (u32, u32)) -> String {
    let (drawn, shown) = (
        format!("width=\"{}\" height=\"{}\"", fine.0, fine.1),
        format!("width=\"{}\" height=\"{}\"", size.0, size.1),
    );
    let page = format!(
        ">\n<rect width=\"{}\" height=\"{}\" fill=\"{}\"/>",
        fine.0,
        fine.1,
        hex_color(PAGE)
    );
    svg.replacen(&drawn, &shown, 1)
        .replacen('>', &page, 1)
        .replace(
            "font-family=\"Lab Sans\"",
            "font-family=\"Lab Sans, Helvetica, Arial, sans-serif\"",
        )
}

/// How wide a text is, in pixels.
///
/// # Errors
/// If the font does not know its letters.
pub fn text_width(text: &str, size: i32) -> Result<i32, String> {
    register_embedded_font();
    let mut scrap = String::new();
    let area = SVGBackend::with_string(&mut scrap, (10, 10)).into_drawing_area();
    let style = text_style(size * SUBPIXELS, INK, TextAnchor::Start, FontStyle::Normal);
    area.estimate_text_size(text, &style)
        .map(|size| size.0 as i32 / SUBPIXELS)
        .map_err(error_message)
}

fn to_subpixels((x, y): (i32, i32)) -> (i32, i32) {
    (x * SUBPIXELS, y * SUBPIXELS)
}

impl Canvas<'_> {
    /// A text of one line, vertically centred on its point.
    pub fn draw_text(
        &self,
        text: &str,
        at: (i32, i32),
        size: i32,
        color: RGBColor,
        anchor: TextAnchor,
    ) -> DrawResult {
        self.draw_styled_text(
            text,
            at,
            &text_style(size * SUBPIXELS, color, anchor, FontStyle::Normal),
        )
    }

    /// The same in bold.
    pub fn draw_bold_text(
        &self,
        text: &str,
        at: (i32, i32),
        size: i32,
        anchor: TextAnchor,
    ) -> DrawResult {
        self.draw_styled_text(
            text,
            at,
            &text_style(size * SUBPIXELS, INK, anchor, FontStyle::Bold),
        )
    }

    fn draw_styled_text(&self, text: &str, at: (i32, i32), style: &TextStyle<'_>) -> DrawResult {
        self.area
            .draw_text(text, style, to_subpixels(at))
            .map_err(error_message)
    }

    /// A line through points.
    pub fn draw_line(&self, points: &[(i32, i32)], color: RGBColor, width: u32) -> DrawResult {
        self.draw_path(
            points.iter().copied().map(to_subpixels).collect(),
            color,
            width,
        )
    }

    fn draw_path(&self, fine: Vec<(i32, i32)>, color: RGBColor, width: u32) -> DrawResult {
        let element = PathElement::new(fine, color.stroke_width(width * SUBPIXELS as u32));
        self.area.draw(&element).map_err(error_message)
    }

    /// A dashed line through points; solid without `dash`.
    pub fn draw_dashed_line(
        &self,
        points: &[(i32, i32)],
        dash: Option<(i32, i32)>,
        color: RGBColor,
        width: u32,
    ) -> DrawResult {
        let points: Vec<(i32, i32)> = points.iter().copied().map(to_subpixels).collect();
        match dash {
            None => self.draw_path(points, color, width),
            Some(dash) => split_dashes(&points, to_subpixels(dash))
                .into_iter()
                .try_for_each(|piece| self.draw_path(piece, color, width)),
        }
    }

    /// A filled, translucent shape.
    pub fn fill_translucent(
        &self,
        points: &[(i32, i32)],
        color: RGBColor,
        opacity: f64,
    ) -> DrawResult {
        let points: Vec<(i32, i32)> = points.iter().copied().map(to_subpixels).collect();
        self.area
            .draw(&Polygon::new(points, color.mix(opacity).filled()))
            .map_err(error_message)
    }

    /// A line from the low to the high end of an interval, with a mark at its value.
    pub fn draw_whisker(
        &self,
        [value, low, high]: [i32; 3],
        y: i32,
        style: SeriesStyle,
    ) -> DrawResult {
        self.draw_line(&[(low, y), (high, y)], style.color, 2)?;
        self.draw_marker((value, y), style, 4)
    }

    /// The ticks of a horizontal axis, with grid lines from `top` to `bottom`.
    pub fn draw_x_ticks(&self, scale: &PixelScale, (top, bottom): (i32, i32)) -> DrawResult {
        for tick in scale.ticks() {
            let (label, x) = (scale.tick_label(tick), scale.pixel(tick));
            self.draw_line(&[(x, top), (x, bottom)], GRID, 1)?;
            self.draw_text(&label, (x, bottom + 14), 13, MUTED, TextAnchor::Middle)?;
        }
        Ok(())
    }

    /// The name of a horizontal axis from `begin` to `end`.
    pub fn draw_x_name(&self, name: &str, (begin, end): (i32, i32), bottom: i32) -> DrawResult {
        let at = (i32::midpoint(begin, end), bottom + 35);
        self.draw_text(name, at, 13, MUTED, TextAnchor::Middle)
    }

    /// A mark for a data point.
    pub fn draw_marker(&self, at: (i32, i32), style: SeriesStyle, size: i32) -> DrawResult {
        let (at, size) = (to_subpixels(at), size * SUBPIXELS);
        let points = match style.marker {
            MarkerShape::Disc => return self.draw_disc(at, style.color, size),
            MarkerShape::Ring => {
                self.draw_disc(at, style.color, size + SUBPIXELS)?;
                return self.draw_disc(at, PAGE, size - SUBPIXELS);
            }
            MarkerShape::Square => {
                let half = size * 9 / 10;
                vec![(-half, -half), (half, -half), (half, half), (-half, half)]
            }
            MarkerShape::Triangle => {
                let half = size * 12 / 10;
                vec![(0, -half), (half, half * 8 / 10), (-half, half * 8 / 10)]
            }
            MarkerShape::Diamond => {
                let half = size * 13 / 10;
                vec![(0, -half), (half, 0), (0, half), (-half, 0)]
            }
        };
        let points: Vec<_> = points.iter().map(|(x, y)| (at.0 + x, at.1 + y)).collect();
        self.area
            .draw(&Polygon::new(points, style.color.filled()))
            .map_err(error_message)
    }

    fn draw_disc(&self, at: (i32, i32), color: RGBColor, size: i32) -> DrawResult {
        self.area
            .draw(&Circle::new(at, size, color.filled()))
            .map_err(error_message)
    }
}

fn text_style(
    size: i32,
    color: RGBColor,
    anchor: TextAnchor,
    weight: FontStyle,
) -> TextStyle<'static> {
    let horizontal = match anchor {
        TextAnchor::Start => HPos::Left,
        TextAnchor::Middle => HPos::Center,
        TextAnchor::End => HPos::Right,
    };
    TextStyle {
        font: FontDesc::new(FontFamily::Name(FAMILY), f64::from(size), weight),
        color: color.to_backend_color(),
        pos: Pos::new(horizontal, VPos::Center),
    }
}

/// Cuts a path into the pieces that are drawn.
fn split_dashes(points: &[(i32, i32)], (on, off): (i32, i32)) -> Vec<Vec<(i32, i32)>> {
    let (on, off) = (f64::from(on), f64::from(off));
    let mut pieces = Vec::new();
    let mut gone = 0.0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = f64::from(to.0 - from.0).hypot(f64::from(to.1 - from.1));
        let mut here = 0.0;
        while here < length {
            let phase = (gone + here) % (on + off);
            let end = here
                + if phase < on {
                    on - phase
                } else {
                    on + off - phase
                };
            if phase < on {
                let ends = [here, end].map(|distance| point_between(from, to, distance / length));
                pieces.push(ends.to_vec());
            }
            here = end;
        }
        gone += length;
    }
    pieces
}

/// The point at a part of the way.
fn point_between(from: (i32, i32), to: (i32, i32), part: f64) -> (i32, i32) {
    let part = part.clamp(0.0, 1.0);
    [(from.0, to.0), (from.1, to.1)]
        .map(|(from, to)| (f64::from(from) + f64::from(to - from) * part).round() as i32)
        .into()
}

fn error_message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_on_around_corners() {
        let pieces = split_dashes(&[(0, 0), (15, 0), (15, 15)], (10, 10));
        assert_eq!(pieces, [vec![(0, 0), (10, 0)], vec![(15, 5), (15, 15)]]);
    }

    #[test]
    fn text_stays_text() {
        let svg = draw_svg((100, 50), |canvas| {
            canvas.draw_text("a < b", (10, 10), 12, INK, TextAnchor::Start)
        })
        .unwrap();
        assert!(
            svg.contains("a &lt; b") && svg.contains("Lab Sans, Helvetica"),
            "{svg}"
        );
        assert!(
            svg.contains("width=\"100\" height=\"50\" viewBox=\"0 0 1000 500\""),
            "{svg}"
        );
        assert!(text_width("wide text", 12).unwrap() > text_width("wide", 12).unwrap());
    }
}
