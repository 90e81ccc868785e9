//! What happens to runs when something happens to a stage.
//!
//! A plain value: it says which runs change their status and how, and writes nothing down.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Key;
use crate::store::Status;

/// A run's new status, and why it failed if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStatusChange {
    /// The run.
    pub run: Key,
    /// Where it stands now.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
}

/// Where every run of a sweep stands.
#[derive(Clone, Debug)]
pub struct RunStatuses {
    runs: Vec<RunState>,
    /// Places of the runs that need a stage.
    runs_by_stage: BTreeMap<Key, Vec<usize>>,
}

#[derive(Clone, Debug)]
struct RunState {
    key: Key,
    status: Status,
    open_stages: BTreeSet<Key>,
}

impl RunState {
    const fn has_ended(&self) -> bool {
        matches!(self.status, Status::Done | Status::Failed)
    }
}

impl RunStatuses {
    /// Runs with the stages that each needs, of which those in `done` are finished.
    #[must_use]
    pub fn new<'a>(
        runs: impl IntoIterator<Item = (&'a Key, &'a [Key])>,
        done: &BTreeSet<Key>,
    ) -> Self {
        let mut users: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        let mut all = Vec::new();
        for (place, (key, stages)) in runs.into_iter().enumerate() {
            let open: BTreeSet<Key> = stages
                .iter()
                .filter(|stage| !done.contains(stage))
                .cloned()
                .collect();
            for stage in stages.iter().collect::<BTreeSet<_>>() {
                users.entry(stage.clone()).or_default().push(place);
            }
            let status = if open.is_empty() {
                Status::Done
            } else {
                Status::Queued
            };
            all.push(RunState {
                key: key.clone(),
                status,
                open_stages: open,
            });
        }
        Self {
            runs: all,
            runs_by_stage: users,
        }
    }

    /// Where every run stands at first.
    #[must_use]
    pub fn current_statuses(&self) -> Vec<RunStatusChange> {
        self.runs
            .iter()
            .map(|run| RunStatusChange {
                run: run.key.clone(),
                status: run.status,
                error: None,
            })
            .collect()
    }

    /// A stage is begun: runs that wait for it are running.
    pub fn stage_started(&mut self, stage: &Key) -> Vec<RunStatusChange> {
        self.update_runs(stage, |run| {
            (run.status == Status::Queued).then_some((Status::Running, None))
        })
    }

    /// A stage is finished: runs that needed nothing else are done.
    pub fn stage_finished(&mut self, stage: &Key) -> Vec<RunStatusChange> {
        self.update_runs(stage, |run| {
            run.open_stages.remove(stage);
            (run.open_stages.is_empty() && !run.has_ended()).then_some((Status::Done, None))
        })
    }

    /// A stage has failed: so have the runs that need it.
    pub fn stage_failed(&mut self, stage: &Key, reason: &str) -> Vec<RunStatusChange> {
        self.update_runs(stage, |run| {
            (!run.has_ended()).then(|| (Status::Failed, Some(reason.to_owned())))
        })
    }

    /// No more stages are executed: runs that were begun are interrupted.
    pub fn interrupt_running(&mut self) -> Vec<RunStatusChange> {
        let mut changes = Vec::new();
        for run in self
            .runs
            .iter_mut()
            .filter(|run| run.status == Status::Running)
        {
            run.status = Status::Interrupted;
            changes.push(RunStatusChange {
                run: run.key.clone(),
                status: run.status,
                error: None,
            });
        }
        changes
    }

    /// How many runs stand so.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.runs.iter().filter(|run| run.status == status).count()
    }

    fn update_runs(
        &mut self,
        stage: &Key,
        decide: impl Fn(&mut RunState) -> Option<(Status, Option<String>)>,
    ) -> Vec<RunStatusChange> {
        let mut changes = Vec::new();
        for &place in self.runs_by_stage.get(stage).into_iter().flatten() {
            let run = &mut self.runs[place];
            if let Some((status, error)) = decide(run) {
                run.status = status;
                changes.push(RunStatusChange {
                    run: run.key.clone(),
                    status,
                    error,
                });
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::fixtures::key_for;

    fn runs(done: &[&str]) -> RunStatuses {
        let done = done.iter().map(|label| key_for(label)).collect();
        let (first, second) = (
            [key_for("base"), key_for("a")],
            [key_for("base"), key_for("b"), key_for("b")],
        );
        RunStatuses::new(
            [
                (&key_for("run 1"), &first[..]),
                (&key_for("run 2"), &second[..]),
            ],
            &done,
        )
    }

    fn shown(changes: &[RunStatusChange]) -> String {
        let name = |run: &Key| {
            if *run == key_for("run 1") {
                "run 1"
            } else {
                "run 2"
            }
        };
        let shown = changes.iter().map(|change| {
            let error = change
                .error
                .as_deref()
                .map(|error| format!(" ({error})"))
                .unwrap_or_default();
            format!("{} {:?}{error}", name(&change.run), change.status)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_shared_stage_moves_every_run_that_needs_it() {
        let mut runs = runs(&[]);
        assert_eq!(
            shown(&runs.current_statuses()),
            "run 1 Queued, run 2 Queued"
        );
        assert_eq!(
            shown(&runs.stage_started(&key_for("base"))),
            "run 1 Running, run 2 Running"
        );
        assert_eq!(shown(&runs.stage_finished(&key_for("base"))), "");
        assert_eq!(shown(&runs.stage_finished(&key_for("b"))), "run 2 Done");
        assert_eq!(shown(&runs.interrupt_running()), "run 1 Interrupted");
        assert_eq!(runs.count(Status::Done), 1);
    }

    #[test]
    fn a_run_whose_stages_are_all_there_is_done_at_once() {
        assert_eq!(
            shown(&runs(&["base", "b"]).current_statuses()),
            "run 1 Queued, run 2 Done"
        );
    }

    #[test]
    fn a_finished_stage_that_must_be_made_again_and_cannot_fails_those_who_wait_for_it() {
        let mut runs = runs(&["base", "b"]);
        assert_eq!(
            shown(&runs.stage_failed(&key_for("base"), "gone")),
            "run 1 Failed (gone)"
        );
        assert_eq!(runs.count(Status::Done), 1);
    }

    #[test]
    fn a_failed_run_stays_failed_with_its_first_reason() {
        let mut runs = runs(&[]);
        assert_eq!(
            shown(&runs.stage_failed(&key_for("b"), "no room")),
            "run 2 Failed (no room)"
        );
        assert_eq!(
            shown(&runs.stage_failed(&key_for("base"), "later")),
            "run 1 Failed (later)"
        );
        assert_eq!(shown(&runs.stage_finished(&key_for("b"))), "");
        assert_eq!(shown(&runs.interrupt_running()), "");
    }
}
