//! From a typed experiment to a checked plan, before any work begins.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use crate::config::{self, ExperimentSpec};
use crate::model::device_memory;
use crate::pipeline::{BaseModelRegistry, check_backend, check_endpoints};
use crate::sweep::{SweepPlan, SweepRun};

use super::args::ExperimentArguments;
use super::environment::CliEnvironment;
use super::error::CliError;
use super::format::format_bytes;

/// An experiment that can be begun.
#[derive(Debug)]
pub struct PreparedExperiment {
    /// Its runs and stages.
    pub plan: SweepPlan,
    /// Cores to work on at a time.
    pub jobs: usize,
}

/// Reads, expands and plans an experiment; changes nothing.
///
/// # Errors
/// If anything about it is wrong: a setting, a base model, a data file, a backend, the key of an API.
pub fn prepare_experiment(
    arguments: &ExperimentArguments,
    environment: &CliEnvironment,
) -> Result<PreparedExperiment, CliError> {
    let experiment = read_experiment(arguments)?;
    let models =
        BaseModelRegistry::new(experiment.models_folder()).with_hash_cache(&environment.store_dir);
    let plan = SweepPlan::from_experiment(experiment, &models, &environment.workspace())?;
    for cell in &plan.runs {
        check_backend(&cell.cell.spec.backend)
            .and_then(|()| check_endpoints(&cell.cell.spec))
            .map_err(|complaint| {
                CliError::usage(format!("run `{}`: {complaint}", cell.cell.label))
            })?;
    }
    let jobs = arguments
        .jobs
        .map_or_else(|| default_jobs(&plan, &device_memory), usize::from);
    Ok(PreparedExperiment { plan, jobs })
}

/// As many workers as there are cores and as fit the memory; on a graphics card one, since each
/// holds a model of its own there.
fn default_jobs(plan: &SweepPlan, capacity: &dyn Fn(&str) -> Option<u64>) -> usize {
    if plan
        .runs
        .iter()
        .any(|cell| cell.resources.backend != "flex")
    {
        return 1;
    }
    let need = plan
        .largest_run()
        .map_or(1, |cell| cell.resources.peak_memory().0.max(1));
    let room = capacity("flex").map_or(usize::MAX, |bytes| (bytes / need) as usize);
    available_cores().min(room).max(1)
}

/// Makes sure that every run fits the memory of its device, as far as that is known.
///
/// # Errors
/// If one does not: what it needs, what there is, and what to do.
pub fn check_memory(plan: &SweepPlan) -> Result<(), CliError> {
    match plan
        .runs
        .iter()
        .find_map(|cell| memory_error(cell, &device_memory))
    {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

fn memory_error(cell: &SweepRun, capacity: &dyn Fn(&str) -> Option<u64>) -> Option<CliError> {
    let (need, during) = cell.resources.peak_memory();
    let held = capacity(&cell.resources.backend).filter(|held| *held < need)?;
    let (need, held, backend) = (
        format_bytes(need),
        format_bytes(held),
        &cell.resources.backend,
    );
    let label = &cell.cell.label;
    let complaint = format!(
        "run `{label}` needs about {need} while {during}, and the device of `{backend}` has {held}"
    );
    Some(CliError::usage(complaint).with_hint("train adapters (`train.lora = {}`), use 16 bits (`base = { hf = ..., precision = \"bf16\" }`), or lower `train.batch` or `max_tokens`; `rise-lab plan` shows what needs how much; `--no-memory-check` begins anyway"))
}

/// How many processes or threads can work at a time here.
pub fn available_cores() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Reads an experiment with what replaces parts of it.
///
/// # Errors
/// If anything in the file or in the replacements is wrong.
pub fn read_experiment(arguments: &ExperimentArguments) -> Result<ExperimentSpec, CliError> {
    let mut overrides = arguments
        .set
        .iter()
        .map(|text| parse_override(text))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(backend) = &arguments.backend {
        overrides.push(("backend".to_owned(), backend.clone()));
    }
    let mut experiment = config::read_experiment(&arguments.file, &overrides)?;
    if let Some(seed) = arguments.seed {
        experiment.seeds = vec![seed];
        experiment.sweep.seed_overrides.clear();
    }
    Ok(experiment)
}

fn parse_override(text: &str) -> Result<(String, String), CliError> {
    match text.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() && !value.trim().is_empty() => {
            Ok((path.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(CliError::usage(format!("--set `{text}` is not PATH=VALUE"))
            .with_hint("write for example --set train.epochs=1 or --set base=strong")),
    }
}

/// Makes sure that a report can be written into `folder` hours before it is.
///
/// # Errors
/// If the folder cannot be made, or nothing can be written into it.
pub fn check_writable(folder: &Path) -> Result<(), CliError> {
    let probe = folder.join(format!(".rise-lab-{}", std::process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&probe, b""))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| CliError::cannot_write(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_split_at_the_first_equals_sign() {
        let parts = parse_override("collect.teacher = { model = \"strong\" }").unwrap();
        assert_eq!(
            parts,
            (
                "collect.teacher".to_owned(),
                "{ model = \"strong\" }".to_owned()
            )
        );
        for wrong in ["train.epochs", "=1", "train.epochs="] {
            assert!(parse_override(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_run_that_cannot_fit_is_refused_with_what_it_needs() {
        let plan = crate::cli::fixtures::plan();
        let fault = memory_error(&plan.runs[0], &|_| Some(100 << 20)).unwrap();
        insta::assert_snapshot!(fault.error, @"run `weighting=uniform seed=0` needs about 102 MB while training, and the device of `flex` has 100 MB");
        assert!(memory_error(&plan.runs[0], &|_| Some(200 << 20)).is_none());
        assert!(memory_error(&plan.runs[0], &|_| None).is_none());
        assert_eq!(default_jobs(&plan, &|_| Some(110 << 20)), 1);
        assert_eq!(default_jobs(&plan, &|_| None), available_cores());
    }

    #[test]
    fn a_place_that_is_a_file_cannot_hold_reports() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(&folder.path().join("new/reports")).unwrap();
        assert_eq!(
            fs::read_dir(folder.path().join("new/reports"))
                .unwrap()
                .count(),
            0
        );
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(check_writable(&file).unwrap_err().exit as u8, 6);
    }
}
