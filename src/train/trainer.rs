//! Training: one optimizer step after the other on the batches of an objective, with its progress
//! on disk.
//!
//! The gradient of every objective here is a weighted sum of the gradients of tokens' negative
//! log-likelihoods. A step asks its objective for a batch with token weights and knows nothing else
//! of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::domain::{MetricPoint, Observer, PolicyError, Seed, StageEvent};
use crate::model::Decoder;

use super::batch::{Batch, EncodedExample, LossReduction, epoch_batches};
use super::lr_schedule::learning_rate;
use super::trainer_state::{self, TrainerState, TrainerStateError};
use super::{AdamW, TrainConfig};

/// Seconds between two checkpoints of a training.
const SAVE_INTERVAL_SECONDS: f64 = 20.0;
/// Points of an objective's curve.
const CURVE_POINTS: usize = 60;

/// A loss that is minimised step by step.
pub trait TrainingObjective {
    /// Optimizer and schedule.
    fn config(&self) -> &TrainConfig;

    /// Optimizer steps in all.
    fn steps(&self) -> usize;

    /// The batch of step `step`, given the decoder before it.
    ///
    /// # Errors
    /// If there is nothing to train on.
    fn batch(&mut self, step: usize, decoder: &Decoder) -> Result<WeightedBatch, TrainError>;

    /// Whether step `step` needs no state but the weights before it, so a training may stop there.
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
    /// Further values for curves.
    pub metrics: Vec<(String, f64)>,
    /// Further counts, which are summed over all steps.
    pub counts: Vec<(&'static str, u64)>,
}

/// A finished training.
#[derive(Clone, Debug)]
pub struct TrainingResult {
    /// The new weights.
    pub decoder: Decoder,
    /// Loss, gradient norm and the objective's metrics by step.
    pub curve: Vec<MetricPoint>,
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens passed through the network and back.
    pub tokens: u64,
    /// The objective's counts.
    pub counts: BTreeMap<String, u64>,
    /// Seconds of work in earlier processes.
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
    /// The loss is not finite.
    #[error("the loss became {loss} at step {step}; lower `learning_rate`")]
    Diverged {
        /// The step.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// The user requested a stop; the progress is on disk.
    #[error("stopped on request")]
    Stopped,
    /// Sampling from the trained policy failed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A sampled dialogue does not fit the model.
    #[error(
        "a sampled dialogue has {tokens} tokens, more than the model's {positions} positions; lower `turns` or `max_tokens`, or leave `repeat_question` out"
    )]
    TooLong {
        /// Tokens of the dialogue.
        tokens: usize,
        /// Positions of the model.
        positions: usize,
    },
    /// Progress could not be written or read.
    #[error(transparent)]
    State(#[from] TrainerStateError),
}

/// Trains on each objective in turn, each with a new optimizer; resumes an earlier call in the same
/// folder.
///
/// The step moves the weights of `start` in place.
///
/// # Errors
/// If an objective has nothing to train on, the loss diverges, a stop is requested, or progress
/// cannot be written.
pub fn run_objectives(
    folder: &Path,
    start: Decoder,
    objectives: &mut [&mut dyn TrainingObjective],
    observer: &mut dyn Observer,
) -> Result<TrainingResult, TrainError> {
    let (mut decoder, adam, state) = match trainer_state::load(folder, start.weights())? {
        Some((weights, adam, state)) => (start.map_weights(|_, _| weights), adam, state),
        None => (start, AdamW::default(), TrainerState::default()),
    };
    let mut run = TrainingRun {
        folder,
        dropout_seed: decoder.dropout_seed(),
        adam,
        started: Instant::now(),
        saved_at: state.seconds,
        state,
    };
    let steps: Vec<usize> = objectives
        .iter()
        .map(|objective| objective.steps())
        .collect();
    let total = steps.iter().sum();
    for (number, objective) in objectives.iter_mut().enumerate().skip(run.state.phase) {
        let before = steps[..number].iter().sum();
        run.start_phase(number);
        decoder = run.run(decoder, *objective, (before, total), observer)?;
    }
    trainer_state::remove(folder);
    Ok(TrainingResult {
        decoder,
        curve: run.state.curve,
        steps: total,
        tokens: run.state.tokens,
        counts: run.state.counts,
        earlier_seconds: run.state.seconds,
    })
}

/// One schedule over one set of examples, with a new optimizer.
#[derive(Clone, Debug)]
pub struct TrainingPhase<'a> {
    /// The examples.
    pub examples: &'a [EncodedExample],
    /// Epochs, batch, rates.
    pub config: TrainConfig,
    /// Seed of the order of examples.
    pub seed: Seed,
}

/// Trains a decoder in phases, with its progress in a folder.
pub struct Trainer<'a> {
    /// The unit of weights and batch sizes.
    pub reduction: LossReduction,
    /// The folder of the progress.
    pub folder: &'a Path,
}

impl Trainer<'_> {
    /// Runs every phase in turn; resumes an earlier call in the same folder.
    ///
    /// # Errors
    /// If there is nothing to train on, the loss diverges, a stop is requested, or progress cannot
    /// be written.
    pub fn train(
        &self,
        start: Decoder,
        phases: &[TrainingPhase<'_>],
        observer: &mut dyn Observer,
    ) -> Result<TrainingResult, TrainError> {
        if phases.iter().any(|phase| phase.examples.is_empty()) {
            return Err(TrainError::NoExamples);
        }
        let mut schedules: Vec<_> = phases
            .iter()
            .map(|phase| SupervisedObjective::new(phase, self.reduction))
            .collect();
        let mut objectives: Vec<&mut dyn TrainingObjective> = schedules
            .iter_mut()
            .map(|schedule| schedule as &mut dyn TrainingObjective)
            .collect();
        run_objectives(self.folder, start, &mut objectives, observer)
    }
}

/// A phase with its order of batches.
struct SupervisedObjective<'a> {
    phase: &'a TrainingPhase<'a>,
    reduction: LossReduction,
    batches: Vec<Vec<usize>>,
}

impl<'a> SupervisedObjective<'a> {
    fn new(phase: &'a TrainingPhase<'a>, reduction: LossReduction) -> Self {
        let batch_size = phase.config.batch_size;
        let batches = (0..phase.config.epochs)
            .map(|epoch| phase.seed.derive_indexed(u64::from(epoch)))
            .flat_map(|seed| epoch_batches(phase.examples, batch_size, reduction, seed))
            .collect();
        Self {
            phase,
            reduction,
            batches,
        }
    }
}

impl TrainingObjective for SupervisedObjective<'_> {
    fn config(&self) -> &TrainConfig {
        &self.phase.config
    }

    fn steps(&self) -> usize {
        self.batches.len()
    }

    fn batch(&mut self, step: usize, _: &Decoder) -> Result<WeightedBatch, TrainError> {
        let examples: Vec<&EncodedExample> = self.batches[step]
            .iter()
            .map(|&i| &self.phase.examples[i])
            .collect();
        Ok(WeightedBatch {
            batch: Batch::new(&examples, self.reduction),
            loss: None,
            metrics: Vec::new(),
            counts: Vec::new(),
        })
    }
}

/// A training in progress.
struct TrainingRun<'a> {
    folder: &'a Path,
    /// Seed of the dropout of every step.
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

    /// Does the remaining steps of an objective, after `before` steps of `total`.
    fn run(
        &mut self,
        mut decoder: Decoder,
        objective: &mut dyn TrainingObjective,
        (before, total): (usize, usize),
        observer: &mut dyn Observer,
    ) -> Result<Decoder, TrainError> {
        let steps = objective.steps();
        while self.state.step < steps {
            if objective.can_checkpoint(self.state.step) {
                let stop = observer.stop_requested();
                if stop || self.elapsed_seconds() - self.saved_at > SAVE_INTERVAL_SECONDS {
                    self.save(&decoder)?;
                }
                if stop {
                    return Err(TrainError::Stopped);
                }
            }
            let result = self.step(decoder, objective)?;
            decoder = result.decoder;
            self.state.step += 1;
            self.record(result.loss, result.grad_norm, before, steps);
            observer.on_event(StageEvent::Progress {
                done: (before + self.state.step) as u64,
                total: total as u64,
                unit: "steps".to_owned(),
                tokens: self.state.tokens,
                loss: Some(result.loss),
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
            metrics,
            counts,
        } = objective.batch(step, &decoder)?;
        let config = objective.config();
        let rate = learning_rate(config, step, objective.steps());
        let decoder = decoder.with_dropout_seed(
            self.dropout_seed
                .derive_indexed(self.state.phase as u64)
                .derive_indexed(step as u64),
        );
        let result = train_step(decoder, &batch, &mut self.adam, config, rate);
        let loss = loss
            .filter(|_| result.loss.is_finite())
            .unwrap_or(result.loss);
        if !loss.is_finite() {
            return Err(TrainError::Diverged { step, loss });
        }
        self.state.tokens += batch.inputs.tokens.len() as u64;
        for (name, count) in counts {
            *self.state.counts.entry(name.to_owned()).or_default() += count;
        }
        for (name, value) in metrics {
            *self.state.metric_sums.entry(name).or_default() += value;
        }
        Ok(StepResult { loss, ..result })
    }

    /// Adds the loss of the last step; adds a point to each curve at the end of an interval.
    fn record(&mut self, loss: f64, grad_norm: f64, before: usize, steps: usize) {
        let interval = steps.div_ceil(CURVE_POINTS);
        self.state.loss_sum += loss;
        let rest = self.state.step % interval;
        if rest != 0 && self.state.step != steps {
            return;
        }
        let count = if rest == 0 { interval } else { rest } as f64;
        let step = (before + self.state.step) as u64;
        let loss_sum = std::mem::take(&mut self.state.loss_sum);
        let metric_sums = std::mem::take(&mut self.state.metric_sums);
        let values = [
            ("loss".to_owned(), loss_sum / count),
            ("gradient norm".to_owned(), grad_norm),
        ]
        .into_iter()
        .chain(
            metric_sums
                .into_iter()
                .map(|(series, sum)| (series, sum / count)),
        );
        self.state
            .curve
            .extend(values.map(|(series, value)| MetricPoint {
                series,
                step,
                value,
            }));
    }

    fn save(&mut self, decoder: &Decoder) -> Result<(), TrainError> {
        let state = TrainerState {
            seconds: self.elapsed_seconds(),
            ..self.state.clone()
        };
        trainer_state::save(self.folder, decoder.weights(), &self.adam, &state)?;
        self.saved_at = state.seconds;
        Ok(())
    }
}

/// The result of one step.
#[derive(Debug)]
pub struct StepResult {
    /// The decoder after it.
    pub decoder: Decoder,
    /// The objective before it.
    pub loss: f64,
    /// The gradient's global norm before clipping.
    pub grad_norm: f64,
}

/// Moves the weights of `decoder` one step down the objective of `batch`, at learning rate `rate`.
///
/// Returns a loss that is not finite with meaningless weights. Moves weights in place that have no
/// other owner.
#[must_use]
pub fn train_step(
    decoder: Decoder,
    batch: &Batch,
    adam: &mut AdamW,
    config: &TrainConfig,
    rate: f64,
) -> StepResult {
    let (loss, gradients) = decoder.loss_and_gradients(&batch.inputs, &batch.targets);
    let mut grad_norm = 0.0;
    let decoder = decoder.map_weights(|weights, threads| {
        let (weights, norm) = adam.step(weights, &gradients, config, rate, threads);
        grad_norm = norm;
        weights
    });
    StepResult {
        decoder,
        loss,
        grad_norm,
    }
}
