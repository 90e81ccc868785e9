//! How far a sweep is and how long the rest will take.
//!
//! Expected times are for some laptop; what has been seen so far scales them to this machine. A
//! plain value that is told the time: it looks at no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::{Key, StageEvent};
use crate::pipeline::StageNode;
use crate::report::DisplayUnit;
use crate::sweep::forecast_seconds;

use super::format::{format_duration, format_rate};

/// Seconds of expected work that what was seen must outweigh; keeps the first short stages from
/// throwing the forecast about.
const PRIOR_SECONDS: f64 = 20.0;

/// A sweep's stages and what is left of them.
#[derive(Clone, Debug)]
pub struct EtaEstimator {
    stages: Vec<StageNode>,
    /// Expected seconds of the stages that are not finished, before scaling.
    remaining_seconds: BTreeMap<Key, f64>,
    total: usize,
    done: usize,
    jobs: usize,
    /// Seconds that finished stages took, and were expected to take.
    elapsed_seconds: f64,
    expected_seconds: f64,
    activity_by_slot: BTreeMap<usize, WorkerActivity>,
    /// Threads of the workers that were told to use more than one.
    threads_by_slot: BTreeMap<usize, usize>,
}

/// What one worker is doing.
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
    /// When progress was first heard of, and where it stood: a resumed stage does not begin at 0.
    first_report: (Instant, u64, u64),
    last_report: Instant,
}

impl EtaEstimator {
    /// The pace of a sweep that is about to begin, with the expected seconds of its open stages.
    pub fn new(stages: &[StageNode], open: BTreeMap<Key, f64>, jobs: usize) -> Self {
        let total = stages.len();
        let done = total - open.len();
        let stages = stages.to_vec();
        let (busy, threads) = (BTreeMap::new(), BTreeMap::new());
        Self {
            stages,
            remaining_seconds: open,
            total,
            done,
            jobs,
            elapsed_seconds: 0.0,
            expected_seconds: 0.0,
            activity_by_slot: busy,
            threads_by_slot: threads,
        }
    }

    /// A worker has begun a stage.
    pub fn stage_started(&mut self, seat: usize, stage: &StageNode, now: Instant) {
        let activity = WorkerActivity {
            key: stage.key.clone(),
            label: stage.label.clone(),
            expected_seconds: stage.estimated_seconds,
            started: now,
            threads: self.threads_by_slot.get(&seat).copied().unwrap_or(1),
            progress: None,
        };
        self.activity_by_slot.insert(seat, activity);
    }

    /// A worker uses so many threads from now on.
    pub fn set_threads(&mut self, seat: usize, threads: usize) {
        self.threads_by_slot.insert(seat, threads);
        if let Some(activity) = self.activity_by_slot.get_mut(&seat) {
            activity.threads = threads;
        }
    }

    /// Something happened inside a worker's stage.
    pub fn update_progress(&mut self, seat: usize, event: &StageEvent, now: Instant) {
        let (
            Some(activity),
            StageEvent::Progress {
                done,
                total,
                unit,
                tokens,
                loss,
            },
        ) = (self.activity_by_slot.get_mut(&seat), event)
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

    /// A worker has finished its stage in so many seconds.
    pub fn stage_finished(&mut self, seat: usize, seconds: f64) {
        if let Some(activity) = self.activity_by_slot.remove(&seat) {
            self.done += usize::from(self.remaining_seconds.remove(&activity.key).is_some());
            self.elapsed_seconds += seconds;
            self.expected_seconds += activity.expected_seconds;
        }
    }

    /// A worker has left its stage unfinished.
    pub fn stage_abandoned(&mut self, seat: usize) {
        self.activity_by_slot.remove(&seat);
    }

    /// A stage will not be finished.
    pub fn remove_stage(&mut self, key: &Key) {
        self.remaining_seconds.remove(key);
    }

    /// Stages done, of all stages.
    pub const fn stage_counts(&self) -> (usize, usize) {
        (self.done, self.total)
    }

    /// What the worker in a seat is doing.
    pub fn activity(&self, seat: usize) -> Option<&WorkerActivity> {
        self.activity_by_slot.get(&seat)
    }

    /// What each busy worker is doing, by seat.
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

    /// How much longer than expected work takes here.
    fn time_scale(&self, now: Instant) -> f64 {
        let running = self
            .activity_by_slot
            .values()
            .filter_map(|activity| activity.elapsed_and_expected(now));
        let (took, expected) = running.fold(
            (self.elapsed_seconds, self.expected_seconds),
            |(took, expected), pace| (took + pace.0, expected + pace.1),
        );
        (took + PRIOR_SECONDS) / (expected + PRIOR_SECONDS)
    }
}

impl WorkerActivity {
    /// Which stage it is.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How far it is, from 0 to 1.
    pub fn fraction_done(&self) -> f64 {
        self.progress.as_ref().map_or(0.0, |progress| {
            if progress.total == 0 {
                0.0
            } else {
                progress.done as f64 / progress.total as f64
            }
        })
    }

    /// Everything about it that fits on a line: units, tokens per second, loss, time left, threads.
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
        let (begun, first, _) = progress.first_report;
        let (units, elapsed) = (
            progress.done.saturating_sub(first) as f64,
            progress.last_report - begun,
        );
        let silent = now
            .saturating_duration_since(progress.last_report)
            .as_secs_f64();
        let left =
            progress.total.saturating_sub(progress.done) as f64 * elapsed.as_secs_f64() / units;
        (units > 0.0).then(|| (left - silent).max(0.0))
    }

    /// Seconds that its part done so far took, and was expected to take.
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
        let (begun, _, tokens) = self.first_report;
        let elapsed = self.last_report - begun;
        (self.tokens > tokens && elapsed > Duration::from_millis(100))
            .then(|| (self.tokens - tokens) as f64 / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Seed;
    use crate::pipeline::{StageKind, TrainStage};

    fn stage(label: &str, inputs: Vec<Key>, estimate: f64) -> StageNode {
        let spec = TrainStage {
            start: Key::from_value("start"),
            examples: Vec::new(),
            train: serde_json::from_value(json!({})).unwrap(),
            seed: Seed(0),
            backend: "flex".to_owned(),
        };
        StageNode {
            key: Key::from_value(label),
            kind: StageKind::Train,
            label: label.to_owned(),
            spec: spec.into(),
            inputs,
            estimated_seconds: estimate,
        }
    }

    fn pace(stages: &[StageNode], jobs: usize) -> EtaEstimator {
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
    fn a_worker_line_tells_rate_loss_and_time_left_since_it_went_on() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let stages = [stage("a", vec![], 10.0)];
        let mut pace = pace(&stages, 1);
        pace.stage_started(0, &stages[0], start);
        assert_eq!(pace.activity(0).unwrap().details(at(1)), "starting");
        pace.update_progress(0, &progress(40, 0), at(2));
        pace.update_progress(0, &progress(60, 50_000), at(12));
        let activity = pace.activity(0).unwrap();
        assert_eq!(
            activity.details(at(12)),
            "60/100 steps, 5.0k tok/s, loss 1.250, 20 s left"
        );
        assert_eq!(
            activity.details(at(17)),
            "60/100 steps, 5.0k tok/s, loss 1.250, 15 s left"
        );
        assert!((activity.fraction_done() - 0.6).abs() < 1e-12);
        pace.set_threads(0, 2);
        let shown = "60/100 steps, 2 threads, 5.0k tok/s, loss 1.250, 20 s left";
        assert_eq!(pace.activity(0).unwrap().details(at(12)), shown);
        pace.stage_finished(0, 12.0);
        pace.stage_started(0, &stages[0], at(20));
        pace.update_progress(0, &progress(1, 0), at(20));
        assert_eq!(
            pace.activity(0).unwrap().details(at(20)),
            "1/100 steps, 2 threads, loss 1.250"
        );
    }

    #[test]
    fn a_machine_at_half_the_speed_doubles_the_forecast() {
        let start = Instant::now();
        let first = stage("a", vec![], 1000.0);
        let second = stage("b", vec![first.key.clone()], 500.0);
        let stages = [first, second];
        let mut pace = pace(&stages, 2);
        assert!((pace.seconds_left(start) - 1500.0).abs() < 1e-9);
        pace.stage_started(0, &stages[0], start);
        pace.stage_finished(0, 2000.0);
        // (2000 + 20) / (1000 + 20) of 500 s.
        assert!(
            (pace.seconds_left(start) - 990.196).abs() < 0.01,
            "{}",
            pace.seconds_left(start)
        );
        assert_eq!(pace.stage_counts(), (1, 2));
    }

    #[test]
    fn a_failed_stage_is_neither_done_nor_left() {
        let stages = [stage("a", vec![], 10.0)];
        let mut pace = pace(&stages, 1);
        pace.stage_started(0, &stages[0], Instant::now());
        pace.stage_abandoned(0);
        pace.remove_stage(&stages[0].key);
        assert_eq!(
            (pace.stage_counts(), pace.activities().count()),
            ((0, 1), 0)
        );
        assert!(pace.seconds_left(Instant::now()).abs() < 1e-9);
    }
}
