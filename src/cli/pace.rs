//! How far a sweep is and how long the rest will take.
//!
//! Expected times are for some laptop; what has been seen so far scales them to this machine. A
//! plain value that is told the time: it looks at no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::{Event, Key};
use crate::pipeline::Stage;
use crate::report::Unit;
use crate::sweep::forecast;

use super::quantity::{duration, rate};

/// Seconds of expected work that what was seen must outweigh; keeps the first short stages from
/// throwing the forecast about.
const PRIOR: f64 = 20.0;

/// A sweep's stages and what is left of them.
#[derive(Clone, Debug)]
pub struct Pace {
    stages: Vec<Stage>,
    /// Expected seconds of the stages that are not finished, before scaling.
    left: BTreeMap<Key, f64>,
    total: usize,
    done: usize,
    jobs: usize,
    /// Seconds that finished stages took, and were expected to take.
    took: f64,
    expected: f64,
    busy: BTreeMap<usize, Activity>,
    /// Threads of the workers that were told to use more than one.
    threads: BTreeMap<usize, usize>,
}

/// What one worker is doing.
#[derive(Clone, Debug)]
pub struct Activity {
    key: Key,
    label: String,
    estimate: f64,
    begun: Instant,
    threads: usize,
    progress: Option<Progress>,
}

#[derive(Clone, Debug)]
struct Progress {
    done: u64,
    total: u64,
    unit: String,
    tokens: u64,
    loss: Option<f64>,
    /// When progress was first heard of, and where it stood: a resumed stage does not begin at 0.
    first: (Instant, u64, u64),
    last: Instant,
}

impl Pace {
    /// The pace of a sweep that is about to begin, with the expected seconds of its open stages.
    pub fn new(stages: &[Stage], open: BTreeMap<Key, f64>, jobs: usize) -> Self {
        let total = stages.len();
        let done = total - open.len();
        let stages = stages.to_vec();
        let (busy, threads) = (BTreeMap::new(), BTreeMap::new());
        Self {
            stages,
            left: open,
            total,
            done,
            jobs,
            took: 0.0,
            expected: 0.0,
            busy,
            threads,
        }
    }

    /// A worker has begun a stage.
    pub fn begin(&mut self, seat: usize, stage: &Stage, now: Instant) {
        let activity = Activity {
            key: stage.key.clone(),
            label: stage.label.clone(),
            estimate: stage.estimate,
            begun: now,
            threads: self.threads.get(&seat).copied().unwrap_or(1),
            progress: None,
        };
        self.busy.insert(seat, activity);
    }

    /// A worker uses so many threads from now on.
    pub fn spread(&mut self, seat: usize, threads: usize) {
        self.threads.insert(seat, threads);
        if let Some(activity) = self.busy.get_mut(&seat) {
            activity.threads = threads;
        }
    }

    /// Something happened inside a worker's stage.
    pub fn advance(&mut self, seat: usize, event: &Event, now: Instant) {
        let (
            Some(activity),
            Event::Progress {
                done,
                total,
                unit,
                tokens,
                loss,
            },
        ) = (self.busy.get_mut(&seat), event)
        else {
            return;
        };
        let first = activity
            .progress
            .as_ref()
            .map_or((now, *done, *tokens), |progress| progress.first);
        activity.progress = Some(Progress {
            done: *done,
            total: *total,
            unit: unit.clone(),
            tokens: *tokens,
            loss: *loss,
            first,
            last: now,
        });
    }

    /// A worker has finished its stage in so many seconds.
    pub fn finish(&mut self, seat: usize, seconds: f64) {
        if let Some(activity) = self.busy.remove(&seat) {
            self.done += usize::from(self.left.remove(&activity.key).is_some());
            self.took += seconds;
            self.expected += activity.estimate;
        }
    }

    /// A worker has left its stage unfinished.
    pub fn leave(&mut self, seat: usize) {
        self.busy.remove(&seat);
    }

    /// A stage will not be finished.
    pub fn drop_stage(&mut self, key: &Key) {
        self.left.remove(key);
    }

    /// Stages done, of all stages.
    pub const fn stages(&self) -> (usize, usize) {
        (self.done, self.total)
    }

    /// What the worker in a seat is doing.
    pub fn activity(&self, seat: usize) -> Option<&Activity> {
        self.busy.get(&seat)
    }

    /// What each busy worker is doing, by seat.
    pub fn activities(&self) -> impl Iterator<Item = &Activity> {
        self.busy.values()
    }

    /// Seconds until everything is finished.
    pub fn seconds_left(&self, now: Instant) -> f64 {
        let scale = self.scale(now);
        let mut left = self.left.clone();
        for seconds in left.values_mut() {
            *seconds *= scale;
        }
        for activity in self.busy.values() {
            let expected = activity.estimate * scale;
            let guess = (expected - (now - activity.begun).as_secs_f64()).max(expected * 0.05);
            left.insert(
                activity.key.clone(),
                activity.seconds_left(now).unwrap_or(guess),
            );
        }
        forecast(&self.stages, &left, self.jobs)
    }

    /// How much longer than expected work takes here.
    fn scale(&self, now: Instant) -> f64 {
        let running = self.busy.values().filter_map(|activity| activity.pace(now));
        let (took, expected) = running
            .fold((self.took, self.expected), |(took, expected), pace| {
                (took + pace.0, expected + pace.1)
            });
        (took + PRIOR) / (expected + PRIOR)
    }
}

impl Activity {
    /// Which stage it is.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How far it is, from 0 to 1.
    pub fn part(&self) -> f64 {
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
            parts.push(format!("{} tok/s", rate(tokens)));
        }
        if let Some(loss) = progress.loss {
            parts.push(format!("loss {}", Unit::Nats.number(loss)));
        }
        if let Some(seconds) = self
            .seconds_left(now)
            .filter(|_| progress.done < progress.total)
        {
            parts.push(format!("{} left", duration(seconds)));
        }
        parts.join(", ")
    }

    fn seconds_left(&self, now: Instant) -> Option<f64> {
        let progress = self.progress.as_ref()?;
        let (begun, first, _) = progress.first;
        let (units, elapsed) = (
            progress.done.saturating_sub(first) as f64,
            progress.last - begun,
        );
        let silent = now.saturating_duration_since(progress.last).as_secs_f64();
        let left =
            progress.total.saturating_sub(progress.done) as f64 * elapsed.as_secs_f64() / units;
        (units > 0.0).then(|| (left - silent).max(0.0))
    }

    /// Seconds that its part done so far took, and was expected to take.
    fn pace(&self, now: Instant) -> Option<(f64, f64)> {
        let progress = self
            .progress
            .as_ref()
            .filter(|progress| progress.total > 0)?;
        let part = progress.done.saturating_sub(progress.first.1) as f64 / progress.total as f64;
        (part > 0.0).then(|| ((now - self.begun).as_secs_f64(), part * self.estimate))
    }
}

impl Progress {
    fn tokens_per_second(&self) -> Option<f64> {
        let (begun, _, tokens) = self.first;
        let elapsed = self.last - begun;
        (self.tokens > tokens && elapsed > Duration::from_millis(100))
            .then(|| (self.tokens - tokens) as f64 / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Seed;
    use crate::pipeline::{Job, Kind};

    fn stage(label: &str, inputs: Vec<Key>, estimate: f64) -> Stage {
        let job = Job::Train {
            start: Key::of("start"),
            examples: Vec::new(),
            train: serde_json::from_value(json!({})).unwrap(),
            seed: Seed(0),
            backend: "flex".to_owned(),
        };
        Stage::new(
            Kind::Train,
            label.to_owned(),
            job,
            inputs,
            &json!(label),
            estimate,
        )
    }

    fn pace(stages: &[Stage], jobs: usize) -> Pace {
        let open = stages
            .iter()
            .map(|stage| (stage.key.clone(), stage.estimate))
            .collect();
        Pace::new(stages, open, jobs)
    }

    fn progress(done: u64, tokens: u64) -> Event {
        Event::Progress {
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
        pace.begin(0, &stages[0], start);
        assert_eq!(pace.activity(0).unwrap().details(at(1)), "starting");
        pace.advance(0, &progress(40, 0), at(2));
        pace.advance(0, &progress(60, 50_000), at(12));
        let activity = pace.activity(0).unwrap();
        assert_eq!(
            activity.details(at(12)),
            "60/100 steps, 5.0k tok/s, loss 1.250, 20 s left"
        );
        assert_eq!(
            activity.details(at(17)),
            "60/100 steps, 5.0k tok/s, loss 1.250, 15 s left"
        );
        assert!((activity.part() - 0.6).abs() < 1e-12);
        pace.spread(0, 2);
        let shown = "60/100 steps, 2 threads, 5.0k tok/s, loss 1.250, 20 s left";
        assert_eq!(pace.activity(0).unwrap().details(at(12)), shown);
        pace.finish(0, 12.0);
        pace.begin(0, &stages[0], at(20));
        pace.advance(0, &progress(1, 0), at(20));
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
        pace.begin(0, &stages[0], start);
        pace.finish(0, 2000.0);
        // (2000 + 20) / (1000 + 20) of 500 s.
        assert!(
            (pace.seconds_left(start) - 990.196).abs() < 0.01,
            "{}",
            pace.seconds_left(start)
        );
        assert_eq!(pace.stages(), (1, 2));
    }

    #[test]
    fn a_failed_stage_is_neither_done_nor_left() {
        let stages = [stage("a", vec![], 10.0)];
        let mut pace = pace(&stages, 1);
        pace.begin(0, &stages[0], Instant::now());
        pace.leave(0);
        pace.drop_stage(&stages[0].key);
        assert_eq!((pace.stages(), pace.activities().count()), ((0, 1), 0));
        assert!(pace.seconds_left(Instant::now()).abs() < 1e-9);
    }
}
