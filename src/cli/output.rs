//! The only place that prints: answers on standard output, everything else on standard error.
//!
//! Hides colours and terminals. Must not know what is printed.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::args::{ColorChoice, GlobalArguments, OutputFormat};
use super::error::{CliError, ExitReason};

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug)]
pub enum TextStyle {
    /// A heading.
    Bold,
    /// Less important.
    Dim,
    /// Something failed.
    Red,
    /// Something went well.
    Green,
    /// Something to look at.
    Yellow,
}

impl TextStyle {
    const fn ansi_code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "1;31",
            Self::Green => "32",
            Self::Yellow => "33",
        }
    }

    /// The text in this style.
    pub fn paint(self, text: &str) -> String {
        format!("\u{1b}[{}m{text}\u{1b}[0m", self.ansi_code())
    }
}

/// Where the program's words go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct CliOutput {
    format: OutputFormat,
    quiet: bool,
    color_stdout: bool,
    color_stderr: bool,
}

impl CliOutput {
    /// The output that was asked for.
    pub fn new(global: &GlobalArguments) -> Self {
        let colour = |terminal: bool| match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self {
            format: global.format,
            quiet: global.quiet,
            color_stdout: colour(io::stdout().is_terminal()),
            color_stderr: colour(io::stderr().is_terminal()),
        }
    }

    /// Whether machines read the answers.
    pub fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Whether nothing but answers and errors is wanted.
    pub const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether standard error is a terminal that may be drawn on.
    pub fn can_draw_progress(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Gives the answer: `text` to people, `document` as one JSON document to machines.
    ///
    /// # Errors
    /// If standard output cannot be written; a reader that has seen enough is none.
    pub fn print_result(
        self,
        text: impl FnOnce() -> String,
        document: &impl Serialize,
    ) -> Result<(), CliError> {
        if self.is_json() {
            let json = serde_json::to_string_pretty(document)
                .map_err(|error| CliError::new(ExitReason::Bug, error))?;
            return write_stdout(&format!("{json}\n"));
        }
        write_stdout(&text())
    }

    /// Tells machines that something happened; people are told otherwise.
    ///
    /// # Errors
    /// As for [`CliOutput::print_result`].
    pub fn print_event(self, reason: &str, about: Value) -> Result<(), CliError> {
        if !self.is_json() {
            return Ok(());
        }
        let mut line = json!({ "reason": reason });
        if let (Some(line), Value::Object(about)) = (line.as_object_mut(), about) {
            line.extend(about);
        }
        write_stdout(&format!("{line}\n"))
    }

    /// Gives a piece of an answer to people, as it comes.
    ///
    /// # Errors
    /// As for [`CliOutput::print_result`].
    pub fn print_partial(self, text: &str) -> Result<(), CliError> {
        if self.is_json() {
            Ok(())
        } else {
            write_stdout(text)
        }
    }

    /// Asks for a line on a terminal, unless people want quiet.
    pub fn print_prompt(self, text: &str) {
        if self.quiet {
            return;
        }
        let mut stderr = io::stderr().lock();
        // There is no further place to tell of a failure to.
        let _ = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush());
    }

    /// Talks to people, unless they want quiet.
    pub fn print_note(self, text: &str) {
        if !self.quiet {
            write_stderr_line(text);
        }
    }

    /// Tells how the program ends badly: what is wrong, why, and what to do.
    pub fn print_error(self, fault: &CliError) {
        write_stderr_line(&self.format_error(fault));
    }

    /// The text for an answer in a style, if colours are wanted there.
    pub fn style_stdout(self, style: TextStyle, text: &str) -> String {
        if self.color_stdout {
            style.paint(text)
        } else {
            text.to_owned()
        }
    }

    /// The text for standard error in a style, if colours are wanted there.
    pub fn style_stderr(self, style: TextStyle, text: &str) -> String {
        if self.color_stderr {
            style.paint(text)
        } else {
            text.to_owned()
        }
    }

    fn format_error(self, fault: &CliError) -> String {
        let hint = |hint: &str| format!("{} {hint}", self.style_stderr(TextStyle::Yellow, "hint:"));
        let mut lines = vec![format!(
            "{} {}",
            self.style_stderr(TextStyle::Red, "error:"),
            fault.error
        )];
        for cause in fault.error.chain().skip(1).map(ToString::to_string) {
            // Some errors tell their cause themselves; once is enough.
            if !lines.iter().any(|line| line.contains(&cause)) {
                lines.push(format!("  because: {cause}"));
            }
        }
        lines.extend(fault.hint.as_deref().map(hint));
        if fault.exit == ExitReason::Bug {
            lines.push(hint(
                "this is a bug in rise-lab; please report it with the command and the file",
            ));
        }
        lines.join("\n")
    }
}

fn write_stdout(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // Whoever reads (`head`, a closed pager) has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::cannot_write("standard output".as_ref(), error)),
        Ok(()) => Ok(()),
    }
}

fn write_stderr_line(text: &str) {
    // There is no further place to tell of a failure to.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> CliOutput {
        CliOutput {
            format: OutputFormat::Human,
            quiet: false,
            color_stdout: false,
            color_stderr: false,
        }
    }

    #[test]
    fn errors_tell_their_causes_and_what_to_do() {
        let fault = CliError::cannot_write("reports/a".as_ref(), io::Error::other("no space left"));
        insta::assert_snapshot!(plain().format_error(&fault), @r"
        error: cannot write reports/a
          because: no space left
        hint: check that the place exists, is writable and has room
        ");
        let told = anyhow::Error::new(io::Error::other("no space left"));
        let twice = CliError::new(
            ExitReason::WriteFailed,
            told.context("cannot write a: no space left"),
        );
        assert_eq!(
            plain().format_error(&twice),
            "error: cannot write a: no space left"
        );
        let bug = CliError::new(ExitReason::Bug, anyhow::anyhow!("lost count"));
        insta::assert_snapshot!(plain().format_error(&bug), @r"
        error: lost count
        hint: this is a bug in rise-lab; please report it with the command and the file
        ");
    }

    #[test]
    fn colours_are_used_only_where_they_are_wanted() {
        assert_eq!(plain().style_stdout(TextStyle::Red, "no"), "no");
        let colourful = CliOutput {
            color_stderr: true,
            ..plain()
        };
        assert_eq!(
            colourful.style_stderr(TextStyle::Red, "no"),
            "\u{1b}[1;31mno\u{1b}[0m"
        );
        assert_eq!(colourful.style_stdout(TextStyle::Red, "no"), "no");
    }
}
