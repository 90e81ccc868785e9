//! The coordinator: hands ready stages to workers, keeps the ledger, and outlives both.
//!
//! Hides retries, stops and the bookkeeping around them. It is the only part that decides what a
//! worker's death or a stage's failure means. Must not know how workers are spoken to, how the
//! ledger is kept, or who watches.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::Key;
use crate::pipeline::{StageManifest, StageNode};

use super::SweepError;
use super::event::SweepEvent;
use super::pool::{WorkerCommand, WorkerMessage, WorkerPool};
use super::protocol::{WorkerReply, WorkerRequest};
use super::queue::StageQueue;
use super::stop_signal::StopSignal;
use super::thread_allocation::allocate_threads;

/// How often a stage's worker may die before the stage counts as failed.
const DEATHS: u32 = 3;

/// How long the coordinator listens before it looks at the stop signal again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Where the coordinator writes down what happens; in earnest the run database.
pub trait Recorder {
    /// A stage is begun.
    ///
    /// # Errors
    /// If it cannot be written down; the sweep ends then.
    fn stage_started(&mut self, stage: &StageNode) -> Result<(), SweepError>;

    /// A stage is finished and its files are published.
    ///
    /// # Errors
    /// With [`SweepError::Results`] if the stage's files make no sense, which fails that stage
    /// alone; otherwise the sweep ends.
    fn stage_done(&mut self, stage: &StageNode, manifest: &StageManifest)
    -> Result<(), SweepError>;

    /// A stage has failed for good.
    ///
    /// # Errors
    /// If it cannot be written down; the sweep ends then.
    fn stage_failed(&mut self, stage: &StageNode, reason: &str) -> Result<(), SweepError>;

    /// A stage was left unfinished; its partial work is kept.
    ///
    /// # Errors
    /// If it cannot be written down; the sweep ends then.
    fn stage_interrupted(&mut self, stage: &StageNode) -> Result<(), SweepError>;
}

/// What a schedule came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScheduleOutcome {
    /// Stages that were executed to their end.
    pub executed: usize,
    /// Stages that were found published and only written down.
    pub adopted: usize,
    /// Stages that failed, with the reason.
    pub failed: BTreeMap<Key, String>,
    /// Whether work is left because a stop was asked for.
    pub interrupted: bool,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct ScheduleInput<'a> {
    /// Every stage, inputs first.
    pub stages: &'a [StageNode],
    /// Expected seconds of the stages that are to be executed.
    pub open_seconds: BTreeMap<Key, f64>,
    /// Stages that are published and not in the ledger yet.
    pub published: BTreeMap<Key, StageManifest>,
}

/// Executes all open stages with `jobs` workers.
///
/// # Errors
/// If the ledger cannot be kept or no worker can be started; a stage's failure is part of the
/// outcome instead.
pub fn run(
    work: &ScheduleInput<'_>,
    ledger: &mut dyn Recorder,
    command: WorkerCommand,
    jobs: usize,
    stop: &StopSignal,
    watch: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<ScheduleOutcome, SweepError> {
    let cores = jobs.max(1);
    let slots = cores.min(work.open_seconds.len().max(1));
    let mut coordinator = Coordinator {
        stages: work.stages,
        queue: StageQueue::new(work.stages, &work.open_seconds),
        pool: WorkerPool::new(command, slots),
        cores,
        stage_by_slot: vec![None; slots],
        threads_by_slot: vec![1; slots],
        deaths_by_stage: BTreeMap::new(),
        handled_stops: 0,
        stop_signal: stop,
        recorder: ledger,
        on_event: watch,
        outcome: ScheduleOutcome::default(),
    };
    (coordinator.on_event)(SweepEvent::SweepStarted {
        stages: work.stages,
        open: &work.open_seconds,
        jobs: slots,
    });
    coordinator.adopt_published(&work.published)?;
    coordinator.run_until_done()?;
    Ok(coordinator.outcome)
}

struct Coordinator<'a> {
    stages: &'a [StageNode],
    queue: StageQueue,
    pool: WorkerPool,
    /// Threads of all stages together.
    cores: usize,
    /// The stage in each slot, by its place.
    stage_by_slot: Vec<Option<usize>>,
    /// How many threads the worker in each slot was last told to use.
    threads_by_slot: Vec<usize>,
    deaths_by_stage: BTreeMap<usize, u32>,
    /// Requests to stop that were acted on.
    handled_stops: usize,
    stop_signal: &'a StopSignal,
    recorder: &'a mut dyn Recorder,
    on_event: &'a mut dyn FnMut(SweepEvent<'_>),
    outcome: ScheduleOutcome,
}

impl Coordinator<'_> {
    /// Writes down what a killed coordinator did not come to.
    fn adopt_published(
        &mut self,
        published: &BTreeMap<Key, StageManifest>,
    ) -> Result<(), SweepError> {
        for (place, stage) in self.stages.iter().enumerate() {
            let Some(manifest) = published.get(&stage.key) else {
                continue;
            };
            match self.recorder.stage_done(stage, manifest) {
                Ok(()) => {
                    self.outcome.adopted += 1;
                    (self.on_event)(SweepEvent::StageAdopted { stage });
                }
                Err(SweepError::BadResults { reason, .. }) => {
                    self.on_stage_failed(None, place, &reason)?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn run_until_done(&mut self) -> Result<(), SweepError> {
        loop {
            self.on_stop_request();
            let begun = if self.handled_stops == 0 {
                self.assign_stages()?
            } else {
                Vec::new()
            };
            self.rebalance_threads()?;
            for (slot, place) in begun {
                self.send_request(
                    slot,
                    &WorkerRequest::Stage(Box::new(self.stages[place].clone())),
                )?;
            }
            if self.stage_by_slot.iter().all(Option::is_none) {
                self.outcome.interrupted = self.queue.open_count() > 0;
                return Ok(());
            }
            match self.pool.recv(POLL_INTERVAL) {
                Some((slot, heard)) => self.on_message(slot, heard)?,
                None => (self.on_event)(SweepEvent::Tick),
            }
        }
    }

    /// Gives ready stages to empty slots; their workers are yet to be told.
    fn assign_stages(&mut self) -> Result<Vec<(usize, usize)>, SweepError> {
        let mut begun = Vec::new();
        for slot in 0..self.stage_by_slot.len() {
            if self.stage_by_slot[slot].is_some() {
                continue;
            }
            let Some(place) = self.queue.pop() else {
                break;
            };
            let stage = &self.stages[place];
            self.recorder.stage_started(stage)?;
            self.stage_by_slot[slot] = Some(place);
            begun.push((slot, place));
            (self.on_event)(SweepEvent::StageStarted { slot, stage });
        }
        Ok(begun)
    }

    /// Divides the cores anew between the busy workers, in the middle of their stages too.
    fn rebalance_threads(&mut self) -> Result<(), SweepError> {
        let paths: Vec<Option<u64>> = self
            .stage_by_slot
            .iter()
            .map(|doing| doing.map(|place| self.queue.longest_path_ms(place)))
            .collect();
        let shares = allocate_threads(self.cores, &paths);
        let changed =
            |slot: &usize| shares[*slot] > 0 && shares[*slot] != self.threads_by_slot[*slot];
        let mut changed: Vec<usize> = (0..shares.len()).filter(changed).collect();
        // Who gives threads back is told first, so that together they never have more than the cores.
        changed.sort_by_key(|&slot| shares[slot] > self.threads_by_slot[slot]);
        for slot in changed {
            let threads = shares[slot];
            self.send_request(slot, &WorkerRequest::Threads(threads))?;
            self.threads_by_slot[slot] = threads;
            (self.on_event)(SweepEvent::ThreadsChanged { slot, threads });
        }
        Ok(())
    }

    fn send_request(&mut self, slot: usize, order: &WorkerRequest) -> Result<(), SweepError> {
        self.pool
            .send_request(slot, order)
            .map_err(SweepError::SpawnWorker)
    }

    fn on_stop_request(&mut self) {
        let asked = self.stop_signal.request_count().min(2);
        if asked == self.handled_stops {
            return;
        }
        self.handled_stops = asked;
        let at_once = asked == 2;
        for slot in (0..self.stage_by_slot.len()).filter(|&slot| self.stage_by_slot[slot].is_some())
        {
            if at_once {
                self.pool.kill(slot);
            } else {
                // The slot has a worker, so none is started and nothing can go wrong.
                let _ = self.pool.send_request(slot, &WorkerRequest::Stop);
            }
        }
        (self.on_event)(SweepEvent::StopRequested { at_once });
    }

    fn on_message(&mut self, slot: usize, heard: WorkerMessage) -> Result<(), SweepError> {
        if matches!(heard, WorkerMessage::Exited(_)) && self.threads_by_slot[slot] != 1 {
            // The next process in this slot begins with one thread, like every process.
            self.threads_by_slot[slot] = 1;
            (self.on_event)(SweepEvent::ThreadsChanged { slot, threads: 1 });
        }
        // An idle worker that ends is replaced when its slot is needed again.
        let Some(place) = self.stage_by_slot[slot] else {
            return Ok(());
        };
        let stage = &self.stages[place];
        if let WorkerMessage::Reply(WorkerReply::Event(event)) = heard {
            (self.on_event)(SweepEvent::StageEvent { slot, stage, event });
            return Ok(());
        }
        self.stage_by_slot[slot] = None;
        match heard {
            WorkerMessage::Reply(WorkerReply::Event(_)) => Ok(()),
            WorkerMessage::Reply(WorkerReply::Done(manifest)) => {
                self.on_stage_done(slot, place, &manifest)
            }
            WorkerMessage::Reply(WorkerReply::Failed(reason)) => {
                self.on_stage_failed(Some(slot), place, &reason)
            }
            WorkerMessage::Reply(WorkerReply::Stopped) => self.release(slot, place),
            WorkerMessage::Exited(_) if self.handled_stops > 0 => self.release(slot, place),
            WorkerMessage::Exited(reason) => self.on_worker_death(slot, place, &reason),
        }
    }

    fn on_stage_done(
        &mut self,
        slot: usize,
        place: usize,
        manifest: &StageManifest,
    ) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        match self.recorder.stage_done(stage, manifest) {
            Ok(()) => {}
            Err(SweepError::BadResults { reason, .. }) => {
                return self.on_stage_failed(Some(slot), place, &reason);
            }
            Err(error) => return Err(error),
        }
        self.queue.mark_finished(place);
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
        place: usize,
        reason: &str,
    ) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        let lost = self.queue.mark_failed(place).len();
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

    fn release(&mut self, slot: usize, place: usize) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        self.recorder.stage_interrupted(stage)?;
        (self.on_event)(SweepEvent::StageInterrupted { slot, stage });
        Ok(())
    }

    /// A worker died in the middle of a stage, which is tried again a few times: the machine may
    /// have been out of memory, or somebody killed the process.
    fn on_worker_death(
        &mut self,
        slot: usize,
        place: usize,
        reason: &str,
    ) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        (self.on_event)(SweepEvent::WorkerDied {
            slot,
            stage,
            reason,
        });
        let deaths = self.deaths_by_stage.entry(place).or_default();
        *deaths += 1;
        if *deaths >= DEATHS {
            return self.on_stage_failed(Some(slot), place, &format!("{reason}, {DEATHS} times"));
        }
        self.recorder.stage_interrupted(stage)?;
        self.queue.put_back(place);
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sweep::fixtures::{key_for, seconds, stages};

    /// Writes down what it is told, one word per call.
    #[derive(Default)]
    struct TestRecorder {
        lines: Vec<String>,
        unreadable: Option<&'static str>,
    }

    impl TestRecorder {
        fn note(&mut self, what: &str, stage: &StageNode) {
            self.lines.push(format!("{what} {}", stage.label));
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

    /// A worker that does what a stage's label says.
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

    /// Runs the stages with one job; asks for `stops` stops as soon as a worker waits.
    fn diary(rows: &[(&str, &str, f64)], stops: usize) -> (String, ScheduleOutcome) {
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(rows);
        let work = ScheduleInput {
            stages: &stages,
            open_seconds: seconds(&stages),
            published: BTreeMap::new(),
        };
        let (stop, mut diary) = (StopSignal::default(), TestRecorder::default());
        let mut watch = |news: SweepEvent<'_>| {
            if matches!(news, SweepEvent::StageEvent { .. }) {
                (0..stops).for_each(|_| stop.request());
            }
        };
        let outcome = run(&work, &mut diary, command(&folder), 1, &stop, &mut watch).unwrap();
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
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(&[
            ("a", "", 1.0),
            ("b", "a", 1.0),
            ("c", "a", 1.0),
            ("d", "b c", 1.0),
            ("e", "", 1.0),
        ]);
        let work = ScheduleInput {
            stages: &stages,
            open_seconds: seconds(&stages),
            published: BTreeMap::new(),
        };
        let mut diary = TestRecorder::default();
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            3,
            &StopSignal::default(),
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(outcome.executed, 5);
        let at = |line: &str| diary.lines.iter().position(|found| found == line).unwrap();
        assert!(at("done a") < at("started b") && at("done a") < at("started c"));
        assert!(at("done b").max(at("done c")) < at("started d"));
    }

    #[test]
    fn a_lone_stage_has_all_cores_and_gives_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(&[
            ("a", "", 1.0),
            ("b", "a", 1.0),
            ("c", "a", 1.0),
            ("d", "b c", 1.0),
        ]);
        let work = ScheduleInput {
            stages: &stages,
            open_seconds: seconds(&stages),
            published: BTreeMap::new(),
        };
        let (mut lines, mut threads, mut busy) = (Vec::new(), [1, 1], [false, false]);
        let mut watch = |news: SweepEvent<'_>| match news {
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
                let used: usize = (0..2)
                    .filter(|&slot| busy[slot])
                    .map(|slot| threads[slot])
                    .sum();
                assert!(used <= 2, "{used} threads on 2 cores");
                lines.push(format!("{slot} has {count}"));
            }
            _ => {}
        };
        let mut diary = TestRecorder::default();
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            2,
            &StopSignal::default(),
            &mut watch,
        )
        .unwrap();
        assert_eq!(outcome.executed, 4);
        assert_eq!(
            lines[..5],
            [
                "0 begins a",
                "0 has 2",
                "0 begins b",
                "1 begins c",
                "0 has 1"
            ]
        );
        // Before `d`, while `b` goes on without `c`, or with it.
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
        let manifest = StageManifest {
            key: key_for("a"),
            artifacts: Vec::new(),
            seconds: 1.0,
            peak_bytes: None,
            counts: json!({}),
            origin: json!({}),
        };
        let work = ScheduleInput {
            stages: &stages,
            open_seconds: seconds(&stages[1..]),
            published: BTreeMap::from([(key_for("a"), manifest)]),
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
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(&[("a", "", 2.0), ("b", "a", 1.0), ("c", "", 1.0)]);
        let work = ScheduleInput {
            stages: &stages,
            open_seconds: seconds(&stages),
            published: BTreeMap::new(),
        };
        let mut diary = TestRecorder {
            unreadable: Some("a"),
            ..TestRecorder::default()
        };
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            1,
            &StopSignal::default(),
            &mut |_| {},
        )
        .unwrap();
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
