//! The command line: arguments, results and exit codes.
//!
//! How data flows: `args` parses the command line; `environment` and `experiment` turn it into open
//! stores and checked plans; each file in `commands` holds one command with its options; only
//! `output` prints, and only `progress` draws; `error` gives every error its exit code. The modules
//! below do the work.

mod args;
mod commands;
mod environment;
mod error;
mod eta;
mod event_json;
mod event_sink;
mod experiment;
#[cfg(test)]
mod fixtures;
mod format;
mod interrupt;
mod output;
mod progress;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use self::args::{CliArguments, CliCommand};
use self::environment::CliEnvironment;
use self::error::{CliError, ExitReason};

/// Runs the command line; `rise-lab --help` lists the exit codes.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match CliArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return print_usage_error(&error),
    };
    let environment = CliEnvironment::new(&arguments.global);
    let result = catch_unwind(AssertUnwindSafe(|| {
        run_command(arguments.command, &environment)
    }));
    let exit = match result {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            environment.output.print_error(&error);
            error.exit
        }
        Err(_) => {
            let error = anyhow::anyhow!("internal error, see above");
            let error = CliError::new(ExitReason::Bug, error);
            environment.output.print_error(&error);
            error.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn run_command(command: CliCommand, environment: &CliEnvironment) -> Result<ExitReason, CliError> {
    match command {
        CliCommand::Sweep(arguments) => commands::sweep::sweep(&arguments, environment),
        CliCommand::Plan(arguments) => commands::plan::plan(&arguments, environment),
        CliCommand::Data(arguments) => commands::data::data(&arguments, environment),
        CliCommand::Report(arguments) => commands::report::report(&arguments, environment),
        CliCommand::Claims(arguments) => commands::claims::claims(&arguments, environment),
        CliCommand::Runs(arguments) => commands::runs::runs(&arguments, environment),
        CliCommand::Show(arguments) => commands::show::show(&arguments, environment),
        CliCommand::Backends(arguments) => commands::backends::backends(&arguments, environment),
        CliCommand::Rescore(arguments) => commands::rescore::rescore(&arguments, environment),
        CliCommand::Status => commands::status::status(environment),
        CliCommand::Query(arguments) => commands::query::query(&arguments, environment),
        CliCommand::Base(arguments) => commands::base::base(&arguments, environment),
        CliCommand::Model(command) => commands::model::model(&command, environment),
        CliCommand::Worker => commands::worker::worker(environment),
    }
}

/// Prints help or version, or the error of a wrong command line.
fn print_usage_error(error: &clap::Error) -> ExitCode {
    // A failure to print cannot be reported.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        ExitReason::Usage as u8
    } else {
        ExitReason::Success as u8
    })
}
