//! What a person sees on standard error while a sweep goes on.
//!
//! On a terminal: one bar for the sweep and a line per worker. Elsewhere: a line per stage, and a
//! sign of life now and then. Hides the drawing; how far things are comes from `pace.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::domain::{Key, StageEvent};
use crate::pipeline::StageNode;
use crate::sweep::SweepEvent;

use super::eta::EtaEstimator;
use super::format::format_duration;
use super::output::{CliOutput, TextStyle};

/// How often there is a sign of life where no bars are drawn.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How often the forecast is made anew.
const FORECAST_INTERVAL: Duration = Duration::from_millis(500);

/// Steps of a bar; what is shown in it is a part, not a count.
const BAR_STEPS: u64 = 1000;

/// Shows a sweep's news to whoever sits at the terminal.
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
    /// Progress of a sweep over `stages`, of which those in `open` are to be executed.
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

    /// Shows some news.
    pub fn on_event(&mut self, news: &SweepEvent<'_>) {
        let now = Instant::now();
        match news {
            SweepEvent::StageStarted { slot, stage } => {
                self.eta.stage_started(*slot, stage, now);
                self.log_line(&format!("begin   {}", stage.label));
                self.draw_slot(*slot, now);
            }
            SweepEvent::ThreadsChanged { slot, threads } => {
                self.eta.set_threads(*slot, *threads);
                self.draw_slot(*slot, now);
            }
            SweepEvent::StageEvent { slot, stage, event } => {
                self.eta.update_progress(*slot, event, now);
                if let StageEvent::Note(note) = event {
                    self.print_note(
                        TextStyle::Yellow,
                        "note",
                        &format!("{}: {note}", stage.label),
                    );
                }
                self.draw_slot(*slot, now);
            }
            SweepEvent::StageFinished {
                slot,
                stage,
                manifest,
            } => {
                self.eta.stage_finished(*slot, manifest.seconds);
                self.log_line(&format!(
                    "done    {} in {}",
                    stage.label,
                    format_duration(manifest.seconds)
                ));
                self.draw_slot(*slot, now);
                self.draw_completed();
            }
            SweepEvent::StageAdopted { stage } => {
                self.log_line(&format!("found   {}", stage.label))
            }
            SweepEvent::StageFailed {
                slot,
                stage,
                reason,
                lost,
            } => {
                self.on_stage_lost(*slot, &stage.key, now);
                let lost = if *lost > 0 {
                    format!(" ({lost} more stages wait for it in vain)")
                } else {
                    String::new()
                };
                self.print_note(
                    TextStyle::Red,
                    "failed",
                    &format!("{}: {reason}{lost}", stage.label),
                );
            }
            SweepEvent::WorkerDied {
                slot,
                stage,
                reason,
            } => {
                self.eta.stage_abandoned(*slot);
                self.print_note(
                    TextStyle::Yellow,
                    "lost",
                    &format!("{}: {reason}", stage.label),
                );
                self.draw_slot(*slot, now);
            }
            SweepEvent::StageInterrupted { slot, stage } => {
                self.eta.stage_abandoned(*slot);
                self.log_line(&format!("stopped {}", stage.label));
                self.draw_slot(*slot, now);
            }
            SweepEvent::StopRequested { at_once } => {
                self.print_note(TextStyle::Yellow, "stopping", stopping_message(*at_once))
            }
            SweepEvent::SweepStarted { .. } | SweepEvent::Tick => {}
        }
        self.refresh(now);
    }

    /// Removes the bars, so that what is said next stands on clean lines.
    pub fn clear(self) {
        if let Some(bars) = self.bars {
            bars.slots.iter().for_each(ProgressBar::finish_and_clear);
            bars.overall.finish_and_clear();
        }
    }

    fn on_stage_lost(&mut self, slot: Option<usize>, key: &Key, now: Instant) {
        self.eta.remove_stage(key);
        if let Some(slot) = slot {
            self.eta.stage_abandoned(slot);
            self.draw_slot(slot, now);
        }
    }

    /// What no bar can say, above the bars or as a line of its own.
    fn print_note(&self, style: TextStyle, word: &str, text: &str) {
        if self.output.is_quiet() {
            return;
        }
        let line = format!("{}: {text}", self.output.style_stderr(style, word));
        match &self.bars {
            // A terminal that is gone is told nothing.
            Some(bars) => drop(bars.screen.println(line)),
            None => self.output.print_note(&line),
        }
    }

    /// A line where there are no bars.
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
        let told = self
            .eta
            .activities()
            .map(|activity| format!("{} ({})", activity.label(), activity.details(now)));
        told.collect::<Vec<_>>().join("; ")
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

    /// Moves the bar on without a new forecast, which looks at every stage that is left.
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
        let whole = screen.add(ProgressBar::new(stages as u64));
        whole.set_style(bar_style("{elapsed_precise} {wide_bar:.green/dim} {msg}"));
        let slots = (0..slots).map(|_| {
            let bar = screen.add(ProgressBar::new(BAR_STEPS));
            bar.set_style(bar_style("  {prefix:34!} {bar:18.cyan/dim} {wide_msg}"));
            bar.set_prefix("idle");
            bar
        });
        let slots = slots.collect();
        whole.enable_steady_tick(Duration::from_secs(1));
        Self {
            screen,
            overall: whole,
            slots,
        }
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(template).expect("the templates of this file are well formed");
    style.progress_chars("━╸─")
}

const fn stopping_message(at_once: bool) -> &'static str {
    if at_once {
        "workers are ended at once; what they have saved is kept"
    } else {
        "workers finish what they are at and save it; once more (Ctrl-C) ends them at once"
    }
}
