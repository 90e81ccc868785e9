//! Pages of other parts of the program in the style of a report: the same templates, fonts and figures.
//!
//! Must not know what those pages are about.

use serde::Serialize;

use super::ReportError;
use super::figures::{Figure, inline, png, svg};
use super::render::{File, filled};

/// A figure that was drawn.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The picture for use inside a page.
    pub inline: String,
    /// The picture as files, `figures/<id>.svg` and `.png`.
    pub files: [File; 2],
}

/// Draws a figure.
///
/// # Errors
/// If it cannot be drawn.
pub fn drawn(figure: &Figure) -> Result<Drawn, ReportError> {
    let drawing = svg(figure)?;
    let image = png(&figure.id, &drawing)?;
    let path = |kind: &str| format!("figures/{}.{kind}", figure.id);
    Ok(Drawn {
        inline: inline(&drawing, &format!("{}. {}", figure.title, figure.reading)),
        files: [
            File {
                path: path("svg"),
                bytes: drawing.into_bytes(),
            },
            File {
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
pub fn page(name: &str, view: &impl Serialize) -> Result<File, ReportError> {
    Ok(File {
        path: name.to_owned(),
        bytes: filled(&format!("claims/{name}"), view)?.into_bytes(),
    })
}
