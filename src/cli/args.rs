//! What may be typed: clap's types and the help texts, and nothing that they lead to.
//!
//! Hides clap from the rest of the program. What was typed is turned into opened files and
//! resolved settings by `environment.rs`, `experiment.rs` and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::Precision;

use super::error;

mod model;

pub use model::{
    ChatArguments, CheckpointArguments, ExportArguments, InspectArguments, ModelCommand,
};

/// A laboratory for studying how language models learn to correct themselves.
///
/// An experiment file in TOML stands for a sweep of trainings. `rise-lab sweep` performs them,
/// logs everything to a database, and leaves a report.
#[derive(Debug, Parser)]
#[command(name = "rise-lab", version, arg_required_else_help = true, max_term_width = 100, after_help = error::HELP)]
pub struct CliArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
    /// What goes with every command.
    #[command(flatten)]
    pub global: GlobalArguments,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
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
    /// Answer for people, or as JSON: one document, or one object with a `reason` per line while work goes on
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "human",
        hide_possible_values = true
    )]
    pub format: OutputFormat,
    /// Say nothing but the answer and errors
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

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Tables and sentences.
    Human,
    /// JSON.
    Json,
}

/// When colours are used.
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
    /// Perform every run of an experiment and write its report; the same command goes on after a stop
    Sweep(SweepArguments),
    /// Show an experiment's runs, shared stages, what is done and the time it will take; touches nothing
    Plan(PlanArguments),
    /// Show the data of an experiment: files, splits, known errors, leaks; touches nothing
    Data(DataArguments),
    /// Write the report of an experiment from the database
    Report(ReportArguments),
    /// Grade and score texts that are in the store once more, beside what is there; samples nothing
    Rescore(RescoreArguments),
    /// Tell what the runs in the store say of the claims in a file, and write their report
    Claims(ClaimsArguments),
    /// List runs
    Runs(RunsArguments),
    /// Show one run: its settings, stages and scores
    Show(ShowArguments),
    /// Show how far the experiments in this store are
    Status,
    /// Ask the database in SQL; reads only
    Query(QueryArguments),
    /// Build a base model from its recipe and compare it with the one that is shipped
    Base(BaseArguments),
    /// List backends and their devices, or check that they compute what `flex` computes
    Backends(BackendsArguments),
    /// Look into checkpoints, write them for other programs, and talk to them
    #[command(subcommand)]
    Model(ModelCommand),
    /// Execute stages for a coordinator
    #[command(hide = true)]
    Worker,
}

/// An experiment file and what replaces parts of it.
#[derive(Clone, Debug, Args)]
pub struct ExperimentArguments {
    /// The experiment file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace a setting of the file, e.g. --set train.epochs=1; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Use this backend instead of the file's
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Use this seed alone instead of the file's
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Work on this many cores at a time [default: all]
    #[arg(long, short, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
}

/// `rise-lab sweep`.
#[derive(Debug, Args)]
pub struct SweepArguments {
    /// The experiment.
    #[command(flatten)]
    pub experiment: ExperimentArguments,
    /// Write the report into a folder of the experiment's name under this one
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
    /// Leave the report out
    #[arg(long)]
    pub no_report: bool,
    /// Check everything and show the plan, but do not begin
    #[arg(long)]
    pub dry_run: bool,
    /// Begin even if a run is expected to need more memory than its device has
    #[arg(long)]
    pub no_memory_check: bool,
}

/// `rise-lab plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The experiment.
    #[command(flatten)]
    pub experiment: ExperimentArguments,
}

/// `rise-lab data`.
#[derive(Debug, Args)]
pub struct DataArguments {
    /// The experiment.
    #[command(flatten)]
    pub experiment: ExperimentArguments,
}

/// `rise-lab report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// The experiment file, or the name of an experiment in the database
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// Write the report into a folder of the experiment's name under this one
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
}

/// `rise-lab backends`.
#[derive(Debug, Args)]
pub struct BackendsArguments {
    /// List (the default), or check
    #[arg(value_enum, default_value = "list")]
    pub action: BackendsAction,
    /// Only this one, e.g. vulkan or tch:1 [default: every device of every backend compiled in]
    #[arg(value_name = "BACKEND")]
    pub backend: Option<String>,
    /// Compare in these numbers alone: f32 or bf16
    #[arg(long, value_name = "NUMBERS", value_parser = precision)]
    pub precision: Option<Precision>,
    /// Ask drivers in this very process, which a driver that crashes then ends; for debuggers
    #[arg(long)]
    pub in_process: bool,
}

fn precision(text: &str) -> Result<Precision, String> {
    let named = Precision::ALL
        .into_iter()
        .find(|precision| precision.name() == text);
    named.ok_or_else(|| "there are f32 and bf16".to_owned())
}

/// What `rise-lab backends` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendsAction {
    /// Which backends are compiled in, and the devices that they find
    List,
    /// Run a small model on each device and compare it with `flex`
    Check,
}

/// `rise-lab rescore`.
#[derive(Debug, Args)]
pub struct RescoreArguments {
    /// Experiment files, or names of experiments in the database [default: all]
    #[arg(value_name = "EXPERIMENT")]
    pub experiments: Vec<String>,
    /// Only this grader, e.g. rise-compat or 'rise-compat(gold-comma=false)' [default: every one that
    /// applies]
    #[arg(long, value_name = "NAME")]
    pub grader: Option<String>,
    /// Say what is missing, but add nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `rise-lab claims`.
#[derive(Debug, Args)]
pub struct ClaimsArguments {
    /// Show only the claims about these experiments, by name or file [default: all]
    #[arg(value_name = "EXPERIMENT")]
    pub experiments: Vec<String>,
    /// The file of claims
    #[arg(long, value_name = "FILE", default_value = "experiments/claims.toml")]
    pub file: PathBuf,
    /// Where an experiment is not in this store, keep its verdicts from this claims.json of an earlier report
    #[arg(long, value_name = "FILE")]
    pub earlier: Option<PathBuf>,
    /// Write the report of all claims into the folder `claims` under this one
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
}

/// `rise-lab runs`.
#[derive(Debug, Args)]
pub struct RunsArguments {
    /// Only runs of this experiment
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,
    /// Only runs in this state: queued, running, done, failed or interrupted
    #[arg(long, value_name = "STATUS", hide_possible_values = true)]
    pub status: Option<StatusArgument>,
    /// Only runs with this value on an axis, e.g. --where weighting=uniform; may be repeated
    #[arg(long, value_name = "AXIS=VALUE")]
    pub r#where: Vec<String>,
}

/// The states of a run, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusArgument {
    /// Not begun.
    Queued,
    /// Being worked on.
    Running,
    /// Finished.
    Done,
    /// Ended with an error.
    Failed,
    /// Left unfinished.
    Interrupted,
}

/// `rise-lab show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A run's label, the first digits of its key, or experiment/label
    #[arg(value_name = "RUN")]
    pub run: String,
}

/// `rise-lab query`.
#[derive(Debug, Args)]
pub struct QueryArguments {
    /// One SELECT statement; `SELECT name, sql FROM sqlite_schema` lists every table and view
    #[arg(value_name = "SQL")]
    pub sql: String,
    /// Give at most this many rows
    #[arg(long, value_name = "ROWS", default_value_t = 1000)]
    pub limit: usize,
}

/// `rise-lab base`.
#[derive(Debug, Args)]
pub struct BaseArguments {
    /// The base model's recipe
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Train it anew even if a checkpoint is shipped or in the store
    #[arg(long)]
    pub rebuild: bool,
    /// Write checkpoint and tokenizer into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write checkpoint, tokenizer and their hashes beside the recipe, to be shipped with it
    #[arg(long, conflicts_with = "out")]
    pub ship: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The long help of a command, as on a terminal of 100 columns.
    fn help(path: &[&str]) -> String {
        let mut command = CliArguments::command().term_width(100);
        command.build();
        let found = path.iter().fold(&mut command, |command, name| {
            command
                .find_subcommand_mut(name)
                .expect("the command exists")
        });
        found.render_help().to_string()
    }

    #[test]
    fn every_option_is_well_formed_and_explained() {
        CliArguments::command().debug_assert();
        let all = CliArguments::command();
        let nested = all
            .get_subcommands()
            .flat_map(clap::Command::get_subcommands);
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
    fn the_program_tells_its_commands_and_exit_codes() {
        insta::assert_snapshot!(help(&[]), @"
            A laboratory for studying how language models learn to correct themselves

            Usage: rise-lab [OPTIONS] <COMMAND>

            Commands:
              sweep     Perform every run of an experiment and write its report; the same command goes on after
                        a stop
              plan      Show an experiment's runs, shared stages, what is done and the time it will take;
                        touches nothing
              data      Show the data of an experiment: files, splits, known errors, leaks; touches nothing
              report    Write the report of an experiment from the database
              rescore   Grade and score texts that are in the store once more, beside what is there; samples
                        nothing
              claims    Tell what the runs in the store say of the claims in a file, and write their report
              runs      List runs
              show      Show one run: its settings, stages and scores
              status    Show how far the experiments in this store are
              query     Ask the database in SQL; reads only
              base      Build a base model from its recipe and compare it with the one that is shipped
              backends  List backends and their devices, or check that they compute what `flex` computes
              model     Look into checkpoints, write them for other programs, and talk to them
              help      Print this message or the help of the given subcommand(s)

            Options:
              -h, --help     Print help (see more with '--help')
              -V, --version  Print version

            Options of every command:
                  --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                     [default: .rise-lab]
                  --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                     per line while work goes on [default: human]
              -q, --quiet            Say nothing but the answer and errors
                  --color <WHEN>     Colour the output: auto, always or never [default: auto]

            Exit codes:
              0  everything is fine
              1  a bug in rise-lab
              2  wrong usage, or a file that cannot be used; nothing was begun
              3  some runs failed; the others are done
              4  interrupted; the same command goes on
              5  the store is in use, of a newer version, or not ours
              6  something could not be written (no space, no permission)
        ");
    }

    #[test]
    fn sweep_is_explained() {
        insta::assert_snapshot!(help(&["sweep"]), @r"
        Perform every run of an experiment and write its report; the same command goes on after a stop

        Usage: rise-lab sweep [OPTIONS] <FILE>

        Arguments:
          <FILE>  The experiment file

        Options:
              --set <PATH=VALUE>  Replace a setting of the file, e.g. --set train.epochs=1; may be repeated
              --backend <NAME>    Use this backend instead of the file's
              --seed <NUMBER>     Use this seed alone instead of the file's
          -j, --jobs <NUMBER>     Work on this many cores at a time [default: all]
              --out <DIR>         Write the report into a folder of the experiment's name under this one
                                  [default: reports]
              --no-report         Leave the report out
              --dry-run           Check everything and show the plan, but do not begin
              --no-memory-check   Begin even if a run is expected to need more memory than its device has
          -h, --help              Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn plan_is_explained() {
        insta::assert_snapshot!(help(&["plan"]), @r"
        Show an experiment's runs, shared stages, what is done and the time it will take; touches nothing

        Usage: rise-lab plan [OPTIONS] <FILE>

        Arguments:
          <FILE>  The experiment file

        Options:
              --set <PATH=VALUE>  Replace a setting of the file, e.g. --set train.epochs=1; may be repeated
              --backend <NAME>    Use this backend instead of the file's
              --seed <NUMBER>     Use this seed alone instead of the file's
          -j, --jobs <NUMBER>     Work on this many cores at a time [default: all]
          -h, --help              Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn report_is_explained() {
        insta::assert_snapshot!(help(&["report"]), @r"
        Write the report of an experiment from the database

        Usage: rise-lab report [OPTIONS] <EXPERIMENT>

        Arguments:
          <EXPERIMENT>  The experiment file, or the name of an experiment in the database

        Options:
              --out <DIR>  Write the report into a folder of the experiment's name under this one [default:
                           reports]
          -h, --help       Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn rescore_is_explained() {
        insta::assert_snapshot!(help(&["rescore"]), @r"
        Grade and score texts that are in the store once more, beside what is there; samples nothing

        Usage: rise-lab rescore [OPTIONS] [EXPERIMENT]...

        Arguments:
          [EXPERIMENT]...  Experiment files, or names of experiments in the database [default: all]

        Options:
              --grader <NAME>  Only this grader, e.g. rise-compat or 'rise-compat(gold-comma=false)'
                               [default: every one that applies]
              --dry-run        Say what is missing, but add nothing
          -h, --help           Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn runs_is_explained() {
        insta::assert_snapshot!(help(&["runs"]), @r"
        List runs

        Usage: rise-lab runs [OPTIONS]

        Options:
              --experiment <NAME>   Only runs of this experiment
              --status <STATUS>     Only runs in this state: queued, running, done, failed or interrupted
              --where <AXIS=VALUE>  Only runs with this value on an axis, e.g. --where weighting=uniform;
                                    may be repeated
          -h, --help                Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn show_is_explained() {
        insta::assert_snapshot!(help(&["show"]), @r"
        Show one run: its settings, stages and scores

        Usage: rise-lab show [OPTIONS] <RUN>

        Arguments:
          <RUN>  A run's label, the first digits of its key, or experiment/label

        Options:
          -h, --help  Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn status_is_explained() {
        insta::assert_snapshot!(help(&["status"]), @r"
        Show how far the experiments in this store are

        Usage: rise-lab status [OPTIONS]

        Options:
          -h, --help  Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn query_is_explained() {
        insta::assert_snapshot!(help(&["query"]), @r"
        Ask the database in SQL; reads only

        Usage: rise-lab query [OPTIONS] <SQL>

        Arguments:
          <SQL>  One SELECT statement; `SELECT name, sql FROM sqlite_schema` lists every table and view

        Options:
              --limit <ROWS>  Give at most this many rows [default: 1000]
          -h, --help          Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }

    #[test]
    fn base_is_explained() {
        insta::assert_snapshot!(help(&["base"]), @r"
        Build a base model from its recipe and compare it with the one that is shipped

        Usage: rise-lab base [OPTIONS] <FILE>

        Arguments:
          <FILE>  The base model's recipe

        Options:
              --rebuild    Train it anew even if a checkpoint is shipped or in the store
              --out <DIR>  Write checkpoint and tokenizer into this folder
              --ship       Write checkpoint, tokenizer and their hashes beside the recipe, to be shipped
                           with it
          -h, --help       Print help

        Options of every command:
              --store <DIR>      Keep the database and all checkpoints in this folder [env: RISE_LAB_STORE]
                                 [default: .rise-lab]
              --format <FORMAT>  Answer for people, or as JSON: one document, or one object with a `reason`
                                 per line while work goes on [default: human]
          -q, --quiet            Say nothing but the answer and errors
              --color <WHEN>     Colour the output: auto, always or never [default: auto]
        ");
    }
}
