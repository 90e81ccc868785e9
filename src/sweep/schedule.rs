//! The coordinator hands ready stages to workers and decides about deaths, failures and stops.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::domain::Key;
use crate::pipeline::{StageManifest, StageNode};

use super::SweepError;
use super::event::SweepEvent;
use super::pool::{WorkerCommand, WorkerMessage, WorkerPool};
use super::protocol::{WorkerReply, WorkerRequest};
use super::queue::{StageQueue, allocate_threads};
use super::recorder::Recorder;

/// Deaths of its worker that fail a stage.
const MAX_WORKER_DEATHS: u32 = 3;

/// Time between two looks at the stop signal.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A request to stop, from a signal handler or another thread: once, work stops at the next safe
/// index; twice, at once.
#[derive(Debug, Default)]
pub struct StopSignal(AtomicUsize);

impl StopSignal {
    /// Requests a stop, or a quicker one.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of requests.
    pub fn request_count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The outcome of a schedule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduleOutcome {
    /// The number of stages that were executed to their end.
    pub executed: usize,
    /// The number of stages that were found published and only recorded.
    pub adopted: usize,
    /// Stages that failed, with the reason.
    pub failed: BTreeMap<Key, String>,
    /// Whether a stop left stages open.
    pub interrupted: bool,
}

/// The stages of a schedule.
#[derive(Clone, Debug)]
pub struct ScheduleInput<'a> {
    /// Every stage, inputs first.
    pub stages: &'a [StageNode],
    /// Expected seconds of the stages to execute.
    pub open_seconds: BTreeMap<Key, f64>,
    /// Stages that are published and not recorded yet.
    pub published: BTreeMap<Key, StageManifest>,
}

/// Executes all open stages with `jobs` workers.
///
/// # Errors
/// If the record cannot be written or no worker can be started; a stage's failure is part of the
/// outcome instead.
pub fn run(
    input: &ScheduleInput<'_>,
    recorder: &mut dyn Recorder,
    command: WorkerCommand,
    jobs: usize,
    stop: &StopSignal,
    watch: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<ScheduleOutcome, SweepError> {
    let cores = jobs.max(1);
    let slots = cores.min(input.open_seconds.len().max(1));
    let mut coordinator = Coordinator {
        stages: input.stages,
        queue: StageQueue::new(input.stages, &input.open_seconds),
        pool: WorkerPool::new(command, slots),
        cores,
        stage_by_slot: vec![None; slots],
        threads_by_slot: vec![1; slots],
        deaths_by_stage: BTreeMap::new(),
        handled_stops: 0,
        stop_signal: stop,
        recorder,
        on_event: watch,
        outcome: ScheduleOutcome::default(),
    };
    (coordinator.on_event)(SweepEvent::SweepStarted {
        stages: input.stages,
        open: &input.open_seconds,
        jobs: slots,
    });
    coordinator.adopt_published(&input.published)?;
    coordinator.run_until_done()?;
    Ok(coordinator.outcome)
}

struct Coordinator<'a> {
    stages: &'a [StageNode],
    queue: StageQueue,
    pool: WorkerPool,
    /// Threads of all stages together.
    cores: usize,
    /// The index of the stage in each slot.
    stage_by_slot: Vec<Option<usize>>,
    /// Threads of the worker in each slot.
    threads_by_slot: Vec<usize>,
    deaths_by_stage: BTreeMap<usize, u32>,
    /// Requests to stop that were handled.
    handled_stops: usize,
    stop_signal: &'a StopSignal,
    recorder: &'a mut dyn Recorder,
    on_event: &'a mut dyn FnMut(SweepEvent<'_>),
    outcome: ScheduleOutcome,
}

impl Coordinator<'_> {
    /// Records the stages that a killed coordinator left published.
    fn adopt_published(
        &mut self,
        published: &BTreeMap<Key, StageManifest>,
    ) -> Result<(), SweepError> {
        for (index, stage) in self.stages.iter().enumerate() {
            let Some(manifest) = published.get(&stage.key) else {
                continue;
            };
            match self.recorder.stage_done(stage, manifest) {
                Ok(()) => {
                    self.outcome.adopted += 1;
                    (self.on_event)(SweepEvent::StageAdopted { stage });
                }
                Err(SweepError::BadResults { reason, .. }) => {
                    self.on_stage_failed(None, index, &reason)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn run_until_done(&mut self) -> Result<(), SweepError> {
        loop {
            self.on_stop_request();
            let assigned = if self.handled_stops == 0 {
                self.assign_stages()?
            } else {
                Vec::new()
            };
            self.rebalance_threads()?;
            for (slot, index) in assigned {
                self.send_request(
                    slot,
                    &WorkerRequest::Stage(Box::new(self.stages[index].clone())),
                )?;
            }
            if self.stage_by_slot.iter().all(Option::is_none) {
                self.outcome.interrupted = self.queue.open_count() > 0;
                return Ok(());
            }
            match self.pool.recv(POLL_INTERVAL) {
                Some((slot, message)) => self.on_message(slot, message)?,
                None => (self.on_event)(SweepEvent::Tick),
            }
        }
    }

    /// Assigns ready stages to empty slots, as (slot, index), without sending them.
    fn assign_stages(&mut self) -> Result<Vec<(usize, usize)>, SweepError> {
        let mut assigned = Vec::new();
        for slot in 0..self.stage_by_slot.len() {
            if self.stage_by_slot[slot].is_some() {
                continue;
            }
            let Some(index) = self.queue.pop() else {
                break;
            };
            let stage = &self.stages[index];
            self.recorder.stage_started(stage)?;
            self.stage_by_slot[slot] = Some(index);
            assigned.push((slot, index));
            (self.on_event)(SweepEvent::StageStarted { slot, stage });
        }
        Ok(assigned)
    }

    /// Divides the cores between the busy workers, even in the middle of their stages.
    fn rebalance_threads(&mut self) -> Result<(), SweepError> {
        let paths: Vec<Option<u64>> = self
            .stage_by_slot
            .iter()
            .map(|stage| stage.map(|index| self.queue.longest_path_ms(index)))
            .collect();
        let shares = allocate_threads(self.cores, &paths);
        let mut changed: Vec<usize> = (0..shares.len())
            .filter(|&slot| shares[slot] > 0 && shares[slot] != self.threads_by_slot[slot])
            .collect();
        // Workers that lose threads come first, so the sum never exceeds the cores.
        changed.sort_by_key(|&slot| shares[slot] > self.threads_by_slot[slot]);
        for slot in changed {
            let threads = shares[slot];
            self.send_request(slot, &WorkerRequest::Threads(threads))?;
            self.threads_by_slot[slot] = threads;
            (self.on_event)(SweepEvent::ThreadsChanged { slot, threads });
        }
        Ok(())
    }

    fn send_request(&mut self, slot: usize, request: &WorkerRequest) -> Result<(), SweepError> {
        self.pool
            .send_request(slot, request)
            .map_err(SweepError::SpawnWorker)
    }

    fn on_stop_request(&mut self) {
        let requests = self.stop_signal.request_count().min(2);
        if requests == self.handled_stops {
            return;
        }
        self.handled_stops = requests;
        let at_once = requests == 2;
        for slot in (0..self.stage_by_slot.len()).filter(|&slot| self.stage_by_slot[slot].is_some())
        {
            if at_once {
                self.pool.kill(slot);
            } else {
                // It fails only if it has to start a worker, and this slot has one.
                let _ = self.pool.send_request(slot, &WorkerRequest::Stop);
            }
        }
        (self.on_event)(SweepEvent::StopRequested { at_once });
    }

    fn on_message(&mut self, slot: usize, message: WorkerMessage) -> Result<(), SweepError> {
        if matches!(message, WorkerMessage::Exited(_)) && self.threads_by_slot[slot] != 1 {
            // The next process in this slot starts with one thread, like every process.
            self.threads_by_slot[slot] = 1;
            (self.on_event)(SweepEvent::ThreadsChanged { slot, threads: 1 });
        }
        // An idle worker that ends is replaced when its slot is needed again.
        let Some(index) = self.stage_by_slot[slot] else {
            return Ok(());
        };
        let stage = &self.stages[index];
        if let WorkerMessage::Reply(WorkerReply::Event(event)) = message {
            (self.on_event)(SweepEvent::StageEvent { slot, stage, event });
            return Ok(());
        }
        self.stage_by_slot[slot] = None;
        match message {
            WorkerMessage::Reply(WorkerReply::Event(_)) => Ok(()),
            WorkerMessage::Reply(WorkerReply::Done(manifest)) => {
                self.on_stage_done(slot, index, &manifest)
            }
            WorkerMessage::Reply(WorkerReply::Failed(reason)) => {
                self.on_stage_failed(Some(slot), index, &reason)
            }
            WorkerMessage::Reply(WorkerReply::Stopped) => self.release(slot, index),
            WorkerMessage::Exited(_) if self.handled_stops > 0 => self.release(slot, index),
            WorkerMessage::Exited(reason) => self.on_worker_death(slot, index, &reason),
        }
    }

    fn on_stage_done(
        &mut self,
        slot: usize,
        index: usize,
        manifest: &StageManifest,
    ) -> Result<(), SweepError> {
        let stage = &self.stages[index];
        match self.recorder.stage_done(stage, manifest) {
            Ok(()) => {}
            Err(SweepError::BadResults { reason, .. }) => {
                return self.on_stage_failed(Some(slot), index, &reason);
            }
            Err(error) => return Err(error),
        }
        self.queue.mark_finished(index);
        self.outcome.executed += 1;
        (self.on_event)(SweepEvent::StageFinished {
            slot,
            stage,
            manifest,
        });
        Ok(())
    }

    fn on_stage_failed(
        &mut self,
        slot: Option<usize>,
        index: usize,
        reason: &str,
    ) -> Result<(), SweepError> {
        let stage = &self.stages[index];
        let lost = self.queue.mark_failed(index).len();
        self.recorder.stage_failed(stage, reason)?;
        self.outcome
            .failed
            .insert(stage.key.clone(), reason.to_owned());
        (self.on_event)(SweepEvent::StageFailed {
            slot,
            stage,
            reason,
            lost,
        });
        Ok(())
    }

    fn release(&mut self, slot: usize, index: usize) -> Result<(), SweepError> {
        let stage = &self.stages[index];
        self.recorder.stage_interrupted(stage)?;
        (self.on_event)(SweepEvent::StageInterrupted { slot, stage });
        Ok(())
    }

    /// Retries the stage of a dead worker a few times: the machine may have been out of memory, or
    /// somebody killed the process.
    fn on_worker_death(
        &mut self,
        slot: usize,
        index: usize,
        reason: &str,
    ) -> Result<(), SweepError> {
        let stage = &self.stages[index];
        (self.on_event)(SweepEvent::WorkerDied {
            slot,
            stage,
            reason,
        });
        let deaths = self.deaths_by_stage.entry(index).or_default();
        *deaths += 1;
        if *deaths >= MAX_WORKER_DEATHS {
            return self.on_stage_failed(
                Some(slot),
                index,
                &format!("{reason}, {MAX_WORKER_DEATHS} times"),
            );
        }
        self.recorder.stage_interrupted(stage)?;
        self.queue.put_back(index);
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::sweep::fixtures::{key_for, manifest, seconds, stages};

    /// Records one line per call.
    #[derive(Default)]
    struct TestRecorder {
        lines: Vec<String>,
        unreadable: Option<&'static str>,
    }

    impl TestRecorder {
        fn note(&mut self, event: &str, stage: &StageNode) {
            self.lines.push(format!("{event} {}", stage.label));
        }
    }

    impl Recorder for TestRecorder {
        fn stage_started(&mut self, stage: &StageNode) -> Result<(), SweepError> {
            self.note("started", stage);
            Ok(())
        }

        fn stage_done(
            &mut self,
            stage: &StageNode,
            manifest: &StageManifest,
        ) -> Result<(), SweepError> {
            assert_eq!(stage.key, manifest.key);
            if self.unreadable == Some(&stage.label) {
                return Err(SweepError::BadResults {
                    label: stage.label.clone(),
                    reason: "cut short".to_owned(),
                });
            }
            self.note("done", stage);
            Ok(())
        }

        fn stage_failed(&mut self, stage: &StageNode, reason: &str) -> Result<(), SweepError> {
            self.lines.push(format!("failed {}: {reason}", stage.label));
            Ok(())
        }

        fn stage_interrupted(&mut self, stage: &StageNode) -> Result<(), SweepError> {
            self.note("interrupted", stage);
            Ok(())
        }
    }

    /// A worker that acts by a stage's label.
    const SCRIPT: &str = r#"
        while read -r line; do
            key=$(printf '%s' "$line" | sed 's/^{"stage":{"key":"\([^"]*\)".*/\1/')
            label=$(printf '%s' "$line" | sed 's/.*"label":"\([^"]*\)".*/\1/')
            case $line in *'"threads"'*) continue ;; esac
            case $label in
                fails*) echo '{"failed":"no such word"}'; continue ;;
                dies-once*) [ -e died ] || { : > died; echo 'out of memory' >&2; kill -9 $$; } ;;
                dies*) echo 'out of memory' >&2; exit 9 ;;
                waits*) echo '{"event":{"note":"waiting"}}'; read -r line; echo '"stopped"'; continue ;;
                deaf*) echo '{"event":{"note":"waiting"}}'; exec sleep 60 ;;
            esac
            printf '{"done":{"key":"%s","artifacts":[],"seconds":1.5,"counts":{},"origin":{}}}\n' "$key"
        done"#;

    fn command(folder: &tempfile::TempDir) -> WorkerCommand {
        let script = format!("cd '{}' || exit 1; {SCRIPT}", folder.path().display());
        WorkerCommand {
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
        }
    }

    /// Runs all stages with `jobs` workers.
    fn run_all(
        stages: &[StageNode],
        recorder: &mut TestRecorder,
        jobs: usize,
        stop: &StopSignal,
        watch: &mut dyn FnMut(SweepEvent<'_>),
    ) -> ScheduleOutcome {
        let folder = tempfile::tempdir().unwrap();
        let input = ScheduleInput {
            stages,
            open_seconds: seconds(stages),
            published: BTreeMap::new(),
        };
        run(&input, recorder, command(&folder), jobs, stop, watch).unwrap()
    }

    /// Runs the stages with one job; requests `stops` stops as soon as a worker waits.
    fn diary(rows: &[(&str, &str, f64)], stops: usize) -> (String, ScheduleOutcome) {
        let (stop, mut diary) = (StopSignal::default(), TestRecorder::default());
        let outcome = run_all(&stages(rows), &mut diary, 1, &stop, &mut |event| {
            if matches!(event, SweepEvent::StageEvent { .. }) {
                (0..stops).for_each(|_| stop.request());
            }
        });
        (diary.lines.join("\n"), outcome)
    }

    #[test]
    fn stages_are_executed_once_and_after_their_inputs() {
        let (lines, outcome) = diary(
            &[("a", "", 1.0), ("short", "a", 1.0), ("long", "a", 2.0)],
            0,
        );
        assert_eq!(
            lines,
            "started a\ndone a\nstarted long\ndone long\nstarted short\ndone short"
        );
        assert_eq!(
            outcome,
            ScheduleOutcome {
                executed: 3,
                ..ScheduleOutcome::default()
            }
        );
    }

    #[test]
    fn several_workers_respect_the_order_too() {
        let stages = stages(&[
            ("a", "", 1.0),
            ("b", "a", 1.0),
            ("c", "a", 1.0),
            ("d", "b c", 1.0),
            ("e", "", 1.0),
        ]);
        let mut diary = TestRecorder::default();
        let outcome = run_all(&stages, &mut diary, 3, &StopSignal::default(), &mut |_| {});
        assert_eq!(outcome.executed, 5);
        let [a_done, b_started, c_started, b_done, c_done, d_started] = [
            "done a",
            "started b",
            "started c",
            "done b",
            "done c",
            "started d",
        ]
        .map(|line| diary.lines.iter().position(|other| other == line).unwrap());
        assert!(a_done < b_started && a_done < c_started);
        assert!(b_done.max(c_done) < d_started);
    }

    #[test]
    fn a_lone_stage_has_all_cores_and_gives_them_back() {
        let stages = stages(&[
            ("a", "", 1.0),
            ("b", "a", 1.0),
            ("c", "a", 1.0),
            ("d", "b c", 1.0),
        ]);
        let (mut lines, mut threads, mut busy) = (Vec::new(), [1, 1], [false, false]);
        let outcome = run_all(
            &stages,
            &mut TestRecorder::default(),
            2,
            &StopSignal::default(),
            &mut |event| match event {
                SweepEvent::StageStarted { slot, stage } => {
                    busy[slot] = true;
                    lines.push(format!("{slot} begins {}", stage.label));
                }
                SweepEvent::StageFinished { slot, .. } => busy[slot] = false,
                SweepEvent::ThreadsChanged {
                    slot,
                    threads: count,
                } => {
                    threads[slot] = count;
                    let in_use = (0..2).filter(|&slot| busy[slot]);
                    let used: usize = in_use.map(|slot| threads[slot]).sum();
                    assert!(used <= 2, "{used} threads on 2 cores");
                    lines.push(format!("{slot} has {count}"));
                }
                _ => {}
            },
        );
        assert_eq!(outcome.executed, 4);
        let first = [
            "0 begins a",
            "0 has 2",
            "0 begins b",
            "1 begins c",
            "0 has 1",
        ];
        assert_eq!(lines[..5], first);
        // Before `d`, while `b` runs without `c`, or with it.
        assert!(lines[5..].contains(&"0 has 2".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_dead_worker_is_replaced_and_its_stage_tried_again() {
        let (lines, outcome) = diary(&[("dies-once", "", 1.0), ("b", "dies-once", 1.0)], 0);
        assert_eq!(
            lines,
            "started dies-once\ninterrupted dies-once\nstarted dies-once\ndone dies-once\nstarted b\ndone b"
        );
        assert_eq!(outcome.executed, 2);
    }

    #[test]
    fn the_third_death_is_a_failure_with_the_last_words() {
        let (_, outcome) = diary(
            &[("dies", "", 2.0), ("lost", "dies", 1.0), ("other", "", 1.0)],
            0,
        );
        assert_eq!(outcome.executed, 1);
        assert!(!outcome.interrupted);
        assert_eq!(
            outcome.failed[&key_for("dies")],
            "the worker process ended (exit status: 9): out of memory, 3 times"
        );
    }

    #[test]
    fn a_failure_skips_what_depends_on_it_and_nothing_else() {
        let rows = [
            ("fails", "", 9.0),
            ("lost", "fails", 1.0),
            ("later", "lost", 1.0),
            ("other", "", 1.0),
        ];
        let (lines, outcome) = diary(&rows, 0);
        assert_eq!(
            lines,
            "started fails\nfailed fails: no such word\nstarted other\ndone other"
        );
        assert_eq!(outcome.failed.len(), 1);
        assert!(!outcome.interrupted);
    }

    #[test]
    fn a_stop_is_passed_on_and_nothing_new_is_begun() {
        let (lines, outcome) = diary(&[("waits", "", 9.0), ("b", "", 1.0)], 1);
        assert_eq!(lines, "started waits\ninterrupted waits");
        assert!(outcome.interrupted);
    }

    #[test]
    fn a_second_stop_does_not_wait_for_a_deaf_worker() {
        let begun = std::time::Instant::now();
        let (lines, outcome) = diary(&[("deaf", "", 9.0)], 2);
        assert_eq!(lines, "started deaf\ninterrupted deaf");
        assert!(outcome.interrupted);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_was_published_before_a_kill_is_written_down_and_not_executed() {
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(&[("a", "", 1.0), ("b", "a", 1.0)]);
        let work = ScheduleInput {
            stages: &stages,
            open_seconds: seconds(&stages[1..]),
            published: BTreeMap::from([(key_for("a"), manifest(&key_for("a"), 1.0))]),
        };
        let mut diary = TestRecorder::default();
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            1,
            &StopSignal::default(),
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(diary.lines, ["done a", "started b", "done b"]);
        assert_eq!((outcome.adopted, outcome.executed), (1, 1));
    }

    #[test]
    fn results_that_cannot_be_read_fail_their_stage_alone() {
        let stages = stages(&[("a", "", 2.0), ("b", "a", 1.0), ("c", "", 1.0)]);
        let mut diary = TestRecorder {
            unreadable: Some("a"),
            ..TestRecorder::default()
        };
        let outcome = run_all(&stages, &mut diary, 1, &StopSignal::default(), &mut |_| {});
        assert_eq!(
            diary.lines,
            ["started a", "failed a: cut short", "started c", "done c"]
        );
        assert_eq!(outcome.failed[&key_for("a")], "cut short");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_of_the_sweep() {
        let stages = stages(&[("a", "", 1.0)]);
        let work = ScheduleInput {
            stages: &stages,
            open_seconds: seconds(&stages),
            published: BTreeMap::new(),
        };
        let command = WorkerCommand {
            program: "/no/such/program".into(),
            args: Vec::new(),
        };
        let error = run(
            &work,
            &mut TestRecorder::default(),
            command,
            1,
            &StopSignal::default(),
            &mut |_| {},
        )
        .unwrap_err();
        assert!(matches!(error, SweepError::SpawnWorker(_)), "{error}");
    }
}
