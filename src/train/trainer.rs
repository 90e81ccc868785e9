//! The training loop: batches in a fixed order, one optimizer step each, progress kept on the way.

use std::path::Path;
use std::time::Instant;

use crate::domain::{Event, Observer, Point, Seed};
use crate::model::Decoder;

use super::batch::{Batch, epoch};
use super::progress::{self, Place, ProgressError};
use super::schedule::rate;
use super::{AdamW, Encoded, Normalise, TrainConfig};

/// Seconds between two keepings of a training's progress.
const KEEP_EVERY: f64 = 20.0;
/// Points of a phase's curve.
const POINTS: usize = 60;

/// One schedule over one set of examples; the optimizer begins afresh with each phase.
#[derive(Clone, Debug)]
pub struct Phase<'a> {
    /// What is trained on.
    pub examples: &'a [Encoded],
    /// Epochs, batch, rates.
    pub config: TrainConfig,
    /// Decides the order of examples.
    pub seed: Seed,
}

/// A finished training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The new weights.
    pub decoder: Decoder,
    /// Loss and gradient norm by step.
    pub points: Vec<Point>,
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens passed through the network.
    pub tokens: u64,
    /// Seconds of work in earlier processes, up to where this one took over.
    pub earlier: f64,
}

/// Why a training ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// There is nothing to train on.
    #[error(
        "there is no example with a target to train on; widen the selection or the weighting, or collect on more problems"
    )]
    NoExamples,
    /// The loss is not a number any more.
    #[error("the loss became {loss} at step {step}; lower `learning_rate`")]
    Diverged {
        /// The step.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// A stop was asked for; what was done is kept.
    #[error("stopped on request")]
    Stopped,
    /// Progress could not be kept.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

/// Trains a decoder through phases, keeping its progress in a folder.
pub struct Trainer<'a> {
    /// What weights are relative to.
    pub normalise: Normalise,
    /// Where progress is kept, and taken up from.
    pub folder: &'a Path,
}

impl Trainer<'_> {
    /// Runs every phase in turn, from where an earlier call in the same folder was stopped.
    ///
    /// # Errors
    /// If there is nothing to train on, the loss diverges, a stop is requested, or progress cannot
    /// be kept.
    pub fn train(
        &self,
        start: &Decoder,
        phases: &[Phase<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        if phases.iter().any(|phase| phase.examples.is_empty()) {
            return Err(TrainError::NoExamples);
        }
        let fresh = || (start.weights().clone(), AdamW::default(), Place::default());
        let (weights, adam, place) = progress::take_up(self.folder, start.weights())?.unwrap_or_else(fresh);
        let schedules: Vec<_> = phases.iter().map(|phase| Schedule::new(phase, self.normalise)).collect();
        let decoder = start.with_weights(weights);
        let mut run =
            Running { trainer: self, start, decoder, adam, place, began: Instant::now(), kept: 0.0 };
        run.kept = run.place.seconds;
        for (number, schedule) in schedules.iter().enumerate().skip(run.place.phase) {
            run.enter(number);
            let before: usize = schedules[..number].iter().map(|s| s.batches.len()).sum();
            let total = schedules.iter().map(|s| s.batches.len()).sum();
            run.phase(schedule, before, total, observer)?;
        }
        progress::forget(self.folder);
        let steps = schedules.iter().map(|s| s.batches.len()).sum();
        let Place { points, tokens, seconds: earlier, .. } = run.place;
        Ok(Trained { decoder: run.decoder, points, steps, tokens, earlier })
    }
}

/// A phase with its order of batches.
struct Schedule<'a> {
    phase: &'a Phase<'a>,
    batches: Vec<Vec<usize>>,
}

impl<'a> Schedule<'a> {
    fn new(phase: &'a Phase<'a>, normalise: Normalise) -> Self {
        let order = |number: u32| {
            epoch(phase.examples, phase.config.batch, normalise, phase.seed.at(u64::from(number)))
        };
        Self { phase, batches: (0..phase.config.epochs).flat_map(order).collect() }
    }
}

/// A training on its way.
struct Running<'a> {
    trainer: &'a Trainer<'a>,
    start: &'a Decoder,
    decoder: Decoder,
    adam: AdamW,
    place: Place,
    began: Instant,
    kept: f64,
}

impl Running<'_> {
    fn seconds(&self) -> f64 {
        self.place.seconds + self.began.elapsed().as_secs_f64()
    }

    fn enter(&mut self, phase: usize) {
        if self.place.phase != phase {
            self.place.phase = phase;
            self.place.step = 0;
            self.place.pending = 0.0;
            self.adam = AdamW::default();
        }
    }

    fn phase(
        &mut self,
        schedule: &Schedule<'_>,
        before: usize,
        total: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let every = schedule.batches.len().div_ceil(POINTS);
        while self.place.step < schedule.batches.len() {
            if observer.stop_requested() {
                self.keep()?;
                return Err(TrainError::Stopped);
            }
            let (loss, norm) = self.step(schedule)?;
            self.place.step += 1;
            self.place.pending += loss;
            let step = before + self.place.step;
            if self.place.step.is_multiple_of(every) || self.place.step == schedule.batches.len() {
                let since =
                    if self.place.step.is_multiple_of(every) { every } else { self.place.step % every };
                let point =
                    |series: &str, value| Point { series: series.to_owned(), step: step as u64, value };
                self.place.points.push(point("loss", self.place.pending / since as f64));
                self.place.points.push(point("gradient norm", norm));
                self.place.pending = 0.0;
            }
            observer.on(Event::Progress {
                done: step as u64,
                total: total as u64,
                unit: "steps".to_owned(),
                tokens: self.place.tokens,
                loss: Some(loss),
            });
            if self.seconds() - self.kept > KEEP_EVERY {
                self.keep()?;
            }
        }
        Ok(())
    }

    fn step(&mut self, schedule: &Schedule<'_>) -> Result<(f64, f64), TrainError> {
        let (step, phase) = (self.place.step, schedule.phase);
        let examples: Vec<&Encoded> = schedule.batches[step].iter().map(|&i| &phase.examples[i]).collect();
        let batch = Batch::new(&examples, self.trainer.normalise);
        let rate = rate(&phase.config, step, schedule.batches.len());
        // Taken out, so that nobody else holds the weights and they can be moved in place.
        let decoder = std::mem::replace(&mut self.decoder, self.start.clone());
        let stepped = super::step(decoder, &batch, &mut self.adam, &phase.config, rate);
        if !stepped.loss.is_finite() {
            return Err(TrainError::Diverged { step, loss: stepped.loss });
        }
        self.decoder = stepped.decoder;
        self.place.tokens += batch.inputs.tokens.len() as u64;
        Ok((stepped.loss, stepped.norm))
    }

    fn keep(&mut self) -> Result<(), TrainError> {
        let place = Place { seconds: self.seconds(), ..self.place.clone() };
        progress::keep(self.trainer.folder, self.decoder.weights(), &self.adam, &place)?;
        self.kept = place.seconds;
        Ok(())
    }
}
