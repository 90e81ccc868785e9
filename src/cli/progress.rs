//! Draws the progress of a sweep on standard error.
//!
//! A terminal gets one bar for the sweep and a line per worker; other outputs get a line per stage
//! and a heartbeat.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::domain::{Key, StageEvent};
use crate::pipeline::StageNode;
use crate::sweep::SweepEvent;

use super::eta::EtaEstimator;
use super::format::{format_duration, plural};
use super::output::{CliOutput, TextStyle};

/// Time between two heartbeats without bars.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Time between two forecasts.
const FORECAST_INTERVAL: Duration = Duration::from_millis(500);

/// Steps of a bar, which shows a fraction.
const BAR_STEPS: u64 = 1000;

/// The progress of a sweep.
pub struct SweepProgress {
    output: CliOutput,
    eta: EtaEstimator,
    bars: Option<ProgressBars>,
    last_logged: Instant,
    last_forecast: Instant,
}

struct ProgressBars {
    /// Owns the lines on the screen.
    screen: MultiProgress,
    overall: ProgressBar,
    slots: Vec<ProgressBar>,
}

impl SweepProgress {
    /// The progress of a sweep over `stages`; those in `open` are to be executed.
    pub fn new(
        output: CliOutput,
        stages: &[StageNode],
        open: BTreeMap<Key, f64>,
        jobs: usize,
    ) -> Self {
        let bars = (output.can_draw_progress() && !open.is_empty())
            .then(|| ProgressBars::new(jobs, stages.len()));
        let now = Instant::now();
        let mut progress = Self {
            output,
            eta: EtaEstimator::new(stages, open, jobs),
            bars,
            last_logged: now,
            last_forecast: now,
        };
        progress.draw_overall(now);
        progress
    }

    /// Shows an event.
    pub fn on_event(&mut self, event: &SweepEvent<'_>) {
        let now = Instant::now();
        self.update_estimate(event, now);
        self.log_event(event);
        if let Some(slot) = event_slot(event) {
            self.draw_slot(slot, now);
        }
        if matches!(event, SweepEvent::StageFinished { .. }) {
            self.draw_completed();
        }
        self.refresh(now);
    }

    fn update_estimate(&mut self, event: &SweepEvent<'_>, now: Instant) {
        match event {
            SweepEvent::StageStarted { slot, stage } => self.eta.stage_started(*slot, stage, now),
            SweepEvent::ThreadsChanged { slot, threads } => self.eta.set_threads(*slot, *threads),
            SweepEvent::StageEvent { slot, event, .. } => {
                self.eta.update_progress(*slot, event, now);
            }
            SweepEvent::StageFinished { slot, manifest, .. } => {
                self.eta.stage_finished(*slot, manifest.seconds);
            }
            SweepEvent::StageFailed { slot, stage, .. } => {
                self.eta.remove_stage(&stage.key);
                if let Some(slot) = slot {
                    self.eta.stage_abandoned(*slot);
                }
            }
            SweepEvent::WorkerDied { slot, .. } | SweepEvent::StageInterrupted { slot, .. } => {
                self.eta.stage_abandoned(*slot);
            }
            SweepEvent::SweepStarted { .. }
            | SweepEvent::StageAdopted { .. }
            | SweepEvent::StopRequested { .. }
            | SweepEvent::Tick => {}
        }
    }

    fn log_event(&mut self, event: &SweepEvent<'_>) {
        match event {
            SweepEvent::StageStarted { stage, .. } => {
                self.log_line(&format!("begin   {}", stage.label));
            }
            SweepEvent::StageFinished {
                stage, manifest, ..
            } => {
                let time = format_duration(manifest.seconds);
                self.log_line(&format!("done    {} in {time}", stage.label));
            }
            SweepEvent::StageAdopted { stage } => {
                self.log_line(&format!("found   {}", stage.label));
            }
            SweepEvent::StageInterrupted { stage, .. } => {
                self.log_line(&format!("stopped {}", stage.label));
            }
            other => self.note_event(other),
        }
    }

    fn note_event(&self, event: &SweepEvent<'_>) {
        let (style, word, text) = match event {
            SweepEvent::StageEvent {
                stage,
                event: StageEvent::Note(note),
                ..
            } => (
                TextStyle::Yellow,
                "note",
                format!("{}: {note}", stage.label),
            ),
            SweepEvent::StageFailed {
                stage,
                reason,
                lost,
                ..
            } => {
                let skipped = match lost {
                    0 => String::new(),
                    lost => format!(" ({} skipped)", plural(*lost, "dependent stage")),
                };
                let text = format!("{}: {reason}{skipped}", stage.label);
                (TextStyle::Red, "failed", text)
            }
            SweepEvent::WorkerDied { stage, reason, .. } => (
                TextStyle::Yellow,
                "lost",
                format!("{}: {reason}", stage.label),
            ),
            SweepEvent::StopRequested { at_once } => {
                let text = stopping_message(*at_once).to_owned();
                (TextStyle::Yellow, "stopping", text)
            }
            _ => return,
        };
        self.print_note(style, word, &text);
    }

    /// Removes the bars, so that later output starts on clean lines.
    pub fn clear(self) {
        if let Some(bars) = self.bars {
            bars.slots.iter().for_each(ProgressBar::finish_and_clear);
            bars.overall.finish_and_clear();
        }
    }

    /// Prints a line above the bars, or without bars a plain line.
    fn print_note(&self, style: TextStyle, word: &str, text: &str) {
        if self.output.is_quiet() {
            return;
        }
        let line = format!("{}: {text}", self.output.style_stderr(style, word));
        match &self.bars {
            // It fails only if the terminal is gone.
            Some(bars) => drop(bars.screen.println(line)),
            None => self.output.print_note(&line),
        }
    }

    /// Prints a line if there are no bars.
    fn log_line(&mut self, text: &str) {
        if self.bars.is_none() {
            let (done, total) = self.eta.stage_counts();
            self.output.print_note(&format!("[{done}/{total}] {text}"));
            self.last_logged = Instant::now();
        }
    }

    fn refresh(&mut self, now: Instant) {
        if self.bars.is_some() {
            if now - self.last_forecast >= FORECAST_INTERVAL {
                self.draw_overall(now);
            }
        } else if now - self.last_logged >= HEARTBEAT && self.eta.activities().next().is_some() {
            let left = format_duration(self.eta.seconds_left(now));
            self.log_line(&format!(
                "working: {}; about {left} left",
                self.describe_activities(now)
            ));
        }
    }

    fn describe_activities(&self, now: Instant) -> String {
        self.eta
            .activities()
            .map(|activity| format!("{} ({})", activity.label(), activity.details(now)))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn draw_overall(&mut self, now: Instant) {
        self.last_forecast = now;
        let Some(bars) = &self.bars else { return };
        let (done, total) = self.eta.stage_counts();
        bars.overall.set_position(done as u64);
        let left = format_duration(self.eta.seconds_left(now));
        bars.overall
            .set_message(format!("{done}/{total} stages, about {left} left"));
    }

    /// Moves the bar without a new forecast, which costs a pass over all open stages.
    fn draw_completed(&self) {
        if let Some(bars) = &self.bars {
            bars.overall.set_position(self.eta.stage_counts().0 as u64);
        }
    }

    fn draw_slot(&self, slot: usize, now: Instant) {
        let Some(bar) = self.bars.as_ref().and_then(|bars| bars.slots.get(slot)) else {
            return;
        };
        if let Some(activity) = self.eta.activity(slot) {
            bar.set_prefix(activity.label().to_owned());
            bar.set_position((activity.fraction_done() * BAR_STEPS as f64) as u64);
            bar.set_message(activity.details(now));
        } else {
            bar.set_prefix("idle");
            bar.set_position(0);
            bar.set_message(String::new());
        }
    }
}

impl ProgressBars {
    fn new(slots: usize, stages: usize) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let overall = screen.add(ProgressBar::new(stages as u64));
        overall.set_style(bar_style("{elapsed_precise} {wide_bar:.green/dim} {msg}"));
        let slots = (0..slots).map(|_| {
            let bar = screen.add(ProgressBar::new(BAR_STEPS));
            bar.set_style(bar_style("  {prefix:34!} {bar:18.cyan/dim} {wide_msg}"));
            bar.set_prefix("idle");
            bar
        });
        let slots = slots.collect();
        overall.enable_steady_tick(Duration::from_secs(1));
        Self {
            screen,
            overall,
            slots,
        }
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(template).expect("the templates of this file are well formed");
    style.progress_chars("━╸─")
}

/// The slot of the worker that an event is about.
const fn event_slot(event: &SweepEvent<'_>) -> Option<usize> {
    match event {
        SweepEvent::StageStarted { slot, .. }
        | SweepEvent::ThreadsChanged { slot, .. }
        | SweepEvent::StageEvent { slot, .. }
        | SweepEvent::StageFinished { slot, .. }
        | SweepEvent::WorkerDied { slot, .. }
        | SweepEvent::StageInterrupted { slot, .. } => Some(*slot),
        SweepEvent::StageFailed { slot, .. } => *slot,
        SweepEvent::SweepStarted { .. }
        | SweepEvent::StageAdopted { .. }
        | SweepEvent::StopRequested { .. }
        | SweepEvent::Tick => None,
    }
}

const fn stopping_message(at_once: bool) -> &'static str {
    if at_once {
        "killing workers; saved progress is kept"
    } else {
        "saving progress; press Ctrl-C again to stop now"
    }
}
