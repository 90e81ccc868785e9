//! The only place that prints: answers on standard output, everything else on standard error.
//!
//! Hides colours and terminals. Must not know what is printed.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::args::{ColorChoice, Format, Global};
use super::exit::{Exit, Fault};

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug)]
pub enum Style {
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

impl Style {
    const fn code(self) -> &'static str {
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
        format!("\u{1b}[{}m{text}\u{1b}[0m", self.code())
    }
}

/// Where the program's words go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    answers_in_colour: bool,
    talk_in_colour: bool,
}

impl Output {
    /// The output that was asked for.
    pub fn new(global: &Global) -> Self {
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
            answers_in_colour: colour(io::stdout().is_terminal()),
            talk_in_colour: colour(io::stderr().is_terminal()),
        }
    }

    /// Whether machines read the answers.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether nothing but answers and errors is wanted.
    pub const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether standard error is a terminal that may be drawn on.
    pub fn is_live(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Gives the answer: `text` to people, `document` as one JSON document to machines.
    ///
    /// # Errors
    /// If standard output cannot be written; a reader that has seen enough is none.
    pub fn answer(
        self,
        text: impl FnOnce() -> String,
        document: &impl Serialize,
    ) -> Result<(), Fault> {
        if self.is_json() {
            let json = serde_json::to_string_pretty(document)
                .map_err(|error| Fault::new(Exit::Bug, error))?;
            return print(&format!("{json}\n"));
        }
        print(&text())
    }

    /// Tells machines that something happened; people are told otherwise.
    ///
    /// # Errors
    /// As for [`Output::answer`].
    pub fn event(self, reason: &str, about: Value) -> Result<(), Fault> {
        if !self.is_json() {
            return Ok(());
        }
        let mut line = json!({ "reason": reason });
        if let (Some(line), Value::Object(about)) = (line.as_object_mut(), about) {
            line.extend(about);
        }
        print(&format!("{line}\n"))
    }

    /// Gives a piece of an answer to people, as it comes.
    ///
    /// # Errors
    /// As for [`Output::answer`].
    pub fn piece(self, text: &str) -> Result<(), Fault> {
        if self.is_json() { Ok(()) } else { print(text) }
    }

    /// Asks for a line on a terminal, unless people want quiet.
    pub fn ask(self, text: &str) {
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
    pub fn say(self, text: &str) {
        if !self.quiet {
            complain(text);
        }
    }

    /// Tells how the program ends badly: what is wrong, why, and what to do.
    pub fn error(self, fault: &Fault) {
        complain(&self.shown(fault));
    }

    /// The text for an answer in a style, if colours are wanted there.
    pub fn styled(self, style: Style, text: &str) -> String {
        if self.answers_in_colour {
            style.paint(text)
        } else {
            text.to_owned()
        }
    }

    /// The text for standard error in a style, if colours are wanted there.
    pub fn styled_talk(self, style: Style, text: &str) -> String {
        if self.talk_in_colour {
            style.paint(text)
        } else {
            text.to_owned()
        }
    }

    fn shown(self, fault: &Fault) -> String {
        let hint = |hint: &str| format!("{} {hint}", self.styled_talk(Style::Yellow, "hint:"));
        let mut lines = vec![format!(
            "{} {}",
            self.styled_talk(Style::Red, "error:"),
            fault.error
        )];
        for cause in fault.error.chain().skip(1).map(ToString::to_string) {
            // Some errors tell their cause themselves; once is enough.
            if !lines.iter().any(|line| line.contains(&cause)) {
                lines.push(format!("  because: {cause}"));
            }
        }
        lines.extend(fault.hint.as_deref().map(hint));
        if fault.exit == Exit::Bug {
            lines.push(hint(
                "this is a bug in rise-lab; please report it with the command and the file",
            ));
        }
        lines.join("\n")
    }
}

fn print(text: &str) -> Result<(), Fault> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // Whoever reads (`head`, a closed pager) has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Fault::write("standard output".as_ref(), error)),
        Ok(()) => Ok(()),
    }
}

fn complain(text: &str) {
    // There is no further place to tell of a failure to.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Output {
        Output {
            format: Format::Human,
            quiet: false,
            answers_in_colour: false,
            talk_in_colour: false,
        }
    }

    #[test]
    fn errors_tell_their_causes_and_what_to_do() {
        let fault = Fault::write("reports/a".as_ref(), io::Error::other("no space left"));
        insta::assert_snapshot!(plain().shown(&fault), @r"
        error: cannot write reports/a
          because: no space left
        hint: check that the place exists, is writable and has room
        ");
        let told = anyhow::Error::new(io::Error::other("no space left"));
        let twice = Fault::new(Exit::Write, told.context("cannot write a: no space left"));
        assert_eq!(
            plain().shown(&twice),
            "error: cannot write a: no space left"
        );
        let bug = Fault::new(Exit::Bug, anyhow::anyhow!("lost count"));
        insta::assert_snapshot!(plain().shown(&bug), @r"
        error: lost count
        hint: this is a bug in rise-lab; please report it with the command and the file
        ");
    }

    #[test]
    fn colours_are_used_only_where_they_are_wanted() {
        assert_eq!(plain().styled(Style::Red, "no"), "no");
        let colourful = Output {
            talk_in_colour: true,
            ..plain()
        };
        assert_eq!(
            colourful.styled_talk(Style::Red, "no"),
            "\u{1b}[1;31mno\u{1b}[0m"
        );
        assert_eq!(colourful.styled(Style::Red, "no"), "no");
    }
}
