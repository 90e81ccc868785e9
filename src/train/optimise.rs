//! The training loop: one optimizer step after the other on whatever an objective weighs next,
//! progress kept on the way.
//!
//! Every objective here has a gradient that is a weighted sum of the gradients of tokens'
//! negative log-likelihoods, so a step asks its objective for a batch with token weights and knows
//! nothing else of it. Must not know what is optimised.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::domain::{Event, Observer, Point, PolicyError, Seed};
use crate::model::Decoder;

use super::progress::{self, Place, ProgressError};
use super::schedule::rate;
use super::{AdamW, Batch, Stepped, TrainConfig};

/// Seconds between two keepings of a training's progress.
const KEEP_EVERY: f64 = 20.0;
/// Points of an objective's curve.
const POINTS: usize = 60;

/// What is made small, step by step.
pub trait Objective {
    /// Optimizer and schedule.
    fn config(&self) -> &TrainConfig;

    /// Optimizer steps in all.
    fn steps(&self) -> usize;

    /// What step `step` trains on, given the decoder before it.
    ///
    /// # Errors
    /// If there is nothing that it could train on.
    fn batch(&mut self, step: usize, decoder: &Decoder) -> Result<Weighed, TrainError>;

    /// Whether everything that step `step` needs follows from the weights before it, so that a
    /// training may be stopped there.
    fn may_rest(&self, _step: usize) -> bool {
        true
    }
}

/// A batch in which every token has its weight.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// Tokens and weights: the gradient of their weighted negative log-likelihood is that of the
    /// objective.
    pub batch: Batch,
    /// The objective's value, where it is not the weighted negative log-likelihood itself.
    pub loss: Option<f64>,
    /// What else is worth a curve.
    pub readings: Vec<(String, f64)>,
    /// What is counted beside tokens trained on, to be added up over all steps.
    pub counts: Vec<(&'static str, u64)>,
}

/// A finished training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The new weights.
    pub decoder: Decoder,
    /// Loss, gradient norm and the objective's readings by step.
    pub points: Vec<Point>,
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens passed through the network and back.
    pub tokens: u64,
    /// What the objective counted.
    pub counts: BTreeMap<String, u64>,
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
    /// The policy that is trained could not be sampled from.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A dialogue that was sampled does not fit the model.
    #[error(
        "a sampled dialogue has {tokens} tokens, more than the model's {positions} positions; lower `turns` or `max_tokens`, or leave `repeat_question` out"
    )]
    TooLong {
        /// Tokens of the dialogue.
        tokens: usize,
        /// Positions of the model.
        positions: usize,
    },
    /// Progress could not be kept.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

/// Follows each objective in turn, from where an earlier call in the same folder was stopped; the
/// optimizer begins afresh with each.
///
/// The decoder is given away so that its weights are moved in place: nothing keeps those that a
/// training began with, unless the caller does.
///
/// # Errors
/// If an objective has nothing to train on, the loss diverges, a stop is requested, or progress
/// cannot be kept.
pub fn optimise(
    folder: &Path,
    start: Decoder,
    objectives: &mut [&mut dyn Objective],
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let (mut decoder, adam, place) = match progress::take_up(folder, start.weights())? {
        Some((weights, adam, place)) => (start.map_weights(|_, _| weights), adam, place),
        None => (start, AdamW::default(), Place::default()),
    };
    let (noise, kept) = (decoder.noise(), place.seconds);
    let mut run = Running {
        folder,
        noise,
        adam,
        place,
        began: Instant::now(),
        kept,
    };
    let steps: Vec<usize> = objectives
        .iter()
        .map(|objective| objective.steps())
        .collect();
    let total = steps.iter().sum();
    for (number, objective) in objectives.iter_mut().enumerate().skip(run.place.phase) {
        run.enter(number);
        decoder = run.follow(
            decoder,
            *objective,
            (steps[..number].iter().sum(), total),
            observer,
        )?;
    }
    progress::forget(folder);
    let Place {
        points,
        tokens,
        counts,
        seconds: earlier,
        ..
    } = run.place;
    Ok(Trained {
        decoder,
        points,
        steps: total,
        tokens,
        counts,
        earlier,
    })
}

/// A training on its way.
struct Running<'a> {
    folder: &'a Path,
    /// What the dropout of every step is drawn from.
    noise: Seed,
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
            self.place.readings.clear();
            self.adam = AdamW::default();
        }
    }

    /// Does an objective's steps that are left, where so many came `before` of a `total`.
    fn follow(
        &mut self,
        mut decoder: Decoder,
        objective: &mut dyn Objective,
        (before, total): (usize, usize),
        observer: &mut dyn Observer,
    ) -> Result<Decoder, TrainError> {
        let steps = objective.steps();
        while self.place.step < steps {
            let may_rest = objective.may_rest(self.place.step);
            if may_rest && observer.stop_requested() {
                self.keep(&decoder)?;
                return Err(TrainError::Stopped);
            }
            if may_rest && self.seconds() - self.kept > KEEP_EVERY {
                self.keep(&decoder)?;
            }
            let stepped = self.step(decoder, objective)?;
            decoder = stepped.decoder;
            self.place.step += 1;
            self.mark(stepped.loss, stepped.norm, before, steps);
            observer.on(Event::Progress {
                done: (before + self.place.step) as u64,
                total: total as u64,
                unit: "steps".to_owned(),
                tokens: self.place.tokens,
                loss: Some(stepped.loss),
            });
        }
        Ok(decoder)
    }

    fn step(
        &mut self,
        decoder: Decoder,
        objective: &mut dyn Objective,
    ) -> Result<Stepped, TrainError> {
        let step = self.place.step;
        let Weighed {
            batch,
            loss,
            readings,
            counts,
        } = objective.batch(step, &decoder)?;
        let config = objective.config();
        let rate = rate(config, step, objective.steps());
        let decoder = decoder.with_noise(self.noise.at(self.place.phase as u64).at(step as u64));
        let stepped = super::step(decoder, &batch, &mut self.adam, config, rate);
        let loss = if stepped.loss.is_finite() {
            loss.unwrap_or(stepped.loss)
        } else {
            stepped.loss
        };
        if !loss.is_finite() {
            return Err(TrainError::Diverged { step, loss });
        }
        self.place.tokens += batch.inputs.tokens.len() as u64;
        for (name, count) in counts {
            *self.place.counts.entry(name.to_owned()).or_default() += count;
        }
        for (name, value) in readings {
            *self.place.readings.entry(name).or_default() += value;
        }
        Ok(Stepped { loss, ..stepped })
    }

    /// Adds the step that was just done to the curve, and a point where one is due.
    fn mark(&mut self, loss: f64, norm: f64, before: usize, steps: usize) {
        let every = steps.div_ceil(POINTS);
        self.place.pending += loss;
        let whole = self.place.step.is_multiple_of(every);
        if !whole && self.place.step != steps {
            return;
        }
        let since = if whole {
            every
        } else {
            self.place.step % every
        } as f64;
        let step = (before + self.place.step) as u64;
        let means = std::mem::take(&mut self.place.readings);
        let readings = means.into_iter().map(|(series, sum)| (series, sum / since));
        let own = [
            ("loss", std::mem::take(&mut self.place.pending) / since),
            ("gradient norm", norm),
        ];
        let all = own
            .into_iter()
            .map(|(series, value)| (series.to_owned(), value))
            .chain(readings);
        self.place.points.extend(all.map(|(series, value)| Point {
            series,
            step,
            value,
        }));
    }

    fn keep(&mut self, decoder: &Decoder) -> Result<(), TrainError> {
        let place = Place {
            seconds: self.seconds(),
            ..self.place.clone()
        };
        progress::keep(self.folder, decoder.weights(), &self.adam, &place)?;
        self.kept = place.seconds;
        Ok(())
    }
}
