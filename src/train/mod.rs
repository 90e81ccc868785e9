//! From graded episodes to new weights: selection of targets, their weights, and optimisation.
//!
//! Responsible for selection, weighting, examples, the objectives, the optimizer and the loop.
//! Weighted likelihood (`trainer`), direct preference optimisation (`dpo`) and online reinforcement
//! learning (`online`, with its arithmetic in `policy_gradient`) are [`TrainingObjective`]s of one
//! loop: each turns a step's batch into weights of its tokens. Must not know how episodes were
//! collected, the task, or the place of results.

mod adamw;
mod batch;
mod config;
mod conformance;
mod dpo;
mod examples;
mod lr_schedule;
mod online;
mod online_config;
mod policy_gradient;
mod selection;
mod trainer;
mod trainer_state;
mod weighting;

pub use adamw::{AdamMoments, AdamW};
pub use batch::{
    Batch, BatchRows, EncodeError, EncodedExample, LossReduction, LossTarget, TargetSpan,
    encode_example, shuffled_batches,
};
pub use config::{RoundData, RoundStart, TrainConfig};
pub use conformance::{ConformanceReport, check_conformance};
pub use dpo::{DpoLoss, DpoObjective, EncodedPair, dpo_loss};
pub use examples::{
    AttemptPool, DialogueLayout, ExampleStats, attempt_preferences, correction_examples,
    deduplicate_turns, episode_examples, outcome_examples, refinement_examples,
    self_verification_examples, single_turn_examples, step_examples, trajectory_preferences,
};
pub use online::{EncodedEpisode, GroupSampler, PolicyGradientObjective, SampledGroups};
pub use online_config::{GrpoConfig, OnlineConfig, ScoreConfig};
pub use policy_gradient::{PolicyLoss, TokenLogProbs, TokenLoss, discounted_returns};
pub use selection::TurnSelection;
pub use trainer::{
    StepResult, TrainError, Trainer, TrainingObjective, TrainingPhase, TrainingResult,
    WeightedBatch, run_objectives, train_step,
};
pub use trainer_state::TrainerStateError;
pub use weighting::{RewardWeighting, mean_reward_by_turn};
