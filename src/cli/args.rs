//! The command line: its commands and the options that they share.
//!
//! Hides clap from the rest of the program; a command's own options are in its file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::commands::backends::BackendsArguments;
use super::commands::base::BaseArguments;
use super::commands::claims::ClaimsArguments;
use super::commands::model::ModelCommand;
use super::commands::query::QueryArguments;
use super::commands::report::ReportArguments;
use super::commands::rescore::RescoreArguments;
use super::commands::runs::RunsArguments;
use super::commands::show::ShowArguments;
use super::commands::sweep::SweepArguments;
use super::error::EXIT_CODES_HELP;

/// A laboratory for studying how language models learn to correct themselves.
///
/// An experiment file in TOML describes a sweep of trainings. `rise-lab sweep` runs them, records
/// everything in a database, and writes a report.
#[derive(Debug, Parser)]
#[command(
    name = "rise-lab",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = EXIT_CODES_HELP
)]
pub struct CliArguments {
    /// The command.
    #[command(subcommand)]
    pub command: CliCommand,
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArguments,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArguments {
    /// Keep the database and all checkpoints in this folder
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".rise-lab",
        env = "RISE_LAB_STORE",
        hide_env_values = true
    )]
    pub store: PathBuf,
    /// Output format: human or json (JSON lines during a sweep)
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "human",
        hide_possible_values = true
    )]
    pub format: OutputFormat,
    /// Print only results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Colour the output: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: ColorChoice,
}

/// The form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Tables and sentences.
    Human,
    /// JSON.
    Json,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run an experiment and write its report; resumes after a stop
    Sweep(SweepArguments),
    /// Show an experiment's runs, stages and time; changes nothing
    Plan(ExperimentArguments),
    /// Check an experiment's data: files, splits, errors, leaks
    Data(ExperimentArguments),
    /// Write an experiment's report from the store
    Report(ReportArguments),
    /// Re-grade and re-score stored outputs
    Rescore(RescoreArguments),
    /// Check a claims file against stored runs
    Claims(ClaimsArguments),
    /// List runs
    Runs(RunsArguments),
    /// Show one run's settings, stages and scores
    Show(ShowArguments),
    /// Show the progress of every experiment
    Status,
    /// Query the database in SQL; read-only
    Query(QueryArguments),
    /// Build a base model and compare it with the shipped one
    Base(BaseArguments),
    /// List backends and devices, or check them against `flex`
    Backends(BackendsArguments),
    /// Inspect, export or chat with a checkpoint
    #[command(subcommand)]
    Model(ModelCommand),
    /// Execute stages for a coordinator
    #[command(hide = true)]
    Worker,
}

/// An experiment file and the replacements for its settings.
#[derive(Clone, Debug, Args)]
pub struct ExperimentArguments {
    /// The experiment file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace a setting, e.g. --set train.epochs=1; repeatable
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Use this backend instead of the file's
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Use only this seed instead of the file's
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Use this many cores [default: all]
    #[arg(long, short, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

/// Reads a name as an experiment file spells it, e.g. `bf16` or `neutral`.
///
/// # Errors
/// If there is no such name: the names to use.
pub fn parse_name<T: DeserializeOwned>(typed: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(typed.to_owned())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    /// The help of a command on a terminal of 100 columns, without the global options.
    fn help(command: &mut Command) -> String {
        let text = command.render_help().to_string();
        let own = text.split("\nGlobal options:").next().unwrap_or_default();
        own.trim_end().to_owned()
    }

    /// The help of a command and of all commands below it.
    fn all_help(command: &mut Command) -> Vec<String> {
        let mut pages = vec![help(command)];
        for below in command
            .get_subcommands_mut()
            .filter(|below| below.get_name() != "help" && !below.is_hide_set())
        {
            pages.extend(all_help(below));
        }
        pages
    }

    #[test]
    fn every_option_is_well_formed_and_explained() {
        CliArguments::command().debug_assert();
        let all = CliArguments::command();
        let nested = all.get_subcommands().flat_map(Command::get_subcommands);
        for command in all.get_subcommands().chain(nested) {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn the_program_shows_its_global_options_and_exit_codes() {
        let mut command = CliArguments::command().term_width(100);
        let text = command.render_help().to_string();
        let end = text.split("\n\n").skip(4).collect::<Vec<_>>().join("\n\n");
        insta::assert_snapshot!(end, @"");
    }

    #[test]
    fn every_command_is_explained() {
        let mut command = CliArguments::command().term_width(100);
        command.build();
        insta::assert_snapshot!(all_help(&mut command).join("\n\n\n"), @"");
    }
}
