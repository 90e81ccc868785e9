//! Prints: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::args::{ColorChoice, GlobalArguments, OutputFormat};
use super::error::{CliError, ExitReason};

/// The style of a text.
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

/// The output of the program in the chosen form.
#[derive(Clone, Copy, Debug)]
pub struct CliOutput {
    format: OutputFormat,
    quiet: bool,
    color_stdout: bool,
    color_stderr: bool,
}

impl CliOutput {
    /// The output of the global options.
    pub fn new(global: &GlobalArguments) -> Self {
        Self {
            format: global.format,
            quiet: global.quiet,
            color_stdout: use_color(global.color, io::stdout().is_terminal()),
            color_stderr: use_color(global.color, io::stderr().is_terminal()),
        }
    }

    /// Whether results are JSON.
    pub fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Whether only results and errors are printed.
    pub const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether progress may be drawn on standard error.
    pub fn can_draw_progress(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Prints the result: `text` for people, or `document` as one JSON document.
    ///
    /// # Errors
    /// If standard output cannot be written; a closed pipe is not an error.
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

    /// Prints an event as a JSON line; nothing for people.
    ///
    /// # Errors
    /// As for [`CliOutput::print_result`].
    pub fn print_event(self, reason: &str, fields: Value) -> Result<(), CliError> {
        if !self.is_json() {
            return Ok(());
        }
        let mut line = json!({ "reason": reason });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        write_stdout(&format!("{line}\n"))
    }

    /// Prints a piece of a result for people.
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

    /// Prints a prompt, unless quiet.
    pub fn print_prompt(self, text: &str) {
        if self.quiet {
            return;
        }
        let mut stderr = io::stderr().lock();
        // A failure to print cannot be reported.
        let _ = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush());
    }

    /// Prints a note on standard error, unless quiet.
    pub fn print_note(self, text: &str) {
        if !self.quiet {
            write_stderr_line(text);
        }
    }

    /// Prints an error with its causes and the way out.
    pub fn print_error(self, error: &CliError) {
        write_stderr_line(&self.format_error(error));
    }

    /// The text in a style, if standard output has colours.
    pub fn style_stdout(self, style: TextStyle, text: &str) -> String {
        if self.color_stdout {
            style.paint(text)
        } else {
            text.to_owned()
        }
    }

    /// The text in a style, if standard error has colours.
    pub fn style_stderr(self, style: TextStyle, text: &str) -> String {
        if self.color_stderr {
            style.paint(text)
        } else {
            text.to_owned()
        }
    }

    fn format_error(self, error: &CliError) -> String {
        let hint = self.style_stderr(TextStyle::Yellow, "hint:");
        let mut lines = vec![format!(
            "{} {}",
            self.style_stderr(TextStyle::Red, "error:"),
            error.error
        )];
        for cause in error.error.chain().skip(1).map(ToString::to_string) {
            // Some errors name their cause themselves.
            if !lines.iter().any(|line| line.contains(&cause)) {
                lines.push(format!("  because: {cause}"));
            }
        }
        if let Some(text) = &error.hint {
            lines.push(format!("{hint} {text}"));
        }
        if error.exit == ExitReason::Bug {
            lines.push(format!(
                "{hint} please report this bug in rise-lab with the command and the file"
            ));
        }
        lines.join("\n")
    }
}

fn use_color(choice: ColorChoice, is_terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

fn write_stdout(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // The reader (`head`, a pager) has closed the pipe, which is fine.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::cannot_write("standard output".as_ref(), error)),
        Ok(()) => Ok(()),
    }
}

fn write_stderr_line(text: &str) {
    // A failure to print cannot be reported.
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
        let error = CliError::cannot_write("reports/a".as_ref(), io::Error::other("no space left"));
        insta::assert_snapshot!(plain().format_error(&error), @r"
        error: cannot write reports/a
          because: no space left
        hint: check that the folder exists, is writable and has free space
        ");
        let cause = anyhow::Error::new(io::Error::other("no space left"));
        let twice = CliError::new(
            ExitReason::WriteFailed,
            cause.context("cannot write a: no space left"),
        );
        assert_eq!(
            plain().format_error(&twice),
            "error: cannot write a: no space left"
        );
        let bug = CliError::new(ExitReason::Bug, anyhow::anyhow!("lost count"));
        insta::assert_snapshot!(plain().format_error(&bug), @r"
        error: lost count
        hint: please report this bug in rise-lab with the command and the file
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
