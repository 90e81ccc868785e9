//! Estimates the remaining time of a sweep.
//!
//! Expected times are for a laptop; measured times scale them to this machine. Callers pass the
//! time, so that tests need no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::{Key, StageEvent};
use crate::pipeline::StageNode;
use crate::report::DisplayUnit;
use crate::sweep::forecast_seconds;

use super::format::{format_duration, format_rate};

/// Seconds of expected work that count as measured, so that the first short stages barely move the
/// forecast.
const PRIOR_SECONDS: f64 = 20.0;

/// A sweep's stages and its remaining time.
#[derive(Clone, Debug)]
pub struct EtaEstimator {
    stages: Vec<StageNode>,
    /// Expected seconds of the stages that are not finished, before scaling.
    remaining_seconds: BTreeMap<Key, f64>,
    total: usize,
    done: usize,
    jobs: usize,
    /// Seconds that finished stages took, and their expected seconds.
    elapsed_seconds: f64,
    expected_seconds: f64,
    activity_by_slot: BTreeMap<usize, WorkerActivity>,
    /// Threads of the workers that use more than one.
    threads_by_slot: BTreeMap<usize, usize>,
}

/// The stage of one worker.
#[derive(Clone, Debug)]
pub struct WorkerActivity {
    key: Key,
    label: String,
    expected_seconds: f64,
    started: Instant,
    threads: usize,
    progress: Option<StageProgress>,
}

#[derive(Clone, Debug)]
struct StageProgress {
    done: u64,
    total: u64,
    unit: String,
    tokens: u64,
    loss: Option<f64>,
    /// Time, units and tokens of the first report: a resumed stage does not start at 0.
    first_report: (Instant, u64, u64),
    last_report: Instant,
}

impl EtaEstimator {
    /// The estimator of a sweep that starts, with the expected seconds of its open stages.
    pub fn new(stages: &[StageNode], open: BTreeMap<Key, f64>, jobs: usize) -> Self {
        Self {
            stages: stages.to_vec(),
            total: stages.len(),
            done: stages.len() - open.len(),
            remaining_seconds: open,
            jobs,
            elapsed_seconds: 0.0,
            expected_seconds: 0.0,
            activity_by_slot: BTreeMap::new(),
            threads_by_slot: BTreeMap::new(),
        }
    }

    /// A worker has started a stage.
    pub fn stage_started(&mut self, slot: usize, stage: &StageNode, now: Instant) {
        let activity = WorkerActivity {
            key: stage.key.clone(),
            label: stage.label.clone(),
            expected_seconds: stage.estimated_seconds,
            started: now,
            threads: self.threads_by_slot.get(&slot).copied().unwrap_or(1),
            progress: None,
        };
        self.activity_by_slot.insert(slot, activity);
    }

    /// A worker uses another number of threads from now on.
    pub fn set_threads(&mut self, slot: usize, threads: usize) {
        self.threads_by_slot.insert(slot, threads);
        if let Some(activity) = self.activity_by_slot.get_mut(&slot) {
            activity.threads = threads;
        }
    }

    /// A worker's stage reports progress.
    pub fn update_progress(&mut self, slot: usize, event: &StageEvent, now: Instant) {
        let (
            Some(activity),
            StageEvent::Progress {
                done,
                total,
                unit,
                tokens,
                loss,
            },
        ) = (self.activity_by_slot.get_mut(&slot), event)
        else {
            return;
        };
        let first = activity
            .progress
            .as_ref()
            .map_or((now, *done, *tokens), |progress| progress.first_report);
        activity.progress = Some(StageProgress {
            done: *done,
            total: *total,
            unit: unit.clone(),
            tokens: *tokens,
            loss: *loss,
            first_report: first,
            last_report: now,
        });
    }

    /// A worker has finished its stage in `seconds`.
    pub fn stage_finished(&mut self, slot: usize, seconds: f64) {
        if let Some(activity) = self.activity_by_slot.remove(&slot) {
            self.done += usize::from(self.remaining_seconds.remove(&activity.key).is_some());
            self.elapsed_seconds += seconds;
            self.expected_seconds += activity.expected_seconds;
        }
    }

    /// A worker has left its stage unfinished.
    pub fn stage_abandoned(&mut self, slot: usize) {
        self.activity_by_slot.remove(&slot);
    }

    /// A stage has failed.
    pub fn remove_stage(&mut self, key: &Key) {
        self.remaining_seconds.remove(key);
    }

    /// Stages done, of all stages.
    pub const fn stage_counts(&self) -> (usize, usize) {
        (self.done, self.total)
    }

    /// The stage of the worker in a slot.
    pub fn activity(&self, slot: usize) -> Option<&WorkerActivity> {
        self.activity_by_slot.get(&slot)
    }

    /// The stage of each busy worker, by slot.
    pub fn activities(&self) -> impl Iterator<Item = &WorkerActivity> {
        self.activity_by_slot.values()
    }

    /// Seconds until everything is finished.
    pub fn seconds_left(&self, now: Instant) -> f64 {
        let scale = self.time_scale(now);
        let mut left = self.remaining_seconds.clone();
        for seconds in left.values_mut() {
            *seconds *= scale;
        }
        for activity in self.activity_by_slot.values() {
            let expected = activity.expected_seconds * scale;
            let guess = (expected - (now - activity.started).as_secs_f64()).max(expected * 0.05);
            left.insert(
                activity.key.clone(),
                activity.seconds_left(now).unwrap_or(guess),
            );
        }
        forecast_seconds(&self.stages, &left, self.jobs)
    }

    /// The ratio of measured to expected time on this machine.
    fn time_scale(&self, now: Instant) -> f64 {
        let running = self
            .activity_by_slot
            .values()
            .filter_map(|activity| activity.elapsed_and_expected(now));
        let (took, expected) = running.fold(
            (self.elapsed_seconds, self.expected_seconds),
            |(took, expected), activity| (took + activity.0, expected + activity.1),
        );
        (took + PRIOR_SECONDS) / (expected + PRIOR_SECONDS)
    }
}

impl WorkerActivity {
    /// The stage's label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The finished fraction, from 0 to 1.
    pub fn fraction_done(&self) -> f64 {
        self.progress.as_ref().map_or(0.0, |progress| {
            if progress.total == 0 {
                0.0
            } else {
                progress.done as f64 / progress.total as f64
            }
        })
    }

    /// One line: units, threads, tokens per second, loss, time left.
    pub fn details(&self, now: Instant) -> String {
        let Some(progress) = &self.progress else {
            return "starting".to_owned();
        };
        let mut parts = vec![format!(
            "{}/{} {}",
            progress.done, progress.total, progress.unit
        )];
        if self.threads > 1 {
            parts.push(format!("{} threads", self.threads));
        }
        if let Some(tokens) = progress.tokens_per_second() {
            parts.push(format!("{} tok/s", format_rate(tokens)));
        }
        if let Some(loss) = progress.loss {
            parts.push(format!("loss {}", DisplayUnit::Nats.format_value(loss)));
        }
        if let Some(seconds) = self
            .seconds_left(now)
            .filter(|_| progress.done < progress.total)
        {
            parts.push(format!("{} left", format_duration(seconds)));
        }
        parts.join(", ")
    }

    fn seconds_left(&self, now: Instant) -> Option<f64> {
        let progress = self.progress.as_ref()?;
        let (start, first, _) = progress.first_report;
        let (units, elapsed) = (
            progress.done.saturating_sub(first) as f64,
            progress.last_report - start,
        );
        let silent = now
            .saturating_duration_since(progress.last_report)
            .as_secs_f64();
        let left =
            progress.total.saturating_sub(progress.done) as f64 * elapsed.as_secs_f64() / units;
        (units > 0.0).then(|| (left - silent).max(0.0))
    }

    /// Seconds that its finished part took, and its expected seconds.
    fn elapsed_and_expected(&self, now: Instant) -> Option<(f64, f64)> {
        let progress = self
            .progress
            .as_ref()
            .filter(|progress| progress.total > 0)?;
        let part =
            progress.done.saturating_sub(progress.first_report.1) as f64 / progress.total as f64;
        (part > 0.0).then(|| {
            (
                (now - self.started).as_secs_f64(),
                part * self.expected_seconds,
            )
        })
    }
}

impl StageProgress {
    fn tokens_per_second(&self) -> Option<f64> {
        let (start, _, tokens) = self.first_report;
        let elapsed = self.last_report - start;
        (self.tokens > tokens && elapsed > Duration::from_millis(100))
            .then(|| (self.tokens - tokens) as f64 / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixtures;
    use crate::pipeline::StageKind;

    fn stage(label: &str, inputs: Vec<Key>, estimate: f64) -> StageNode {
        fixtures::stage(StageKind::Train, label, inputs, estimate)
    }

    fn estimator(stages: &[StageNode], jobs: usize) -> EtaEstimator {
        let open = stages
            .iter()
            .map(|stage| (stage.key.clone(), stage.estimated_seconds))
            .collect();
        EtaEstimator::new(stages, open, jobs)
    }

    fn progress(done: u64, tokens: u64) -> StageEvent {
        StageEvent::Progress {
            done,
            total: 100,
            unit: "steps".to_owned(),
            tokens,
            loss: Some(1.25),
        }
    }

    #[test]
    fn a_worker_line_shows_rate_loss_and_time_left_since_it_resumed() {
        let start = Instant::now();
        let [at_1, at_2, at_12, at_17, at_20] =
            [1, 2, 12, 17, 20].map(|seconds| start + Duration::from_secs(seconds));
        let stages = [stage("a", vec![], 10.0)];
        let mut eta = estimator(&stages, 1);
        eta.stage_started(0, &stages[0], start);
        assert_eq!(eta.activity(0).unwrap().details(at_1), "starting");
        eta.update_progress(0, &progress(40, 0), at_2);
        eta.update_progress(0, &progress(60, 50_000), at_12);
        let activity = eta.activity(0).unwrap();
        assert_eq!(
            activity.details(at_12),
            "60/100 steps, 5.0k tok/s, loss 1.250, 20 s left"
        );
        assert_eq!(
            activity.details(at_17),
            "60/100 steps, 5.0k tok/s, loss 1.250, 15 s left"
        );
        assert!((activity.fraction_done() - 0.6).abs() < 1e-12);
        eta.set_threads(0, 2);
        let shown = "60/100 steps, 2 threads, 5.0k tok/s, loss 1.250, 20 s left";
        assert_eq!(eta.activity(0).unwrap().details(at_12), shown);
        eta.stage_finished(0, 12.0);
        eta.stage_started(0, &stages[0], at_20);
        eta.update_progress(0, &progress(1, 0), at_20);
        assert_eq!(
            eta.activity(0).unwrap().details(at_20),
            "1/100 steps, 2 threads, loss 1.250"
        );
    }

    #[test]
    fn a_machine_at_half_the_speed_doubles_the_forecast() {
        let start = Instant::now();
        let first = stage("a", vec![], 1000.0);
        let second = stage("b", vec![first.key.clone()], 500.0);
        let stages = [first, second];
        let mut eta = estimator(&stages, 2);
        assert!((eta.seconds_left(start) - 1500.0).abs() < 1e-9);
        eta.stage_started(0, &stages[0], start);
        eta.stage_finished(0, 2000.0);
        // (2000 + 20) / (1000 + 20) of 500 s.
        assert!(
            (eta.seconds_left(start) - 990.196).abs() < 0.01,
            "{}",
            eta.seconds_left(start)
        );
        assert_eq!(eta.stage_counts(), (1, 2));
    }

    #[test]
    fn a_failed_stage_is_neither_done_nor_left() {
        let stages = [stage("a", vec![], 10.0)];
        let mut eta = estimator(&stages, 1);
        eta.stage_started(0, &stages[0], Instant::now());
        eta.stage_abandoned(0);
        eta.remove_stage(&stages[0].key);
        assert_eq!((eta.stage_counts(), eta.activities().count()), ((0, 1), 0));
        assert!(eta.seconds_left(Instant::now()).abs() < 1e-9);
    }
}
