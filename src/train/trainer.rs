//! Training on weighted examples: batches in a fixed order, phase after phase.

use std::path::Path;

use crate::domain::{Observer, Seed};
use crate::model::Decoder;

use super::batch::{Batch, epoch};
use super::optimise::{Objective, TrainError, Trained, Weighed, optimise};
use super::{Encoded, Normalise, TrainConfig};

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
        start: Decoder,
        phases: &[Phase<'_>],
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        if phases.iter().any(|phase| phase.examples.is_empty()) {
            return Err(TrainError::NoExamples);
        }
        let mut schedules: Vec<_> = phases
            .iter()
            .map(|phase| Schedule::new(phase, self.normalise))
            .collect();
        let mut objectives: Vec<&mut dyn Objective> = schedules
            .iter_mut()
            .map(|schedule| schedule as &mut dyn Objective)
            .collect();
        optimise(self.folder, start, &mut objectives, observer)
    }
}

/// A phase with its order of batches.
struct Schedule<'a> {
    phase: &'a Phase<'a>,
    normalise: Normalise,
    batches: Vec<Vec<usize>>,
}

impl<'a> Schedule<'a> {
    fn new(phase: &'a Phase<'a>, normalise: Normalise) -> Self {
        let order = |number: u32| {
            epoch(
                phase.examples,
                phase.config.batch,
                normalise,
                phase.seed.at(u64::from(number)),
            )
        };
        Self {
            phase,
            normalise,
            batches: (0..phase.config.epochs).flat_map(order).collect(),
        }
    }
}

impl Objective for Schedule<'_> {
    fn config(&self) -> &TrainConfig {
        &self.phase.config
    }

    fn steps(&self) -> usize {
        self.batches.len()
    }

    fn batch(&mut self, step: usize, _: &Decoder) -> Result<Weighed, TrainError> {
        let examples: Vec<&Encoded> = self.batches[step]
            .iter()
            .map(|&i| &self.phase.examples[i])
            .collect();
        let batch = Batch::new(&examples, self.normalise);
        Ok(Weighed {
            batch,
            loss: None,
            readings: Vec::new(),
            counts: Vec::new(),
        })
    }
}
