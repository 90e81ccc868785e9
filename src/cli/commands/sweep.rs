//! `rise-lab sweep`: the whole way from an experiment file to its report.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::args::ExperimentArguments;
use crate::cli::environment::CliEnvironment;
use crate::cli::error::{CliError, ExitReason};
use crate::cli::event_sink::EventSink;
use crate::cli::experiment::{
    PreparedExperiment, check_memory, check_writable, prepare_experiment,
};
use crate::cli::format::{format_duration, plural};
use crate::cli::interrupt::InterruptHandler;
use crate::cli::output::CliOutput;
use crate::report::{self, PublishedReport};
use crate::store::Store;
use crate::sweep::{SweepError, SweepOutcome, SweepPlan, SweepSession, WorkerCommand, run_sweep};

/// `rise-lab sweep`.
#[derive(Debug, Args)]
pub struct SweepArguments {
    /// The experiment.
    #[command(flatten)]
    pub experiment: ExperimentArguments,
    /// Write the report into DIR/EXPERIMENT
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub out: PathBuf,
    /// Skip the report
    #[arg(long)]
    pub no_report: bool,
    /// Check everything and show the plan, but run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Start even if a run may not fit its device's memory
    #[arg(long)]
    pub no_memory_check: bool,
}

/// Performs a sweep and writes its report.
///
/// # Errors
/// If anything is wrong with the experiment, the store or the places to write to; runs that fail
/// and a stop on request are told by the exit code instead.
pub fn sweep(
    arguments: &SweepArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let mut opened = prepare_experiment(&arguments.experiment, environment)?;
    if arguments.dry_run {
        super::plan::print_plan(&opened, environment)?;
        return Ok(ExitReason::Success);
    }
    if !arguments.no_memory_check {
        check_memory(&opened.plan)?;
    }
    if !arguments.no_report {
        check_writable(&arguments.out)?;
        report::report_folder(&opened.plan.experiment.name, &arguments.out)?;
    }
    let mut store = environment.open_store()?;
    // From here on nobody else writes; what was finished meanwhile counts.
    opened.plan.refresh_finished(&environment.workspace())?;
    let begun = Instant::now();
    let performed = execute_plan(&opened, &mut store, environment)?;
    let ended = SweepSummary {
        plan: &opened.plan,
        outcome: performed,
        seconds: begun.elapsed().as_secs_f64(),
    };
    environment.output.print_note(&ended.summary());
    let wanted = !arguments.no_report
        && ended.exit_reason() != ExitReason::Interrupted
        && ended.outcome.runs_done > 0;
    let written = wanted
        .then(|| report::write_report(&store, &opened.plan.experiment.name, &arguments.out))
        .transpose()?;
    ended.print_conclusion(written.as_ref(), environment.output)
}

fn execute_plan(
    opened: &PreparedExperiment,
    store: &mut Store,
    environment: &CliEnvironment,
) -> Result<SweepOutcome, CliError> {
    let interrupt = InterruptHandler::install()?;
    let session = SweepSession {
        store,
        workspace: &environment.workspace(),
        worker_command: WorkerCommand::this_program(&environment.store_dir)
            .map_err(SweepError::SpawnWorker)?,
        jobs: opened.jobs,
        stop_signal: interrupt.stop_signal(),
    };
    let mut watcher = EventSink::new(environment.output);
    let performed = run_sweep(&opened.plan, session, &mut |news| watcher.on_event(&news));
    interrupt.disarm();
    watcher.finish()?;
    Ok(performed?)
}

/// What a sweep came to.
struct SweepSummary<'a> {
    plan: &'a SweepPlan,
    outcome: SweepOutcome,
    seconds: f64,
}

impl SweepSummary<'_> {
    const fn exit_reason(&self) -> ExitReason {
        if self.outcome.schedule.interrupted {
            ExitReason::Interrupted
        } else if self.outcome.runs_failed > 0 {
            ExitReason::RunsFailed
        } else {
            ExitReason::Success
        }
    }

    /// Says where the report is and where to look next.
    fn print_conclusion(
        &self,
        written: Option<&PublishedReport>,
        output: CliOutput,
    ) -> Result<ExitReason, CliError> {
        let exit = self.exit_reason();
        output.print_event("sweep-finished", self.document(written))?;
        if let Some(written) = written.filter(|_| !output.is_json()) {
            output.print_result(|| super::report::report_summary(written), &())?;
        }
        match exit {
            ExitReason::RunsFailed => output.print_error(&self.runs_failed_error()),
            ExitReason::Interrupted => {
                output.print_note("stopped; the same command goes on where this one stopped")
            }
            _ => output.print_note(&format!(
                "next: rise-lab runs --experiment {}, rise-lab show RUN, rise-lab query SQL",
                self.plan.experiment.name
            )),
        }
        Ok(exit)
    }

    fn runs_failed_error(&self) -> CliError {
        let runs = plural(self.plan.runs.len(), "run");
        let failed = anyhow::anyhow!("{} of {runs} failed", self.outcome.runs_failed);
        CliError::new(ExitReason::RunsFailed, failed).with_hint(format!(
            "see why with `rise-lab runs --experiment {} --status failed`; the same command tries them again",
            self.plan.experiment.name
        ))
    }

    fn reused_stages(&self) -> usize {
        self.plan.graph.stages().len() - self.outcome.open_stages
    }

    fn summary(&self) -> String {
        let failed = match self.outcome.runs_failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        format!(
            "{}: {} of {} done{failed}; {} executed, {} reused, {} asked for; {}",
            self.plan.experiment.name,
            self.outcome.runs_done,
            plural(self.plan.runs.len(), "run"),
            plural(self.outcome.schedule.executed, "stage"),
            self.reused_stages(),
            self.plan.requested_stages(),
            format_duration(self.seconds),
        )
    }

    fn document(&self, written: Option<&PublishedReport>) -> Value {
        json!({
            "experiment": self.plan.experiment.name,
            "runs": self.plan.runs.len(),
            "runs-done": self.outcome.runs_done,
            "runs-failed": self.outcome.runs_failed,
            "stages-asked": self.plan.requested_stages(),
            "stages-executed": self.outcome.schedule.executed,
            "stages-reused": self.reused_stages(),
            "interrupted": self.outcome.schedule.interrupted,
            "seconds": self.seconds,
            "report": written.map(|written| &written.index),
        })
    }
}
