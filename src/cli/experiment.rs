//! Turns the experiment on the command line into a checked plan.

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

/// A checked experiment.
#[derive(Debug)]
pub struct PreparedExperiment {
    /// Its runs and stages.
    pub plan: SweepPlan,
    /// Cores to use.
    pub jobs: usize,
}

/// Reads, expands and plans an experiment; changes nothing.
///
/// # Errors
/// If a setting, base model, data file, backend or API key is wrong.
pub fn prepare_experiment(
    arguments: &ExperimentArguments,
    environment: &CliEnvironment,
) -> Result<PreparedExperiment, CliError> {
    let experiment = read_experiment(arguments)?;
    let models =
        BaseModelRegistry::new(experiment.models_folder()).with_hash_cache(&environment.store_dir);
    let plan = SweepPlan::from_experiment(experiment, &models, &environment.workspace())?;
    for run in &plan.runs {
        check_backend(&run.cell.spec.backend)
            .and_then(|()| check_endpoints(&run.cell.spec))
            .map_err(|error| CliError::usage(format!("run `{}`: {error}", run.cell.label)))?;
    }
    let jobs = arguments
        .jobs
        .map_or_else(|| default_jobs(&plan, &device_memory), usize::from);
    Ok(PreparedExperiment { plan, jobs })
}

/// As many workers as cores, or as fit the memory; one on a graphics card, since each worker holds
/// its own model there.
fn default_jobs(plan: &SweepPlan, capacity: &dyn Fn(&str) -> Option<u64>) -> usize {
    if plan.runs.iter().any(|run| run.resources.backend != "flex") {
        return 1;
    }
    let need = plan
        .largest_run()
        .map_or(1, |run| run.resources.peak_memory().0.max(1));
    let fitting = capacity("flex").map_or(usize::MAX, |bytes| (bytes / need) as usize);
    available_cores().min(fitting).max(1)
}

/// Checks that every run fits the memory of its device, if that is known.
///
/// # Errors
/// If a run does not fit: its need, the capacity, and the ways out.
pub fn check_memory(plan: &SweepPlan) -> Result<(), CliError> {
    plan.runs
        .iter()
        .find_map(|run| memory_error(run, &device_memory))
        .map_or(Ok(()), Err)
}

fn memory_error(run: &SweepRun, capacity: &dyn Fn(&str) -> Option<u64>) -> Option<CliError> {
    let (need, activity) = run.resources.peak_memory();
    let backend = &run.resources.backend;
    let held = capacity(backend).filter(|held| *held < need)?;
    let message = format!(
        "run `{}` needs about {} while {activity}, and the device of `{backend}` has {}",
        run.cell.label,
        format_bytes(need),
        format_bytes(held),
    );
    Some(CliError::usage(message).with_hint(
        "train adapters (`train.lora = {}`), use 16 bits (`base = { hf = ..., precision = \"bf16\" }`), \
         or lower `train.batch` or `max_tokens`; `rise-lab plan` lists the needs; `--no-memory-check` \
         starts anyway",
    ))
}

/// The number of processes or threads that can work at a time.
pub fn available_cores() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Reads an experiment with the replacements on the command line.
///
/// # Errors
/// If the file or a replacement is wrong.
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

/// Checks that a report can be written into `folder`, hours before it is.
///
/// # Errors
/// If the folder cannot be created or written.
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
        let error = memory_error(&plan.runs[0], &|_| Some(100 << 20)).unwrap();
        insta::assert_snapshot!(error.error, @"run `weighting=uniform seed=0` needs about 102 MB while training, and the device of `flex` has 100 MB");
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
