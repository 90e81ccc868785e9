//! Pages of other parts of the program in the style of a report: the same templates, fonts and figures.
//!
//! Must not know what those pages are about.

use serde::Serialize;

use super::ReportError;
use super::figures::{Figure, figure_svg, inline_svg, png};
use super::render::{ReportFile, render_template};

/// A figure that was drawn.
#[derive(Clone, Debug)]
pub struct FigureFiles {
    /// The picture for use inside a page.
    pub inline_svg: String,
    /// The picture as files, `figures/<id>.svg` and `.png`.
    pub files: [ReportFile; 2],
}

/// Draws a figure.
///
/// # Errors
/// If it cannot be drawn.
pub fn render_figure(figure: &Figure) -> Result<FigureFiles, ReportError> {
    let drawing = figure_svg(figure)?;
    let image = png(&figure.id, &drawing)?;
    let path = |kind: &str| format!("figures/{}.{kind}", figure.id);
    Ok(FigureFiles {
        inline_svg: inline_svg(&drawing, &format!("{}. {}", figure.title, figure.caption)),
        files: [
            ReportFile {
                path: path("svg"),
                bytes: drawing.into_bytes(),
            },
            ReportFile {
                path: path("png"),
                bytes: image,
            },
        ],
    })
}

/// The page `claims/<name>`, filled with `view`.
///
/// # Errors
/// If the template is broken.
pub fn page(name: &str, view: &impl Serialize) -> Result<ReportFile, ReportError> {
    Ok(ReportFile {
        path: name.to_owned(),
        bytes: render_template(&format!("claims/{name}"), view)?.into_bytes(),
    })
}
