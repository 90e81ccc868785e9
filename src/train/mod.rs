//! From graded episodes to new weights: which attempts are targets, how much each counts, and the
//! optimisation itself.
//!
//! Responsible for selection, weighting, examples, the objectives, the optimizer and the loop.
//! Weighted likelihood (`trainer`), direct preference optimisation (`preference`) and online
//! reinforcement learning (`practice`, with its arithmetic in `policy_gradient`) are [`TrainingObjective`]s
//! of one loop: each turns a step's batch into weights of its tokens.
//! Must not know how episodes were collected, what a task is, or where results are kept.

mod adamw;
mod batch;
mod batch_rows;
mod config;
mod conformance;
mod dpo;
mod examples;
mod loss_reduction;
mod lr_schedule;
mod online;
mod online_config;
mod policy_gradient;
mod selection;
mod train_step;
mod trainer;
mod trainer_state;
mod training_loop;
mod weighting;

pub use adamw::{AdamMoments, AdamW};
pub use batch::{Batch, EncodeError, EncodedExample, encode_example, shuffled_batches};
pub use batch_rows::{BatchRows, TargetSpan};
pub use config::{RoundData, RoundStart, TrainConfig};
pub use conformance::{ConformanceReport, check_conformance};
pub use dpo::{DpoLoss, DpoObjective, EncodedPair, dpo_loss};
pub use examples::{
    AttemptPool, DialogueLayout, ExampleStats, attempt_preferences, correction_examples,
    deduplicate_turns, episode_examples, outcome_examples, refinement_examples,
    self_verification_examples, single_turn_examples, step_examples, trajectory_preferences,
};
pub use loss_reduction::LossReduction;
pub use online::{EncodedEpisode, GroupSampler, PolicyGradientObjective, SampledGroups};
pub use online_config::{GrpoConfig, OnlineConfig, ScoreConfig};
pub use policy_gradient::{PolicyLoss, TokenLogProbs, TokenLoss, discounted_returns};
pub use selection::TurnSelection;
pub use train_step::{StepResult, train_step};
pub use trainer::{Trainer, TrainingPhase};
pub use trainer_state::TrainerStateError;
pub use training_loop::{
    TrainError, TrainingObjective, TrainingResult, WeightedBatch, run_objectives,
};
pub use weighting::{RewardWeighting, mean_reward_by_turn};
