//! The command line: what is typed, what is answered, how the program ends.
//!
//! How data flows: `args` is what was typed; `environment` and `experiment` resolve it into opened
//! stores and checked plans; each file in `commands` does one command; `output` is the only place
//! that prints, `progress` the only one that draws; `exit` is where every error ends. Knows the
//! parts of the program that do the work, and does none of it.

mod args;
mod commands;
mod environment;
mod exit;
mod experiment;
mod interrupt;
mod news;
mod output;
mod pace;
mod progress;
mod quantity;
#[cfg(test)]
mod samples;
mod table;
mod watcher;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use self::args::{Arguments, Command};
use self::environment::Environment;
use self::exit::{Exit, Fault};

/// Does what the command line asks and tells how it ended; see `rise-lab --help` for the codes.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    let environment = Environment::new(&arguments.global);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        perform(arguments.command, &environment)
    }));
    let exit = match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(fault)) => {
            environment.output.error(&fault);
            fault.exit
        }
        Err(_) => {
            let fault = Fault::new(
                Exit::Bug,
                anyhow::anyhow!("rise-lab stumbled over itself, see above"),
            );
            environment.output.error(&fault);
            fault.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn perform(command: Command, environment: &Environment) -> Result<Exit, Fault> {
    match command {
        Command::Sweep(arguments) => commands::sweep::sweep(&arguments, environment),
        Command::Plan(arguments) => commands::plan::plan(&arguments, environment),
        Command::Data(arguments) => commands::data::data(&arguments, environment),
        Command::Report(arguments) => commands::report::report(&arguments, environment),
        Command::Claims(arguments) => commands::claims::claims(&arguments, environment),
        Command::Runs(arguments) => commands::runs::runs(&arguments, environment),
        Command::Show(arguments) => commands::show::show(&arguments, environment),
        Command::Backends(arguments) => commands::backends::backends(&arguments, environment),
        Command::Rescore(arguments) => commands::rescore::rescore(&arguments, environment),
        Command::Status => commands::status::status(environment),
        Command::Query(arguments) => commands::query::query(&arguments, environment),
        Command::Base(arguments) => commands::base::base(&arguments, environment),
        Command::Model(command) => commands::model::model(&command, environment),
        Command::Worker => commands::worker::worker(environment),
    }
}

/// Help and version are asked for; anything else is wrong usage.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    // Nowhere is left to tell of a failure to.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        Exit::Usage as u8
    } else {
        Exit::Fine as u8
    })
}
