//! `rise-lab model chat`: several turns with a checkpoint by hand, or with lines from a file.

use std::io::{self, BufRead, IsTerminal};
use std::sync::Mutex;

use serde_json::json;

use super::room::check_room;
use super::source::Source;
use crate::cli::args::ChatArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::experiment::cores;
use crate::cli::output::Output;
use crate::data::Prompt;
use crate::domain::{Attempt, Dialogue, PolicyError, Sampling, Seed};
use crate::model::{LanguageModel, Place, Threads, capacity};

/// What can be typed beside what is said.
const COMMANDS: &str = "/retry asks for another attempt, /undo takes the last exchange back, /new begins again, /quit ends";

/// Talks until there is nothing more to say.
///
/// # Errors
/// If there is no such checkpoint, or the terminal cannot be read or written.
pub fn chat(arguments: &ChatArguments, environment: &Environment) -> Result<Exit, Fault> {
    let mut source = Source::find(&arguments.source, environment)?;
    if let Some(precision) = arguments.precision {
        source = source.computing_in(precision.into())?;
    }
    let sampling = sampling(&source, arguments)?;
    let backend = arguments.backend.as_str();
    let place = Place::open(backend).map_err(Fault::usage)?;
    let place = Place {
        threads: Threads::new(cores()),
        ..place
    };
    check_room(
        &source,
        sampling.max_tokens,
        (&place, backend),
        capacity(backend),
    )?;
    let model = source.load(&place)?;
    let prompt = Prompt {
        retry: arguments.retry.map_or(source.prompt.retry, Into::into),
        repeat_question: arguments
            .repeat_question
            .unwrap_or(source.prompt.repeat_question),
        ..source.prompt
    };
    let output = environment.output;
    let is_live = io::stdin().is_terminal();
    if is_live {
        output.say(&format!(
            "{}, {} positions\n{COMMANDS}",
            source.name,
            model.decoder.config().positions
        ));
    }
    let seed = Seed(arguments.seed).named("chat");
    let mut talk = Talk {
        model,
        sampling,
        prompt,
        output,
        seed,
        said: Said::default(),
        answers: 0,
    };
    let mut lines = io::stdin().lock().lines();
    loop {
        if is_live {
            output.ask("> ");
        }
        let Some(line) = lines.next() else { break };
        let line =
            line.map_err(|error| Fault::usage(format!("cannot read standard input: {error}")))?;
        if !talk.hear(line.trim())? {
            break;
        }
    }
    Ok(Exit::Fine)
}

/// How answers are drawn: as typed, or as the checkpoint is evaluated.
fn sampling(source: &Source, arguments: &ChatArguments) -> Result<Sampling, Fault> {
    let own = source.sampling;
    let sampling = Sampling {
        temperature: arguments.temperature.unwrap_or(own.temperature),
        max_tokens: arguments.max_tokens.unwrap_or(own.max_tokens),
        ..own
    };
    match sampling.fault() {
        Some((field, complaint)) => Err(Fault::usage(format!(
            "--{}: {complaint}",
            field.replace('_', "-")
        ))),
        None => Ok(sampling),
    }
}

/// A conversation.
struct Talk {
    model: LanguageModel,
    sampling: Sampling,
    prompt: Prompt,
    output: Output,
    seed: Seed,
    said: Said,
    answers: u64,
}

/// What was said so far, in exchanges of two messages.
#[derive(Debug, Default, PartialEq)]
struct Said {
    dialogue: Dialogue,
    /// The question behind each exchange: retries are about the question before them.
    questions: Vec<String>,
}

/// What a line asks for.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Nothing,
    Retry,
    Undo,
    New,
    Quit,
    Unknown(&'a str),
    Say(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        match line {
            "" => Self::Nothing,
            "/retry" => Self::Retry,
            "/undo" => Self::Undo,
            "/new" => Self::New,
            "/quit" => Self::Quit,
            _ if line.starts_with('/') => Self::Unknown(line),
            _ => Self::Say(line),
        }
    }
}

impl Said {
    /// The dialogue with a new question at its end.
    fn asking(&self, prompt: Prompt, question: &str) -> (Dialogue, String) {
        (
            self.dialogue.clone().user(prompt.opening(question).text),
            question.to_owned(),
        )
    }

    /// The dialogue with the retry text at its end; none before the first answer.
    fn retrying(&self, prompt: Prompt) -> Option<(Dialogue, String)> {
        let question = self.questions.last()?;
        Some((
            self.dialogue.clone().user(prompt.retry(question).text),
            question.clone(),
        ))
    }

    fn answered(&mut self, (dialogue, question): (Dialogue, String), answer: &str) {
        self.dialogue = dialogue.assistant(answer);
        self.questions.push(question);
    }

    /// Takes the last exchange back; says whether there was one.
    fn undo(&mut self) -> bool {
        let there = self.questions.pop().is_some();
        self.dialogue.0.truncate(2 * self.questions.len());
        there
    }
}

impl Talk {
    /// Does what a line says; false if it ends the conversation.
    fn hear(&mut self, line: &str) -> Result<bool, Fault> {
        let output = self.output;
        let asked = match Line::of(line) {
            Line::Nothing => None,
            Line::Quit => return Ok(false),
            Line::Say(question) => Some(self.said.asking(self.prompt, question)),
            Line::Retry => {
                let asked = self.said.retrying(self.prompt);
                if asked.is_none() {
                    output.say("there is no answer yet to try again");
                }
                asked
            }
            Line::Undo => {
                output.say(if self.said.undo() {
                    "(taken back)"
                } else {
                    "there is nothing to take back"
                });
                None
            }
            Line::New => {
                self.said = Said::default();
                output.say("(a new conversation)");
                None
            }
            Line::Unknown(command) => {
                output.say(&format!("there is no `{command}`: {COMMANDS}"));
                None
            }
        };
        asked.map_or(Ok(()), |asked| self.answer(asked))?;
        Ok(true)
    }

    fn answer(&mut self, asked: (Dialogue, String)) -> Result<(), Fault> {
        let wrong = Mutex::new(None);
        let hear = |piece: &str| {
            if let Err(fault) = self.output.piece(piece) {
                *wrong
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(fault);
            }
        };
        let answer = self
            .model
            .answer(&asked.0, self.seed.at(self.answers), &self.sampling, &hear);
        if let Some(fault) = wrong
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            return Err(fault);
        }
        match answer {
            Ok(attempt) => self.answered(asked, &attempt),
            Err(PolicyError::TooLong { tokens, limit, .. }) => self.full(tokens, limit),
            Err(error) => Err(Fault::usage(error)),
        }
    }

    fn answered(&mut self, asked: (Dialogue, String), attempt: &Attempt) -> Result<(), Fault> {
        self.answers += 1;
        self.output.piece("\n")?;
        self.said.answered(asked, &attempt.text);
        let positions = self.model.decoder.config().positions;
        let is_full = attempt.prompt as usize + attempt.tokens as usize >= positions;
        self.output.event(
            "answer",
            json!({
                "turn": self.said.questions.len(), "text": attempt.text, "tokens": attempt.tokens,
                "prompt": attempt.prompt, "finished": attempt.finished,
            }),
        )?;
        if !attempt.finished && is_full {
            self.output.say(&format!(
                "(cut: the model's {positions} positions are full; /undo takes the last exchange back, /new begins again)"
            ));
        } else if !attempt.finished && attempt.tokens as usize >= self.sampling.max_tokens {
            self.output.say(&format!(
                "(cut after {} tokens; --max-tokens allows more)",
                attempt.tokens
            ));
        }
        Ok(())
    }

    /// No position is left for an answer; what was asked is forgotten.
    fn full(&self, tokens: usize, limit: usize) -> Result<(), Fault> {
        self.output
            .event("full", json!({ "tokens": tokens, "positions": limit }))?;
        self.output.say(&format!(
            "the conversation has {tokens} tokens with this, and the model {limit} positions: nothing is left for an answer; \
             /undo takes the last exchange back, /new begins again"
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_about_the_question_before_them_and_are_taken_back_one_by_one() {
        let prompt = Prompt::default();
        let mut said = Said::default();
        assert_eq!(said.retrying(prompt), None);
        let asked = said.asking(prompt, "How many?");
        said.answered(asked, "3");
        let asked = said.retrying(prompt).unwrap();
        said.answered(asked, "2");
        let asked = said.retrying(prompt).unwrap();
        assert_eq!(asked.0, prompt.dialogue("How many?", &["3", "2"]));
        assert!(said.undo());
        assert_eq!(
            said.dialogue,
            Dialogue::default().user("How many?").assistant("3")
        );
        assert!(said.undo());
        assert_eq!(said, Said::default());
        assert!(!said.undo());
    }

    #[test]
    fn lines_that_begin_with_a_slash_are_commands() {
        assert_eq!(Line::of("/retry"), Line::Retry);
        assert_eq!(Line::of("/retri"), Line::Unknown("/retri"));
        assert_eq!(Line::of("1/2 + 1/2?"), Line::Say("1/2 + 1/2?"));
        assert_eq!(Line::of(""), Line::Nothing);
    }
}
