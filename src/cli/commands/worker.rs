//! `rise-lab worker`: the other end of a sweep's coordinator; not for people.

use std::io::{self, BufReader};
use std::path::Path;
use std::process;

use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::sweep::serve;

/// Executes stages until the coordinator is gone.
///
/// # Errors
/// If standard output is closed.
pub fn worker(environment: &CliEnvironment) -> Result<ExitReason, CliError> {
    // The process ends as soon as its input does, whatever it is doing: see `serve`.
    let orphaned = || process::exit(i32::from(ExitReason::Success as u8));
    let mut output = io::stdout().lock();
    serve(
        &environment.workspace(),
        BufReader::new(io::stdin()),
        &mut output,
        orphaned,
    )
    .map_err(|error| CliError::cannot_write(Path::new("standard output"), error))?;
    Ok(ExitReason::Success)
}
