//! Training on weighted examples: batches in a fixed order, phase after phase.

use std::path::Path;

use crate::domain::{Observer, Seed};
use crate::model::Decoder;

use super::batch::{Batch, epoch_batches};
use super::training_loop::{
    TrainError, TrainingObjective, TrainingResult, WeightedBatch, run_objectives,
};
use super::{EncodedExample, LossReduction, TrainConfig};

/// One schedule over one set of examples; the optimizer begins afresh with each phase.
#[derive(Clone, Debug)]
pub struct TrainingPhase<'a> {
    /// What is trained on.
    pub examples: &'a [EncodedExample],
    /// Epochs, batch, rates.
    pub config: TrainConfig,
    /// Decides the order of examples.
    pub seed: Seed,
}

/// Trains a decoder through phases, keeping its progress in a folder.
pub struct Trainer<'a> {
    /// What weights are relative to.
    pub reduction: LossReduction,
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
    fn new(phase: &'a TrainingPhase<'a>, normalise: LossReduction) -> Self {
        let order = |number: u32| {
            epoch_batches(
                phase.examples,
                phase.config.batch_size,
                normalise,
                phase.seed.derive_indexed(u64::from(number)),
            )
        };
        Self {
            phase,
            reduction: normalise,
            batches: (0..phase.config.epochs).flat_map(order).collect(),
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
        let batch = Batch::new(&examples, self.reduction);
        Ok(WeightedBatch {
            batch,
            loss: None,
            metrics: Vec::new(),
            counts: Vec::new(),
        })
    }
}
