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
        insta::assert_snapshot!(end, @"
        Global options:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Output format: human or json (JSON lines during a sweep) [default: human]
          -q, --quiet            Print only results and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]

        Exit codes:
          0  success
          1  a bug in rise-lab
          2  wrong usage or an unusable file; nothing was started
          3  some runs failed; the others are done
          4  interrupted; the same command resumes
          5  the store is busy, newer than rise-lab, or not a store
          6  a file cannot be written (no space, no permission)
        ");
    }

    #[test]
    #[expect(
        clippy::too_many_lines,
        reason = "one snapshot holds the help of all commands"
    )]
    fn every_command_is_explained() {
        let mut command = CliArguments::command().term_width(100);
        command.build();
        insta::assert_snapshot!(all_help(&mut command).join("\n\n\n"), @"
        A laboratory for studying how language models learn to correct themselves

        Usage: rise-lab [OPTIONS] <COMMAND>

        Commands:
          sweep     Run an experiment and write its report; resumes after a stop
          plan      Show an experiment's runs, stages and time; changes nothing
          data      Check an experiment's data: files, splits, errors, leaks
          report    Write an experiment's report from the store
          rescore   Re-grade and re-score stored outputs
          claims    Check a claims file against stored runs
          runs      List runs
          show      Show one run's settings, stages and scores
          status    Show the progress of every experiment
          query     Query the database in SQL; read-only
          base      Build a base model and compare it with the shipped one
          backends  List backends and devices, or check them against `flex`
          model     Inspect, export or chat with a checkpoint
          help      Print this message or the help of the given subcommand(s)

        Options:
          -h, --help     Print help (see more with '--help')
          -V, --version  Print version


        Run an experiment and write its report; resumes after a stop

        Usage: rise-lab sweep [OPTIONS] <FILE>

        Arguments:
          <FILE>  The experiment file

        Options:
              --set <PATH=VALUE>  Replace a setting, e.g. --set train.epochs=1; repeatable
              --backend <NAME>    Use this backend instead of the file's
              --seed <NUMBER>     Use only this seed instead of the file's
          -j, --jobs <NUMBER>     Use this many cores [default: all]
              --out <DIR>         Write the report into DIR/EXPERIMENT [default: reports]
              --no-report         Skip the report
              --dry-run           Check everything and show the plan, but run nothing
              --no-memory-check   Start even if a run may not fit its device's memory
          -h, --help              Print help


        Show an experiment's runs, stages and time; changes nothing

        Usage: rise-lab plan [OPTIONS] <FILE>

        Arguments:
          <FILE>  The experiment file

        Options:
              --set <PATH=VALUE>  Replace a setting, e.g. --set train.epochs=1; repeatable
              --backend <NAME>    Use this backend instead of the file's
              --seed <NUMBER>     Use only this seed instead of the file's
          -j, --jobs <NUMBER>     Use this many cores [default: all]
          -h, --help              Print help


        Check an experiment's data: files, splits, errors, leaks

        Usage: rise-lab data [OPTIONS] <FILE>

        Arguments:
          <FILE>  The experiment file

        Options:
              --set <PATH=VALUE>  Replace a setting, e.g. --set train.epochs=1; repeatable
              --backend <NAME>    Use this backend instead of the file's
              --seed <NUMBER>     Use only this seed instead of the file's
          -j, --jobs <NUMBER>     Use this many cores [default: all]
          -h, --help              Print help


        Write an experiment's report from the store

        Usage: rise-lab report [OPTIONS] [EXPERIMENT]

        Arguments:
          [EXPERIMENT]  The experiment file, or the name of an experiment in the store

        Options:
              --from <FILE>  Render a report's context.json; needs no store
              --out <DIR>    Write into DIR/EXPERIMENT [default: reports], or with --from into DIR [default:
                             FILE's]
          -h, --help         Print help


        Re-grade and re-score stored outputs

        Usage: rise-lab rescore [OPTIONS] [EXPERIMENT]...

        Arguments:
          [EXPERIMENT]...  Experiment files or names [default: all in the store]

        Options:
              --grader <NAME>  Use only this grader, e.g. rise-compat [default: all]
              --dry-run        Show the missing rows, but add nothing
          -h, --help           Print help


        Check a claims file against stored runs

        Usage: rise-lab claims [OPTIONS] [EXPERIMENT]...

        Arguments:
          [EXPERIMENT]...  Show only claims about these experiments [default: all]

        Options:
              --file <FILE>  The claims file [default: experiments/claims.toml]
              --out <DIR>    Write the report of all claims into DIR/claims [default: reports]
          -h, --help         Print help


        List runs

        Usage: rise-lab runs [OPTIONS]

        Options:
              --experiment <NAME>   List only runs of this experiment
              --status <STATUS>     List only queued, running, done, failed or interrupted runs
              --where <AXIS=VALUE>  List only runs with this value on an axis; repeatable
          -h, --help                Print help


        Show one run's settings, stages and scores

        Usage: rise-lab show [OPTIONS] <RUN>

        Arguments:
          <RUN>  A run's label, its key's first digits, or experiment/label

        Options:
          -h, --help  Print help


        Show the progress of every experiment

        Usage: rise-lab status [OPTIONS]

        Options:
          -h, --help  Print help


        Query the database in SQL; read-only

        Usage: rise-lab query [OPTIONS] <SQL>

        Arguments:
          <SQL>  One SELECT statement; `sqlite_schema` lists the tables

        Options:
              --limit <ROWS>  Print at most this many rows [default: 1000]
          -h, --help          Print help


        Build a base model and compare it with the shipped one

        Usage: rise-lab base [OPTIONS] <FILE>

        Arguments:
          <FILE>  The base model's recipe

        Options:
              --rebuild    Retrain it, even if it is shipped or in the store
              --out <DIR>  Write checkpoint and tokenizer into this folder
              --ship       Write checkpoint, tokenizer and hash next to the recipe
          -h, --help       Print help


        List backends and devices, or check them against `flex`

        Usage: rise-lab backends [OPTIONS] [ACTION] [BACKEND]

        Arguments:
          [ACTION]   List backends, or check them [default: list] [possible values: list, check]
          [BACKEND]  Use only this one, e.g. vulkan or tch:1 [default: all]

        Options:
              --precision <PRECISION>  Compare only in this precision: f32 or bf16
              --in-process             Probe devices in this process (a crash ends rise-lab)
          -h, --help                   Print help (see more with '--help')


        Inspect, export or chat with a checkpoint

        Usage: rise-lab model [OPTIONS] <COMMAND>

        Commands:
          inspect  Show a checkpoint's sizes, files, errors and memory needs
          export   Write a checkpoint for transformers, vLLM and others
          chat     Chat with a checkpoint over several turns
          help     Print this message or the help of the given subcommand(s)

        Options:
          -h, --help  Print help


        Show a checkpoint's sizes, files, errors and memory needs

        Usage: rise-lab model inspect [OPTIONS] <PATH|RUN>

        Arguments:
          <PATH|RUN>  A checkpoint folder, a base-model recipe, or a run

        Options:
              --checkpoint <NAME>   Use this checkpoint of a run [default: the last finished]
              --sequences <NUMBER>  Estimate memory for this many sequences at a time [default: 32]
              --length <TOKENS>     Estimate memory for sequences this long [default: 1024]
          -h, --help                Print help


        Write a checkpoint for transformers, vLLM and others

        Usage: rise-lab model export [OPTIONS] --to <DIR> <PATH|RUN>

        Arguments:
          <PATH|RUN>  A checkpoint folder, a base-model recipe, or a run

        Options:
              --checkpoint <NAME>      Use this checkpoint of a run [default: the last finished]
              --to <DIR>               Write into this folder, which must be new or empty
              --precision <PRECISION>  Store the weights in this precision: f32 or bf16 [default: f32]
              --shard-size <SIZE>      Limit one file's size, e.g. 500MB (1 MB = 10^6 bytes) [default: 5GB]
          -h, --help                   Print help


        Chat with a checkpoint over several turns

        Usage: rise-lab model chat [OPTIONS] <PATH|RUN>

        Arguments:
          <PATH|RUN>  A checkpoint folder, a base-model recipe, or a run

        Options:
              --checkpoint <NAME>       Use this checkpoint of a run [default: the last finished]
              --temperature <NUMBER>    Sample at this temperature; 0 is greedy [default: its own]
              --max-tokens <NUMBER>     Limit the tokens of one answer [default: its own, or 512]
              --retry <TEXT>            Set the text of /retry: incorrect, neutral or none
              --repeat-question <BOOL>  Set whether /retry repeats the question: true or false
              --seed <NUMBER>           Seed the random numbers [default: 0]
              --precision <PRECISION>   Compute in f32 or bf16 [default: its own, else f32]
              --backend <NAME>          Compute on this backend [default: flex]
          -h, --help                    Print help
        ");
    }
}
