//! `rise-lab sweep`: the whole way from an experiment file to its report.

use std::time::Instant;

use serde_json::{Value, json};

use crate::cli::args::SweepArguments;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Fault};
use crate::cli::experiment::{Opened, check_memory, check_writable, open};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::quantity::{counted, duration};
use crate::cli::watcher::Watcher;
use crate::report::{self, Written};
use crate::store::Store;
use crate::sweep::{Performed, Session, SweepError, SweepPlan, WorkerCommand, perform};

/// Performs a sweep and writes its report.
///
/// # Errors
/// If anything is wrong with the experiment, the store or the places to write to; runs that fail
/// and a stop on request are told by the exit code instead.
pub fn sweep(arguments: &SweepArguments, environment: &Environment) -> Result<Exit, Fault> {
    let mut opened = open(&arguments.experiment, environment)?;
    if arguments.dry_run {
        super::plan::show(&opened, environment)?;
        return Ok(Exit::Fine);
    }
    if !arguments.no_memory_check {
        check_memory(&opened.plan)?;
    }
    if !arguments.no_report {
        check_writable(&arguments.out)?;
        report::place(&opened.plan.experiment.name, &arguments.out)?;
    }
    let mut store = environment.writer()?;
    // From here on nobody else writes; what was finished meanwhile counts.
    opened.plan.look(&environment.workspace())?;
    let begun = Instant::now();
    let performed = execute(&opened, &mut store, environment)?;
    let ended = Ended {
        plan: &opened.plan,
        performed,
        seconds: begun.elapsed().as_secs_f64(),
    };
    environment.output.say(&ended.summary());
    let wanted =
        !arguments.no_report && ended.exit() != Exit::Interrupted && ended.performed.runs_done > 0;
    let written = wanted
        .then(|| report::write(&store, &opened.plan.experiment.name, &arguments.out))
        .transpose()?;
    ended.conclude(written.as_ref(), environment.output)
}

fn execute(
    opened: &Opened,
    store: &mut Store,
    environment: &Environment,
) -> Result<Performed, Fault> {
    let interrupt = Interrupt::listen()?;
    let session = Session {
        store,
        workspace: &environment.workspace(),
        command: WorkerCommand::this_program(&environment.store).map_err(SweepError::Worker)?,
        jobs: opened.jobs,
        stop: interrupt.stop(),
    };
    let mut watcher = Watcher::new(environment.output);
    let performed = perform(&opened.plan, session, &mut |news| watcher.hear(&news));
    interrupt.release();
    watcher.end()?;
    Ok(performed?)
}

/// What a sweep came to.
struct Ended<'a> {
    plan: &'a SweepPlan,
    performed: Performed,
    seconds: f64,
}

impl Ended<'_> {
    const fn exit(&self) -> Exit {
        if self.performed.outcome.interrupted {
            Exit::Interrupted
        } else if self.performed.runs_failed > 0 {
            Exit::Failed
        } else {
            Exit::Fine
        }
    }

    /// Says where the report is and where to look next.
    fn conclude(&self, written: Option<&Written>, output: Output) -> Result<Exit, Fault> {
        let exit = self.exit();
        output.event("sweep-finished", self.document(written))?;
        if let Some(written) = written.filter(|_| !output.is_json()) {
            output.answer(|| super::report::text(written), &())?;
        }
        match exit {
            Exit::Failed => output.error(&self.fault()),
            Exit::Interrupted => {
                output.say("stopped; the same command goes on where this one stopped")
            }
            _ => output.say(&format!(
                "next: rise-lab runs --experiment {}, rise-lab show RUN, rise-lab query SQL",
                self.plan.experiment.name
            )),
        }
        Ok(exit)
    }

    fn fault(&self) -> Fault {
        let runs = counted(self.plan.cells.len(), "run");
        let failed = anyhow::anyhow!("{} of {runs} failed", self.performed.runs_failed);
        Fault::new(Exit::Failed, failed).hint(format!(
            "see why with `rise-lab runs --experiment {} --status failed`; the same command tries them again",
            self.plan.experiment.name
        ))
    }

    fn reused(&self) -> usize {
        self.plan.graph.stages().len() - self.performed.open
    }

    fn summary(&self) -> String {
        let failed = match self.performed.runs_failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        format!(
            "{}: {} of {} done{failed}; {} executed, {} reused, {} asked for; {}",
            self.plan.experiment.name,
            self.performed.runs_done,
            counted(self.plan.cells.len(), "run"),
            counted(self.performed.outcome.executed, "stage"),
            self.reused(),
            self.plan.asked(),
            duration(self.seconds),
        )
    }

    fn document(&self, written: Option<&Written>) -> Value {
        json!({
            "experiment": self.plan.experiment.name,
            "runs": self.plan.cells.len(),
            "runs-done": self.performed.runs_done,
            "runs-failed": self.performed.runs_failed,
            "stages-asked": self.plan.asked(),
            "stages-executed": self.performed.outcome.executed,
            "stages-reused": self.reused(),
            "interrupted": self.performed.outcome.interrupted,
            "seconds": self.seconds,
            "report": written.map(|written| &written.index),
        })
    }
}
