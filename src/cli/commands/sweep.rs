//! `rise-lab sweep` runs an experiment and writes its report.

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

/// Runs a sweep and writes its report.
///
/// # Errors
/// If the experiment, the store or the report folder is unusable; failed runs and a requested stop
/// have their own exit codes.
pub fn sweep(
    arguments: &SweepArguments,
    environment: &CliEnvironment,
) -> Result<ExitReason, CliError> {
    let mut experiment = prepare_experiment(&arguments.experiment, environment)?;
    if arguments.dry_run {
        super::plan::print_plan(&experiment, environment)?;
        return Ok(ExitReason::Success);
    }
    if !arguments.no_memory_check {
        check_memory(&experiment.plan)?;
    }
    if !arguments.no_report {
        check_writable(&arguments.out)?;
        report::report_folder(&experiment.plan.experiment.name, &arguments.out)?;
    }
    let mut store = environment.open_store()?;
    // Nobody else writes from here on, and another process may have finished stages meanwhile.
    experiment.plan.refresh_finished(&environment.workspace())?;
    let start = Instant::now();
    let outcome = execute_plan(&experiment, &mut store, environment)?;
    let summary = SweepSummary {
        plan: &experiment.plan,
        outcome,
        seconds: start.elapsed().as_secs_f64(),
    };
    environment.output.print_note(&summary.text());
    let has_report = !arguments.no_report
        && summary.exit_reason() != ExitReason::Interrupted
        && summary.outcome.runs_done > 0;
    let written = has_report
        .then(|| report::write_report(&store, &experiment.plan.experiment.name, &arguments.out))
        .transpose()?;
    summary.print_conclusion(written.as_ref(), environment.output)
}

fn execute_plan(
    experiment: &PreparedExperiment,
    store: &mut Store,
    environment: &CliEnvironment,
) -> Result<SweepOutcome, CliError> {
    let interrupt = InterruptHandler::install()?;
    let session = SweepSession {
        store,
        workspace: &environment.workspace(),
        worker_command: WorkerCommand::this_program(&environment.store_dir)
            .map_err(SweepError::SpawnWorker)?,
        jobs: experiment.jobs,
        stop_signal: interrupt.stop_signal(),
    };
    let mut events = EventSink::new(environment.output);
    let outcome = run_sweep(&experiment.plan, session, &mut |event| {
        events.on_event(&event);
    });
    interrupt.disarm();
    events.finish()?;
    Ok(outcome?)
}

/// The outcome of a sweep with its plan and time.
struct SweepSummary<'a> {
    plan: &'a SweepPlan,
    outcome: SweepOutcome,
    seconds: f64,
}

impl SweepSummary<'_> {
    const fn exit_reason(&self) -> ExitReason {
        if self.outcome.interrupted {
            ExitReason::Interrupted
        } else if self.outcome.runs_failed > 0 {
            ExitReason::RunsFailed
        } else {
            ExitReason::Success
        }
    }

    /// Prints the report's path and the next commands.
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
            ExitReason::Interrupted => output.print_note("stopped; run the same command to resume"),
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
            "`rise-lab runs --experiment {} --status failed` lists the errors; run the same command to retry",
            self.plan.experiment.name
        ))
    }

    fn reused_stages(&self) -> usize {
        self.plan.graph.stages().len() - self.outcome.open_stages
    }

    fn text(&self) -> String {
        let failed = match self.outcome.runs_failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        format!(
            "{}: {} of {} done{failed}; {} executed, {} reused, {} in all runs; {}",
            self.plan.experiment.name,
            self.outcome.runs_done,
            plural(self.plan.runs.len(), "run"),
            plural(self.outcome.executed, "stage"),
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
            "stages-executed": self.outcome.executed,
            "stages-reused": self.reused_stages(),
            "interrupted": self.outcome.interrupted,
            "seconds": self.seconds,
            "report": written.map(|written| &written.index),
        })
    }
}
