//! How the program ends: its exit codes, and the one shape in which every error reaches the user.
//!
//! Responsible for which error means which code. Must not know how errors are printed.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::claims::ClaimError;
use crate::model::CheckpointError;
use crate::pipeline::{StageError, WorkspaceError};
use crate::report::ReportError;
use crate::spec::SpecError;
use crate::store::StoreError;
use crate::sweep::SweepError;

/// The exit codes as `--help` tells them.
pub const HELP: &str = "\
Exit codes:
  0  everything is fine
  1  a bug in rise-lab
  2  wrong usage, or a file that cannot be used; nothing was begun
  3  some runs failed; the others are done
  4  interrupted; the same command goes on
  5  the store is in use, of a newer version, or not ours
  6  something could not be written (no space, no permission)";

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything is fine.
    Fine = 0,
    /// A bug.
    Bug = 1,
    /// Wrong usage, or a file that cannot be used.
    Usage = 2,
    /// Some runs failed.
    Failed = 3,
    /// Stopped on request; can be resumed.
    Interrupted = 4,
    /// The store is busy, newer, or foreign.
    Store = 5,
    /// Something cannot be written.
    Write = 6,
}

/// An error on its way to the user.
#[derive(Debug)]
pub struct Fault {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, with its causes.
    pub error: anyhow::Error,
    /// What to do, where the error does not say so itself.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault with this exit code.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: None,
        }
    }

    /// A mistake in what was typed.
    pub fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{message}"))
    }

    /// Something that cannot be written.
    pub fn write(path: &Path, error: io::Error) -> Self {
        let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
        Self::new(Exit::Write, error).hint("check that the place exists, is writable and has room")
    }

    /// The same fault with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<SpecError> for Fault {
    fn from(error: SpecError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::new(of_store(&error), error)
    }
}

impl From<WorkspaceError> for Fault {
    fn from(error: WorkspaceError) -> Self {
        Self::new(of_workspace(&error), error)
    }
}

impl From<ReportError> for Fault {
    fn from(error: ReportError) -> Self {
        let exit = match &error {
            ReportError::Store(error) => of_store(error),
            ReportError::Write { .. } | ReportError::Taken { .. } => Exit::Write,
            ReportError::Name(_) | ReportError::Wishes { .. } => Exit::Usage,
            ReportError::Figure { .. } | ReportError::Template(_) => Exit::Bug,
        };
        Self::new(exit, error)
    }
}

impl From<ClaimError> for Fault {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Spec(error) => error.into(),
            ClaimError::Store(error) => error.into(),
            ClaimError::Report(error) => error.into(),
            ClaimError::NoClaim { .. } | ClaimError::Earlier { .. } => {
                Self::new(Exit::Usage, error)
            }
        }
    }
}

impl From<SweepError> for Fault {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Store(error) => error.into(),
            SweepError::Workspace(error) => error.into(),
            SweepError::Spec(error) => error.into(),
            SweepError::Plan { .. } => Self::new(Exit::Usage, error),
            SweepError::Worker(_) => Self::new(Exit::Write, error).hint(
                "the program file may have been moved or the machine may be out of processes or memory",
            ),
            SweepError::Results { .. } => Self::new(Exit::Failed, error),
        }
    }
}

impl From<CheckpointError> for Fault {
    fn from(error: CheckpointError) -> Self {
        let exit = if error.is_write() {
            Exit::Write
        } else {
            Exit::Usage
        };
        Self::new(exit, error)
    }
}

impl From<StageError> for Fault {
    fn from(error: StageError) -> Self {
        let exit = if matches!(error, StageError::Stopped) {
            Exit::Interrupted
        } else {
            Exit::Failed
        };
        Self::new(exit, error)
    }
}

const fn of_workspace(error: &WorkspaceError) -> Exit {
    match error {
        WorkspaceError::Io { .. } => Exit::Write,
        WorkspaceError::Damaged { .. } => Exit::Usage,
    }
}

/// A store that cannot be used as it is has a code of its own, so that a script can wait for a
/// busy one; mistakes in a query or a name are usage.
const fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Newer { .. }
        | StoreError::Older { .. }
        | StoreError::Foreign { .. }
        | StoreError::Busy { .. }
        | StoreError::Locked { .. }
        | StoreError::NoLog { .. }
        | StoreError::Damaged { .. } => Exit::Store,
        StoreError::CannotWrite { .. } => Exit::Write,
        StoreError::Missing { .. }
        | StoreError::ReadOnlyQuery { .. }
        | StoreError::BadQuery { .. }
        | StoreError::SlowQuery { .. }
        | StoreError::UnknownExperiment { .. }
        | StoreError::UnknownRun { .. }
        | StoreError::AmbiguousRun { .. } => Exit::Usage,
        StoreError::Sql { .. }
        | StoreError::UnknownStage { .. }
        | StoreError::StageDone { .. }
        | StoreError::UnknownMetric { .. }
        | StoreError::MetricChanged { .. }
        | StoreError::BadResults { .. }
        | StoreError::BadRun { .. } => Exit::Bug,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_script_can_tell_a_busy_store_from_a_full_disk_and_a_typo() {
        let path = PathBuf::from("s");
        let code = |error: StoreError| Fault::from(error).exit as u8;
        assert_eq!(
            code(StoreError::Busy {
                path: path.clone(),
                pid: None
            }),
            5
        );
        assert_eq!(
            code(StoreError::Newer {
                found: 2,
                known: 1,
                path: path.clone()
            }),
            5
        );
        assert_eq!(
            code(StoreError::CannotWrite {
                path: path.clone(),
                source: "full".into()
            }),
            6
        );
        assert_eq!(code(StoreError::Missing { path }), 2);
        assert_eq!(
            code(StoreError::UnknownRun {
                given: "x".into(),
                nearest: None
            }),
            2
        );
    }

    #[test]
    fn every_code_is_told_in_the_help() {
        let told: Vec<u8> = HELP
            .lines()
            .filter_map(|line| line.trim().split("  ").next()?.parse().ok())
            .collect();
        let codes = [
            Exit::Fine,
            Exit::Bug,
            Exit::Usage,
            Exit::Failed,
            Exit::Interrupted,
            Exit::Store,
            Exit::Write,
        ];
        assert_eq!(told, codes.map(|exit| exit as u8));
    }

    #[test]
    fn a_report_in_a_place_that_cannot_be_written_is_code_6() {
        let error = ReportError::Write {
            path: "r".into(),
            source: io::Error::other("full"),
        };
        assert_eq!(Fault::from(error).exit, Exit::Write);
        assert_eq!(
            Fault::from(ReportError::Name("x/y".into())).exit,
            Exit::Usage
        );
    }
}
