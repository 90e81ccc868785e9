//! Exit codes, and the error type that every command returns.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::claims::ClaimError;
use crate::config::ConfigError;
use crate::model::CheckpointError;
use crate::pipeline::{StageError, WorkspaceError};
use crate::report::ReportError;
use crate::store::StoreError;
use crate::sweep::SweepError;

/// The exit codes in `--help`.
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
  0  success
  1  a bug in rise-lab
  2  wrong usage or an unusable file; nothing was started
  3  some runs failed; the others are done
  4  interrupted; the same command resumes
  5  the store is busy, newer than rise-lab, or not a store
  6  a file cannot be written (no space, no permission)";

/// The exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitReason {
    /// Success.
    Success = 0,
    /// A bug.
    Bug = 1,
    /// Wrong usage or an unusable file.
    Usage = 2,
    /// Some runs failed.
    RunsFailed = 3,
    /// Stopped on request; can be resumed.
    Interrupted = 4,
    /// The store is busy, newer, or foreign.
    StoreUnusable = 5,
    /// A file cannot be written.
    WriteFailed = 6,
}

/// An error on its way to the user.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    pub exit: ExitReason,
    /// The error with its causes.
    pub error: anyhow::Error,
    /// The way out, if the error does not name it.
    pub hint: Option<String>,
}

impl CliError {
    /// An error with this exit code.
    pub fn new(exit: ExitReason, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: None,
        }
    }

    /// A wrong command line.
    pub fn usage(message: impl Display) -> Self {
        Self::new(ExitReason::Usage, anyhow::anyhow!("{message}"))
    }

    /// A file or folder that cannot be written.
    pub fn cannot_write(path: &Path, error: io::Error) -> Self {
        let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
        Self::new(ExitReason::WriteFailed, error)
            .with_hint("check that the folder exists, is writable and has free space")
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::new(ExitReason::Usage, error)
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::new(store_exit_reason(&error), error)
    }
}

impl From<WorkspaceError> for CliError {
    fn from(error: WorkspaceError) -> Self {
        Self::new(workspace_exit_reason(&error), error)
    }
}

impl From<ReportError> for CliError {
    fn from(error: ReportError) -> Self {
        let exit = match &error {
            ReportError::Store(error) => store_exit_reason(error),
            ReportError::Write { .. } | ReportError::FolderOccupied { .. } => {
                ExitReason::WriteFailed
            }
            ReportError::InvalidName(_)
            | ReportError::InvalidOptions { .. }
            | ReportError::InvalidContext { .. } => ExitReason::Usage,
            ReportError::Figure { .. } | ReportError::Template(_) => ExitReason::Bug,
        };
        Self::new(exit, error)
    }
}

impl From<ClaimError> for CliError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Config(error) => error.into(),
            ClaimError::Store(error) => error.into(),
            ClaimError::Report(error) => error.into(),
            ClaimError::UnknownExperiment { .. } => Self::new(ExitReason::Usage, error),
        }
    }
}

impl From<SweepError> for CliError {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Store(error) => error.into(),
            SweepError::Workspace(error) => error.into(),
            SweepError::Config(error) => error.into(),
            SweepError::Plan { .. } => Self::new(ExitReason::Usage, error),
            SweepError::SpawnWorker(_) => Self::new(ExitReason::WriteFailed, error).with_hint(
                "check that the program file was not moved, and that processes and memory are left",
            ),
            SweepError::BadResults { .. } => Self::new(ExitReason::RunsFailed, error),
        }
    }
}

impl From<CheckpointError> for CliError {
    fn from(error: CheckpointError) -> Self {
        let exit = if error.is_write() {
            ExitReason::WriteFailed
        } else {
            ExitReason::Usage
        };
        Self::new(exit, error)
    }
}

impl From<StageError> for CliError {
    fn from(error: StageError) -> Self {
        let exit = if matches!(error, StageError::Stopped) {
            ExitReason::Interrupted
        } else {
            ExitReason::RunsFailed
        };
        Self::new(exit, error)
    }
}

const fn workspace_exit_reason(error: &WorkspaceError) -> ExitReason {
    match error {
        WorkspaceError::Io { .. } => ExitReason::WriteFailed,
        WorkspaceError::CorruptLine { .. } | WorkspaceError::Damaged { .. } => ExitReason::Usage,
    }
}

/// An unusable store has its own code, so that a script can wait for a busy one; a wrong query or
/// name is usage.
const fn store_exit_reason(error: &StoreError) -> ExitReason {
    match error {
        StoreError::NewerSchema { .. }
        | StoreError::OlderSchema { .. }
        | StoreError::NotOurDatabase { .. }
        | StoreError::Busy { .. }
        | StoreError::Locked { .. }
        | StoreError::NoWriteAheadLog { .. }
        | StoreError::Damaged { .. } => ExitReason::StoreUnusable,
        StoreError::CannotWrite { .. } => ExitReason::WriteFailed,
        StoreError::Missing { .. }
        | StoreError::ReadOnlyQuery { .. }
        | StoreError::BadQuery { .. }
        | StoreError::SlowQuery { .. }
        | StoreError::UnknownExperiment { .. }
        | StoreError::UnknownRun { .. }
        | StoreError::AmbiguousRun { .. } => ExitReason::Usage,
        StoreError::Sql { .. }
        | StoreError::UnknownStage { .. }
        | StoreError::StageAlreadyDone { .. }
        | StoreError::UnknownMetric { .. }
        | StoreError::MetricChanged { .. }
        | StoreError::BadResults { .. }
        | StoreError::BadRun { .. } => ExitReason::Bug,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn exit_code(error: StoreError) -> u8 {
        CliError::from(error).exit as u8
    }

    #[test]
    fn a_script_can_tell_a_busy_store_from_a_full_disk_and_a_typo() {
        let path = PathBuf::from("s");
        assert_eq!(
            exit_code(StoreError::Busy {
                path: path.clone(),
                pid: None
            }),
            5
        );
        assert_eq!(
            exit_code(StoreError::NewerSchema {
                found: 2,
                known: 1,
                path: path.clone()
            }),
            5
        );
        assert_eq!(
            exit_code(StoreError::CannotWrite {
                path: path.clone(),
                source: "full".into()
            }),
            6
        );
        assert_eq!(exit_code(StoreError::Missing { path }), 2);
        assert_eq!(
            exit_code(StoreError::UnknownRun {
                given: "x".into(),
                nearest: None
            }),
            2
        );
    }

    #[test]
    fn every_code_is_told_in_the_help() {
        let listed: Vec<u8> = EXIT_CODES_HELP
            .lines()
            .filter_map(|line| line.trim().split("  ").next()?.parse().ok())
            .collect();
        let codes = [
            ExitReason::Success,
            ExitReason::Bug,
            ExitReason::Usage,
            ExitReason::RunsFailed,
            ExitReason::Interrupted,
            ExitReason::StoreUnusable,
            ExitReason::WriteFailed,
        ];
        assert_eq!(listed, codes.map(|exit| exit as u8));
    }

    #[test]
    fn a_report_in_a_place_that_cannot_be_written_is_code_6() {
        let error = ReportError::Write {
            path: "r".into(),
            source: io::Error::other("full"),
        };
        assert_eq!(CliError::from(error).exit, ExitReason::WriteFailed);
        assert_eq!(
            CliError::from(ReportError::InvalidName("x/y".into())).exit,
            ExitReason::Usage
        );
    }
}
