//! SVG to PNG through the embedded font alone, so that no system font is needed.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use super::super::ReportError;
use super::style::{FAMILY, FONT_BOLD, FONT_REGULAR};

/// Pixels per SVG unit.
const SCALE: f32 = 2.0;

/// The SVG as a PNG on white, at twice its size.
///
/// # Errors
/// If it is not an SVG, or is too large for memory.
pub fn png(name: &str, svg: &str) -> Result<Vec<u8>, ReportError> {
    let error = |problem: String| ReportError::Figure {
        figure: name.to_owned(),
        problem,
    };
    let mut fonts = Database::new();
    fonts.load_font_data(FONT_REGULAR.to_vec());
    fonts.load_font_data(FONT_BOLD.to_vec());
    let options = Options {
        fontdb: Arc::new(fonts),
        font_family: FAMILY.to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|cause| error(cause.to_string()))?;
    let size = tree.size();
    let [width, height] =
        [size.width(), size.height()].map(|length| (length * SCALE).ceil() as u32);
    let mut image =
        Pixmap::new(width, height).ok_or_else(|| error(format!("{width} x {height} pixels")))?;
    image.fill(resvg::tiny_skia::Color::WHITE);
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut image.as_mut(),
    );
    image.encode_png().map_err(|cause| error(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_with_the_embedded_font() {
        let dark = |text: &str| {
            let svg = format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"60\" height=\"20\"><text x=\"2\" y=\"15\" \
                 font-family=\"Lab Sans\" font-size=\"14\">{text}</text></svg>"
            );
            let image = Pixmap::decode_png(&png("x", &svg).unwrap()).unwrap();
            assert_eq!((image.width(), image.height()), (120, 40));
            image
                .pixels()
                .iter()
                .filter(|pixel| pixel.red() < 128)
                .count()
        };
        assert!(dark("Δ 66.5") > 100 && dark("") == 0);
        assert!(png("x", "no svg").unwrap_err().to_string().contains("'x'"));
    }
}
