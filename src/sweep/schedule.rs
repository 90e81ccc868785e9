//! The coordinator: hands ready stages to workers, keeps the ledger, and outlives both.
//!
//! Hides retries, stops and the bookkeeping around them. It is the only part that decides what a
//! worker's death or a stage's failure means. Must not know how workers are spoken to, how the
//! ledger is kept, or who watches.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::Key;
use crate::pipeline::{Manifest, Stage};

use super::SweepError;
use super::cores::divide;
use super::news::News;
use super::pool::{Heard, Pool, WorkerCommand};
use super::protocol::{Answer, Order};
use super::queue::Queue;
use super::stop::Stop;

/// How often a stage's worker may die before the stage counts as failed.
const DEATHS: u32 = 3;

/// How long the coordinator listens before it looks at the stop signal again.
const TICK: Duration = Duration::from_millis(100);

/// Where the coordinator writes down what happens; in earnest the run database.
pub trait Ledger {
    /// A stage is begun.
    ///
    /// # Errors
    /// If it cannot be written down; the sweep ends then.
    fn started(&mut self, stage: &Stage) -> Result<(), SweepError>;

    /// A stage is finished and its files are published.
    ///
    /// # Errors
    /// With [`SweepError::Results`] if the stage's files make no sense, which fails that stage
    /// alone; otherwise the sweep ends.
    fn done(&mut self, stage: &Stage, manifest: &Manifest) -> Result<(), SweepError>;

    /// A stage has failed for good.
    ///
    /// # Errors
    /// If it cannot be written down; the sweep ends then.
    fn failed(&mut self, stage: &Stage, reason: &str) -> Result<(), SweepError>;

    /// A stage was left unfinished; its partial work is kept.
    ///
    /// # Errors
    /// If it cannot be written down; the sweep ends then.
    fn interrupted(&mut self, stage: &Stage) -> Result<(), SweepError>;
}

/// What a schedule came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Stages that were executed to their end.
    pub executed: usize,
    /// Stages that were found published and only written down.
    pub taken_in: usize,
    /// Stages that failed, with the reason.
    pub failed: BTreeMap<Key, String>,
    /// Whether work is left because a stop was asked for.
    pub interrupted: bool,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// Every stage, inputs first.
    pub stages: &'a [Stage],
    /// Expected seconds of the stages that are to be executed.
    pub open: BTreeMap<Key, f64>,
    /// Stages that are published and not in the ledger yet.
    pub published: BTreeMap<Key, Manifest>,
}

/// Executes all open stages with `jobs` workers.
///
/// # Errors
/// If the ledger cannot be kept or no worker can be started; a stage's failure is part of the
/// outcome instead.
pub fn run(
    work: &Work<'_>,
    ledger: &mut dyn Ledger,
    command: WorkerCommand,
    jobs: usize,
    stop: &Stop,
    watch: &mut dyn FnMut(News<'_>),
) -> Result<Outcome, SweepError> {
    let cores = jobs.max(1);
    let seats = cores.min(work.open.len().max(1));
    let mut coordinator = Coordinator {
        stages: work.stages,
        queue: Queue::new(work.stages, &work.open),
        pool: Pool::new(command, seats),
        cores,
        doing: vec![None; seats],
        threads: vec![1; seats],
        deaths: BTreeMap::new(),
        stops: 0,
        stop,
        ledger,
        watch,
        outcome: Outcome::default(),
    };
    (coordinator.watch)(News::Begun {
        stages: work.stages,
        open: &work.open,
        jobs: seats,
    });
    coordinator.take_in(&work.published)?;
    coordinator.work()?;
    Ok(coordinator.outcome)
}

struct Coordinator<'a> {
    stages: &'a [Stage],
    queue: Queue,
    pool: Pool,
    /// Threads of all stages together.
    cores: usize,
    /// The stage in each seat, by its place.
    doing: Vec<Option<usize>>,
    /// How many threads the worker in each seat was last told to use.
    threads: Vec<usize>,
    deaths: BTreeMap<usize, u32>,
    /// Requests to stop that were acted on.
    stops: usize,
    stop: &'a Stop,
    ledger: &'a mut dyn Ledger,
    watch: &'a mut dyn FnMut(News<'_>),
    outcome: Outcome,
}

impl Coordinator<'_> {
    /// Writes down what a killed coordinator did not come to.
    fn take_in(&mut self, published: &BTreeMap<Key, Manifest>) -> Result<(), SweepError> {
        for (place, stage) in self.stages.iter().enumerate() {
            let Some(manifest) = published.get(&stage.key) else {
                continue;
            };
            match self.ledger.done(stage, manifest) {
                Ok(()) => {
                    self.outcome.taken_in += 1;
                    (self.watch)(News::TakenIn { stage });
                }
                Err(SweepError::Results { reason, .. }) => self.fail(None, place, &reason)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), SweepError> {
        loop {
            self.heed_stop();
            let begun = if self.stops == 0 {
                self.assign()?
            } else {
                Vec::new()
            };
            self.share()?;
            for (seat, place) in begun {
                self.order(seat, &Order::Stage(Box::new(self.stages[place].clone())))?;
            }
            if self.doing.iter().all(Option::is_none) {
                self.outcome.interrupted = self.queue.open() > 0;
                return Ok(());
            }
            match self.pool.hear(TICK) {
                Some((seat, heard)) => self.heed(seat, heard)?,
                None => (self.watch)(News::Tick),
            }
        }
    }

    /// Gives ready stages to empty seats; their workers are yet to be told.
    fn assign(&mut self) -> Result<Vec<(usize, usize)>, SweepError> {
        let mut begun = Vec::new();
        for seat in 0..self.doing.len() {
            if self.doing[seat].is_some() {
                continue;
            }
            let Some(place) = self.queue.take() else {
                break;
            };
            let stage = &self.stages[place];
            self.ledger.started(stage)?;
            self.doing[seat] = Some(place);
            begun.push((seat, place));
            (self.watch)(News::Started { seat, stage });
        }
        Ok(begun)
    }

    /// Divides the cores anew between the busy workers, in the middle of their stages too.
    fn share(&mut self) -> Result<(), SweepError> {
        let paths: Vec<Option<u64>> = self
            .doing
            .iter()
            .map(|doing| doing.map(|place| self.queue.path(place)))
            .collect();
        let shares = divide(self.cores, &paths);
        let changed = |seat: &usize| shares[*seat] > 0 && shares[*seat] != self.threads[*seat];
        let mut changed: Vec<usize> = (0..shares.len()).filter(changed).collect();
        // Who gives threads back is told first, so that together they never have more than the cores.
        changed.sort_by_key(|&seat| shares[seat] > self.threads[seat]);
        for seat in changed {
            let threads = shares[seat];
            self.order(seat, &Order::Threads(threads))?;
            self.threads[seat] = threads;
            (self.watch)(News::Threads { seat, threads });
        }
        Ok(())
    }

    fn order(&mut self, seat: usize, order: &Order) -> Result<(), SweepError> {
        self.pool.order(seat, order).map_err(SweepError::Worker)
    }

    fn heed_stop(&mut self) {
        let asked = self.stop.asked().min(2);
        if asked == self.stops {
            return;
        }
        self.stops = asked;
        let at_once = asked == 2;
        for seat in (0..self.doing.len()).filter(|&seat| self.doing[seat].is_some()) {
            if at_once {
                self.pool.kill(seat);
            } else {
                // The seat has a worker, so none is started and nothing can go wrong.
                let _ = self.pool.order(seat, &Order::Stop);
            }
        }
        (self.watch)(News::Stopping { at_once });
    }

    fn heed(&mut self, seat: usize, heard: Heard) -> Result<(), SweepError> {
        if matches!(heard, Heard::Ended(_)) && self.threads[seat] != 1 {
            // The next process in this seat begins with one thread, like every process.
            self.threads[seat] = 1;
            (self.watch)(News::Threads { seat, threads: 1 });
        }
        // An idle worker that ends is replaced when its seat is needed again.
        let Some(place) = self.doing[seat] else {
            return Ok(());
        };
        let stage = &self.stages[place];
        if let Heard::Answer(Answer::Event(event)) = heard {
            (self.watch)(News::Event { seat, stage, event });
            return Ok(());
        }
        self.doing[seat] = None;
        match heard {
            Heard::Answer(Answer::Event(_)) => Ok(()),
            Heard::Answer(Answer::Done(manifest)) => self.finish(seat, place, &manifest),
            Heard::Answer(Answer::Failed(reason)) => self.fail(Some(seat), place, &reason),
            Heard::Answer(Answer::Stopped) => self.leave(seat, place),
            Heard::Ended(_) if self.stops > 0 => self.leave(seat, place),
            Heard::Ended(reason) => self.mourn(seat, place, &reason),
        }
    }

    fn finish(&mut self, seat: usize, place: usize, manifest: &Manifest) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        match self.ledger.done(stage, manifest) {
            Ok(()) => {}
            Err(SweepError::Results { reason, .. }) => {
                return self.fail(Some(seat), place, &reason);
            }
            Err(error) => return Err(error),
        }
        self.queue.finish(place);
        self.outcome.executed += 1;
        (self.watch)(News::Finished {
            seat,
            stage,
            manifest,
        });
        Ok(())
    }

    fn fail(&mut self, seat: Option<usize>, place: usize, reason: &str) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        let lost = self.queue.fail(place).len();
        self.ledger.failed(stage, reason)?;
        self.outcome
            .failed
            .insert(stage.key.clone(), reason.to_owned());
        (self.watch)(News::Failed {
            seat,
            stage,
            reason,
            lost,
        });
        Ok(())
    }

    fn leave(&mut self, seat: usize, place: usize) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        self.ledger.interrupted(stage)?;
        (self.watch)(News::Interrupted { seat, stage });
        Ok(())
    }

    /// A worker died in the middle of a stage, which is tried again a few times: the machine may
    /// have been out of memory, or somebody killed the process.
    fn mourn(&mut self, seat: usize, place: usize, reason: &str) -> Result<(), SweepError> {
        let stage = &self.stages[place];
        (self.watch)(News::Died {
            seat,
            stage,
            reason,
        });
        let deaths = self.deaths.entry(place).or_default();
        *deaths += 1;
        if *deaths >= DEATHS {
            return self.fail(Some(seat), place, &format!("{reason}, {DEATHS} times"));
        }
        self.ledger.interrupted(stage)?;
        self.queue.again(place);
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sweep::samples::{key, seconds, stages};

    /// Writes down what it is told, one word per call.
    #[derive(Default)]
    struct Diary {
        lines: Vec<String>,
        unreadable: Option<&'static str>,
    }

    impl Diary {
        fn note(&mut self, what: &str, stage: &Stage) {
            self.lines.push(format!("{what} {}", stage.label));
        }
    }

    impl Ledger for Diary {
        fn started(&mut self, stage: &Stage) -> Result<(), SweepError> {
            self.note("started", stage);
            Ok(())
        }

        fn done(&mut self, stage: &Stage, manifest: &Manifest) -> Result<(), SweepError> {
            assert_eq!(stage.key, manifest.key);
            if self.unreadable == Some(&stage.label) {
                return Err(SweepError::Results {
                    label: stage.label.clone(),
                    reason: "cut short".to_owned(),
                });
            }
            self.note("done", stage);
            Ok(())
        }

        fn failed(&mut self, stage: &Stage, reason: &str) -> Result<(), SweepError> {
            self.lines.push(format!("failed {}: {reason}", stage.label));
            Ok(())
        }

        fn interrupted(&mut self, stage: &Stage) -> Result<(), SweepError> {
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
    fn diary(rows: &[(&str, &str, f64)], stops: usize) -> (String, Outcome) {
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(rows);
        let work = Work {
            stages: &stages,
            open: seconds(&stages),
            published: BTreeMap::new(),
        };
        let (stop, mut diary) = (Stop::default(), Diary::default());
        let mut watch = |news: News<'_>| {
            if matches!(news, News::Event { .. }) {
                (0..stops).for_each(|_| stop.ask());
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
            Outcome {
                executed: 3,
                ..Outcome::default()
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
        let work = Work {
            stages: &stages,
            open: seconds(&stages),
            published: BTreeMap::new(),
        };
        let mut diary = Diary::default();
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            3,
            &Stop::default(),
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
        let work = Work {
            stages: &stages,
            open: seconds(&stages),
            published: BTreeMap::new(),
        };
        let (mut lines, mut threads, mut busy) = (Vec::new(), [1, 1], [false, false]);
        let mut watch = |news: News<'_>| match news {
            News::Started { seat, stage } => {
                busy[seat] = true;
                lines.push(format!("{seat} begins {}", stage.label));
            }
            News::Finished { seat, .. } => busy[seat] = false,
            News::Threads {
                seat,
                threads: count,
            } => {
                threads[seat] = count;
                let used: usize = (0..2)
                    .filter(|&seat| busy[seat])
                    .map(|seat| threads[seat])
                    .sum();
                assert!(used <= 2, "{used} threads on 2 cores");
                lines.push(format!("{seat} has {count}"));
            }
            _ => {}
        };
        let mut diary = Diary::default();
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            2,
            &Stop::default(),
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
            outcome.failed[&key("dies")],
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
        let manifest = Manifest {
            key: key("a"),
            artifacts: Vec::new(),
            seconds: 1.0,
            peak_bytes: None,
            counts: json!({}),
            origin: json!({}),
        };
        let work = Work {
            stages: &stages,
            open: seconds(&stages[1..]),
            published: BTreeMap::from([(key("a"), manifest)]),
        };
        let mut diary = Diary::default();
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            1,
            &Stop::default(),
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(diary.lines, ["done a", "started b", "done b"]);
        assert_eq!((outcome.taken_in, outcome.executed), (1, 1));
    }

    #[test]
    fn results_that_cannot_be_read_fail_their_stage_alone() {
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(&[("a", "", 2.0), ("b", "a", 1.0), ("c", "", 1.0)]);
        let work = Work {
            stages: &stages,
            open: seconds(&stages),
            published: BTreeMap::new(),
        };
        let mut diary = Diary {
            unreadable: Some("a"),
            ..Diary::default()
        };
        let outcome = run(
            &work,
            &mut diary,
            command(&folder),
            1,
            &Stop::default(),
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(
            diary.lines,
            ["started a", "failed a: cut short", "started c", "done c"]
        );
        assert_eq!(outcome.failed[&key("a")], "cut short");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_of_the_sweep() {
        let stages = stages(&[("a", "", 1.0)]);
        let work = Work {
            stages: &stages,
            open: seconds(&stages),
            published: BTreeMap::new(),
        };
        let command = WorkerCommand {
            program: "/no/such/program".into(),
            args: Vec::new(),
        };
        let error = run(
            &work,
            &mut Diary::default(),
            command,
            1,
            &Stop::default(),
            &mut |_| {},
        )
        .unwrap_err();
        assert!(matches!(error, SweepError::Worker(_)), "{error}");
    }
}
