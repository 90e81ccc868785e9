//! `rise-lab model` works on one checkpoint: a folder, a base-model recipe, or a run.
//!
//! ```text
//! checkpoint_source  finds the checkpoint and its settings
//! inspect            its sizes, errors and memory
//! export             a folder for other programs, with a model_card
//! chat               several turns; memory_check refuses a dialogue that does not fit
//! ```

mod chat;
mod checkpoint_source;
mod export;
mod inspect;
mod memory_check;
mod model_card;

use clap::Subcommand;

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};

use self::chat::ChatArguments;
use self::export::ExportArguments;
use self::inspect::InspectArguments;

/// The commands of `rise-lab model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show a checkpoint's sizes, files, errors and memory needs
    Inspect(InspectArguments),
    /// Write a checkpoint for transformers, vLLM and others
    Export(ExportArguments),
    /// Chat with a checkpoint over several turns
    Chat(ChatArguments),
}

/// Runs a command of `rise-lab model`.
///
/// # Errors
/// If the checkpoint is missing or unusable, or a file cannot be written.
pub fn model(command: &ModelCommand, environment: &CliEnvironment) -> Result<ExitReason, CliError> {
    match command {
        ModelCommand::Inspect(arguments) => inspect::inspect(arguments, environment),
        ModelCommand::Export(arguments) => export::export(arguments, environment),
        ModelCommand::Chat(arguments) => chat::chat(arguments, environment),
    }
}
