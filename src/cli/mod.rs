//! The command line: what is typed, what is answered, how the program ends.
//!
//! How data flows: `args` is what was typed; `environment` and `experiment` resolve it into opened
//! stores and checked plans; each file in `commands` does one command; `output` is the only place
//! that prints, `progress` the only one that draws; `exit` is where every error ends. Knows the
//! parts of the program that do the work, and does none of it.

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

/// Does what the command line asks and tells how it ended; see `rise-lab --help` for the codes.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match CliArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return print_usage_error(&error),
    };
    let environment = CliEnvironment::new(&arguments.global);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run_command(arguments.command, &environment)
    }));
    let exit = match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(fault)) => {
            environment.output.print_error(&fault);
            fault.exit
        }
        Err(_) => {
            let fault = CliError::new(
                ExitReason::Bug,
                anyhow::anyhow!("rise-lab stumbled over itself, see above"),
            );
            environment.output.print_error(&fault);
            fault.exit
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

/// Help and version are asked for; anything else is wrong usage.
fn print_usage_error(error: &clap::Error) -> ExitCode {
    // Nowhere is left to tell of a failure to.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        ExitReason::Usage as u8
    } else {
        ExitReason::Success as u8
    })
}
