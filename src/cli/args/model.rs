//! `rise-lab model`: what may be typed about checkpoints.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::data::RetryMessage;
use crate::model::Precision;

/// What `rise-lab model` does.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show a checkpoint's sizes, files and tokenizer, what is wrong with them, and the memory it needs
    Inspect(InspectArguments),
    /// Write a checkpoint as a folder that transformers, vLLM and others load
    Export(ExportArguments),
    /// Talk to a checkpoint over several turns
    Chat(ChatArguments),
}

/// Which checkpoint is meant.
#[derive(Clone, Debug, Args)]
pub struct CheckpointArguments {
    /// A checkpoint's folder, a base model's recipe with a checkpoint (experiments/models/weak.toml), or
    /// a run as `rise-lab show` takes it
    #[arg(value_name = "PATH|RUN")]
    pub source: String,
    /// Which checkpoint of a run, e.g. 'round 1' [default: the last one that is finished]
    #[arg(long, value_name = "NAME")]
    pub checkpoint: Option<String>,
}

/// `rise-lab model inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The checkpoint.
    #[command(flatten)]
    pub source: CheckpointArguments,
    /// Count memory for so many sequences at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub sequences: u32,
    /// Count memory for sequences of so many tokens [default: 1024, or the model's positions if these are
    /// fewer]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub length: Option<u32>,
}

/// `rise-lab model export`.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The checkpoint.
    #[command(flatten)]
    pub source: CheckpointArguments,
    /// Write into this folder, which must be new or empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// The numbers of the weights: f32 or bf16
    #[arg(
        long,
        value_name = "NUMBERS",
        default_value = "f32",
        hide_possible_values = true
    )]
    pub precision: PrecisionArgument,
    /// Put at most so much into one file, e.g. 500MB; a MB is a million bytes
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = size)]
    pub shard_size: u64,
}

/// `rise-lab model chat`.
#[derive(Debug, Args)]
pub struct ChatArguments {
    /// The checkpoint.
    #[command(flatten)]
    pub source: CheckpointArguments,
    /// Softmax temperature; 0 is greedy [default: the run's evaluation or the checkpoint's own, else 1]
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<f64>,
    /// The most tokens of one answer [default: that of the run's evaluation; for a checkpoint's folder
    /// 512]
    #[arg(long, value_name = "NUMBER")]
    pub max_tokens: Option<usize>,
    /// What `/retry` says: incorrect, neutral or none [default: what the run or the recipe says]
    #[arg(long, value_name = "TEXT", hide_possible_values = true)]
    pub retry: Option<RetryArgument>,
    /// Whether `/retry` repeats the question: true or false [default: what the run or the recipe says, else
    /// true]
    #[arg(long, value_name = "WHETHER", hide_possible_values = true)]
    pub repeat_question: Option<bool>,
    /// Root of the random numbers
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
    /// Numbers that it computes in: f32 or bf16 [default: what the recipe or the run says, else f32]
    #[arg(long, value_name = "NUMBERS", hide_possible_values = true)]
    pub precision: Option<PrecisionArgument>,
    /// Where tensors live
    #[arg(long, value_name = "NAME", default_value = "flex")]
    pub backend: String,
}

/// Numbers of weights, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArgument {
    /// 32-bit floats.
    F32,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
}

impl From<PrecisionArgument> for Precision {
    fn from(typed: PrecisionArgument) -> Self {
        match typed {
            PrecisionArgument::F32 => Self::F32,
            PrecisionArgument::Bf16 => Self::Bf16,
        }
    }
}

/// Retry texts, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RetryArgument {
    /// That it was incorrect.
    Incorrect,
    /// That there may be a mistake.
    Neutral,
    /// Nothing about the attempt.
    None,
}

impl From<RetryArgument> for RetryMessage {
    fn from(typed: RetryArgument) -> Self {
        match typed {
            RetryArgument::Incorrect => Self::Incorrect,
            RetryArgument::Neutral => Self::Neutral,
            RetryArgument::None => Self::None,
        }
    }
}

/// A size as typed: a number, and what it counts.
fn size(typed: &str) -> Result<u64, String> {
    let wrong = || format!("`{typed}` is no size; write a number and kB, MB or GB, as in 500MB");
    let digits = typed
        .find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
        .unwrap_or(typed.len());
    let (number, unit) = typed.split_at(digits);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1.0,
        "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = (number * factor) as u64;
    if bytes == 0 { Err(wrong()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("5GB"), Ok(5_000_000_000));
        assert_eq!(size("1.5 mb"), Ok(1_500_000));
        assert_eq!(size("70kB"), Ok(70_000));
        assert_eq!(size("12"), Ok(12));
        insta::assert_snapshot!(
            size("5GiB").unwrap_err(),
            @"`5GiB` is no size; write a number and kB, MB or GB, as in 500MB"
        );
        for wrong in ["", "GB", "0", "-1", "1.2.3MB", "0.1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
