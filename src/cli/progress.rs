//! What a person sees on standard error while a sweep goes on.
//!
//! On a terminal: one bar for the sweep and a line per worker. Elsewhere: a line per stage, and a
//! sign of life now and then. Hides the drawing; how far things are comes from `pace.rs`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::domain::{Event, Key};
use crate::pipeline::Stage;
use crate::sweep::News;

use super::output::{Output, Style};
use super::pace::Pace;
use super::quantity::duration;

/// How often there is a sign of life where no bars are drawn.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How often the forecast is made anew.
const FORECAST_EVERY: Duration = Duration::from_millis(500);

/// Steps of a bar; what is shown in it is a part, not a count.
const STEPS: u64 = 1000;

/// Shows a sweep's news to whoever sits at the terminal.
pub struct Progress {
    output: Output,
    pace: Pace,
    bars: Option<Bars>,
    spoken: Instant,
    forecast: Instant,
}

struct Bars {
    /// Owns the lines on the screen.
    screen: MultiProgress,
    whole: ProgressBar,
    seats: Vec<ProgressBar>,
}

impl Progress {
    /// Progress of a sweep over `stages`, of which those in `open` are to be executed.
    pub fn new(output: Output, stages: &[Stage], open: BTreeMap<Key, f64>, jobs: usize) -> Self {
        let bars = (output.is_live() && !open.is_empty()).then(|| Bars::new(jobs, stages.len()));
        let now = Instant::now();
        let mut progress = Self {
            output,
            pace: Pace::new(stages, open, jobs),
            bars,
            spoken: now,
            forecast: now,
        };
        progress.draw_whole(now);
        progress
    }

    /// Shows some news.
    pub fn show(&mut self, news: &News<'_>) {
        let now = Instant::now();
        match news {
            News::Started { seat, stage } => {
                self.pace.begin(*seat, stage, now);
                self.line_for_logs(&format!("begin   {}", stage.label));
                self.draw_seat(*seat, now);
            }
            News::Threads { seat, threads } => {
                self.pace.spread(*seat, *threads);
                self.draw_seat(*seat, now);
            }
            News::Event { seat, stage, event } => {
                self.pace.advance(*seat, event, now);
                if let Event::Note(note) = event {
                    self.note(Style::Yellow, "note", &format!("{}: {note}", stage.label));
                }
                self.draw_seat(*seat, now);
            }
            News::Finished {
                seat,
                stage,
                manifest,
            } => {
                self.pace.finish(*seat, manifest.seconds);
                self.line_for_logs(&format!(
                    "done    {} in {}",
                    stage.label,
                    duration(manifest.seconds)
                ));
                self.draw_seat(*seat, now);
                self.draw_done();
            }
            News::TakenIn { stage } => self.line_for_logs(&format!("found   {}", stage.label)),
            News::Failed {
                seat,
                stage,
                reason,
                lost,
            } => {
                self.forget(*seat, &stage.key, now);
                let lost = if *lost > 0 {
                    format!(" ({lost} more stages wait for it in vain)")
                } else {
                    String::new()
                };
                self.note(
                    Style::Red,
                    "failed",
                    &format!("{}: {reason}{lost}", stage.label),
                );
            }
            News::Died {
                seat,
                stage,
                reason,
            } => {
                self.pace.leave(*seat);
                self.note(Style::Yellow, "lost", &format!("{}: {reason}", stage.label));
                self.draw_seat(*seat, now);
            }
            News::Interrupted { seat, stage } => {
                self.pace.leave(*seat);
                self.line_for_logs(&format!("stopped {}", stage.label));
                self.draw_seat(*seat, now);
            }
            News::Stopping { at_once } => self.note(Style::Yellow, "stopping", stopping(*at_once)),
            News::Begun { .. } | News::Tick => {}
        }
        self.refresh(now);
    }

    /// Removes the bars, so that what is said next stands on clean lines.
    pub fn clear(self) {
        if let Some(bars) = self.bars {
            bars.seats.iter().for_each(ProgressBar::finish_and_clear);
            bars.whole.finish_and_clear();
        }
    }

    fn forget(&mut self, seat: Option<usize>, key: &Key, now: Instant) {
        self.pace.drop_stage(key);
        if let Some(seat) = seat {
            self.pace.leave(seat);
            self.draw_seat(seat, now);
        }
    }

    /// What no bar can say, above the bars or as a line of its own.
    fn note(&self, style: Style, word: &str, text: &str) {
        if self.output.is_quiet() {
            return;
        }
        let line = format!("{}: {text}", self.output.styled_talk(style, word));
        match &self.bars {
            // A terminal that is gone is told nothing.
            Some(bars) => drop(bars.screen.println(line)),
            None => self.output.say(&line),
        }
    }

    /// A line where there are no bars.
    fn line_for_logs(&mut self, text: &str) {
        if self.bars.is_none() {
            let (done, total) = self.pace.stages();
            self.output.say(&format!("[{done}/{total}] {text}"));
            self.spoken = Instant::now();
        }
    }

    fn refresh(&mut self, now: Instant) {
        if self.bars.is_some() {
            if now - self.forecast >= FORECAST_EVERY {
                self.draw_whole(now);
            }
        } else if now - self.spoken >= HEARTBEAT && self.pace.activities().next().is_some() {
            let left = duration(self.pace.seconds_left(now));
            self.line_for_logs(&format!(
                "working: {}; about {left} left",
                self.activities(now)
            ));
        }
    }

    fn activities(&self, now: Instant) -> String {
        let told = self
            .pace
            .activities()
            .map(|activity| format!("{} ({})", activity.label(), activity.details(now)));
        told.collect::<Vec<_>>().join("; ")
    }

    fn draw_whole(&mut self, now: Instant) {
        self.forecast = now;
        let Some(bars) = &self.bars else { return };
        let (done, total) = self.pace.stages();
        bars.whole.set_position(done as u64);
        let left = duration(self.pace.seconds_left(now));
        bars.whole
            .set_message(format!("{done}/{total} stages, about {left} left"));
    }

    /// Moves the bar on without a new forecast, which looks at every stage that is left.
    fn draw_done(&self) {
        if let Some(bars) = &self.bars {
            bars.whole.set_position(self.pace.stages().0 as u64);
        }
    }

    fn draw_seat(&self, seat: usize, now: Instant) {
        let Some(bar) = self.bars.as_ref().and_then(|bars| bars.seats.get(seat)) else {
            return;
        };
        if let Some(activity) = self.pace.activity(seat) {
            bar.set_prefix(activity.label().to_owned());
            bar.set_position((activity.part() * STEPS as f64) as u64);
            bar.set_message(activity.details(now));
        } else {
            bar.set_prefix("idle");
            bar.set_position(0);
            bar.set_message(String::new());
        }
    }
}

impl Bars {
    fn new(seats: usize, stages: usize) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let whole = screen.add(ProgressBar::new(stages as u64));
        whole.set_style(style("{elapsed_precise} {wide_bar:.green/dim} {msg}"));
        let seats = (0..seats).map(|_| {
            let bar = screen.add(ProgressBar::new(STEPS));
            bar.set_style(style("  {prefix:34!} {bar:18.cyan/dim} {wide_msg}"));
            bar.set_prefix("idle");
            bar
        });
        let seats = seats.collect();
        whole.enable_steady_tick(Duration::from_secs(1));
        Self {
            screen,
            whole,
            seats,
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style =
        ProgressStyle::with_template(template).expect("the templates of this file are well formed");
    style.progress_chars("━╸─")
}

const fn stopping(at_once: bool) -> &'static str {
    if at_once {
        "workers are ended at once; what they have saved is kept"
    } else {
        "workers finish what they are at and save it; once more (Ctrl-C) ends them at once"
    }
}
