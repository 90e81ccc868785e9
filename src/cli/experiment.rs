//! From a typed experiment to a checked plan, before any work begins.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use crate::pipeline::{Models, check_backend, check_endpoints};
use crate::spec::{ExperimentSpec, read};
use crate::sweep::SweepPlan;

use super::args::ExperimentArguments;
use super::environment::Environment;
use super::exit::Fault;

/// An experiment that can be begun.
#[derive(Debug)]
pub struct Opened {
    /// Its runs and stages.
    pub plan: SweepPlan,
    /// Cores to work on at a time.
    pub jobs: usize,
}

/// Reads, expands and plans an experiment; changes nothing.
///
/// # Errors
/// If anything about it is wrong: a setting, a base model, a data file, a backend, the key of an API.
pub fn open(arguments: &ExperimentArguments, environment: &Environment) -> Result<Opened, Fault> {
    let experiment = experiment(arguments)?;
    let models = Models::new(experiment.models_folder());
    let plan = SweepPlan::of(experiment, &models, &environment.workspace())?;
    for cell in &plan.cells {
        check_backend(&cell.cell.spec.backend)
            .and_then(|()| check_endpoints(&cell.cell.spec))
            .map_err(|complaint| Fault::usage(format!("run `{}`: {complaint}", cell.cell.label)))?;
    }
    Ok(Opened { plan, jobs: arguments.jobs.map_or_else(cores, usize::from) })
}

/// How many processes or threads can work at a time here.
pub fn cores() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

fn experiment(arguments: &ExperimentArguments) -> Result<ExperimentSpec, Fault> {
    let mut overrides = arguments.set.iter().map(|text| setting(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(backend) = &arguments.backend {
        overrides.push(("backend".to_owned(), backend.clone()));
    }
    let mut experiment = read(&arguments.file, &overrides)?;
    if let Some(seed) = arguments.seed {
        experiment.seeds = vec![seed];
        experiment.sweep.seeds.clear();
    }
    Ok(experiment)
}

fn setting(text: &str) -> Result<(String, String), Fault> {
    match text.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() && !value.trim().is_empty() => {
            Ok((path.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Fault::usage(format!("--set `{text}` is not PATH=VALUE"))
            .hint("write for example --set train.epochs=1 or --set base=strong")),
    }
}

/// Makes sure that a report can be written into `folder` hours before it is.
///
/// # Errors
/// If the folder cannot be made, or nothing can be written into it.
pub fn check_writable(folder: &Path) -> Result<(), Fault> {
    let probe = folder.join(format!(".rise-lab-{}", std::process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&probe, b""))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| Fault::write(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_split_at_the_first_equals_sign() {
        let parts = setting("collect.teacher = { model = \"strong\" }").unwrap();
        assert_eq!(parts, ("collect.teacher".to_owned(), "{ model = \"strong\" }".to_owned()));
        for wrong in ["train.epochs", "=1", "train.epochs="] {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_that_is_a_file_cannot_hold_reports() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(&folder.path().join("new/reports")).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("new/reports")).unwrap().count(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(check_writable(&file).unwrap_err().exit as u8, 6);
    }
}
