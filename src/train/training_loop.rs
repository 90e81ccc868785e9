//! The training loop: one optimizer step after the other on whatever an objective weighs next,
//! progress kept on the way.
//!
//! Every objective here has a gradient that is a weighted sum of the gradients of tokens'
//! negative log-likelihoods, so a step asks its objective for a batch with token weights and knows
//! nothing else of it. Must not know what is optimised.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::domain::{MetricPoint, Observer, PolicyError, Seed, StageEvent};
use crate::model::Decoder;

use super::lr_schedule::learning_rate;
use super::trainer_state::{self, TrainerState, TrainerStateError};
use super::{AdamW, Batch, StepResult, TrainConfig};

/// Seconds between two keepings of a training's progress.
const SAVE_INTERVAL_SECONDS: f64 = 20.0;
/// Points of an objective's curve.
const CURVE_POINTS: usize = 60;

/// What is made small, step by step.
pub trait TrainingObjective {
    /// Optimizer and schedule.
    fn config(&self) -> &TrainConfig;

    /// Optimizer steps in all.
    fn steps(&self) -> usize;

    /// What step `step` trains on, given the decoder before it.
    ///
    /// # Errors
    /// If there is nothing that it could train on.
    fn batch(&mut self, step: usize, decoder: &Decoder) -> Result<WeightedBatch, TrainError>;

    /// Whether everything that step `step` needs follows from the weights before it, so that a
    /// training may be stopped there.
    fn can_checkpoint(&self, _step: usize) -> bool {
        true
    }
}

/// A batch in which every token has its weight.
#[derive(Clone, Debug)]
pub struct WeightedBatch {
    /// Tokens and weights: the gradient of their weighted negative log-likelihood is that of the
    /// objective.
    pub batch: Batch,
    /// The objective's value, where it is not the weighted negative log-likelihood itself.
    pub loss: Option<f64>,
    /// What else is worth a curve.
    pub metrics: Vec<(String, f64)>,
    /// What is counted beside tokens trained on, to be added up over all steps.
    pub counts: Vec<(&'static str, u64)>,
}

/// A finished training.
#[derive(Clone, Debug)]
pub struct TrainingResult {
    /// The new weights.
    pub decoder: Decoder,
    /// Loss, gradient norm and the objective's readings by step.
    pub curve: Vec<MetricPoint>,
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens passed through the network and back.
    pub tokens: u64,
    /// What the objective counted.
    pub counts: BTreeMap<String, u64>,
    /// Seconds of work in earlier processes, up to where this one took over.
    pub earlier_seconds: f64,
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
    State(#[from] TrainerStateError),
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
pub fn run_objectives(
    folder: &Path,
    start: Decoder,
    objectives: &mut [&mut dyn TrainingObjective],
    observer: &mut dyn Observer,
) -> Result<TrainingResult, TrainError> {
    let (mut decoder, adam, place) = match trainer_state::load(folder, start.weights())? {
        Some((weights, adam, place)) => (start.map_weights(|_, _| weights), adam, place),
        None => (start, AdamW::default(), TrainerState::default()),
    };
    let (noise, kept) = (decoder.dropout_seed(), place.seconds);
    let mut run = TrainingRun {
        folder,
        dropout_seed: noise,
        adam,
        state: place,
        started: Instant::now(),
        saved_at: kept,
    };
    let steps: Vec<usize> = objectives
        .iter()
        .map(|objective| objective.steps())
        .collect();
    let total = steps.iter().sum();
    for (number, objective) in objectives.iter_mut().enumerate().skip(run.state.phase) {
        run.start_phase(number);
        decoder = run.run(
            decoder,
            *objective,
            (steps[..number].iter().sum(), total),
            observer,
        )?;
    }
    trainer_state::remove(folder);
    let TrainerState {
        curve: points,
        tokens,
        counts,
        seconds: earlier,
        ..
    } = run.state;
    Ok(TrainingResult {
        decoder,
        curve: points,
        steps: total,
        tokens,
        counts,
        earlier_seconds: earlier,
    })
}

/// A training on its way.
struct TrainingRun<'a> {
    folder: &'a Path,
    /// What the dropout of every step is drawn from.
    dropout_seed: Seed,
    adam: AdamW,
    state: TrainerState,
    started: Instant,
    saved_at: f64,
}

impl TrainingRun<'_> {
    fn elapsed_seconds(&self) -> f64 {
        self.state.seconds + self.started.elapsed().as_secs_f64()
    }

    fn start_phase(&mut self, phase: usize) {
        if self.state.phase != phase {
            self.state.phase = phase;
            self.state.step = 0;
            self.state.loss_sum = 0.0;
            self.state.metric_sums.clear();
            self.adam = AdamW::default();
        }
    }

    /// Does an objective's steps that are left, where so many came `before` of a `total`.
    fn run(
        &mut self,
        mut decoder: Decoder,
        objective: &mut dyn TrainingObjective,
        (before, total): (usize, usize),
        observer: &mut dyn Observer,
    ) -> Result<Decoder, TrainError> {
        let steps = objective.steps();
        while self.state.step < steps {
            let may_rest = objective.can_checkpoint(self.state.step);
            if may_rest && observer.stop_requested() {
                self.save(&decoder)?;
                return Err(TrainError::Stopped);
            }
            if may_rest && self.elapsed_seconds() - self.saved_at > SAVE_INTERVAL_SECONDS {
                self.save(&decoder)?;
            }
            let stepped = self.step(decoder, objective)?;
            decoder = stepped.decoder;
            self.state.step += 1;
            self.record(stepped.loss, stepped.grad_norm, before, steps);
            observer.on_event(StageEvent::Progress {
                done: (before + self.state.step) as u64,
                total: total as u64,
                unit: "steps".to_owned(),
                tokens: self.state.tokens,
                loss: Some(stepped.loss),
            });
        }
        Ok(decoder)
    }

    fn step(
        &mut self,
        decoder: Decoder,
        objective: &mut dyn TrainingObjective,
    ) -> Result<StepResult, TrainError> {
        let step = self.state.step;
        let WeightedBatch {
            batch,
            loss,
            metrics: readings,
            counts,
        } = objective.batch(step, &decoder)?;
        let config = objective.config();
        let rate = learning_rate(config, step, objective.steps());
        let decoder = decoder.with_dropout_seed(
            self.dropout_seed
                .derive_indexed(self.state.phase as u64)
                .derive_indexed(step as u64),
        );
        let stepped = super::train_step(decoder, &batch, &mut self.adam, config, rate);
        let loss = if stepped.loss.is_finite() {
            loss.unwrap_or(stepped.loss)
        } else {
            stepped.loss
        };
        if !loss.is_finite() {
            return Err(TrainError::Diverged { step, loss });
        }
        self.state.tokens += batch.inputs.tokens.len() as u64;
        for (name, count) in counts {
            *self.state.counts.entry(name.to_owned()).or_default() += count;
        }
        for (name, value) in readings {
            *self.state.metric_sums.entry(name).or_default() += value;
        }
        Ok(StepResult { loss, ..stepped })
    }

    /// Adds the step that was just done to the curve, and a point where one is due.
    fn record(&mut self, loss: f64, norm: f64, before: usize, steps: usize) {
        let every = steps.div_ceil(CURVE_POINTS);
        self.state.loss_sum += loss;
        let whole = self.state.step.is_multiple_of(every);
        if !whole && self.state.step != steps {
            return;
        }
        let since = if whole {
            every
        } else {
            self.state.step % every
        } as f64;
        let step = (before + self.state.step) as u64;
        let means = std::mem::take(&mut self.state.metric_sums);
        let readings = means.into_iter().map(|(series, sum)| (series, sum / since));
        let own = [
            ("loss", std::mem::take(&mut self.state.loss_sum) / since),
            ("gradient norm", norm),
        ];
        let all = own
            .into_iter()
            .map(|(series, value)| (series.to_owned(), value))
            .chain(readings);
        self.state
            .curve
            .extend(all.map(|(series, value)| MetricPoint {
                series,
                step,
                value,
            }));
    }

    fn save(&mut self, decoder: &Decoder) -> Result<(), TrainError> {
        let place = TrainerState {
            seconds: self.elapsed_seconds(),
            ..self.state.clone()
        };
        trainer_state::save(self.folder, decoder.weights(), &self.adam, &place)?;
        self.saved_at = place.seconds;
        Ok(())
    }
}
