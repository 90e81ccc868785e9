//! `rise-lab model`: what is about one checkpoint, whoever made it.
//!
//! ```text
//! source   which checkpoint is meant, and what is known of it
//! inspect  what it is, and what it needs
//! export   as a folder for other programs; card is the text beside it
//! chat     several turns by hand; room asks first whether the device has any for it
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

/// Does what is asked about a checkpoint.
///
/// # Errors
/// If there is no such checkpoint, it cannot be used, or something cannot be written.
pub fn model(command: &ModelCommand, environment: &CliEnvironment) -> Result<ExitReason, CliError> {
    match command {
        ModelCommand::Inspect(arguments) => inspect::inspect(arguments, environment),
        ModelCommand::Export(arguments) => export::export(arguments, environment),
        ModelCommand::Chat(arguments) => chat::chat(arguments, environment),
    }
}
