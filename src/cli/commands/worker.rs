//! `rise-lab worker` executes stages for the coordinator of a sweep.

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
    let mut output = io::stdout().lock();
    serve(
        &environment.workspace(),
        BufReader::new(io::stdin()),
        &mut output,
        // The process ends as soon as its input does, even in the middle of a stage.
        || process::exit(i32::from(ExitReason::Success as u8)),
    )
    .map_err(|error| CliError::cannot_write(Path::new("standard output"), error))?;
    Ok(ExitReason::Success)
}
