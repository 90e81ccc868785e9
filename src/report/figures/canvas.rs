//! A drawing area in pixels with the few shapes that figures are made of. Hides how plotters places
//! text and shapes, and on what grid.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::{Color, DrawingArea, IntoDrawingArea, RGBColor, ShapeStyle, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle};

use super::style::{FAMILY, INK, Look, Marker, PAGE, hex, register};

/// Why a shape was not drawn, in words.
pub type Drawn = Result<(), String>;

/// Where text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The point is at its left end.
    Start,
    /// The point is in its middle.
    Middle,
    /// The point is at its right end.
    End,
}

/// How much finer than a pixel shapes are placed; the backend itself knows whole numbers only.
const FINE: i32 = 10;

/// A canvas that becomes an SVG document.
pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// The SVG document of this size on which `drawing` has drawn.
///
/// # Errors
/// If something could not be drawn.
pub fn paint(
    size: (i32, i32),
    drawing: impl FnOnce(&Canvas<'_>) -> Drawn,
) -> Result<String, String> {
    register();
    let mut svg = String::new();
    let fine = ((size.0 * FINE) as u32, (size.1 * FINE) as u32);
    let canvas = Canvas {
        area: SVGBackend::with_string(&mut svg, fine).into_drawing_area(),
    };
    drawing(&canvas)?;
    canvas.area.present().map_err(words)?;
    drop(canvas);
    Ok(document(&svg, size, fine))
}

/// The document at its real size, on a page, with fonts to fall back to.
fn document(svg: &str, size: (i32, i32), fine: (u32, u32)) -> String {
    let (drawn, shown) = (
        format!("width=\"{}\" height=\"{}\"", fine.0, fine.1),
        format!("width=\"{}\" height=\"{}\"", size.0, size.1),
    );
    let page = format!(
        ">\n<rect width=\"{}\" height=\"{}\" fill=\"{}\"/>",
        fine.0,
        fine.1,
        hex(PAGE)
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
pub fn width(text: &str, size: i32) -> Result<i32, String> {
    register();
    let mut scrap = String::new();
    let area = SVGBackend::with_string(&mut scrap, (10, 10)).into_drawing_area();
    let style = style(size * FINE, INK, Side::Start, FontStyle::Normal);
    area.estimate_text_size(text, &style)
        .map(|size| size.0 as i32 / FINE)
        .map_err(words)
}

fn fine((x, y): (i32, i32)) -> (i32, i32) {
    (x * FINE, y * FINE)
}

impl Canvas<'_> {
    /// A text of one line, vertically centred on its point.
    pub fn text(
        &self,
        text: &str,
        at: (i32, i32),
        size: i32,
        color: RGBColor,
        anchor: Side,
    ) -> Drawn {
        self.write(
            text,
            at,
            &style(size * FINE, color, anchor, FontStyle::Normal),
        )
    }

    /// The same in bold.
    pub fn bold(&self, text: &str, at: (i32, i32), size: i32, anchor: Side) -> Drawn {
        self.write(text, at, &style(size * FINE, INK, anchor, FontStyle::Bold))
    }

    fn write(&self, text: &str, at: (i32, i32), style: &TextStyle<'_>) -> Drawn {
        self.area.draw_text(text, style, fine(at)).map_err(words)
    }

    /// A line through points.
    pub fn line(&self, points: &[(i32, i32)], color: RGBColor, width: u32) -> Drawn {
        self.stroke(points.iter().copied().map(fine).collect(), color, width)
    }

    fn stroke(&self, fine: Vec<(i32, i32)>, color: RGBColor, width: u32) -> Drawn {
        let element = PathElement::new(fine, color.stroke_width(width * FINE as u32));
        self.area.draw(&element).map_err(words)
    }

    /// A line through points that is drawn and left out in turns.
    pub fn dashed(
        &self,
        points: &[(i32, i32)],
        dash: Option<(i32, i32)>,
        color: RGBColor,
        width: u32,
    ) -> Drawn {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        match dash {
            None => self.stroke(points, color, width),
            Some(dash) => dashes(&points, fine(dash))
                .into_iter()
                .try_for_each(|piece| self.stroke(piece, color, width)),
        }
    }

    /// A filled shape that what lies below shines through.
    pub fn veil(&self, points: &[(i32, i32)], color: RGBColor, opacity: f64) -> Drawn {
        let points: Vec<(i32, i32)> = points.iter().copied().map(fine).collect();
        self.area
            .draw(&Polygon::new(points, color.mix(opacity).filled()))
            .map_err(words)
    }

    /// A mark for a data point.
    pub fn marker(&self, at: (i32, i32), look: Look, size: i32) -> Drawn {
        let (at, size) = (fine(at), size * FINE);
        let filled: ShapeStyle = look.color.filled();
        let shape = |points: &[(i32, i32)]| {
            let placed: Vec<(i32, i32)> =
                points.iter().map(|(x, y)| (at.0 + x, at.1 + y)).collect();
            self.area.draw(&Polygon::new(placed, filled)).map_err(words)
        };
        let disc = |color: RGBColor, size: i32| {
            self.area
                .draw(&Circle::new(at, size, color.filled()))
                .map_err(words)
        };
        match look.marker {
            Marker::Disc => disc(look.color, size),
            Marker::Ring => disc(look.color, size + FINE).and_then(|()| disc(PAGE, size - FINE)),
            Marker::Square => {
                let half = size * 9 / 10;
                shape(&[(-half, -half), (half, -half), (half, half), (-half, half)])
            }
            Marker::Triangle => {
                let half = size * 12 / 10;
                shape(&[(0, -half), (half, half * 8 / 10), (-half, half * 8 / 10)])
            }
            Marker::Diamond => {
                let half = size * 13 / 10;
                shape(&[(0, -half), (half, 0), (0, half), (-half, 0)])
            }
        }
    }
}

fn style(size: i32, color: RGBColor, anchor: Side, weight: FontStyle) -> TextStyle<'static> {
    let horizontal = match anchor {
        Side::Start => HPos::Left,
        Side::Middle => HPos::Center,
        Side::End => HPos::Right,
    };
    TextStyle {
        font: FontDesc::new(FontFamily::Name(FAMILY), f64::from(size), weight),
        color: color.to_backend_color(),
        pos: Pos::new(horizontal, VPos::Center),
    }
}

/// Cuts a path into the pieces that are drawn.
fn dashes(points: &[(i32, i32)], (on, off): (i32, i32)) -> Vec<Vec<(i32, i32)>> {
    let (on, off) = (f64::from(on), f64::from(off));
    let mut pieces = Vec::new();
    let mut gone = 0.0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = dx.hypot(dy);
        let at = |distance: f64| {
            let part = (distance / length).clamp(0.0, 1.0);
            (
                (f64::from(from.0) + dx * part).round() as i32,
                (f64::from(from.1) + dy * part).round() as i32,
            )
        };
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
                pieces.push(vec![at(here), at(end)]);
            }
            here = end;
        }
        gone += length;
    }
    pieces
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_on_around_corners() {
        let pieces = dashes(&[(0, 0), (15, 0), (15, 15)], (10, 10));
        assert_eq!(pieces, [vec![(0, 0), (10, 0)], vec![(15, 5), (15, 15)]]);
    }

    #[test]
    fn text_stays_text() {
        let svg = paint((100, 50), |canvas| {
            canvas.text("a < b", (10, 10), 12, INK, Side::Start)
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
        assert!(width("wide text", 12).unwrap() > width("wide", 12).unwrap());
    }
}
