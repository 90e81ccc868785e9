//! Colours, markers, dashes and the font of every figure.
//!
//! The palette is Okabe and Ito's (2008), which stays apart for colour-blind readers. Ink, grid and
//! muted text are fixed colours in files and follow the page's light or dark theme when inlined.

use std::sync::Once;

use plotters::style::{FontStyle, RGBColor, register_font};

/// The regular weight of the embedded font, OpenType.
pub const FONT_REGULAR: &[u8] = include_bytes!("../../../templates/fonts/LabSans-Regular.otf");
/// The bold weight of the embedded font, OpenType.
pub const FONT_BOLD: &[u8] = include_bytes!("../../../templates/fonts/LabSans-Bold.otf");
/// The family name of both.
pub const FAMILY: &str = "Lab Sans";

/// The paper.
pub const PAGE: RGBColor = RGBColor(0xff, 0xff, 0xff);
/// Text, axes and the base model's line.
pub const INK: RGBColor = RGBColor(0x1b, 0x1f, 0x24);
/// Less important text.
pub const MUTED: RGBColor = RGBColor(0x66, 0x6e, 0x7a);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(0xe1, 0xe4, 0xe8);
/// The last of two rounds; too dark for a dark page as it is.
pub const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
/// A value that is better than the baseline.
pub const BETTER: RGBColor = RGBColor(0x00, 0x9e, 0x73);
/// A worse value.
pub const WORSE: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

/// The shape of a data point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerShape {
    /// A filled circle.
    Disc,
    /// An open circle.
    Ring,
    /// A filled square.
    Square,
    /// A filled triangle.
    Triangle,
    /// A filled diamond.
    Diamond,
}

/// The style of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesStyle {
    /// Line, marker and band.
    pub color: RGBColor,
    /// At each point.
    pub marker: MarkerShape,
    /// Pixels drawn and left out; none for a solid line.
    pub dash: Option<(i32, i32)>,
}

const SERIES_STYLES: [SeriesStyle; 8] = [
    series_style(INK, MarkerShape::Ring, Some((6, 4))),
    series_style(
        RGBColor(0xe6, 0x9f, 0x00),
        MarkerShape::Triangle,
        Some((2, 3)),
    ),
    series_style(
        RGBColor(0xcc, 0x79, 0xa7),
        MarkerShape::Square,
        Some((9, 3)),
    ),
    series_style(RGBColor(0x56, 0xb4, 0xe9), MarkerShape::Diamond, None),
    series_style(BLUE, MarkerShape::Disc, None),
    series_style(
        RGBColor(0x00, 0x9e, 0x73),
        MarkerShape::Square,
        Some((12, 3)),
    ),
    series_style(RGBColor(0xd5, 0x5e, 0x00), MarkerShape::Triangle, None),
    series_style(RGBColor(0x8c, 0x7a, 0x00), MarkerShape::Disc, Some((3, 3))),
];

const fn series_style(
    color: RGBColor,
    marker: MarkerShape,
    dash: Option<(i32, i32)>,
) -> SeriesStyle {
    SeriesStyle {
        color,
        marker,
        dash,
    }
}

/// The style of a checkpoint, the same in every figure.
#[must_use]
pub fn checkpoint_style(name: &str) -> SeriesStyle {
    let at = match name {
        "base" | "base, parallel samples" => 0,
        "boost" | "parallel samples" | "at once" => 1,
        "sft" | "sft, parallel samples" | "sft, at once" => 2,
        "turns" | "after 1 attempt" => 4,
        "base, turns" => 3,
        "after 2 attempts" => 5,
        other => {
            let round = other
                .strip_prefix("round ")
                .and_then(|round| round.parse::<usize>().ok());
            2 + round
                .filter(|&round| round > 0)
                .map_or(5, |round| (round - 1) % 5 + 1)
        }
    };
    SERIES_STYLES[at]
}

/// The style of the `at`-th mark of an interval plot.
#[must_use]
pub fn mark_style(at: usize) -> SeriesStyle {
    const MARKS: [usize; 4] = [0, 1, 4, 5];
    SERIES_STYLES[MARKS[at % MARKS.len()]]
}

/// Makes the embedded font known to the plotting library, once per process.
pub fn register_embedded_font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        for (style, font) in [
            (FontStyle::Normal, FONT_REGULAR),
            (FontStyle::Bold, FONT_BOLD),
        ] {
            assert!(
                register_font(FAMILY, style, font).is_ok(),
                "the embedded font is a valid font"
            );
        }
    });
}

/// A colour as the drawing library writes it.
#[must_use]
pub fn hex_color(color: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

/// The SVG for use inside a page: theme colours follow the page, size follows the column.
#[must_use]
pub fn inline_svg(svg: &str, label: &str) -> String {
    let start = svg.find("<svg").unwrap_or(0);
    let mut inner = svg[start..].replace(&hex_color(INK), "currentColor");
    let themed = [
        (MUTED, "muted"),
        (GRID, "grid"),
        (PAGE, "page"),
        (BLUE, "blue"),
        (BETTER, "good"),
        (WORSE, "bad"),
    ];
    for (color, variable) in themed.map(|(color, name)| (color, format!("var(--{name})"))) {
        inner = inner.replace(&hex_color(color), &variable);
    }
    let escaped = label
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;");
    inner.replacen(
        "<svg ",
        &format!("<svg class=\"figure\" role=\"img\" aria-label=\"{escaped}\" "),
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_look_different_from_each_other() {
        let names = [
            "base", "boost", "sft", "round 1", "round 2", "round 3", "round 4", "round 5",
        ];
        for (at, a) in names.iter().enumerate() {
            assert!(
                names[at + 1..]
                    .iter()
                    .all(|b| checkpoint_style(a) != checkpoint_style(b)),
                "{a}"
            );
        }
        assert_eq!(checkpoint_style("round 6"), checkpoint_style("round 1"));
    }

    #[test]
    fn inlined_figures_follow_the_theme() {
        let page = inline_svg(
            "<?xml?><svg width=\"9\"><text fill=\"#1B1F24\"/><line stroke=\"#E1E4E8\"/></svg>",
            "a \"b\"",
        );
        assert_eq!(
            page,
            "<svg class=\"figure\" role=\"img\" aria-label=\"a &quot;b&quot;\" width=\"9\">\
             <text fill=\"currentColor\"/><line stroke=\"var(--grid)\"/></svg>"
        );
    }
}
