//! `rise-lab model chat` runs a dialogue with a checkpoint, typed or from a file.

use std::io::{self, BufRead, IsTerminal};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde_json::json;

use super::checkpoint_source::{CheckpointArguments, CheckpointSource};
use super::memory_check::check_chat_memory;
use crate::cli::args::parse_name;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::experiment::available_cores;
use crate::cli::output::CliOutput;
use crate::data::{PromptConfig, RetryMessage};
use crate::domain::{Dialogue, PolicyError, SampledAttempt, SamplingConfig, Seed};
use crate::model::{ExecutionContext, LanguageModel, Precision, Threads, device_memory};

/// `rise-lab model chat`.
#[derive(Debug, Args)]
pub struct ChatArguments {
    /// The checkpoint.
    #[command(flatten)]
    pub source: CheckpointArguments,
    /// Sample at this temperature; 0 is greedy [default: its own]
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<f64>,
    /// Limit the tokens of one answer [default: its own, or 512]
    #[arg(long, value_name = "NUMBER")]
    pub max_tokens: Option<usize>,
    /// Set the text of /retry: incorrect, neutral or none
    #[arg(long, value_name = "TEXT", value_parser = parse_name::<RetryMessage>)]
    pub retry: Option<RetryMessage>,
    /// Set whether /retry repeats the question: true or false
    #[arg(long, value_name = "BOOL", hide_possible_values = true)]
    pub repeat_question: Option<bool>,
    /// Seed the random numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// Compute in f32 or bf16 [default: its own, else f32]
    #[arg(long, value_name = "PRECISION", value_parser = parse_name::<Precision>)]
    pub precision: Option<Precision>,
    /// Compute on this backend
    #[arg(long, value_name = "NAME", default_value = "flex")]
    pub backend: String,
}

/// The commands of the chat.
const CHAT_COMMANDS: &str = "/retry requests another attempt, /undo removes the last exchange, /new starts over, /quit ends";

/// Chats until the input ends.
///
/// # Errors
/// If the checkpoint is missing or does not fit, or the terminal cannot be read or written.
pub fn chat(
    arguments: &ChatArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let output = environment.output;
    let is_live = io::stdin().is_terminal();
    let mut session = ChatSession::start(arguments, environment)?;
    if is_live {
        output.print_note(&format!(
            "{}, {} positions\n{CHAT_COMMANDS}",
            session.name,
            session.model.decoder.config().positions
        ));
    }
    let mut lines = io::stdin().lock().lines();
    loop {
        if is_live {
            output.print_prompt("> ");
        }
        let Some(line) = lines.next() else { break };
        let line =
            line.map_err(|error| CliError::usage(format!("cannot read standard input: {error}")))?;
        if !session.handle_line(line.trim())? {
            break;
        }
    }
    Ok(ExitReason::Success)
}

/// The sampling of answers: the options, else that of the checkpoint's evaluation.
fn chat_sampling(
    source: &CheckpointSource,
    arguments: &ChatArguments,
) -> Result<SamplingConfig, CliError> {
    let own = source.sampling;
    let sampling = SamplingConfig {
        temperature: arguments.temperature.unwrap_or(own.temperature),
        max_tokens: arguments.max_tokens.unwrap_or(own.max_tokens),
        ..own
    };
    match sampling.first_error() {
        Some((field, message)) => Err(CliError::usage(format!(
            "--{}: {message}",
            field.replace('_', "-")
        ))),
        None => Ok(sampling),
    }
}

/// A conversation.
struct ChatSession {
    name: String,
    model: LanguageModel,
    sampling: SamplingConfig,
    prompt: PromptConfig,
    output: CliOutput,
    seed: Seed,
    history: ChatHistory,
    answer_count: u64,
}

/// The dialogue so far, in exchanges of two messages.
#[derive(Debug, Default, PartialEq)]
struct ChatHistory {
    dialogue: Dialogue,
    /// The question of each exchange; a retry repeats the question before it.
    questions: Vec<String>,
}

/// A line of input.
#[derive(Debug, PartialEq)]
enum ChatInput<'a> {
    Empty,
    Retry,
    Undo,
    NewDialogue,
    Quit,
    UnknownCommand(&'a str),
    Message(&'a str),
}

impl<'a> ChatInput<'a> {
    fn parse(line: &'a str) -> Self {
        match line {
            "" => Self::Empty,
            "/retry" => Self::Retry,
            "/undo" => Self::Undo,
            "/new" => Self::NewDialogue,
            "/quit" => Self::Quit,
            _ if line.starts_with('/') => Self::UnknownCommand(line),
            _ => Self::Message(line),
        }
    }
}

impl ChatHistory {
    /// The dialogue with a new question at its end.
    fn with_question(&self, prompt: PromptConfig, question: &str) -> (Dialogue, String) {
        (
            self.dialogue
                .clone()
                .user(prompt.opening_message(question).text),
            question.to_owned(),
        )
    }

    /// The dialogue with the retry text at its end; none before the first answer.
    fn with_retry(&self, prompt: PromptConfig) -> Option<(Dialogue, String)> {
        let question = self.questions.last()?;
        Some((
            self.dialogue
                .clone()
                .user(prompt.retry_message(question).text),
            question.clone(),
        ))
    }

    fn record_exchange(&mut self, (dialogue, question): (Dialogue, String), answer: &str) {
        self.dialogue = dialogue.assistant(answer);
        self.questions.push(question);
    }

    /// Removes the last exchange; returns whether there was one.
    fn undo(&mut self) -> bool {
        let was_there = self.questions.pop().is_some();
        self.dialogue.0.truncate(2 * self.questions.len());
        was_there
    }
}

impl ChatSession {
    /// Loads the checkpoint if one dialogue fits the device.
    fn start(arguments: &ChatArguments, environment: &CliEnvironment) -> Result<Self, CliError> {
        let mut source = CheckpointSource::find(&arguments.source, environment)?;
        if let Some(precision) = arguments.precision {
            source = source.with_precision(precision)?;
        }
        let sampling = chat_sampling(&source, arguments)?;
        let backend = arguments.backend.as_str();
        let context = ExecutionContext {
            threads: Threads::new(available_cores()),
            ..ExecutionContext::open(backend).map_err(CliError::usage)?
        };
        check_chat_memory(
            &source,
            sampling.max_tokens,
            (&context, backend),
            device_memory(backend),
        )?;
        Ok(Self {
            model: source.load(&context)?,
            sampling,
            prompt: PromptConfig {
                retry: arguments.retry.unwrap_or(source.prompt.retry),
                repeat_question: arguments
                    .repeat_question
                    .unwrap_or(source.prompt.repeat_question),
                ..source.prompt
            },
            name: source.name,
            output: environment.output,
            seed: Seed(arguments.seed).derive("chat"),
            history: ChatHistory::default(),
            answer_count: 0,
        })
    }

    /// Handles a line; returns false if it ends the chat.
    fn handle_line(&mut self, line: &str) -> Result<bool, CliError> {
        let output = self.output;
        let message = match ChatInput::parse(line) {
            ChatInput::Empty => None,
            ChatInput::Quit => return Ok(false),
            ChatInput::Message(question) => Some(self.history.with_question(self.prompt, question)),
            ChatInput::Retry => {
                let retry = self.history.with_retry(self.prompt);
                if retry.is_none() {
                    output.print_note("no answer to retry yet");
                }
                retry
            }
            ChatInput::Undo => {
                output.print_note(if self.history.undo() {
                    "(removed the last exchange)"
                } else {
                    "nothing to undo"
                });
                None
            }
            ChatInput::NewDialogue => {
                self.history = ChatHistory::default();
                output.print_note("(new conversation)");
                None
            }
            ChatInput::UnknownCommand(command) => {
                output.print_note(&format!("unknown command `{command}`; {CHAT_COMMANDS}"));
                None
            }
        };
        message.map_or(Ok(()), |message| self.generate_answer(message))?;
        Ok(true)
    }

    fn generate_answer(&mut self, message: (Dialogue, String)) -> Result<(), CliError> {
        let write_error = Mutex::new(None);
        let answer = self.model.generate_answer(
            &message.0,
            self.seed.derive_indexed(self.answer_count),
            &self.sampling,
            &|piece: &str| {
                if let Err(error) = self.output.print_partial(piece) {
                    *write_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            },
        );
        let write_error = write_error.into_inner();
        if let Some(error) = write_error.unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        match answer {
            Ok(attempt) => self.on_answer(message, &attempt),
            Err(PolicyError::TooLong { tokens, limit, .. }) => {
                self.print_context_full(tokens, limit)
            }
            Err(error) => Err(CliError::usage(error)),
        }
    }

    fn on_answer(
        &mut self,
        message: (Dialogue, String),
        attempt: &SampledAttempt,
    ) -> Result<(), CliError> {
        self.answer_count += 1;
        self.output.print_partial("\n")?;
        self.history.record_exchange(message, &attempt.text);
        let positions = self.model.decoder.config().positions;
        let is_full = attempt.prompt_tokens as usize + attempt.tokens as usize >= positions;
        self.output.print_event(
            "answer",
            json!({
                "turn": self.history.questions.len(), "text": attempt.text, "tokens": attempt.tokens,
                "prompt": attempt.prompt_tokens, "finished": attempt.finished,
            }),
        )?;
        if !attempt.finished && is_full {
            self.output.print_note(&format!(
                "(cut: the model's {positions} positions are full; /undo removes the last exchange, /new starts over)"
            ));
        } else if !attempt.finished && attempt.tokens as usize >= self.sampling.max_tokens {
            self.output.print_note(&format!(
                "(cut after {} tokens; --max-tokens allows more)",
                attempt.tokens
            ));
        }
        Ok(())
    }

    /// Reports that no position is left for an answer; the message is dropped.
    fn print_context_full(&self, tokens: usize, limit: usize) -> Result<(), CliError> {
        self.output
            .print_event("full", json!({ "tokens": tokens, "positions": limit }))?;
        self.output.print_note(&format!(
            "the conversation needs {tokens} tokens, and the model has {limit} positions; \
             /undo removes the last exchange, /new starts over"
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_repeat_the_question_before_them_and_are_undone_one_by_one() {
        let prompt = PromptConfig::default();
        let mut history = ChatHistory::default();
        assert_eq!(history.with_retry(prompt), None);
        let message = history.with_question(prompt, "How many?");
        history.record_exchange(message, "3");
        let message = history.with_retry(prompt).unwrap();
        history.record_exchange(message, "2");
        let message = history.with_retry(prompt).unwrap();
        assert_eq!(message.0, prompt.dialogue("How many?", &["3", "2"]));
        assert!(history.undo());
        assert_eq!(
            history.dialogue,
            Dialogue::default().user("How many?").assistant("3")
        );
        assert!(history.undo());
        assert_eq!(history, ChatHistory::default());
        assert!(!history.undo());
    }

    #[test]
    fn lines_that_begin_with_a_slash_are_commands() {
        assert_eq!(ChatInput::parse("/retry"), ChatInput::Retry);
        assert_eq!(
            ChatInput::parse("/retri"),
            ChatInput::UnknownCommand("/retri")
        );
        assert_eq!(
            ChatInput::parse("1/2 + 1/2?"),
            ChatInput::Message("1/2 + 1/2?")
        );
        assert_eq!(ChatInput::parse(""), ChatInput::Empty);
    }
}
